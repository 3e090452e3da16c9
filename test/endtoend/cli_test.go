package endtoend

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

// TestCommands does with the command line what an operator does.
func TestCommands(t *testing.T) {
	w := newWorld(t, embedded())
	w.withBitrix("10m")
	w.withRoistat("b24")
	bitrixFlows(w)
	hub := w.start("hub")
	w.imported("b24")
	e := newEditor(load{deals: 20, contacts: 20, perSecond: 1000})
	if err := e.fillBitrix(t.Context(), w.portal); err != nil {
		t.Fatal(err)
	}
	// Two things for replay: a refused delivery and a refused row.
	w.portal.AddDeal(bitrix24.Fields{"TITLE": "Статус без пары", "STAGE_ID": "APOLOGY", "CONTACT_ID": w.portal.IDs(bitrix24.Contact)[0]})
	w.post(w.hook("b24"), form, "", event(map[string]string{"event": "ONSOMETHINGELSE"}))
	if err := w.portal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the counter has the orders", func() string {
		if w.counter.Count(metrica.DefaultCounter, "orders") < 20 {
			return "not all"
		}
		return w.busy()
	})
	config := hub.cmd.Args[3]
	svod := func(args ...string) result { return command(t, w.dir, append(args, "-c", config)...) }
	uploads := func() int { return len(w.counter.Uploads(metrica.DefaultCounter)) }

	t.Run("check", func(t *testing.T) {
		has(t, svod("check").wants(t, 0).stdout, "is valid: 1 projects, 3 connections, 2 flows")
		online := svod("check", "--online").wants(t, 0).stdout
		for _, id := range []string{"ok    shop/b24", "ok    shop/metrica", "ok    shop/roistat"} {
			has(t, online, id)
		}
	})
	t.Run("check of a refused credential", func(t *testing.T) {
		w.counter.RevokeToken(metricaToken)
		defer w.counter.AddToken(metricaToken, metrica.DefaultLogin, "metrika:read", "metrika:write")
		r := svod("check", "--online").wants(t, 3)
		has(t, r.stdout, "FAIL  shop/metrica")
		if strings.Contains(r.stdout+r.stderr, metricaToken) {
			t.Error("the token is printed")
		}
	})
	t.Run("check of a bad file", badFile)
	t.Run("urls", func(t *testing.T) {
		out := svod("urls").wants(t, 0).stdout
		has(t, out, w.hook("b24"))
		has(t, out, w.pull())
	})
	t.Run("status", func(t *testing.T) {
		var s status
		r := svod("status", "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
			t.Fatalf("%v: %s", err, r.stdout)
		}
		if len(s.Projects) != 1 || len(s.Projects[0].Connections) != 3 || len(s.Projects[0].Flows) != 2 {
			t.Fatalf("the status shows %+v", s)
		}
		for _, f := range s.Projects[0].Flows {
			if f.ID == "orders" && (f.Sent != 20 || f.Refused != 1) {
				t.Errorf("of orders, %d are sent and %d refused, should be 20 and 1", f.Sent, f.Refused)
			}
		}
		if want := map[bool]int{true: 0, false: 1}[s.Healthy]; r.code != want {
			t.Errorf("healthy is %v and the exit code %d", s.Healthy, r.code)
		}
		has(t, svod("status").stdout, "orders")
	})
	t.Run("send", func(t *testing.T) {
		before := uploads()
		has(t, svod("send", "orders", "--wait", "--timeout", "40s").wants(t, 0).stdout, "20 rows confirmed")
		if uploads() != before {
			t.Error("rows that did not change went again")
		}
		has(t, svod("send", "shop/orders", "--all", "--wait", "--timeout", "40s").wants(t, 0).stdout, "20 rows confirmed")
		last := w.counter.Uploads(metrica.DefaultCounter)
		if len(last) == before || last[len(last)-1].Rows != 20 {
			t.Errorf("--all made %d uploads, the last of %d rows", len(last)-before, last[len(last)-1].Rows)
		}
		svod("send", "nothing").wants(t, 2)
	})
	t.Run("statuses", func(t *testing.T) {
		has(t, svod("statuses", "orders").wants(t, 0).stdout, "knows the 10 statuses")
		if got := w.counter.Statuses(metrica.DefaultCounter); got["won"] != "PAID" || got["lost"] != "CANCELLED" {
			t.Errorf("the counter knows %v", got)
		}
	})
	t.Run("replay", func(t *testing.T) {
		has(t, svod("replay", "--connection", "b24", "--error", "no use", "--dry-run").wants(t, 0).stdout, "1 would be put back")
		has(t, svod("replay", "--flow", "orders", "--dry-run").wants(t, 0).stdout, "1 would be put back")
		has(t, svod("replay", "--connection", "b24", "--since", "1h").wants(t, 0).stdout, "put back to work")
		eventually(t, 20*time.Second, "the replayed deliveries are worked on", w.busy)
		svod("replay").wants(t, 2)
	})
	t.Run("roles of an embedded hub", func(t *testing.T) {
		r := svod("serve", "--roles", "worker").wants(t, 1)
		has(t, r.stderr, "redis: embedded serves one process only")
		has(t, svod("serve", "--roles", "boss").wants(t, 2).stderr, "api, worker, scheduler")
	})
	w.keepsProtocols()
}

func has(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q is not in:\n%s", part, text)
	}
}

// badFile has every mistake told with its place, and nothing of a secret.
func badFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "svod.yaml")
	text := `server:
  listn: 127.0.0.1:8080
projects:
  - id: shop
    timezone: Europe/Moskva
    connections:
      - {id: metrica, kind: yandex-metrica, counter: 12345678, token: very-secret-token-1}
      - {id: b24, kind: bitrix25}
    flows:
      - id: orders
        from: [b24]
        record: deal
        to: metrica
        as: ordrs
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, filepath.Dir(path), "check", "-c", path).wants(t, 2)
	for _, line := range []string{"2", "5", "8"} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(path) + ":" + line + `: `).MatchString(r.stderr) {
			t.Errorf("nothing is said of line %s:\n%s", line, r.stderr)
		}
	}
	if strings.Contains(r.stderr, "very-secret") || strings.Contains(r.stderr, "goroutine") {
		t.Errorf("a secret or a stack is printed:\n%s", r.stderr)
	}
	command(t, filepath.Dir(path), "serve", "-c", path).wants(t, 2)
	command(t, filepath.Dir(path), "check", "-c", filepath.Join(t.TempDir(), "none.yaml")).wants(t, 2)
}

// TestSandboxes runs every sandbox as a command.
func TestSandboxes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"amocrm", "bitrix24", "roistat", "webhook", "yandex-metrica"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(binary, "sandbox", kind, "--listen", "127.0.0.1:0")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill() }()
			first, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			address := regexp.MustCompile(`http://[0-9.:]+`).FindString(first)
			if status, _, err := get(t.Context(), address+"/", ""); err != nil || status >= 500 {
				t.Errorf("%s answers %d, %v", address, status, err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
	r := command(t, t.TempDir(), "sandbox", "fax").wants(t, 2)
	has(t, r.stderr, "bitrix24")
}
