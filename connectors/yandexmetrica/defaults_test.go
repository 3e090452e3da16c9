package yandexmetrica_test

import (
	"bytes"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

type settingsText string

func (s settingsText) Decode(into any) error {
	return yaml.UnmarshalWithOptions([]byte(s), into, yaml.Strict())
}

// Every documented map compiles, without a warning, for each kind of record.
func TestDefaultMaps(t *testing.T) {
	t.Parallel()
	for _, schema := range yandexmetrica.Type().Schemas {
		for kind := range schema.Defaults {
			t.Run(schema.As+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				spec := model.FlowSpec{ID: "f", From: []string{"b24", "amo"}, Record: kind, To: "metrica", As: schema.As}
				for _, p := range schema.Parameters {
					if p.Type == model.TypeStatus {
						spec.Statuses = []model.StatusPair{{CRM: "WON", ID: "won", Metrica: "PAID"}}
					}
				}
				_, problems := flow.Compile(spec, schema, flow.Project{ID: "shop", Zone: time.UTC, Currency: "RUB", Region: "RU"})
				for _, p := range problems {
					if !(kind == model.KindRequest && p.Key == "statuses") {
						t.Errorf("%s: %s (%s)", p.Key, p.Message, p.Severity)
					}
				}
			})
		}
	}
}

