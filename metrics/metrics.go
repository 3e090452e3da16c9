// Package metrics names and describes every Prometheus metric of the hub in one
// place. A registry is passed in; nothing is global. A test renders Table into
// docs/metrics.md.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Set is every metric of the hub.
type Set struct {
	HooksAnswered   *prometheus.CounterVec   // project, connection, status
	HookSeconds     prometheus.Histogram     // from the last byte read to the answer
	JournalBatch    prometheus.Histogram     // entries per commit
	JournalQueue    prometheus.Gauge         // entries that wait for a commit
	EntriesSettled  *prometheus.CounterVec   // project, connection, state, cause
	RecordsApplied  *prometheus.CounterVec   // project, connection, result
	RefsFetched     *prometheus.CounterVec   // project, connection, result
	Backlog         *prometheus.GaugeVec     // project, connection, what
	FlowBehind      *prometheus.GaugeVec     // project, flow
	FlowDue         *prometheus.GaugeVec     // project, flow
	RowsSettled     *prometheus.CounterVec   // project, flow, result, cause
	Uploads         *prometheus.CounterVec   // project, flow, status
	UploadSeconds   *prometheus.HistogramVec // as
	WorkDone        *prometheus.CounterVec   // kind, result
	WorkSeconds     *prometheus.HistogramVec // kind
	Exchanges       *prometheus.CounterVec   // host, status
	ExchangeSeconds *prometheus.HistogramVec // host
	ConnectionOK    *prometheus.GaugeVec     // project, connection
	Pulls           *prometheus.CounterVec   // project, connection, status
	DispatchErrors  prometheus.Counter       // Redis did not take a task
}

// Described is one line of docs/metrics.md.
type Described struct {
	Name   string
	Type   string
	Labels []string
	Help   string
}

type maker struct {
	reg   prometheus.Registerer
	table []Described
}

func (m *maker) note(kind, name, help string, labels []string) {
	m.table = append(m.table, Described{Name: name, Type: kind, Labels: labels, Help: help})
}

func (m *maker) counter(name, help string, labels ...string) *prometheus.CounterVec {
	m.note("counter", name, help, labels)
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.reg.MustRegister(v)
	return v
}

func (m *maker) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	m.note("gauge", name, help, labels)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.reg.MustRegister(v)
	return v
}

func (m *maker) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	m.note("histogram", name, help, labels)
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.reg.MustRegister(v)
	return v
}

var (
	fastBuckets  = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	slowBuckets  = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	countBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// New registers the metrics. It panics when two sets meet in one registry.
func New(reg prometheus.Registerer) *Set {
	set, _ := build(reg)
	return set
}

// Table describes every metric, in the order of the code.
func Table() []Described {
	_, table := build(prometheus.NewRegistry())
	return table
}

func build(reg prometheus.Registerer) (*Set, []Described) {
	m := &maker{reg: reg}
	set := &Set{
		HooksAnswered:   m.counter("svod_hooks_answered_total", "Webhooks by the HTTP status of our answer.", "project", "connection", "status"),
		HookSeconds:     m.histogram("svod_hook_seconds", "Time from the arrival of a webhook to its answer, the durable write included.", fastBuckets).WithLabelValues().(prometheus.Histogram),
		JournalBatch:    m.histogram("svod_journal_batch_entries", "Journal entries per database commit.", countBuckets).WithLabelValues().(prometheus.Histogram),
		JournalQueue:    m.gauge("svod_journal_queue_entries", "Webhooks that wait for their commit.").WithLabelValues(),
		EntriesSettled:  m.counter("svod_journal_entries_settled_total", "Journal entries by what intake made of them.", "project", "connection", "state", "cause"),
		RecordsApplied:  m.counter("svod_records_applied_total", "Versions of records by what they changed: inserted, changed, unchanged.", "project", "connection", "result"),
		RefsFetched:     m.counter("svod_refs_fetched_total", "References that were re-read: found, missing, postponed.", "project", "connection", "result"),
		Backlog:         m.gauge("svod_backlog", "What waits per connection: journal entries, references.", "project", "connection", "what"),
		FlowBehind:      m.gauge("svod_flow_behind", "Change numbers between a flow's cursor and the end of its feed.", "project", "flow"),
		FlowDue:         m.gauge("svod_flow_due_rows", "Rows that wait to be sent.", "project", "flow"),
		RowsSettled:     m.counter("svod_rows_settled_total", "Rows by result: sent, unchanged, skipped, refused, waiting.", "project", "flow", "result", "cause"),
		Uploads:         m.counter("svod_uploads_total", "Uploads by the status that they reached.", "project", "flow", "status"),
		UploadSeconds:   m.histogram("svod_upload_seconds", "Time from the first byte of an upload to the destination's answer.", slowBuckets, "as"),
		WorkDone:        m.counter("svod_work_total", "Pieces of work by kind and result: done, busy, failed.", "kind", "result"),
		WorkSeconds:     m.histogram("svod_work_seconds", "Duration of a piece of work.", slowBuckets, "kind"),
		Exchanges:       m.counter("svod_exchanges_total", "HTTP calls to other systems; status 0 means no answer.", "host", "status"),
		ExchangeSeconds: m.histogram("svod_exchange_seconds", "Duration of HTTP calls to other systems.", slowBuckets, "host"),
		ConnectionOK:    m.gauge("svod_connection_ok", "1 while a connection works, 0 while it fails, is paused or needs re-authorisation.", "project", "connection"),
		Pulls:           m.counter("svod_pulls_total", "Requests of systems that read from us, by the HTTP status of our answer.", "project", "connection", "status"),
		DispatchErrors:  m.counter("svod_dispatch_errors_total", "Tasks that Redis did not take; they are handed out later.").WithLabelValues(),
	}
	return set, m.table
}

// Since is the number of seconds that passed.
func Since(now func() time.Time, start time.Time) float64 { return now().Sub(start).Seconds() }
