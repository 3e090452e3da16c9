package pulls_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/labstack/echo/v4"
	"github.com/shopspring/decimal"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/roistat"
	"github.com/svod-hub/svod/connectors/roistat/sandbox"
	"github.com/svod-hub/svod/handlers/pulls"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	project = "shop"
	own     = "roistat"
	secret  = "c2VjcmV0LW9mLXRoZS1hZGRyZXNz"
)

// start is the day of the tests, two days after the sample requests.
var start = time.Date(2022, 4, 10, 12, 0, 0, 0, time.UTC)

// hub is a hub with sources b24 and amo and one Roistat connection, on a real
// database.
type hub struct {
	t        *testing.T
	path     string
	db       *store.DB
	roistat  *roistat.Connector
	settings string
	server   *httptest.Server
	log      bytes.Buffer
	woken    int

	mu      sync.Mutex
	now     time.Time
	sources []string
	before  func(*http.Request) // called before each request is answered
}

type yamlSettings string

func (s yamlSettings) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(s), into, yaml.Strict())
}

type memory struct{ h *hub }

func (m memory) Recall(ctx context.Context, name string) (string, error) {
	return m.h.db.Recall(ctx, project, own, name)
}

func (m memory) Remember(ctx context.Context, name, value string) error {
	return m.h.db.Remember(ctx, project, own, name, value)
}

// crm is a source that is polled in one list.
type crm struct{}

func (crm) Check(context.Context) (string, error) { return "", nil }
func (crm) Streams() []string                     { return []string{"deals"} }
func (crm) Poll(context.Context, string, string) (connectors.Page, error) {
	return connectors.Page{}, nil
}

func newHub(t *testing.T, settings string, sources ...string) *hub {
	t.Helper()
	h := &hub{t: t, path: filepath.Join(t.TempDir(), "svod.db"), settings: settings, now: start, sources: sources}
	h.open()
	t.Cleanup(func() { h.shut() })
	for _, source := range sources {
		h.polled(source, start)
	}
	return h
}

// open starts the hub, shut stops it; what it knows is in the database.
func (h *hub) open() {
	h.t.Helper()
	var err error
	if h.db, err = store.Open(h.t.Context(), "sqlite:"+h.path, store.Options{Now: h.clock}); err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.Migrate(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(&h.log)), zap.DebugLevel))
	h.roistat, err = roistat.New(yamlSettings(h.settings), connectors.Deps{
		Project: project, Connection: own, Memory: memory{h}, Now: h.clock, Log: log,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	e := echo.New()
	pulls.New(pulls.Options{
		Store: h.db, Lookup: h.lookup, Log: log, Now: h.clock,
		Wake: func(_, _ string) { h.mu.Lock(); h.woken++; h.mu.Unlock() },
	}).Register(e)
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.before != nil {
			h.before(r)
		}
		e.ServeHTTP(w, r)
	}))
	h.server.Config.MaxHeaderBytes = 2 << 20
	h.server.Start()
}

func (h *hub) shut() {
	h.server.Close()
	if err := h.db.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *hub) lookup(p, connection string) (pulls.Target, bool) {
	if p != project {
		return pulls.Target{}, false
	}
	if connection == own {
		h.mu.Lock()
		defer h.mu.Unlock()
		return pulls.Target{Connector: h.roistat, Secret: secret, RecordsFrom: h.sources}, true
	}
	return pulls.Target{Connector: crm{}, Secret: "of the hook " + connection, Polled: true}, true
}

func (h *hub) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hub) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// later lets time pass in which the sources go on being polled.
func (h *hub) later(d time.Duration) {
	h.pass(d)
	for _, source := range h.sources {
		h.polled(source, h.clock())
	}
}

func (h *hub) polled(source string, at time.Time) {
	h.t.Helper()
	h.must(h.db.SavePollState(h.t.Context(), store.PollState{Project: project, Connection: source, Stream: "deals", Cursor: "c", LastRun: at}))
}

func (h *hub) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) put(records ...model.Record) {
	h.t.Helper()
	_, err := h.db.ApplyRecords(h.t.Context(), project, records)
	h.must(err)
}

func (h *hub) url() string { return h.server.URL + "/pull/" + project + "/" + own + "/" + secret }

// poller is a fake Roistat on the hub's clock.
func (h *hub) poller(options map[string]string) *sandbox.Sandbox {
	h.t.Helper()
	s, err := sandbox.New(connectors.SandboxOptions{Now: h.clock, Options: options})
	h.must(err)
	return s
}

// run makes one exchange, which must go through.
func (h *hub) run(s *sandbox.Sandbox) sandbox.Report {
	h.t.Helper()
	report, err := s.Run(h.t.Context(), h.url())
	h.must(err)
	if report.Refused != "" {
		h.t.Errorf("the exchange was refused: %s", report.Refused)
	}
	h.clean(s)
	return report
}

func (h *hub) clean(s *sandbox.Sandbox) {
	h.t.Helper()
	for _, v := range s.Violations() {
		h.t.Error("violation: " + v)
	}
}

// deal is a deal that was changed the given time before now.
func deal(connection string, id int, ago time.Duration, change ...func(*model.Deal)) *model.Deal {
	at := start.Add(-ago)
	d := &model.Deal{
		Base: model.Base{
			Kind: model.KindDeal, Connection: connection, ID: fmt.Sprint(id), CreatedAt: at.Add(-time.Hour), UpdatedAt: at, ReadAt: at,
			Links: model.Links{ContactID: fmt.Sprint(id % 7), EmployeeID: "1"},
		},
		Title: fmt.Sprintf("Сделка %d", id), Amount: model.NewDecimal(decimal.New(int64(id)*100+50, -2)),
		PipelineID: "0", StatusID: "NEW",
	}
	d.Roistat = fmt.Sprint(10000 + id)
	for _, f := range change {
		f(d)
	}
	return d
}

func contact(connection string, id int, ago time.Duration) *model.Contact {
	at := start.Add(-ago)
	return &model.Contact{
		Base: model.Base{Kind: model.KindContact, Connection: connection, ID: fmt.Sprint(id), CreatedAt: at, UpdatedAt: at, ReadAt: at},
		Name: fmt.Sprintf("Клиент %d", id), Phones: []string{fmt.Sprintf("7999000%04d", id)}, Emails: []string{fmt.Sprintf("c%d@example.ru", id)},
	}
}

func status(connection, pipeline, id, name string) *model.Reference {
	return &model.Reference{
		Base: model.Base{Kind: model.KindStatus, Connection: connection, ID: pipeline + ":" + id, ReadAt: start},
		Name: name, Of: model.KindDeal, PipelineID: pipeline, StatusID: id,
	}
}

// shop fills a source with n deals of the last month, and contacts that are
// much older.
func (h *hub) shop(connection string, n int) {
	h.t.Helper()
	records := []model.Record{
		status(connection, "0", "NEW", "Новая"), status(connection, "0", "WON", "Успех"), status(connection, "1", "NEW", "Новая"),
		&model.Reference{Base: model.Base{Kind: model.KindEmployee, Connection: connection, ID: "1", ReadAt: start}, Name: "Менеджер", Emails: []string{"m@example.ru"}},
	}
	for id := range 7 {
		records = append(records, contact(connection, id, 400*24*time.Hour))
	}
	for id := 1; id <= n; id++ {
		records = append(records, deal(connection, id, time.Duration(id%700)*time.Hour))
	}
	h.put(records...)
}
