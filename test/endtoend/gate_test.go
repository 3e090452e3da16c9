package endtoend

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gate stands before a sandbox and can hold calls back, so that a test knows
// that one is on its way.
type gate struct {
	to    http.Handler
	path  string // which calls
	calls atomic.Int64

	mu     sync.Mutex
	closed chan struct{} // nil: open
	held   atomic.Int64
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, g.path) {
		g.calls.Add(1)
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed != nil {
			g.held.Add(1)
			defer g.held.Add(-1)
			// The body is read, so that the end of the caller is noticed.
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-closed:
			case <-r.Context().Done():
				return
			}
		}
	}
	g.to.ServeHTTP(w, r)
}

// shut holds calls from now on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = make(chan struct{})
}

// open lets the held calls go.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

// holds waits until a call is held.
func (g *gate) holds(t *testing.T) {
	t.Helper()
	eventually(t, 45*time.Second, "a call to "+g.path+" is on its way", func() string {
		if g.held.Load() == 0 {
			return "none is"
		}
		return ""
	})
}
