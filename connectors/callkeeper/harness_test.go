package callkeeper

import (
	"bytes"
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
	"github.com/svod-hub/svod/connectors/callkeeper/sandbox"
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
	waits int
	until map[string]time.Time
}

func (l *limiter) Wait(_ context.Context, key string, _ connectors.Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.until[key]; until.After(l.now()) {
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "paused", RetryAt: until}
	}
	l.waits++
	return nil
}

func (l *limiter) Pause(_ context.Context, key string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until[key] = until
	return nil
}

func (l *limiter) Acquire(context.Context, string, int) (func(), error) { return func() {}, nil }

// settings are a connection's part of svod.yaml.
type yamlSettings string

func (s yamlSettings) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(s), into, yaml.Strict())
}

// rig is a connector before a sandbox.
type rig struct {
	*Connector
	service *sandbox.Service
	server  *httptest.Server
	clock   *clock
	limiter *limiter
}

func newRig(tb testing.TB, options map[string]string, settings map[string]any) *rig {
	tb.Helper()
	r := &rig{clock: newClock()}
	r.limiter = &limiter{now: r.clock.Now, until: map[string]time.Time{}}
	service, err := sandbox.New(connectors.SandboxOptions{Now: r.clock.Now, Seed: 7, Options: options})
	if err != nil {
		tb.Fatal(err)
	}
	r.service, r.server = service, httptest.NewServer(service)
	tb.Cleanup(func() {
		if err := service.Close(); err != nil {
			tb.Error(err)
		}
		r.server.Close()
	})
	given := service.Settings(r.server.URL)
	for key, value := range settings {
		given[key] = value
	}
	data, err := yaml.Marshal(given)
	if err != nil {
		tb.Fatal(err)
	}
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback()})
	tb.Cleanup(client.CloseIdle)
	c, err := Type().New(yamlSettings(data), connectors.Deps{
		Project: "shop", Connection: "ck", Zone: time.FixedZone("MSK", 3*3600), Currency: "RUB",
		HTTP: client, Limiter: r.limiter, Now: r.clock.Now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	r.Connector = c.(*Connector)
	return r
}

func (r *rig) wantNoViolations(tb testing.TB) {
	tb.Helper()
	for _, v := range r.service.Violations() {
		tb.Errorf("against the protocol: %s", v)
	}
}

// offline is a connector that calls nobody.
func offline(tb testing.TB, settings string) *Connector {
	tb.Helper()
	c, err := newConnector(yamlSettings(settings), connectors.Deps{Connection: "ck", Now: newClock().Now})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// delivery reads a file hook-*: method and content type, query, body.
func delivery(tb testing.TB, name string) connectors.Delivery {
	tb.Helper()
	parts := bytes.SplitN(sample(tb, name), []byte("\n"), 3)
	method, kind, _ := strings.Cut(string(parts[0]), " ")
	d := connectors.Delivery{
		ID: 1, ReceivedAt: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Method: method, Query: string(parts[1]), Header: http.Header{},
	}
	if len(parts) > 2 {
		d.Body = parts[2]
	}
	if kind != "" {
		d.Header.Set("Content-Type", kind)
	}
	return d
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

func show(records ...model.Record) []shown {
	out := []shown{}
	for _, r := range records {
		out = append(out, shown{Key: r.Meta().Key().String(), Record: r})
	}
	return out
}

// book is a store of records that keeps the newest version of each.
type book map[model.Key]model.Record

// take stores what is newer and reports how many versions were.
func (b book) take(records []model.Record, readAt time.Time) int {
	n := 0
	for _, r := range records {
		base := r.Meta()
		base.ReadAt = readAt
		if old, ok := b[base.Key()]; !ok || model.Newer(base, old.Meta()) {
			b[base.Key()] = r
			n++
		}
	}
	return n
}
