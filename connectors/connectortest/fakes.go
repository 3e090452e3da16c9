package connectortest

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

var (
	_ connectors.Limiter    = (*Limiter)(nil)
	_ connectors.Memory     = (*Memory)(nil)
	_ connectors.TokenStore = (*Tokens)(nil)
	_ connectors.Settings   = YAML("")
)

// Start is when a Clock begins, unless told otherwise.
var Start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// Clock stands still until it is moved.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock makes a clock that shows Start.
func NewClock() *Clock { return NewClockAt(Start) }

// NewClockAt makes a clock that shows at.
func NewClockAt(at time.Time) *Clock { return &Clock{at: at} }

// Now reads the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// YAML is a connection's part of svod.yaml, read as the configuration does.
type YAML string

// Decode implements connectors.Settings.
func (y YAML) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(y), into, yaml.Strict())
}

// Settings writes the settings down as they would stand in svod.yaml.
func Settings(tb testing.TB, given map[string]any) YAML {
	tb.Helper()
	data, err := yaml.Marshal(given)
	if err != nil {
		tb.Fatal(err)
	}
	return YAML(data)
}

// HTTP gives a client that may call servers on this machine.
func HTTP(tb testing.TB) *outbound.Client {
	tb.Helper()
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback(), Timeout: 10 * time.Second})
	tb.Cleanup(client.CloseIdle)
	return client
}

// Memory keeps facts in a map. The zero value is empty.
type Memory struct {
	mu    sync.Mutex
	facts map[string]string
}

// Recall implements connectors.Memory.
func (m *Memory) Recall(_ context.Context, name string) (string, error) { return m.Fact(name), nil }

// Remember implements connectors.Memory.
func (m *Memory) Remember(_ context.Context, name, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.facts == nil {
		m.facts = map[string]string{}
	}
	m.facts[name] = value
	return nil
}

// Fact is what was remembered under name.
func (m *Memory) Fact(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.facts[name]
}

// Facts is all that was remembered.
func (m *Memory) Facts() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.facts)
}

// Tokens keeps one token. The zero value has none.
type Tokens struct {
	alone sync.Mutex // held while a pair is renewed
	mu    sync.Mutex
	token connectors.Token
}

// Load implements connectors.TokenStore.
func (t *Tokens) Load(context.Context) (connectors.Token, error) { return t.Token(), nil }

// Renew implements connectors.TokenStore.
func (t *Tokens) Renew(ctx context.Context, fn func(context.Context, connectors.Token) (connectors.Token, error)) (connectors.Token, error) {
	t.alone.Lock()
	defer t.alone.Unlock()
	now := t.Token()
	fresh, err := fn(ctx, now)
	if err != nil {
		return now, err
	}
	t.Put(fresh)
	return fresh, nil
}

// Token is what is stored.
func (t *Tokens) Token() connectors.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token
}

// Put stores a token.
func (t *Tokens) Put(token connectors.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = token
}

// Limiter lets everything through that is not paused, and remembers what it was
// asked for.
type Limiter struct {
	clock *Clock
	// Spread, when set, moves the clock with each call as far as the limit spreads
	// its calls, so that a sandbox's own limit holds without waiting.
	Spread bool

	mu     sync.Mutex
	freed  *sync.Cond
	waits  map[string]int
	limits map[string]connectors.Limit
	paused map[string]time.Time
	slots  map[string]int
}

// NewLimiter makes a limiter that goes by the clock.
func NewLimiter(clock *Clock) *Limiter {
	l := &Limiter{
		clock: clock, waits: map[string]int{}, limits: map[string]connectors.Limit{},
		paused: map[string]time.Time{}, slots: map[string]int{},
	}
	l.freed = sync.NewCond(&l.mu)
	return l
}

// Wait implements connectors.Limiter.
func (l *Limiter) Wait(_ context.Context, key string, limit connectors.Limit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits[key]++
	l.limits[key] = limit
	if until := l.paused[key]; until.After(l.clock.Now()) {
		return &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "paused", RetryAt: until}
	}
	if l.Spread {
		l.clock.Add(limit.Period / time.Duration(limit.Rate))
	}
	return nil
}

// Pause implements connectors.Limiter.
func (l *Limiter) Pause(_ context.Context, key string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused[key] = until
	return nil
}

// Acquire implements connectors.Limiter.
func (l *Limiter) Acquire(ctx context.Context, key string, n int) (func(), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.freed.Broadcast()
	})
	defer stop()
	for l.slots[key] >= n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.freed.Wait()
	}
	l.slots[key]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.slots[key]--
		l.freed.Broadcast()
	}), nil
}

// Waits counts the calls that asked under key.
func (l *Limiter) Waits(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waits[key]
}

// Limit is what the last call under key was held to.
func (l *Limiter) Limit(key string) connectors.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits[key]
}

// Paused gives the end of every pause, by key.
func (l *Limiter) Paused() map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.paused)
}

// IsPaused reports whether key is paused now.
func (l *Limiter) IsPaused(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused[key].After(l.clock.Now())
}

// PausedUntil is the end of the last pause of any key.
func (l *Limiter) PausedUntil() time.Time {
	var last time.Time
	for _, until := range l.Paused() {
		if until.After(last) {
			last = until
		}
	}
	return last
}

// Unpause ends all pauses.
func (l *Limiter) Unpause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.paused)
}

// Slots counts the slots of all keys that were not returned.
func (l *Limiter) Slots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, taken := range l.slots {
		n += taken
	}
	return n
}

// keys lists all keys that were used.
func (l *Limiter) keys() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for key := range l.waits {
		b.WriteString(key + "\n")
	}
	for key := range l.paused {
		b.WriteString(key + "\n")
	}
	for key := range l.slots {
		b.WriteString(key + "\n")
	}
	return b.String()
}
