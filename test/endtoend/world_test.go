package endtoend

import (
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/svod-hub/svod/connectors"
	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	roistat "github.com/svod-hub/svod/connectors/roistat/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

const (
	project  = "shop"
	apiToken = "endtoend-api-token-7c1f09"
	// counterZone is far from the project's zone, so that a time written in the
	// wrong one is noticed.
	counterZone  = "Asia/Vladivostok"
	metricaToken = "endtoend-metrica-token-55aa01"
	roistatPass  = "endtoend-roistat-password-19"
)

func hookSecret(connection string) string { return "endtoend-hook-secret-of-" + connection }

// world is the systems around a hub, and the hub's configuration.
type world struct {
	t       *testing.T
	dir     string
	relay   *relay
	portal  *bitrix24.Portal
	account *amocrm.Account
	counter *metrica.Sandbox
	uploads gate // what goes to the counter
	lists   gate // what asks the counter for its uploads
	reads   gate // what goes to the portal
	roistat *roistat.Sandbox

	database, redis string
	connections     []map[string]any
	flows           []map[string]any
	processes       []*process
}

// newWorld opens the sandboxes of all systems, each on an address of its own.
func newWorld(t *testing.T, s storage) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.database, w.redis = s.open(t, w.dir)
	w.relay = newRelay(t)
	opts := connectors.SandboxOptions{Now: time.Now, Seed: 20}
	var err error
	if w.portal, err = bitrix24.New(opts); err != nil {
		t.Fatal(err)
	}
	if w.account, err = amocrm.New(opts); err != nil {
		t.Fatal(err)
	}
	opts.Options = map[string]string{"time_zone": counterZone, "token": metricaToken}
	if w.counter, err = metrica.New(opts); err != nil {
		t.Fatal(err)
	}
	opts.Options = map[string]string{"user": "hub", "password": roistatPass}
	if w.roistat, err = roistat.New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.portal.Close()
		_ = w.account.Close()
	})
	w.lists.to, w.lists.path = w.counter, "/last_uploadings"
	w.uploads.to, w.uploads.path = &w.lists, "/data/"
	w.reads.to, w.reads.path = w.portal, "/rest/"
	t.Cleanup(w.uploads.open)
	t.Cleanup(w.reads.open)
	w.connect("metrica", "yandex-metrica", w.counter.Settings(listen(t, &w.uploads)))
	t.Cleanup(w.keepsSecrets)
	return w
}

