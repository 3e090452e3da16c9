package bitrix24

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that moves when it is told to.
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

// limiter counts and lets everything through that is not paused.
type limiter struct {
	now   func() time.Time
	mu    sync.Mutex
	waits map[string]int
	until map[string]time.Time
}

func (l *limiter) Wait(_ context.Context, key string, _ connectors.Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.until[key]; until.After(l.now()) {
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "paused", RetryAt: until}
	}
	l.waits[key]++
	return nil
}

func (l *limiter) Pause(_ context.Context, key string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until[key] = until
	return nil
}

func (l *limiter) Acquire(context.Context, string, int) (func(), error) { return func() {}, nil }

func (l *limiter) paused(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until[key].After(l.now())
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
	renewing sync.Mutex
	mu       sync.Mutex
	token    connectors.Token
}

func (t *tokens) Load(context.Context) (connectors.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, nil
}

func (t *tokens) Renew(ctx context.Context, fn func(context.Context, connectors.Token) (connectors.Token, error)) (connectors.Token, error) {
	t.renewing.Lock()
	defer t.renewing.Unlock()
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

// settings are a connection's part of svod.yaml.
type yamlSettings string

func (s yamlSettings) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(s), into, yaml.Strict())
}

func settingsOf(tb testing.TB, m map[string]any) connectors.Settings {
	tb.Helper()
	data, err := yaml.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return yamlSettings(data)
}

// rig is a connector before a sandbox.
type rig struct {
	*Connector
	portal  *sandbox.Portal
	server  *httptest.Server
	clock   *clock
	limiter *limiter
	memory  *memory
	tokens  *tokens
}

type rigOptions struct {
	sandbox  map[string]string
	settings map[string]any
	hookURL  string
	deps     func(*connectors.Deps)
}

func newRig(tb testing.TB, o rigOptions) *rig {
	tb.Helper()
	r := &rig{clock: newClock(), memory: &memory{facts: map[string]string{}}, tokens: &tokens{}}
	r.limiter = &limiter{now: r.clock.Now, waits: map[string]int{}, until: map[string]time.Time{}}
	portal, err := sandbox.New(connectors.SandboxOptions{Now: r.clock.Now, Seed: 7, Options: o.sandbox})
	if err != nil {
		tb.Fatal(err)
	}
	r.portal = portal
	r.server = httptest.NewServer(portal)
	tb.Cleanup(func() {
		r.server.Close()
		if err := portal.Close(); err != nil {
			tb.Error(err)
		}
	})
	given := portal.Settings(r.server.URL)
	for key, value := range o.settings {
		given[key] = value
	}
	r.Connector = r.connect(tb, given, o)
	return r
}

func (r *rig) connect(tb testing.TB, given map[string]any, o rigOptions) *Connector {
	tb.Helper()
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback()})
	tb.Cleanup(client.CloseIdle)
	deps := connectors.Deps{
		Project: "shop", Connection: "b24", Zone: time.FixedZone("MSK", 3*3600), Currency: "RUB", HookURL: o.hookURL,
		HTTP: client, Limiter: r.limiter, Memory: r.memory, Tokens: r.tokens, Now: r.clock.Now,
	}
	if o.deps != nil {
		o.deps(&deps)
	}
	c, err := Type().New(settingsOf(tb, given), deps)
	if err != nil {
		tb.Fatal(err)
	}
	return c.(*Connector)
}

func (r *rig) wantNoViolations(tb testing.TB) {
	tb.Helper()
	for _, v := range r.portal.Violations() {
		tb.Errorf("against the protocol: %s", v)
	}
}

// offline is a connector that calls nobody.
func offline(tb testing.TB, settings string) *Connector {
	tb.Helper()
	c, err := newConnector(yamlSettings(settings), connectors.Deps{
		Connection: "b24", Zone: time.FixedZone("MSK", 3*3600), Now: newClock().Now, Memory: &memory{facts: map[string]string{}}})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

const webhookSettings = "url: https://example.bitrix24.ru/rest/1/abcdef0123456789/\n"

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// golden compares a value, as indented JSON, with its file.
func golden(tb testing.TB, name string, value any) {
	tb.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatalf("%v (make it with -update)", err)
	}
	if b.String() != string(want) {
		tb.Errorf("%s differs:\n%s\nwant:\n%s", path, b.String(), want)
	}
}

// shown is a record with its key, for golden files.
type shown struct {
	Key    string
	Record model.Record
}

func show(records []model.Record) []shown {
	var out []shown
	for _, r := range records {
		out = append(out, shown{Key: r.Meta().Key().String(), Record: r})
	}
	return out
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}
