package console

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// pageSize is how many lines a list shows.
const pageSize = 50

// maxText bounds what is searched for.
const maxText = 200

// dayTime is what an <input type="datetime-local"> sends, with and without
// seconds.
var dayTimes = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly}

// fields reads filters out of a query or a form and puts them back into
// addresses. What cannot be read is named in Wrong and does not filter.
type fields struct {
	values url.Values
	zone   *time.Location
	Wrong  []string
}

func newFields(values url.Values, zone *time.Location) *fields {
	return &fields{values: values, zone: zone}
}

// Get gives a value as it was typed.
func (f *fields) Get(name string) string {
	value := strings.TrimSpace(f.values.Get(name))
	return strings.ToValidUTF8(value[:min(len(value), maxText)], "")
}

func (f *fields) moment(name string) time.Time {
	text := f.Get(name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range dayTimes {
		if t, err := time.ParseInLocation(layout, text, f.zone); err == nil {
			return t.UTC()
		}
	}
	f.Wrong = append(f.Wrong, name)
	return time.Time{}
}

func (f *fields) number(name string) int64 {
	text := f.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		f.Wrong = append(f.Wrong, name)
		return 0
	}
	return n
}

// with gives the query of the filters with some values set anew.
func (f *fields) with(names []string, pairs ...string) string {
	q := url.Values{}
	for _, name := range names {
		if value := f.Get(name); value != "" {
			q.Set(name, value)
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q.Encode()
}

// hidden repeats the filters in a form that is posted.
func (f *fields) hidden(names []string) []pair {
	var list []pair
	for _, name := range names {
		if value := f.Get(name); value != "" {
			list = append(list, pair{Name: name, Value: value})
		}
	}
	return list
}

var journalFields = []string{"connection", "state", "cause", "since", "until", "text"}

func (f *fields) journal(project string) store.JournalFilter {
	filter := store.JournalFilter{
		Project: project, Connection: f.Get("connection"), Cause: model.Cause(f.Get("cause")),
		Since: f.moment("since"), Until: f.moment("until"), Text: f.Get("text"),
	}
	if name := f.Get("state"); name != "" {
		if state, ok := view.ParseEntryState(name); ok {
			filter.States = []store.EntryState{state}
		} else {
			f.Wrong = append(f.Wrong, "state")
		}
	}
	return filter
}

var deliveryFields = []string{"flow", "state", "cause", "since", "until", "text", "upload", "id", "row_key"}

// stateMissing stands for all states in which the destination does not have the
// row's newest version.
const stateMissing = "missing"

var missingStates = []store.DeliveryState{store.DeliveryNew, store.DeliverySkipped, store.DeliveryRefused, store.DeliveryWaiting}

func (f *fields) deliveries(project string) store.DeliveryFilter {
	filter := store.DeliveryFilter{
		Project: project, Flow: f.Get("flow"), Cause: model.Cause(f.Get("cause")), Text: f.Get("text"),
		UploadID: f.number("upload"), Since: f.moment("since"), Until: f.moment("until"),
	}
	if name := f.Get("state"); name == stateMissing {
		filter.States = missingStates
	} else if name != "" {
		if state, ok := view.ParseDeliveryState(name); ok {
			filter.States = []store.DeliveryState{state}
		} else {
			f.Wrong = append(f.Wrong, "state")
		}
	}
	if id := f.Get("id"); id != "" {
		filter.IDs = []string{id}
	}
	if key := f.Get("row_key"); key != "" {
		filter.RowKeys = []string{key}
	}
	return filter
}
