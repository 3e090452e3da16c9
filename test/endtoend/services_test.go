//go:build postgres && redis

package endtoend

import (
	"database/sql"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestManyProcesses runs two API processes and two workers on one database. Both
// take deliveries; a worker is killed while it reads from the CRM, and another
// while it uploads, and the other goes on with their work.
func TestManyProcesses(t *testing.T) {
	w, e := bitrixOnly(t, services())
	w.start("api-1", "--roles", "api,scheduler")
	w.start("api-2", "--roles", "api,scheduler")
	w.start("worker-1", "--roles", "worker")
	w.start("worker-2", "--roles", "worker")
	w.imported("b24")
	w.relay.mischief = true
	if err := e.fillBitrix(t.Context(), w.portal); err != nil {
		t.Fatal(err)
	}
	w.converges(60*time.Second, w.ofBitrix, e)
	for i, step := range []struct {
		what, lease string
		gate        *gate
		goesOn      *gate // what the other worker is seen to ask
	}{
		{"a read", "fetch/", &w.reads, &w.reads},
		// What became of the upload is asked first.
		{"an upload", "send/", &w.uploads, &w.lists},
	} {
		step.gate.shut()
		var took time.Duration
		w.during(e, func() {
			step.gate.holds(t)
			killed := w.holderOf(step.lease)
			killed.kill()
			step.gate.open()
			before := step.goesOn.calls.Load()
			took = eventually(t, 10*time.Second, "the other worker goes on", func() string {
				if step.goesOn.calls.Load() == before {
					return "it has not asked for anything"
				}
				return ""
			})
			w.start("worker-"+strconv.Itoa(i+3), "--roles", "worker")
		})
		t.Logf("killed during %s; the other worker went on %s later; equal %s after the last change", step.what,
			took.Round(time.Millisecond), w.converges(60*time.Second, w.ofBitrix, e).Round(time.Millisecond))
	}
	w.rest(e)
	w.keepsProtocols()
	for _, p := range w.processes {
		if !p.ended.Load() {
			p.terminate(30 * time.Second)
		}
	}
}

// holderOf finds the worker that has a lease. Nothing but the database tells.
func (w *world) holderOf(lease string) *process {
	w.t.Helper()
	db, err := sql.Open("pgx", w.database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var holder string
	if err := db.QueryRowContext(w.t.Context(), "SELECT holder FROM leases WHERE name LIKE $1 AND holder <> ''", lease+"%").Scan(&holder); err != nil {
		w.t.Fatalf("no worker has a lease %s…: %v", lease, err)
	}
	for _, p := range w.processes {
		if strings.Contains(holder, "/"+strconv.Itoa(p.cmd.Process.Pid)+"/") {
			return p
		}
	}
	w.t.Fatalf("the lease's holder %s is none of the processes", holder)
	return nil
}

// TestRedisAway takes Redis away and brings it back empty. Deliveries are taken
// all the while, and work goes on when it is back.
func TestRedisAway(t *testing.T) {
	w, e := bitrixOnly(t, services())
	broker := startRedis(t, freeAddress(t))
	w.redis = "redis://" + broker.listen + "/0"
	hub := w.start("hub")
	w.imported("b24")
	w.relay.mischief = true
	if err := e.fillBitrix(t.Context(), w.portal); err != nil {
		t.Fatal(err)
	}
	w.during(e, func() {
		broker.stop()
		eventually(t, 15*time.Second, "/readyz tells of it", func() string {
			if status, _, err := get(t.Context(), "http://"+hub.listen+"/readyz", ""); err != nil || status != 503 {
				return "it does not"
			}
			return ""
		})
		away := time.Now()
		eventually(t, 10*time.Second, "some seconds without Redis", func() string {
			if time.Since(away) < 4*time.Second {
				return "not over yet"
			}
			return ""
		})
	})
	before := w.portal.Calls("")
	if taken, missed, others := w.relay.counts(); missed > 0 || len(others) > 0 || taken == 0 {
		t.Errorf("while Redis was away, %d deliveries got no answer and %v were refused", missed, others)
	}
	broker = startRedis(t, broker.listen)
	took := eventually(t, 5*time.Second, "the work goes on", func() string {
		if w.portal.Calls("") == before {
			return "the CRM was not asked for anything yet"
		}
		return ""
	})
	t.Logf("the work went on %s after Redis was back", took.Round(time.Millisecond))
	w.rest(e)
	w.keepsProtocols()
	hub.terminate(30 * time.Second)
}

// server is a Redis of the test's own.
type server struct {
	t      *testing.T
	listen string
	cmd    *exec.Cmd
}

func startRedis(t *testing.T, listen string) *server {
	t.Helper()
	_, port, _ := strings.Cut(listen, ":")
	s := &server{t: t, listen: listen, cmd: exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	client := redis.NewClient(&redis.Options{Addr: listen})
	defer func() { _ = client.Close() }()
	eventually(t, 10*time.Second, "Redis answers", func() string {
		if err := client.Ping(t.Context()).Err(); err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}

func (s *server) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}
