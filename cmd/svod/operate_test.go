package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// place is an installation on disk that no hub works on.
type place struct {
	*testing.T
	dir string
}

func newPlace(t *testing.T, more string) *place {
	t.Helper()
	p := &place{T: t, dir: t.TempDir()}
	p.write(more)
	p.hub(func(*hub) {})
	return p
}

func (p *place) write(more string) {
	p.Helper()
	text := fmt.Sprintf(`database: sqlite:%s/svod.db
outbound: {allow: [127.0.0.0/8]}
%s
projects:
  - id: shop
    connections:
      - id: site
        kind: webhook
        records: [{kind: request, map: {id: item.id, phone: item.phone}}]
`, p.dir, more)
	if err := os.WriteFile(p.file(), []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *place) file() string { return filepath.Join(p.dir, "svod.yaml") }

// hub lends the opened hub.
func (p *place) hub(do func(*hub)) {
	p.Helper()
	cfg, problems := config.Load(p.file(), os.LookupEnv, registry.New())
	if cfg == nil {
		p.Fatal(problems)
	}
	h, err := openHub(p.Context(), cfg, zap.NewNop(), true)
	if err != nil {
		p.Fatal(err)
	}
	defer h.stop()
	do(h)
}

// run runs a command and gives its output and exit code.
func (p *place) run(args ...string) (out string, code int) {
	p.Helper()
	root := newRoot()
	var buf bytes.Buffer
	root.SetOut(&buf)
	root.SetErr(io.Discard)
	root.SetArgs(append(args, "-c", p.file()))
	err := root.ExecuteContext(p.Context())
	if err == nil {
		return buf.String(), 0
	}
	code = 1
	var exit exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	return buf.String() + err.Error(), code
}

func (p *place) expect(code int, parts []string, args ...string) string {
	p.Helper()
	out, got := p.run(args...)
	if got != code {
		p.Errorf("%v ends with %d, want %d:\n%s", args, got, code, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			p.Errorf("%v: %q is not in:\n%s", args, part, out)
		}
	}
	return out
}

func (p *place) journal(entries ...*store.Entry) {
	p.Helper()
	p.hub(func(h *hub) {
		if err := h.store.AppendJournal(p.Context(), entries); err != nil {
			p.Fatal(err)
		}
	})
}

func entry(state store.EntryState, body string) *store.Entry {
	return &store.Entry{
		Project: "shop", Connection: "site", ReceivedAt: time.Now(), Method: "POST", State: state, Body: []byte(body),
		Header: []byte(`{"Content-Type":["application/json"]}`), Note: "request from anna@example.ru",
	}
}

func TestForgetCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.journal(entry(store.EntryDone, `{"phone":"+7 (999) 555-11-11"}`), entry(store.EntryDone, `{"phone":"79995552222"}`))
	p.hub(func(h *hub) {
		_, err := h.store.ApplyRecords(t.Context(), "shop", []model.Record{
			&model.Event{Base: model.Base{Kind: model.KindRequest, Connection: "site", ID: "1"}, Phone: "79995551111"}})
		if err != nil {
			t.Fatal(err)
		}
	})
	p.expect(2, []string{"--phone or --email"}, "forget")
	p.expect(2, []string{"phone number 1 is none"}, "forget", "--phone", "12")
	p.expect(2, []string{`no project "bakery"`}, "forget", "--phone", "89995551111", "--project", "bakery")
	p.expect(0, []string{"would be removed: records (request 1), former versions 0, journal entries 1"}, "forget", "--phone", "89995551111", "--dry-run")
	p.expect(0, []string{"removed: records (request 1), former versions 0, journal entries 1"}, "forget", "--phone", "8 999 555 11 11")
	p.expect(0, []string{"nothing speaks of the person"}, "forget", "--phone", "8 999 555 11 11")
	p.journal(entry(store.EntryNew, "89995551111"))
	out := p.expect(1, []string{"wait to be taken in"}, "forget", "--phone", "89995551111", "-o", "json")
	if !strings.Contains(out, `"waiting_entries": 1`) {
		t.Error(out)
	}
	p.hub(func(h *hub) {
		log, err := h.store.AuditLog(t.Context(), 10)
		if err != nil || len(log) != 1 || !strings.HasPrefix(log[0].User, "command line") || strings.Contains(log[0].Subject, "999") {
			t.Errorf("audit log %+v, %v", log, err)
		}
	})
}

