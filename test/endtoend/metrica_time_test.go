package endtoend

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// How much time passes at a step. The hub waits five minutes before it believes
// that a file whose answer was lost is not there, and Metrica shows uploads late.
const (
	passed     = 6 * time.Minute
	listsAfter = 20 * time.Second // how late an upload may stand in Metrica's lists here
)

// clockwork lets time pass for a hub on SQLite: nobody waits minutes in a test,
// and the hub's clock is the machine's. What it keeps of doubtful uploads and of
// moments to wait for is moved into the past instead.
type clockwork struct {
	w       *world
	db      *sql.DB
	orphans []int64 // were on their way when a hub was killed
}

func (w *world) clockwork() *clockwork {
	w.t.Helper()
	file := strings.TrimPrefix(w.database, "sqlite:")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = db.Close() })
	return &clockwork{w: w, db: db}
}

func (c *clockwork) do(statement string, args ...any) {
	c.w.t.Helper()
	if _, err := c.db.ExecContext(c.w.t.Context(), statement, args...); err != nil {
		c.w.t.Fatalf("%s: %v", statement, err)
	}
}

func (c *clockwork) uploads(status string) []int64 {
	c.w.t.Helper()
	rows, err := c.db.QueryContext(c.w.t.Context(), "SELECT id FROM uploads WHERE status = ?", status)
	if err != nil {
		c.w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var out []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			c.w.t.Fatal(err)
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		c.w.t.Fatal(err)
	}
	return out
}

// pass lets time pass. Only uploads that were in doubt before Metrica's lists
// caught up grow older: one that is on its way now is none of them.
func (c *clockwork) pass() {
	c.w.t.Helper()
	doubtful := append(c.uploads("in_doubt"), c.orphans...)
	c.orphans = nil
	if len(doubtful) > 0 {
		c.w.counter.Advance(listsAfter)
	}
	for _, id := range doubtful {
		c.do("UPDATE uploads SET started_at = started_at - ? WHERE id = ? AND status IN ('in_doubt', 'sending')", passed.Microseconds(), id)
	}
	c.due()
}

// due ends the waits for quotas, gaps and retries.
func (c *clockwork) due() {
	c.w.t.Helper()
	c.do("UPDATE connections SET retry_at = 0 WHERE retry_at > 0")
	c.do("UPDATE flows SET next_run = 0 WHERE next_run > 0")
}

// killed notes what a killed hub left, and lets its leases end.
func (c *clockwork) killed() {
	c.w.t.Helper()
	c.orphans = append(c.orphans, c.uploads("sending")...)
	c.do("UPDATE leases SET until = 0 WHERE holder <> ''")
}

// Where a latch can hold a call.
const (
	beforeUpload = "before the upload"
	afterUpload  = "after the upload"
	beforeList   = "before the list"
)

// latch stands before the counter and holds one call on its way, so that a hub
// can be killed while it waits for the answer.
type latch struct {
	to http.Handler

	mu    sync.Mutex
	where string // "": passes everything
	held  chan struct{}
}

// latch is put between the hub and the counter.
func (w *world) latch() *latch {
	l := &latch{to: w.counter}
	w.lists.to = l
	return l
}

// arm holds the next call of a kind; the channel is closed when it is there.
func (l *latch) arm(where string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.where, l.held = where, make(chan struct{})
	return l.held
}

func (l *latch) take(r *http.Request) (where string, held chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	upload := r.Method == http.MethodPost && (strings.Contains(r.URL.Path, "/offline_conversions/") || strings.Contains(r.URL.Path, "/data/"))
	list := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "uploadings")
	if l.where == beforeList && !list || l.where != beforeList && !upload {
		return "", nil
	}
	where, held, l.where = l.where, l.held, ""
	return where, held
}

// ServeHTTP implements http.Handler. A held call is never answered: it ends with
// the hub. One that breaks off in its body with the hub does not reach the counter,
// as no server would take half a file.
func (l *latch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	where, held := l.take(r)
	switch where {
	case "":
		l.to.ServeHTTP(w, r)
		return
	case afterUpload:
		l.to.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(held)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// reaches waits until a call is held, while time passes.
func (c *clockwork) reaches(t *testing.T, held <-chan struct{}, where string) {
	t.Helper()
	eventually(t, 45*time.Second, "a call is held "+where, func() string {
		select {
		case <-held:
			return ""
		default:
			c.pass()
			return "none is"
		}
	})
}
