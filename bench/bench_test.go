package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text   string
		status int
		fails  bool
	}{
		"no body":        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, false},
		"a body":         {"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\ncontent-length: 4\r\n\r\nbusy", 503, false},
		"breaks off":     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbusy", 200, true},
		"nothing":        {"", 0, true},
		"something else": {"hello\r\n", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := bufio.NewReader(strings.NewReader(c.text))
			status, err := readAnswer(in)
			if status != c.status || (err != nil) != c.fails {
				t.Errorf("got %d, %v", status, err)
			}
			if !c.fails && in.Buffered() > 0 {
				t.Errorf("%d bytes are left", in.Buffered())
			}
		})
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f.Add("HTTP/1.1 200\r\nContent-Length: -1\r\n\r\n")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = readAnswer(bufio.NewReader(strings.NewReader(text))) // must not panic
	})
}

// here is this very process: a load wants one whose cost it can read.
func here(t *testing.T, handler http.Handler) *process {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &process{address: server.Listener.Addr().String(), pid: os.Getpid()}
}

func TestALoadCountsWhatWasAnswered(t *testing.T) {
	t.Parallel()
	server := here(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/hook" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if string(body) == "13" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	l := load{server: server, path: "/hook", connections: 4, most: 100, lasting: 10 * time.Second,
		body: func(n int) []byte { return []byte(strconv.Itoa(n)) }}
	got, err := l.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.answered != 99 || got.others[503] != 1 || got.wrong() == nil {
		t.Errorf("answered %d, others %v", got.answered, got.others)
	}
	if got.quantile(0.5) > got.quantile(0.99) || got.quantile(1) != got.waits[98] {
		t.Error("the waits are not in order")
	}
}

func TestTheReportTellsWhatWasMissed(t *testing.T) {
	t.Parallel()
	r := report{Machine: "a machine", Commit: "abc", Lines: []line{
		{Figure: "enough", Storage: "SQLite", Value: 90, Unit: "/s", Floor: 100, Target: 0.8, OfFloor: true},
		{Figure: "too slow", Storage: "SQLite", Value: 31, Unit: "ms", Target: 30, Most: true},
		{Figure: "no target", Storage: "SQLite", Value: 1234567, Unit: "rows"},
		{Figure: "broken", Storage: "SQLite", Error: "it did not start"},
	}}
	if got := strings.Join(r.missed(), "; "); got != "too slow on SQLite; broken on SQLite" {
		t.Errorf("missed: %s", got)
	}
	for _, want := range []string{"| enough | SQLite | 90.0 /s | 100 | 0.90 | ≥ 0.80 × floor | yes |", "1,234,567 rows", "not measured: it did not start"} {
		if text := r.markdown(); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestFloors answers through the SQLite floor and finds everything committed.
func TestTheFloorCommits(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	commit, closeFloor, err := sqliteFloor(ctx, filepath.Join(t.TempDir(), "floor.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeFloor()
	var batch []*raw
	for range 71 {
		batch = append(batch, &raw{body: []byte("x"), at: time.Now(), done: make(chan error, 1)})
	}
	if err := commit(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

func TestTheCSVFloorCountsItsRows(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	go func() {
		w := csv.NewWriter(out)
		_ = w.Write([]string{"a", "b"})
		w.Flush()
		_ = out.Close()
	}()
	got, err := swallow(in)
	if err != nil || got.rows != 1-framing || got.bytes != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}
