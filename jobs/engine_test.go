package jobs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shopspring/decimal"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// crm is a source in memory: hooks name ids, Fetch gives what it has.
type crm struct {
	records map[model.Ref]model.Record
	fail    error // what Fetch answers instead
	fetches int
	asked   int
	pages   map[string]connectors.Page // by cursor
	listed  []model.Record             // the catalogue
}

func (c *crm) Check(context.Context) (string, error) { return "", nil }

func (c *crm) Receive(d connectors.Delivery) (connectors.Intake, error) {
	if string(d.Body) == "panic" {
		panic("unexpected")
	}
	var refs []model.Ref
	if err := json.Unmarshal(d.Body, &refs); err != nil {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "not what this CRM sends")
	}
	return connectors.Intake{Refs: refs}, nil
}

func (c *crm) FetchLimit() int { return 100 }

func (c *crm) Fetch(_ context.Context, refs []model.Ref) (connectors.Fetched, error) {
	c.fetches++
	c.asked += len(refs)
	if c.fail != nil {
		return connectors.Fetched{}, c.fail
	}
	var got connectors.Fetched
	for _, ref := range refs {
		if r, ok := c.records[ref]; ok {
			got.Records = append(got.Records, r)
		} else {
			got.Missing = append(got.Missing, ref)
		}
	}
	return got, nil
}

func (c *crm) Streams() []string { return []string{"deal"} }

func (c *crm) Poll(_ context.Context, _, cursor string) (connectors.Page, error) {
	return c.pages[cursor], nil
}

func (c *crm) Catalogue(context.Context) ([]model.Record, error) { return c.listed, nil }

func (c *crm) put(records ...model.Record) {
	for _, r := range records {
		c.records[r.Meta().Key().Ref()] = r
	}
}

// analytics is a destination in memory.
type analytics struct {
	mu       sync.Mutex
	rows     map[string]map[string]string // as → key → row
	uploads  []string
	outcome  func(as string, keys []string) (connectors.Outcome, error)
	settle   func() (connectors.Outcome, bool, error)
	statuses [][]connectors.Status
}

func (a *analytics) Check(context.Context) (string, error) { return "", nil }
func (a *analytics) Plan(string) connectors.UploadPlan {
	return connectors.UploadPlan{MaxRows: 300_000}
}
func (a *analytics) Group(connectors.Upload, *model.Row) string {
	return ""
}

type lineWriter struct{ w io.Writer }

func (l lineWriter) Write(row *model.Row) error {
	for _, v := range row.Values {
		if v == "unencodable" {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue, "can't be encoded")
		}
	}
	_, err := fmt.Fprintf(l.w, "%s\t%v\n", row.Key, row.Values)
	return err
}

func (lineWriter) Close() error { return nil }

func (a *analytics) Encode(_ context.Context, _ connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	return lineWriter{w}, nil
}

func (a *analytics) Send(_ context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return connectors.Outcome{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	rows := map[string]string{}
	var keys []string
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		rows[key] = value
		keys = append(keys, key)
	}
	slices.Sort(keys)
	a.uploads = append(a.uploads, u.As+": "+strings.Join(keys, " "))
	if a.outcome != nil {
		if o, err := a.outcome(u.As, keys); err != nil || o.State != connectors.UploadAccepted {
			return o, err
		}
	}
	if a.rows[u.As] == nil {
		a.rows[u.As] = map[string]string{}
	}
	for key, value := range rows {
		a.rows[u.As][key] = value
	}
	return connectors.Outcome{State: connectors.UploadAccepted, Accepted: len(rows)}, nil
}

func (a *analytics) count(as string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.rows[as])
}

func (a *analytics) Settle(context.Context, connectors.Upload) (connectors.Outcome, bool, error) {
	return a.settle()
}

func (a *analytics) PutStatuses(_ context.Context, statuses []connectors.Status) error {
	a.statuses = append(a.statuses, statuses)
	return nil
}

var (
	contacts = model.Schema{As: "contacts", Key: "uniq_id", Parameters: []model.Parameter{
		{Name: "uniq_id", Type: model.TypeID, Required: true}, {Name: "name", Type: model.TypeText},
	}, Defaults: map[model.Kind]map[string]string{model.KindContact: {"uniq_id": "contact.id", "name": "contact.name"}}}
	orders = model.Schema{As: "orders", Key: "id", NeedsAs: "contacts", NeedsParameter: "client_uniq_id",
		StatusTypes: []string{"IN_PROGRESS", "PAID"}, RegistersStatuses: true, Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true}, {Name: "client_uniq_id", Type: model.TypeID, Required: true},
			{Name: "revenue", Type: model.TypeDecimal}, {Name: "order_status", Type: model.TypeStatus, Required: true},
			{Name: "client_name", Type: model.TypeText},
		}, Defaults: map[model.Kind]map[string]string{model.KindDeal: {"id": "deal.id", "client_uniq_id": "contact.id",
			"revenue": "deal.amount", "order_status": "status", "client_name": "contact.name"}}}
)

// bundle is a hub without a queue: what is woken is done at once, under a clock
// that the test moves.
type bundle struct {
	t       testing.TB
	file    string
	db      *store.DB
	crm     *crm
	metrica *analytics
	engine  *jobs.Engine
	setup   *jobs.Setup

	mu    sync.Mutex
	clock time.Time
	woken []jobs.Work
}

