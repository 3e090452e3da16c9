package yandexmetrica

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

var update = flag.Bool("update", false, "renew golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// yamlSettings decodes as the configuration does.
type yamlSettings string

func (y yamlSettings) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(y), into, yaml.Strict())
}

// fakeLimiter lets everything through except what was paused, and remembers.
type fakeLimiter struct {
	mu     sync.Mutex
	now    func() time.Time
	waits  map[string]int
	limits map[string]connectors.Limit
	paused map[string]time.Time
	slots  map[string]int
}

func newFakeLimiter(now func() time.Time) *fakeLimiter {
	return &fakeLimiter{now: now, waits: map[string]int{}, limits: map[string]connectors.Limit{}, paused: map[string]time.Time{}, slots: map[string]int{}}
}

func (l *fakeLimiter) Wait(_ context.Context, key string, limit connectors.Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[key]++
	l.limits[key] = limit
	if until := l.paused[key]; l.now().Before(until) {
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "paused", RetryAt: until}
	}
	return nil
}

func (l *fakeLimiter) Pause(_ context.Context, key string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused[key] = until
	return nil
}

func (l *fakeLimiter) Acquire(_ context.Context, key string, n int) (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots[key] >= n {
		return nil, errors.New("no slot")
	}
	l.slots[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.slots[key]--
	}, nil
}

// fakeMemory keeps facts in a map.
type fakeMemory struct {
	mu    sync.Mutex
	facts map[string]string
}

func (m *fakeMemory) Recall(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.facts[name], nil
}

func (m *fakeMemory) Remember(_ context.Context, name, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.facts == nil {
		m.facts = map[string]string{}
	}
	m.facts[name] = value
	return nil
}

// fakeTokens keeps one token.
type fakeTokens struct {
	mu    sync.Mutex
	token connectors.Token
}

func (f *fakeTokens) Load(context.Context) (connectors.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.token, nil
}

func (f *fakeTokens) Renew(ctx context.Context, fn func(context.Context, connectors.Token) (connectors.Token, error)) (connectors.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, err := fn(ctx, f.token)
	if err == nil {
		f.token = t
	}
	return t, err
}

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is a connector and the sandbox that it talks to.
type bench struct {
	*Connector
	sandbox *sandbox.Sandbox
	clock   *clock
	limiter *fakeLimiter
	memory  *fakeMemory
	tokens  *fakeTokens
	base    string
}

var testStart = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

const testToken = "y0_secret-token-of-the-test"

func newBench(t *testing.T, extra string) *bench {
	t.Helper()
	ck := &clock{at: testStart}
	sb, err := sandbox.New(connectors.SandboxOptions{Now: ck.now, Seed: 7, Options: map[string]string{"token": testToken}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sb)
	t.Cleanup(server.Close)
	b := &bench{sandbox: sb, clock: ck, limiter: newFakeLimiter(ck.now), memory: &fakeMemory{}, tokens: &fakeTokens{}, base: server.URL}
	if extra == "" {
		extra = "token: " + testToken
	}
	settings := yamlSettings("counter: 12345678\nurl: " + server.URL + "/\noauth_url: " + server.URL + "\n" + extra + "\n")
	made, err := Type().New(settings, b.deps())
	if err != nil {
		t.Fatal(err)
	}
	b.Connector = made.(*Connector)
	t.Cleanup(func() {
		if n := b.limiter.slots["metrica:parallel:"+b.login]; n != 0 {
			t.Errorf("%d slots were not returned", n)
		}
	})
	return b
}

func (b *bench) deps() connectors.Deps {
	return connectors.Deps{
		Project: "shop", Connection: "metrica", Zone: time.UTC, Currency: "RUB", OAuthURL: "http://hub.example/oauth",
		HTTP:    outbound.New(outbound.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, Timeout: 10 * time.Second}),
		Limiter: b.limiter, Memory: b.memory, Tokens: b.tokens, Now: b.clock.now,
	}
}

// columns lists parameters of a schema.
func columnsNamed(as string, names ...string) []model.Column {
	schema, _ := schemaOf(as)
	var out []model.Column
	for _, name := range names {
		p, ok := schema.Parameter(name)
		if !ok {
			panic("no parameter " + name)
		}
		out = append(out, model.Column{Name: name, Type: p.Type})
	}
	return out
}

// encoded writes rows; refused ones are given by key.
func encoded(t *testing.T, c *Connector, u connectors.Upload, rows ...[]any) (*bytes.Reader, map[int]error) {
	t.Helper()
	var file bytes.Buffer
	w, err := c.Encode(t.Context(), u, &file)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[int]error{}
	for i, values := range rows {
		if err := w.Write(&model.Row{Values: values}); err != nil {
			refused[i] = err
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(file.Bytes()), refused
}

// sent encodes and sends rows, all of which must be fit.
func sent(t *testing.T, c *Connector, u connectors.Upload, rows ...[]any) (connectors.Outcome, error) {
	t.Helper()
	body, refused := encoded(t, c, u, rows...)
	if len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	u.Rows, u.Bytes, u.StartedAt = len(rows), body.Size(), c.now()
	return c.Send(t.Context(), u, body)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update renews it):\n%s", path, got)
	}
}

func money(t testing.TB, s string) model.Decimal {
	t.Helper()
	d, err := model.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func get(t *testing.T, b *bench, path string) string {
	t.Helper()
	resp, err := b.http.Do(t.Context(), outbound.Request{URL: b.base + path})
	if err != nil {
		t.Fatal(err)
	}
	return string(resp.Body)
}