// What records become with the documented maps.
func TestDefaultFiles(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	at := time.Date(2026, 11, 20, 21, 30, 5, 0, time.UTC)
	base := func(kind model.Kind, id string) model.Base {
		return model.Base{
			Kind: kind, Connection: "b24", ID: id, CreatedAt: at, UpdatedAt: at.Add(time.Hour),
			Tracking: model.Tracking{ClientID: "133591247640966458", YCLID: "1234567890123", UTM: model.UTM{Source: "vk", Campaign: "promo"}},
			Tags:     []string{"целевой", "VIP"}, Source: "Сайт",
		}
	}
	amount, err := model.ParseDecimal("1500.50")
	if err != nil {
		t.Fatal(err)
	}
	call := func(id, kind string) *model.Call {
		return &model.Call{Base: base(model.KindCall, id), CallKind: kind, StartedAt: at.Add(-time.Minute), Phone: "79995551111", TalkDuration: 65, WaitDuration: 7,
			First: true, PageURL: "https://shop.example/cart?a=1,2", ReportURL: "https://tracker.example/calls/1"}
	}
	static := call("2", "static")
	static.Tracking = model.Tracking{}
	static.Missed, static.TalkDuration, static.PageURL = true, 0, "shop.example"
	event := func(kind model.Kind, id string) *model.Event {
		return &model.Event{Base: base(kind, id), Name: "ivan", Phone: "79995551111", Messenger: "WhatsApp", Target: "chat", PageURL: "https://shop.example/"}
	}
	tests := []struct {
		as, file string
		options  map[string]string
		record   model.Kind
		rows     []model.Record
		deal     *model.Deal
	}{
		{as: "conversions", file: "deals", record: model.KindDeal, options: map[string]string{"target": "order_paid"},
			rows: []model.Record{&model.Deal{Base: base(model.KindDeal, "1"), Amount: amount, Currency: "RUB"}, &model.Deal{Base: base(model.KindDeal, "2")}}},
		{as: "conversions", file: "calls", record: model.KindCall, options: map[string]string{"price_by": "call=300, calltracking_call_order=200"},
			rows: []model.Record{call("1", "dynamic"), call("3", "callback")}},
		{as: "conversions", file: "requests", record: model.KindRequest, options: map[string]string{"price": "50"}, rows: []model.Record{event(model.KindRequest, "1")}},
		{as: "calls", file: "full", record: model.KindCall, rows: []model.Record{call("1", "dynamic"), static},
			deal: &model.Deal{Base: base(model.KindDeal, "7"), Amount: amount, Currency: "EUR"}},
		{as: "calls", file: "cut", record: model.KindCall, options: map[string]string{"phone": "cut", "price_by": "VIP=900", "price": "1"}, rows: []model.Record{call("1", "dynamic"), static}},
		{as: "calls", file: "masked", record: model.KindCall, options: map[string]string{"phone": "masked"}, rows: []model.Record{call("1", "dynamic")}},
		{as: "chats", file: "chats", record: model.KindChat, rows: []model.Record{event(model.KindChat, "1")}},
		{as: "user_params", file: "long", record: model.KindContact, rows: []model.Record{&model.Contact{Base: base(model.KindContact, "5"), ClientIDs: []string{"579124169844706072"}}}},
		{as: "user_params", file: "wide", record: model.KindContact, options: map[string]string{"layout": "wide"}, rows: []model.Record{&model.Contact{Base: base(model.KindContact, "5")}}},
		{as: "expenses", file: "costs", record: model.KindCost, rows: []model.Record{
			&model.Cost{Base: base(model.KindCost, "c1"), Date: "2026-07-01", Amount: amount, Clicks: 12, Keyword: "купить, дёшево"},
			&model.Cost{Base: base(model.KindCost, "c2"), Date: "2026-07-02", Amount: amount, Currency: "USD"},
		}},
		{as: "events", file: "goals", record: model.KindGoal, rows: []model.Record{event(model.KindGoal, "g1")}},
		{as: "events", file: "visits", record: model.KindVisit, rows: []model.Record{&model.Visit{Base: base(model.KindVisit, "v1"), PageURL: "https://shop.example/a?b=c&d=e", Referrer: "https://ya.ru/"}}},
	}
	for _, tt := range tests {
		t.Run(tt.as+"/"+tt.file, func(t *testing.T) {
			t.Parallel()
			c := connect(t, now)
			schema := schemaNamed(t, tt.as)
			f, problems := flow.Compile(model.FlowSpec{ID: "f", From: []string{"b24"}, Record: tt.record, To: "metrica", As: tt.as, Options: tt.options}, schema,
				flow.Project{ID: "shop", Zone: time.UTC, Currency: "RUB", Region: "RU"})
			if f == nil {
				t.Fatal(problems)
			}
			u := connectors.Upload{ID: 1, As: tt.as, Columns: f.Columns(), Options: tt.options}
			if errs := c.(connectors.FlowChecker).CheckFlow(u); len(errs) > 0 {
				t.Fatal(errs)
			}
			var file bytes.Buffer
			w, err := c.(connectors.Uploader).Encode(t.Context(), u, &file)
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range tt.rows {
				row, verdict := f.Row(rec, flow.Relations{Deal: tt.deal}, nil)
				if verdict.Outcome != flow.Send {
					t.Fatalf("%+v", verdict)
				}
				if row.Key != rec.Meta().ID {
					t.Errorf("the key of %s is %q", rec.Meta().ID, row.Key)
				}
				if err := w.Write(&row); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			compare(t, tt.as+"_"+tt.file+".golden.csv", file.Bytes())
		})
	}
}

func schemaNamed(t *testing.T, as string) model.Schema {
	t.Helper()
	for _, s := range yandexmetrica.Type().Schemas {
		if s.As == as {
			return s
		}
	}
	t.Fatalf("no schema %s", as)
	return model.Schema{}
}

func connect(t *testing.T, now time.Time) connectors.Connector {
	t.Helper()
	sb, err := sandbox.New(connectors.SandboxOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := sb.AddTargets(sandbox.DefaultCounter, "order_paid", "calltracking_call_order", "call", "chat"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sb)
	t.Cleanup(server.Close)
	c, err := yandexmetrica.Type().New(settingsText("counter: "+sandbox.DefaultCounter+"\ntoken: "+sandbox.DefaultToken+"\nms: secret\nurl: "+server.URL), connectors.Deps{
		Project: "shop", Connection: "metrica", Currency: "RUB", Now: func() time.Time { return now },
		HTTP: outbound.New(outbound.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if yandexmetrica.Update() {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update renews it):\n%s", path, got)
	}
}