func (b *bundle) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clock
}

func (b *bundle) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = b.clock.Add(d)
}

func setup(t testing.TB, change ...func(*model.FlowSpec)) *bundle {
	t.Helper()
	b := &bundle{t: t, clock: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		crm:     &crm{records: map[model.Ref]model.Record{}, pages: map[string]connectors.Page{}},
		metrica: &analytics{rows: map[string]map[string]string{}}}
	b.file = filepath.Join(t.TempDir(), "svod.db")
	empty, err := emptyDatabase()
	if err == nil {
		err = os.WriteFile(b.file, empty, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.open()
	t.Cleanup(func() { _ = b.db.Close() })
	source := &jobs.Connection{Project: "shop", ID: "b24", Connector: b.crm, Poll: 10 * time.Minute, Receives: true}
	to := &jobs.Connection{Project: "shop", ID: "metrica", Connector: b.metrica}
	project := &jobs.Project{ID: "shop", Zone: time.UTC, Connections: []*jobs.Connection{source, to}}
	for _, f := range []struct {
		spec   model.FlowSpec
		schema model.Schema
	}{
		{model.FlowSpec{ID: "clients", From: []string{"b24"}, Record: model.KindContact, To: "metrica", As: "contacts"}, contacts},
		{model.FlowSpec{ID: "orders", From: []string{"b24"}, Record: model.KindDeal, To: "metrica", As: "orders",
			Statuses: []model.StatusPair{{CRM: "NEW", ID: "001", Metrica: "IN_PROGRESS"}, {CRM: "WON", ID: "003", Metrica: "PAID"}}}, orders},
	} {
		for _, c := range change {
			c(&f.spec)
		}
		compiled, problems := flow.Compile(f.spec, f.schema, flow.Project{ID: "shop", Zone: time.UTC, Currency: "RUB"})
		for _, p := range problems {
			if p.Severity == flow.SeverityError {
				t.Fatalf("flow %s: %+v", f.spec.ID, p)
			}
		}
		project.Flows = append(project.Flows, &jobs.Flow{Project: project, Spec: f.spec, Compiled: compiled, Schema: f.schema, To: to})
	}
	b.setup = &jobs.Setup{Projects: []*jobs.Project{project}}
	b.restart()
	return b
}

// emptyDatabase is a migrated database file: migrating takes longer than most
// tests.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "svod-jobs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "empty.db")
	db, err := store.Open(context.Background(), "sqlite:"+file, store.Options{})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(db.Migrate(context.Background()), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func (b *bundle) open() {
	b.t.Helper()
	var err error
	b.db, err = store.Open(b.t.Context(), "sqlite:"+b.file, store.Options{Log: zap.NewNop(), Now: b.now})
	if err != nil {
		b.t.Fatal(err)
	}
}

// restart begins a new process on the same database.
func (b *bundle) restart() {
	b.engine = jobs.New(jobs.Options{
		Store: b.db, Setup: b.setup, Holder: "test", SpoolDir: b.t.TempDir(), Log: zap.NewNop(),
		Metrics: metrics.New(prometheus.NewRegistry()), Now: b.now,
		Wake: func(w jobs.Work) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if !slices.Contains(b.woken, w) {
				b.woken = append(b.woken, w)
			}
		},
	})
}

// hook puts a webhook that names these records into the journal.
func (b *bundle) hook(body string) {
	b.t.Helper()
	entry := &store.Entry{Project: "shop", Connection: "b24", ReceivedAt: b.now(), Method: "POST", Body: []byte(body)}
	if err := b.db.AppendJournal(b.t.Context(), []*store.Entry{entry}); err != nil {
		b.t.Fatal(err)
	}
}

func hookFor(records ...model.Record) string {
	var refs []model.Ref
	for _, r := range records {
		refs = append(refs, r.Meta().Key().Ref())
	}
	data, _ := json.Marshal(refs)
	return string(data)
}

// work sweeps and does what is woken until nothing is.
func (b *bundle) work() {
	b.t.Helper()
	if err := b.engine.Sweep(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	for range 1000 {
		b.mu.Lock()
		if len(b.woken) == 0 {
			b.mu.Unlock()
			return
		}
		w := b.woken[0]
		b.woken = b.woken[1:]
		b.mu.Unlock()
		if err := b.engine.Do(b.t.Context(), w); err != nil {
			b.t.Fatalf("%s: %v", w.Name(), err)
		}
	}
	b.t.Fatal("the work does not end")
}

func (b *bundle) delivery(flowID, id string) store.Delivery {
	b.t.Helper()
	found, err := b.db.Deliveries(b.t.Context(), store.DeliveryFilter{Project: "shop", Flow: flowID, IDs: []string{id}})
	if err != nil || len(found) != 1 {
		b.t.Fatalf("delivery %s/%s: %v, %v", flowID, id, found, err)
	}
	return found[0]
}

func (b *bundle) contact(id, name string) *model.Contact {
	c := &model.Contact{Name: name}
	c.Kind, c.ID, c.UpdatedAt = model.KindContact, id, b.now()
	return c
}

func (b *bundle) deal(id, contact, status string, amount int64) *model.Deal {
	d := &model.Deal{Amount: model.NewDecimal(decimal.NewFromInt(amount)), StatusID: status}
	d.Kind, d.ID, d.ContactID, d.UpdatedAt = model.KindDeal, id, contact, b.now()
	return d
}
