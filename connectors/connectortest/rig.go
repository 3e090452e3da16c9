package connectortest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/outbound"
)

// rig is a sandbox behind a server that may be told to answer in its place.
type rig struct {
	Case
	sandbox connectors.Sandbox
	server  *httptest.Server
	client  *outbound.Client
	clock   *Clock

	settings map[string]any // that connect to the sandbox
	written  YAML           // the same in svod.yaml

	token      connectors.Token
	authorized time.Time

	mu     sync.Mutex
	answer http.HandlerFunc // in the sandbox's place; nil: the sandbox
	spare  int              // so many requests still go to the sandbox
	met    bool             // a request met answer
	seen   int
}

func newRig(t *testing.T, c Case) *rig {
	t.Helper()
	r := &rig{Case: c, clock: NewClock(), client: HTTP(t)}
	var err error
	if r.sandbox, err = c.Type.Sandbox(connectors.SandboxOptions{Now: r.clock.Now, Seed: 7, Options: c.Sandbox}); err != nil {
		t.Fatal(err)
	}
	if c.Prepare != nil {
		if err := c.Prepare(r.sandbox); err != nil {
			t.Fatal(err)
		}
	}
	r.server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.client.CloseIdle()
		if closer, ok := r.sandbox.(io.Closer); ok {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		}
		r.server.Close()
	})
	return r
}

// ServeHTTP implements http.Handler.
func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen++
	handler := http.HandlerFunc(r.sandbox.ServeHTTP)
	if r.answer != nil {
		if r.spare == 0 {
			handler, r.met = r.answer, true
		} else {
			r.spare--
		}
	}
	r.mu.Unlock()
	handler(w, req)
	_, _ = io.Copy(io.Discard, req.Body)
}

// meet makes all requests after so many more be answered in the sandbox's place.
func (r *rig) meet(answer http.HandlerFunc, after int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer, r.spare, r.met, r.seen = answer, after, false, 0
}

// reaches reports whether the next request goes to the sandbox.
func (r *rig) reaches() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answer == nil || r.spare > 0
}

// progress tells how many requests came since meet, and whether one of them met
// the answer.
func (r *rig) progress() (seen int, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen, r.met
}

// given are the settings that connect to the sandbox.
func (r *rig) given() map[string]any {
	if r.settings != nil {
		return r.settings
	}
	out := r.sandbox.Settings(r.server.URL)
	for key, value := range r.Settings {
		if out[key] = value; value == nil {
			delete(out, key)
		}
	}
	r.settings = out
	return out
}

// write writes settings down. The usual ones are written a thousand times.
func (r *rig) write(t *testing.T, given map[string]any) YAML {
	t.Helper()
	if reflect.ValueOf(given).Pointer() != reflect.ValueOf(r.settings).Pointer() {
		return Settings(t, given)
	}
	if r.written == "" {
		r.written = Settings(t, given)
	}
	return r.written
}

// unit is one connector and what it was lent.
type unit struct {
	connectors.Connector
	limiter *Limiter
	memory  *Memory
	tokens  *Tokens
	logs    *observer.ObservedLogs
	given   map[string]any
}

// connect makes a connector that nobody used yet.
func (r *rig) connect(t *testing.T, given map[string]any) *unit {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	u := &unit{limiter: NewLimiter(r.clock), memory: &Memory{}, tokens: &Tokens{}, logs: logs, given: given}
	u.limiter.Spread = true
	u.Connector = r.make(t, u, zap.New(core))
	r.authorize(t, u)
	return u
}

// make calls the connector's New with what the unit is lent.
func (r *rig) make(t *testing.T, u *unit, log *zap.Logger) connectors.Connector {
	t.Helper()
	made, err := r.Type.New(r.write(t, u.given), connectors.Deps{
		Project: "shop", Connection: "one", Zone: time.UTC, Currency: "RUB", Region: "RU",
		HookURL: "https://hub.example/hooks/shop/one/hook-secret", OAuthURL: "https://hub.example/oauth/callback",
		HTTP: r.client, Limiter: u.limiter, Memory: u.memory, Tokens: u.tokens, Log: log, Now: r.clock.Now,
	})
	if err != nil {
		t.Fatalf("the sandbox's own settings are refused: %v", err)
	}
	return made
}

// authorize gives an application its tokens. They are asked for anew before they
// age, so that no unit needs to renew them while the system is ill.
func (r *rig) authorize(t *testing.T, u *unit) {
	t.Helper()
	if r.Browser == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clock.Now().Sub(r.authorized) > 20*time.Minute {
		answer, spare, met, seen := r.answer, r.spare, r.met, r.seen
		r.answer = nil
		r.mu.Unlock()
		err := u.Connector.(connectors.Authorizer).Exchange(t.Context(), r.Browser(r.sandbox))
		r.mu.Lock()
		r.answer, r.spare, r.met, r.seen = answer, spare, met, seen
		if err != nil {
			t.Fatalf("the application is not connected: %v", err)
		}
		r.token, r.authorized = u.tokens.Token(), r.clock.Now()
	}
	u.tokens.Put(r.token)
}

// secrets are the values of the settings that are described as secret, and the
// tokens. Of an address only the parts of its path are secret.
func (u *unit) secrets(described []connectors.Setting) []string {
	var out []string
	add := func(text string) {
		parts := []string{text}
		if address, err := url.Parse(text); err == nil && address.Host != "" {
			parts = strings.Split(address.Path, "/")
		}
		for _, part := range parts {
			if len(part) >= 8 {
				out = append(out, part)
			}
		}
	}
	var walk func([]connectors.Setting, map[string]any)
	walk = func(described []connectors.Setting, given map[string]any) {
		for _, s := range described {
			value, nested := given[s.Key].(map[string]any)
			if nested {
				walk(s.Keys, value)
			}
			// Named types of texts are texts, too.
			if v := reflect.ValueOf(given[s.Key]); s.Secret && v.Kind() == reflect.String {
				add(v.String())
			}
		}
	}
	walk(described, u.given)
	token := u.tokens.Token()
	add(token.Access.Reveal())
	add(token.Refresh.Reveal())
	return out
}