func keepToken(t *testing.T, h *hub, access string) {
	t.Helper()
	_, err := credentials.Tokens(h.vault, h.store, "shop", "site").Renew(t.Context(), func(context.Context, connectors.Token) (connectors.Token, error) {
		return connectors.Token{Access: model.Secret(access)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func kept(t *testing.T, h *hub) string {
	t.Helper()
	token, err := credentials.Tokens(h.vault, h.store, "shop", "site").Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Access.Reveal()
}

func TestRotateFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.hub(func(h *hub) { keepToken(t, h, "a token") })
	path := filepath.Join(p.dir, "svod.key")
	before, _ := os.ReadFile(path)
	p.expect(0, []string{"1 stored tokens; 1 were encrypted anew", "holds the new key"}, "rotate")
	after, _ := os.ReadFile(path)
	former, _ := os.ReadFile(path + ".old")
	if bytes.Equal(before, after) || !bytes.Equal(before, former) {
		t.Error("the key was not changed, or the former one not kept")
	}
	// The former key is not needed.
	if err := os.Remove(path + ".old"); err != nil {
		t.Fatal(err)
	}
	p.hub(func(h *hub) {
		if got := kept(t, h); got != "a token" {
			t.Errorf("the token is %q", got)
		}
	})
	p.expect(0, nil, "rotate")

	// Broken off between sealing and the change of the file: the hub opens, and the
	// next try ends it.
	p.hub(func(h *hub) {
		next, err := credentials.LoadOrMakeKey(path + ".next")
		if err != nil {
			t.Fatal(err)
		}
		current, err := masterKey(h.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, n, err := reseal(t.Context(), h.store, credentials.NewVault(next, current)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
	p.hub(func(h *hub) {
		if got := kept(t, h); got != "a token" {
			t.Errorf("in between the token is %q", got)
		}
	})
	p.expect(0, []string{"0 were encrypted anew"}, "rotate")
	if _, err := os.Stat(path + ".next"); err == nil {
		t.Error("the next key is still there")
	}
	p.hub(func(h *hub) { _ = kept(t, h) })
}

func TestRotateRefusesBesideHub(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.hub(func(h *hub) {
		if err := h.store.Remember(t.Context(), "", "", "workers_seen_at", time.Now().UTC().Format(time.RFC3339)); err != nil {
			t.Fatal(err)
		}
	})
	p.expect(1, []string{"a hub works on this database"}, "rotate")
}

func TestRotateConfigured(t *testing.T) {
	t.Parallel()
	former, next := credentials.NewKey().Base64(), credentials.NewKey().Base64()
	p := newPlace(t, "secret_key: "+former)
	p.hub(func(h *hub) { keepToken(t, h, "a token") })
	p.expect(0, []string{"1 stored tokens; 0 were", "To change the key without a break"}, "rotate")
	p.write("secret_key: " + next + "\nold_secret_keys: [" + former + "]")
	p.expect(0, []string{"1 stored tokens; 1 were", "take them out"}, "rotate")
	p.write("secret_key: " + next)
	p.hub(func(h *hub) {
		if got := kept(t, h); got != "a token" {
			t.Errorf("the token is %q", got)
		}
	})
	p.write("secret_key: " + former)
	p.expect(1, []string{"encrypted with another master key"}, "rotate")
}

func TestListenCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	refused := entry(store.EntryRefused, "{}")
	refused.Cause, refused.Error, refused.Note = model.CauseBadPayload, "call +7 999 555-11-11", ""
	p.journal(entry(store.EntryDone, `{"phone":"79995551111"}`), refused)
	out := p.expect(0, []string{"shop/site", "done", "request from a***@example.ru", "refused", "bad_payload: call +7 9"}, "listen", "--once")
	if strings.Contains(out, "anna@") || strings.Contains(out, "555-11-11") {
		t.Errorf("shows people:\n%s", out)
	}
	p.expect(0, []string{"anna@example.ru"}, "listen", "--once", "--reveal")
	out = p.expect(0, nil, "listen", "--once", "-o", "json", "--cause", "bad_payload")
	var line struct{ State, Cause string }
	if err := json.Unmarshal([]byte(out), &line); err != nil || line.State != "refused" || line.Cause != "bad_payload" {
		t.Errorf("%s: %v", out, err)
	}
	p.expect(2, []string{"no cause"}, "listen", "--cause", "none")
	p.expect(2, []string{"not known"}, "listen", "-o", "xml")
}

// The listener shows each entry once it is settled, once more when its fate
// changes, and does what keys say.
func TestListener(t *testing.T) {
	p := newPlace(t, "")
	t.Chdir(t.TempDir())
	p.hub(func(h *hub) {
		now := time.Now()
		h.now = func() time.Time { return now }
		var out bytes.Buffer
		l := newListener(h, &out, listenOptions{output: "text"})
		step := func(what string, do func(), wants ...string) {
			t.Helper()
			out.Reset()
			do()
			for _, want := range wants {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%s: %q is not in %q", what, want, out.String())
				}
			}
			if len(wants) == 0 && out.Len() > 0 {
				t.Errorf("%s: %q", what, out.String())
			}
		}
		look := func() {
			if err := l.look(t.Context()); err != nil {
				t.Error(err)
			}
		}
		press := func(key byte) func() { return func() { l.press(t.Context(), key) } }
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		check(l.begin(t.Context()))
		step("nothing to open", press('o'), "nothing came in yet")

		e := entry(store.EntryNew, `{"id":1,"phone":"79995551111","name":"Анна","token":"hush"}`)
		e.Query = "email=anna%40example.ru&api_key=hush"
		check(h.store.AppendJournal(t.Context(), []*store.Entry{e}))
		step("not settled yet", look)
		check(h.store.SettleJournal(t.Context(), "shop", []store.Settlement{{ID: e.ID, State: store.EntryDone, Note: "request 1"}}))
		step("settled", look, "done", "request 1")
		step("the same", look)

		for _, key := range "oc" {
			step("open or copy", press(byte(key)), "7999*****11")
			for _, bad := range []string{"79995551111", "Анна", "hush", "anna", h.secret("shop", "site")} {
				if strings.Contains(out.String(), bad) {
					t.Errorf("key %c shows %q: %s", key, bad, out.String())
				}
			}
		}
		step("save", press('s'), "saved as sample-site-1.json")
		data, err := os.ReadFile("sample-site-1.json")
		if err != nil || strings.Contains(string(data), "79995551111") || strings.Contains(string(data), "hush") || !strings.Contains(string(data), `"kind": "webhook"`) {
			t.Errorf("%s, %v", data, err)
		}
		step("not over a file", press('s'), "svod: save the sample")

		step("replay", press('r'), "is taken in again")
		step("replay again", press('r'), "waits to be taken in already")
		check(h.store.SettleJournal(t.Context(), "shop", []store.Settlement{{ID: e.ID, State: store.EntryRefused, Cause: model.CauseBadPayload, Error: "odd"}}))
		step("its new fate", look, "refused", "bad_payload: odd")

		late := entry(store.EntryNew, "")
		late.ReceivedAt = now.Add(-settleFor)
		check(h.store.AppendJournal(t.Context(), []*store.Entry{late}))
		step("waits for long", look, "new")
		step("former", press('k'), "→ 1")
		step("next", press('j'), "→ 2")
		l.opts.reveal = true
		l.step(-1)
		step("revealed", press('c'), `"phone":"79995551111"`, h.secret("shop", "site"))
		if !l.press(t.Context(), 'q') || l.press(t.Context(), 'x') {
			t.Error("q quits, x does not")
		}
	})
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "server: {public_url: https://hub.example.ru}")
	p.expect(0, []string{"ok       database commit", "ok       secret key", "ok       public address", "webhooks of shop/site: none came yet", "no hub works"}, "doctor")

	out := p.expect(0, nil, "doctor", "--offline", "-o", "json")
	var report struct {
		Healthy  bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || !report.Healthy || len(report.Findings) < 7 {
		t.Errorf("%s: %v", out, err)
	}
	if strings.Contains(out, "credentials of") {
		t.Error("--offline calls others")
	}

	if err := os.Chmod(filepath.Join(p.dir, "svod.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.expect(1, []string{"wrong    secret key", "chmod 600"}, "doctor", "--offline")
	p.write("server: {public_url: http://hub.example.ru}\nredis: redis://127.0.0.1:1")
	p.expect(1, []string{"wrong    public address", "wrong    redis"}, "doctor", "--offline")
	p.write("database: [")
	p.expect(1, []string{"wrong    configuration"}, "doctor")
	fresh := &place{T: t, dir: t.TempDir()}
	fresh.write("")
	fresh.expect(1, []string{"migrations are pending"}, "doctor", "--offline")
}

func TestAlertsCommand(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	p.expect(2, []string{"nobody to tell"}, "alerts", "test")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bot") {
			io.WriteString(w, `{"ok":true}`)
			return
		}
		w.WriteHeader(http.StatusGone)
	}))
	t.Cleanup(server.Close)
	telegram := "alerts:\n  to:\n    - telegram: {token: \"1:" + strings.Repeat("A", 34) + "\", chat: 5, url: " + server.URL + "}\n"
	p.write(telegram)
	p.expect(0, []string{"ok    alerts.to[0] (telegram-"}, "alerts", "test")
	p.write(telegram + "    - webhook: {url: " + server.URL + "/hush}\n")
	out := p.expect(1, []string{"FAIL  alerts.to[1] (webhook-", "gone for good", "1 of 2"}, "alerts", "test")
	if strings.Contains(out, "hush") {
		t.Error("shows an address")
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, x := range []struct {
		name string
		s    model.Schedule
		want time.Duration
	}{
		{"none", model.Schedule{}, 0},
		{"every hour", model.Schedule{Every: time.Hour}, time.Hour},
		{"daily", model.Schedule{Daily: "03:00"}, day},
		{"previous day", model.Schedule{Daily: "03:00", PreviousDay: true}, 2 * day},
		{"again", model.Schedule{Daily: "03:00", PreviousDay: true, Again: []int{2, 7, 14}}, 8 * day},
	} {
		if got := patience(x.s); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
}

func TestVeil(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"request from anna@example.ru":           "request from a***@example.ru",
		"email=anna%40example.ru&x=1":            "email=anna***&x=1",
		`{"phone":"79995551111","id":1234567}`:   `{"phone":"7999*****11","id":1234567}`,
		`{"NAME":"Анна","amount":"1999.00"}`:     `{"NAME":"***","amount":"1999.00"}`,
		"fields[NAME] = Анна\nfields[ID] = 7405": "fields[NAME] = ***\nfields[ID] = 7405",
		"ONCRMDEALUPDATE deal 7405":              "ONCRMDEALUPDATE deal 7405",
	} {
		got := veil(text)
		if strings.HasPrefix(text, "email=") {
			if strings.Contains(got, "anna%40") {
				t.Errorf("%q became %q", text, got)
			}
			continue
		}
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := discreet("auth[application_token]=hush&event=X&a=1"); strings.Contains(got, "hush") || !strings.Contains(got, "event=X&a=1") {
		t.Error(got)
	}
}

func FuzzVeil(f *testing.F) {
	for _, text := range []string{"", "anna@example.ru", "+7 999 555-11-11", `{"name":"\"x"}`, "a=%40", "\xff@"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := veil(text + " 79995551111 "); strings.Contains(got, " 79995551111 ") {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func TestWrittenExpiry(t *testing.T) {
	t.Parallel()
	p := &place{T: t, dir: t.TempDir()}
	p.write("")
	data, _ := os.ReadFile(p.file())
	// {"exp":1790000000} and a member without meaning
	jwt := "eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTAwMDAwMDB9.c2ln"
	for token, want := range map[string]int64{jwt: 1790000000, "plain": 0, "a.b.c": 0, "a.e30.c": 0} {
		text := string(data) + "      - {id: amo, kind: amocrm, url: https://example.amocrm.ru, token: " + token + "}\n"
		cfg, problems := config.Parse("svod.yaml", []byte(text), nil, registry.New())
		if cfg == nil {
			t.Fatal(problems)
		}
		got := writtenExpiry(cfg.Projects[0].Connections[1].Settings)
		if want == 0 && !got.IsZero() || want != 0 && got.Unix() != want {
			t.Errorf("%s ends at %s", token, got)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"completion", shell})
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), "svod") {
			t.Errorf("%s: %v", shell, err)
		}
	}
}
