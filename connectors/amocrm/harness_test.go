package amocrm

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock moves when it is told to, and with each call that the limiter grants.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// limiter spreads calls over the clock's time, so that the sandbox's own limit
// holds without waiting.
type limiter struct {
	clock *clock
	mu    sync.Mutex
	until time.Time
	held  sync.Mutex
}

func (l *limiter) Wait(_ context.Context, _ string, limit connectors.Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.After(l.clock.Now()) {
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "paused", RetryAt: l.until}
	}
	l.clock.Add(limit.Period / time.Duration(limit.Rate))
	return nil
}

func (l *limiter) Pause(_ context.Context, _ string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
	return nil
}

func (l *limiter) Acquire(context.Context, string, int) (func(), error) {
	l.held.Lock()
	return l.held.Unlock, nil
}

type memory struct {
	mu    sync.Mutex
	facts map[string]string
}

func (m *memory) Recall(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.facts[name], nil
}

func (m *memory) Remember(_ context.Context, name, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts[name] = value
	return nil
}

type tokens struct {
	alone sync.Mutex
	mu    sync.Mutex
	token connectors.Token
}

func (t *tokens) Load(context.Context) (connectors.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, nil
}

func (t *tokens) Renew(ctx context.Context, fn func(context.Context, connectors.Token) (connectors.Token, error)) (connectors.Token, error) {
	t.alone.Lock()
	defer t.alone.Unlock()
	now, _ := t.Load(ctx)
	fresh, err := fn(ctx, now)
	if err != nil {
		return now, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = fresh
	return fresh, nil
}

// yamlSettings are a connection's part of svod.yaml.
type yamlSettings string

func (s yamlSettings) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(s), into, yaml.Strict())
}

// bench is a connector and the account that it is connected to.
type bench struct {
	*Connector
	account *sandbox.Account
	server  *outboundtest.Server
	clock   *clock
	memory  *memory
	tokens  *tokens
	limiter *limiter
	extra   map[string]any
}

// newBench connects a connector to a fresh account; settings overwrite those of
// the account.
func newBench(t testing.TB, options map[string]string, settings map[string]any) *bench {
	t.Helper()
	b := &bench{clock: newClock(), memory: &memory{facts: map[string]string{}}, tokens: &tokens{}, extra: settings}
	b.limiter = &limiter{clock: b.clock}
	var err error
	if b.account, err = sandbox.New(connectors.SandboxOptions{Now: b.clock.Now, Options: options}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.account.Close() })
	b.server = outboundtest.New(t, b.account)
	b.Connector = b.connect(t, b.server.URL)
	return b
}

func (b *bench) connect(t testing.TB, base string) *Connector {
	t.Helper()
	given := b.account.Settings(base)
	for name, value := range b.extra {
		if given[name] = value; value == nil {
			delete(given, name)
		}
	}
	data, err := yaml.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(yamlSettings(data), connectors.Deps{
		Project: "shop", Connection: "amo", Zone: time.UTC, Currency: "RUB", OAuthURL: sandbox.RedirectURI,
		HTTP: b.server.Client(), Limiter: b.limiter, Memory: b.memory, Tokens: b.tokens, Now: b.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// obeys fails the test for everything that was done against the protocol.
func (b *bench) obeys(t testing.TB) {
	t.Helper()
	for _, v := range b.account.Violations() {
		t.Errorf("violation: %s", v)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// golden compares a value with testdata/golden/NAME.json.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "golden", name+".json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}

// described is a record with the parts that its JSON leaves out.
func described(r model.Record) map[string]any {
	data, err := model.Encode(r)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"key": r.Meta().Key().String(), "record": json.RawMessage(data)}
}

// drain polls a stream until it has no more and gives the records by id.
func (b *bench) drain(t testing.TB, stream, cursor string) (pages []connectors.Page, last string) {
	t.Helper()
	for range 2000 {
		page, err := b.Poll(t.Context(), stream, cursor)
		if err != nil {
			t.Fatalf("poll %s: %v", stream, err)
		}
		pages, cursor = append(pages, page), page.Cursor
		if !page.More {
			return pages, cursor
		}
	}
	t.Fatalf("poll %s does not end", stream)
	return nil, ""
}

func idsOf(pages []connectors.Page) map[string]int {
	out := map[string]int{}
	for _, p := range pages {
		for _, r := range p.Records {
			out[r.Meta().ID]++
		}
	}
	return out
}

func classOf(t testing.TB, err error, class model.Class, cause model.Cause) {
	t.Helper()
	if err == nil || model.ClassOf(err) != class || model.CauseOf(err) != cause {
		t.Errorf("error is %v (%s, %s), want %s, %s", err, model.ClassOf(err), model.CauseOf(err), class, cause)
	}
}

func sortedRefs(refs []model.Ref) []string {
	var out []string
	for _, r := range refs {
		out = append(out, string(r.Kind)+" "+r.ID)
	}
	slices.Sort(out)
	return out
}

func answerOf(status int, contentType, body string) outbound.Response {
	return outbound.Response{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(strings.TrimSpace(body))}
}