// listen serves until the test ends.
func listen(t *testing.T, handler http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// connect adds a connection to svod.yaml.
func (w *world) connect(id, kind string, settings ...map[string]any) {
	c := map[string]any{"id": id, "kind": kind, "hook_secret": hookSecret(id)}
	for _, s := range settings {
		maps.Copy(c, s)
	}
	w.connections = append(w.connections, c)
}

// withBitrix connects the portal as b24.
func (w *world) withBitrix(poll string) {
	w.portal.AddUserField(bitrix24.Contact, "YM_UID", "Metrika ClientID", "string")
	w.connect("b24", "bitrix24", w.portal.Settings(listen(w.t, &w.reads)), map[string]any{"poll": poll})
	w.portal.SetHookURL(w.relay.base + "/hooks/" + project + "/b24/" + hookSecret("b24"))
}

// withAmo connects the account as amo.
func (w *world) withAmo(poll string) {
	w.connect("amo", "amocrm", w.account.Settings(listen(w.t, w.account)), map[string]any{"poll": poll})
	w.account.SetHookURL(w.relay.base + "/hooks/" + project + "/amo/" + hookSecret("amo"))
}

// withRoistat lets Roistat read from the connections.
func (w *world) withRoistat(from ...string) {
	w.connect("roistat", "roistat", w.roistat.Settings(""), map[string]any{"records_from": from})
}

// flow adds a flow to svod.yaml.
func (w *world) flow(id, from, record, as string, more map[string]any) {
	f := map[string]any{"id": id, "from": []string{from}, "record": record, "to": "metrica", "as": as}
	maps.Copy(f, more)
	w.flows = append(w.flows, f)
}

// config writes svod.yaml for a process that listens on the address.
func (w *world) config(listen string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, "svod-"+listen[strings.LastIndexByte(listen, ':')+1:]+".yaml")
	cfg := map[string]any{
		"server":     map[string]any{"listen": listen},
		"database":   w.database,
		"redis":      w.redis,
		"secret_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"outbound":   map[string]any{"allow": []string{"127.0.0.0/8"}},
		"console": map[string]any{
			"users":  []any{map[string]any{"name": "operator", "password": "endtoend-operator-password"}},
			"tokens": []any{map[string]any{"name": "tests", "token": apiToken}},
		},
		"projects": []any{map[string]any{
			"id": project, "timezone": "Europe/Moscow", "currency": "RUB",
			"connections": w.connections, "flows": w.flows,
		}},
	}
	text, err := yaml.MarshalWithOptions(cfg, yaml.Indent(2), yaml.UseSingleQuote(true))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// start starts a hub, or a part of one, and waits until it is ready.
func (w *world) start(name string, args ...string) *process {
	w.t.Helper()
	p := w.launch(name, freeAddress(w.t), args...)
	if len(args) == 0 || strings.Contains(strings.Join(args, " "), "api") {
		p.ready()
		w.route()
	}
	return p
}

func (w *world) launch(name, listen string, args ...string) *process {
	w.t.Helper()
	p := serve(w.t, name, w.config(listen), listen, filepath.Join(w.dir, name+".log"), args...)
	w.processes = append(w.processes, p)
	return p
}

// route sends deliveries to the API processes that live.
func (w *world) route() {
	var to []string
	for _, p := range w.processes {
		if !p.ended.Load() && (len(p.cmd.Args) == 4 || strings.Contains(strings.Join(p.cmd.Args, " "), "api")) {
			to = append(to, p.listen)
		}
	}
	w.relay.to(to...)
}

// hub is an API process that lives.
func (w *world) hub() *process {
	w.t.Helper()
	for _, p := range slices.Backward(w.processes) {
		if !p.ended.Load() && (len(p.cmd.Args) == 4 || strings.Contains(strings.Join(p.cmd.Args, " "), "api")) {
			return p
		}
	}
	w.t.Fatal("no API process is alive")
	return nil
}

func (w *world) hook(connection string) string {
	return "http://" + w.hub().listen + "/hooks/" + project + "/" + connection + "/" + hookSecret(connection)
}

func (w *world) pull() string {
	return "http://" + w.hub().listen + "/pull/" + project + "/roistat/" + hookSecret("roistat")
}

// keepsProtocols fails for everything that the hub did against a protocol.
func (w *world) keepsProtocols() {
	w.t.Helper()
	for name, violations := range map[string][]string{
		"Bitrix24": w.withoutStalls(w.portal.Violations()), "amoCRM": w.account.Violations(),
		"Metrica": w.counter.Violations(), "Roistat": w.roistat.Violations(),
	} {
		for i, v := range violations {
			if i == 5 {
				w.t.Errorf("against the protocol of %s: %d more", name, len(violations)-i)
				break
			}
			w.t.Errorf("against the protocol of %s: %s", name, v)
		}
	}
}

// stall is how the portal complains of a late answer.
var stall = regexp.MustCompile(`^answered the event \w+ with 200 after`)

// withoutStalls forgives late answers to a few deliveries: these suites share
// the machine with others, and a write to its disk may then take seconds. One
// such write holds up all that wait for it, which in a small run is more than a
// hundredth. How fast the hub answers is measured by bench.
func (w *world) withoutStalls(violations []string) []string {
	w.t.Helper()
	other := slices.DeleteFunc(slices.Clone(violations), stall.MatchString)
	late := len(violations) - len(other)
	sent, _, worst := w.portal.Events()
	if late*20 > sent {
		return violations
	}
	if late > 0 {
		w.t.Logf("%d of %d events were answered after more than a second, the worst after %s", late, sent, worst.Round(time.Millisecond))
	}
	return other
}

// longDigits may be phones.
var longDigits = regexp.MustCompile(`\d{10,15}`)

// keepsSecrets looks for secrets, phones and e-mails in the logs.
func (w *world) keepsSecrets() {
	phones, texts := w.personal()
	texts = append(texts, apiToken, metricaToken, roistatPass, bitrix24.Secret, bitrix24.ApplicationToken,
		"endtoend-operator-password", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	for _, c := range w.connections {
		texts = append(texts, hookSecret(c["id"].(string)))
		if token, ok := c["token"].(string); ok {
			texts = append(texts, token)
		}
	}
	seen := map[string]bool{}
	for _, p := range w.processes {
		if seen[p.log] {
			continue
		}
		seen[p.log] = true
		data, err := os.ReadFile(p.log)
		if err != nil {
			w.t.Error(err)
			continue
		}
		log := strings.ToLower(string(data))
		for _, text := range texts {
			if text != "" && strings.Contains(log, strings.ToLower(text)) {
				w.t.Errorf("the log of %s holds a secret or a person's data: %.12s…", p.name, text)
			}
		}
		for _, digits := range longDigits.FindAllString(log, -1) {
			if phones[digits[max(0, len(digits)-10):]] {
				w.t.Errorf("the log of %s holds a phone", p.name)
				break
			}
		}
	}
}

// personal lists what the sandboxes know of people: the last ten digits of
// phones, and e-mails.
func (w *world) personal() (phones map[string]bool, mails []string) {
	phones = map[string]bool{}
	note := func(phone, mail string) {
		for one := range strings.SplitSeq(phone, ",") {
			if d := digitsOf(one); len(d) >= 10 {
				phones[d[len(d)-10:]] = true
			}
		}
		for one := range strings.SplitSeq(mail, ",") {
			if one != "" && len(mails) < 200 { // each is a search through the whole log
				mails = append(mails, one)
			}
		}
	}
	for _, id := range w.portal.IDs(bitrix24.Contact) {
		c := w.portal.Get(bitrix24.Contact, id)
		note(c["PHONE"], c["EMAIL"])
	}
	for _, c := range w.account.All(amocrm.Contacts) {
		note(strings.Join(c.Fields[amocrm.ContactPhone], ","), strings.Join(c.Fields[amocrm.ContactEmail], ","))
	}
	return phones, mails
}

func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}
