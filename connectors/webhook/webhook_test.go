package webhook

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/connectors/webhook/sandbox"
	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var received = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

func newConnector(t testing.TB, settings string) *Connector {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(connectortest.YAML(settings), connectors.Deps{Connection: "shop-site", Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// golden is what Receive made of a delivery, as text.
func golden(in connectors.Intake, err error) string {
	type record struct {
		Key    string       `json:"key"`
		ReadAt time.Time    `json:"read_at"`
		Record model.Record `json:"record"`
	}
	out := struct {
		Note    string   `json:"note,omitempty"`
		Error   string   `json:"error,omitempty"`
		Refused []string `json:"refused,omitempty"`
		Records []record `json:"records,omitempty"`
	}{Note: in.Note}
	if err != nil {
		out.Error = string(model.CauseOf(err)) + ": " + err.Error()
	}
	for _, r := range in.Refused {
		out.Refused = append(out.Refused, string(r.Cause)+": "+r.Error())
	}
	for _, r := range in.Records {
		out.Records = append(out.Records, record{r.Meta().Key().String(), r.Meta().ReadAt, r})
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return err.Error()
	}
	return buf.String()
}

// Each case is a folder of testdata: settings.yaml, the body, request.yaml with
// method, query and headers, and the golden records.
func TestPayloadsOfManyShapes(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("testdata/payloads/*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no cases", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			read := func(name string) []byte {
				data, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil {
					t.Fatal(err)
				}
				return data
			}
			var request struct {
				Method string            `yaml:"method"`
				Query  string            `yaml:"query"`
				Header map[string]string `yaml:"header"`
			}
			if err := yaml.Unmarshal(read("request.yaml"), &request); err != nil {
				t.Fatal(err)
			}
			d := connectors.Delivery{ReceivedAt: received, Method: request.Method, Query: request.Query, Body: read("body"), Header: http.Header{}}
			for name, value := range request.Header {
				d.Header.Set(name, value)
			}
			got := golden(newConnector(t, string(read("settings.yaml"))).Receive(d))
			path := filepath.Join(folder, "golden.json")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read("golden.json"); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestMistakesInSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ settings, want string }{
		"no records":           {`{}`, "records: say at least one kind"},
		"unknown kind":         {`records: [{kind: sale, map: {id: item.id}}]`, `records[0].kind: "sale" is not one of call, chat`},
		"reference kind":       {`records: [{kind: field, map: {id: item.id}}]`, `records[0].kind: "field" is not one of`},
		"no map":               {`records: [{kind: deal}]`, "records[0].map: say how"},
		"unknown member":       {`records: [{kind: deal, map: {price: item.total}}]`, "records[0].map.price: a deal has no such member; it has amount, "},
		"member of the hub":    {`records: [{kind: deal, map: {connection: item.x}}]`, "records[0].map.connection: a deal has no such member"},
		"syntax":               {`records: [{kind: deal, map: {id: "item.id +"}}]`, "records[0].map.id: unexpected token EOF"},
		"fixed text unquoted":  {`records: [{kind: deal, map: {id: item.id, currency: RUB}}]`, "records[0].map.currency: unknown name RUB (1:1); expressions know body"},
		"condition":            {`records: [{kind: deal, when: itm.x, map: {id: item.id}}]`, "records[0].when: unknown name itm"},
		"deletion":             {`records: [{kind: deal, deleted: "x", map: {id: item.id}}]`, "records[0].deleted: unknown name x"},
		"the time of now":      {`records: [{kind: deal, map: {id: item.id, updated_at: now()}}]`, "records[0].map.updated_at: unknown name now"},
		"split":                {`{split: "body[", records: [{kind: deal, map: {id: item.id}}]}`, "split: unexpected token EOF"},
		"token without place":  {`{token: {value: x}, records: [{kind: deal, map: {id: item.id}}]}`, "token: say where the sender puts it"},
		"token in dropped one": {`{token: {value: x, header: authorization}, records: [{kind: deal, map: {id: item.id}}]}`, "token.header: Authorization is not kept"},
		"signature scheme":     {`{signature: {scheme: rsa, secret: x}, records: [{kind: deal, map: {id: item.id}}]}`, `signature.scheme: "rsa" is neither`},
		"signature secret":     {`{signature: {scheme: standard-webhooks, secret: "whsec_***"}, records: [{kind: deal, map: {id: item.id}}]}`, "signature.secret: is not a secret of Standard Webhooks"},
		"signature header":     {`{signature: {scheme: hmac-sha256, secret: x}, records: [{kind: deal, map: {id: item.id}}]}`, "signature.header: say which header"},
		"tolerance":            {`{signature: {scheme: hmac-sha256, secret: x, header: X, tolerance: soon}, records: [{kind: deal, map: {id: item.id}}]}`, `signature.tolerance: "soon" is not a duration`},
		"answer":               {`{answer: {status: 500}, records: [{kind: deal, map: {id: item.id}}]}`, "answer.status: 500 would make the sender repeat"},
		"zone":                 {`{timezone: Moscow, records: [{kind: deal, map: {id: item.id}}]}`, `timezone: "Moscow" is not a time zone`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(connectortest.YAML(c.settings), connectors.Deps{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := New(connectortest.YAML(`{timezone: X, split: "(", records: [{kind: deal, map: {a: b, id: c}}]}`), connectors.Deps{})
	if lines := strings.Count(err.Error(), "\n"); lines != 3 {
		t.Errorf("got %v", err)
	}
}

func TestEveryKindCanBeMapped(t *testing.T) {
	t.Parallel()
	for _, kind := range recordKinds() {
		m := membersOf(kind)
		for _, name := range []string{"id", "created_at", "utm.source", "client_id", "contact_id"} {
			if _, ok := m.find(name); !ok {
				t.Errorf("%s has no %s", kind, name)
			}
		}
		// Whatever the sender writes into a member is taken or refused, never a panic.
		c := &Connector{zone: time.UTC, region: "RU"}
		for name, to := range m {
			for _, value := range []any{nil, "", "x", "1", 1, 1.5, true, []any{}, []any{"a"}, []any{1, nil}, map[string]any{}, map[string]any{"a": 1}, []any{map[string]any{"id": 1, "price": "1,5"}}, received} {
				r, err := model.New(kind)
				if err != nil {
					t.Fatal(err)
				}
				_ = c.fill(r, name, to, value)
			}
		}
	}
}

func TestNumbersStayExact(t *testing.T) {
	t.Parallel()
	c := newConnector(t, `records: [{kind: deal, map: {id: item.id, amount: item.sum, fields.long: item.long}}]`)
	in, err := c.Receive(connectors.Delivery{ReceivedAt: received, Body: []byte(`{"id":12345678901234567890123,"sum":90071992547409.91,"long":0.1234567890123456789}`)})
	if err != nil || len(in.Records) != 1 {
		t.Fatal(err, in.Refused)
	}
	d := in.Records[0].(*model.Deal)
	if d.ID != "12345678901234567890123" || d.Amount.String() != "90071992547409.91" || d.Fields.Text("long") != "0.1234567890123456789" {
		t.Errorf("got %s, %s, %v", d.ID, d.Amount, d.Fields)
	}
}

func TestTheAnswerOfTheSettings(t *testing.T) {
	t.Parallel()
	const records = `records: [{kind: deal, map: {id: item.id}}]`
	for settings, want := range map[string]struct {
		status int
		body   string
	}{
		`{` + records + `}`:                                  {200, ""},
		`{answer: {body: ok}, ` + records + `}`:              {200, "ok"},
		`{answer: {status: 202, body: ""}, ` + records + `}`: {202, ""},
	} {
		status, _, body := newConnector(t, settings).Respond(connectors.Delivery{})
		if status != want.status || string(body) != want.body {
			t.Errorf("%s: %d %q", settings, status, body)
		}
	}
}

func TestTheSandboxIsUnderstood(t *testing.T) {
	t.Parallel()
	shop, err := sandbox.New(connectors.SandboxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := yaml.Marshal(shop.Settings(""))
	if err != nil {
		t.Fatal(err)
	}
	newConnector(t, string(settings))
}

func FuzzReceive(f *testing.F) {
	paths, err := filepath.Glob("testdata/payloads/*/body")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "application/json", "a=1")
		f.Add(body, "application/x-www-form-urlencoded; charset=windows-1251", "")
		f.Add(body, "multipart/form-data; boundary=x", "%")
	}
	c := newConnector(f, `
split: body.orders ?? body
records:
  - kind: deal
    when: item.event != "x"
    deleted: item.deleted
    map: {id: item.id, amount: number(item.total) + 1, products: item.items, created_at: item.at, tags: item.tags, fields.raw: json(item.raw).x, phones: item.phone}
  - kind: call
    map: {phone: phone(item.phone), talk_duration: item.seconds, missed: item.missed, started_at: received_at.UTC()}
`)
	f.Fuzz(func(t *testing.T, body []byte, contentType, query string) {
		d := connectors.Delivery{ReceivedAt: received, Method: "POST", Query: query, Body: body, Header: http.Header{"Content-Type": {contentType}}}
		in, err := c.Receive(d)
		if err != nil && model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("the error is not classified: %v", err)
		}
		for _, r := range in.Records {
			if r.Meta().ID == "" || r.Meta().UpdatedAt.IsZero() {
				t.Errorf("an incomplete record %+v", r)
			}
			if _, err := model.Encode(r); err != nil {
				t.Error(err)
			}
		}
	})
}
