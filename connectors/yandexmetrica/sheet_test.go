package yandexmetrica

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const visitor = "133591247640966458"

func conversionUpload(id int64) connectors.Upload {
	return connectors.Upload{ID: id, As: asConversions, Columns: columnsNamed(asConversions, "id", "ClientId", "UserId", "Yclid", "PurchaseId", "Target", "DateTime", "Price", "Currency")}
}

func conversion(key string, at time.Time) []any {
	return []any{key, []string{visitor}, nil, nil, nil, "order", at, nil, nil}
}

// The published file is what we write of the same rows.
func TestPublishedConversions(t *testing.T) {
	t.Parallel()
	b := newBench(t, "check_goals: off\ntoken: "+testToken)
	published, err := os.ReadFile("testdata/offline_conversions.csv")
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(published)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	u := connectors.Upload{As: asConversions, Columns: columnsNamed(asConversions, "id", "ClientId", "Target", "DateTime", "Price", "Currency")}
	var rows [][]any
	for i, r := range records[1:] {
		var seconds json.Number = json.Number(r[2])
		unix, err := seconds.Int64()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, []any{string(rune('a' + i)), []string{r[0]}, r[1], time.Unix(unix, 0), money(t, r[3]), r[4]})
	}
	body, refused := encoded(t, b.Connector, u, rows...)
	if len(refused) > 0 {
		t.Fatal(refused)
	}
	got, _ := io.ReadAll(body)
	want := strings.ReplaceAll(strings.ReplaceAll(string(published), "678.90", "678.9"), "\r\n", "\n")
	if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
		t.Errorf("got\n%s", got)
	}
}

func TestPublishedExpenses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	published, err := os.ReadFile("testdata/expenses.csv")
	if err != nil {
		t.Fatal(err)
	}
	u := connectors.Upload{As: asExpenses, Columns: columnsNamed(asExpenses, "id", "Date", "UTMSource", "UTMCampaign", "Expenses", "Currency")}
	body, refused := encoded(t, b.Connector, u, []any{"1", model.Date("2026-07-01"), "vk", "promo", money(t, "1500.50"), "RUB"})
	got, _ := io.ReadAll(body)
	if want := strings.Replace(string(published), "1500.50", "1500.5", 1); len(refused) > 0 || strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The columns of published files are among ours and in our order.
func TestPublishedHeaders(t *testing.T) {
	t.Parallel()
	for as, name := range map[string]string{asCalls: "calls_header_without_staticcall.csv", asExpenses: "expenses.csv", asConversions: "offline_conversions.csv"} {
		file, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(file), "\n")
		schema, _ := schemaOf(as)
		last := -1
		for _, column := range strings.Split(strings.TrimSpace(line), ",") {
			at := slices.IndexFunc(schema.Parameters, func(p model.Parameter) bool { return p.Name == column })
			if at <= last {
				t.Errorf("%s: column %s", name, column)
			}
			last = at
		}
	}
}

func TestRefusedSheetRows(t *testing.T) {
	t.Parallel()
	at := testStart.Add(-time.Hour)
	tests := []struct {
		name    string
		as      string
		options map[string]string
		columns []string
		values  []any
		cause   model.Cause // "": taken
	}{
		{"conversion", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", at}, ""},
		{"target by option", asConversions, map[string]string{"target": "order"}, []string{"id", "ClientId", "DateTime"}, []any{"1", []string{visitor}, at}, ""},
		{"bad yclid beside a ClientID", asConversions, nil, []string{"id", "ClientId", "Yclid", "Target", "DateTime"}, []any{"1", []string{visitor}, "{yclid}", "order", at}, ""},
		{"bad yclid alone", asConversions, nil, []string{"id", "Yclid", "Target", "DateTime"}, []any{"1", "{yclid}", "order", at}, model.CauseNoIdentifier},
		{"nobody", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", nil, "order", at}, model.CauseNoIdentifier},
		{"no target", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, " ", at}, model.CauseMissingRequired},
		{"target of two", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "a,b", at}, model.CauseBadValue},
		{"unknown goal", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "nothing", at}, model.CauseNotFound},
		{"no time", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", nil}, model.CauseMissingRequired},
		{"future", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", testStart.Add(time.Second)}, model.CauseBadValue},
		{"milliseconds", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", time.Unix(at.UnixMilli(), 0)}, model.CauseBadValue},
		{"before 1970", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", time.Unix(-5, 0)}, model.CauseBadValue},
		{"unknown currency", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime", "Price", "Currency"}, []any{"1", []string{visitor}, "order", at, money(t, "1"), "XYZ"}, model.CauseCurrency},
		{"ClientID with letters", asConversions, nil, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{"GA1.2"}, "order", at}, model.CauseBadValue},
		{"call", asCalls, nil, []string{"id", "ClientId", "DateTime"}, []any{"1", []string{visitor}, at}, ""},
		{"dynamic call of nobody", asCalls, nil, []string{"id", "ClientId", "DateTime", "StaticCall"}, []any{"1", nil, at, false}, model.CauseNoIdentifier},
		{"static call of nobody", asCalls, nil, []string{"id", "ClientId", "DateTime", "StaticCall"}, []any{"1", nil, at, true}, ""},
		{"static calls are left out", asCalls, map[string]string{"static": "skip"}, []string{"id", "ClientId", "DateTime", "StaticCall"}, []any{"1", nil, at, true}, model.CauseNoIdentifier},
		{"negative duration", asCalls, nil, []string{"id", "ClientId", "DateTime", "TalkDuration"}, []any{"1", []string{visitor}, at, int64(-1)}, model.CauseBadValue},
		{"short phone", asCalls, nil, []string{"id", "ClientId", "DateTime", "PhoneNumber"}, []any{"1", []string{visitor}, at, "12"}, model.CauseBadValue},
		{"chat", asChats, nil, []string{"id", "DateTime", "ChatPlatform", "ChatUsername"}, []any{"1", at, "Telegram", "ivan"}, ""},
		{"chat of another messenger", asChats, nil, []string{"id", "DateTime", "ChatPlatform", "ChatUsername"}, []any{"1", at, "vk", "ivan"}, model.CauseBadValue},
		{"chat with nobody", asChats, nil, []string{"id", "ClientID", "DateTime", "ChatPlatform", "ChatUsername"}, []any{"1", []string{visitor}, at, "viber", nil}, model.CauseNoIdentifier},
		{"parameters", asUserParams, nil, []string{"id", "ClientId", "crm_id"}, []any{"1", []string{visitor}, "1"}, ""},
		{"parameters of nobody", asUserParams, nil, []string{"id", "ClientId", "crm_id"}, []any{"1", nil, "1"}, model.CauseNoIdentifier},
		{"no parameters", asUserParams, nil, []string{"id", "ClientId", "crm_id"}, []any{"1", []string{visitor}, ""}, model.CauseMissingRequired},
		{"no parameters, wide", asUserParams, map[string]string{"layout": "wide"}, []string{"id", "ClientId", "crm_id"}, []any{"1", []string{visitor}, ""}, model.CauseMissingRequired},
		{"cost", asExpenses, nil, []string{"id", "Date", "UTMSource", "Expenses"}, []any{"1", model.Date("2026-07-01"), "vk", money(t, "1")}, ""},
		{"cost by source", asExpenses, nil, []string{"id", "Date", "TrafficSource", "Expenses"}, []any{"1", model.Date("2026-07-01"), "social", money(t, "1")}, ""},
		{"cost of nothing", asExpenses, nil, []string{"id", "Date", "UTMSource", "Expenses"}, []any{"1", model.Date("2026-07-01"), nil, money(t, "1")}, model.CauseMissingRequired},
		{"cost of Yandex Direct", asExpenses, nil, []string{"id", "Date", "UTMSource", "UTMMedium", "Expenses"}, []any{"1", model.Date("2026-07-01"), "Yandex", "CPC", money(t, "1")}, model.CauseDuplicate},
		{"cost of Yandex Direct all the same", asExpenses, map[string]string{"direct": "send"}, []string{"id", "Date", "UTMSource", "UTMMedium", "Expenses"}, []any{"1", model.Date("2026-07-01"), "yandex", "cpc", money(t, "1")}, ""},
		{"unknown source", asExpenses, nil, []string{"id", "Date", "TrafficSource", "Expenses"}, []any{"1", model.Date("2026-07-01"), "tv", money(t, "1")}, model.CauseBadValue},
		{"no day", asExpenses, nil, []string{"id", "Date", "UTMSource", "Expenses"}, []any{"1", model.Date("2026-02-30"), "vk", money(t, "1")}, model.CauseBadValue},
		{"negative cost", asExpenses, nil, []string{"id", "Date", "UTMSource", "Expenses"}, []any{"1", model.Date("2026-07-01"), "vk", money(t, "-1")}, model.CauseBadValue},
		{"event", asEvents, map[string]string{"target": "order"}, []string{"id", "cid", "et"}, []any{"1", []string{visitor}, at}, ""},
		{"old event", asEvents, map[string]string{"target": "order"}, []string{"id", "cid", "et"}, []any{"1", []string{visitor}, testStart.Add(-13 * time.Hour)}, model.CauseBadValue},
		{"event of no goal", asEvents, nil, []string{"id", "cid", "et"}, []any{"1", []string{visitor}, at}, model.CauseMissingRequired},
		{"event of nobody", asEvents, map[string]string{"target": "order"}, []string{"id", "cid", "et"}, []any{"1", nil, at}, model.CauseMissingRequired},
		{"pageview of no page", asEvents, map[string]string{"type": "pageview"}, []string{"id", "cid", "dl"}, []any{"1", []string{visitor}, "shop.example"}, model.CauseMissingRequired},
		{"broken params", asEvents, map[string]string{"target": "order"}, []string{"id", "cid", "params"}, []any{"1", []string{visitor}, "[1]"}, model.CauseBadValue},
	}
	for _, tt := range tests {
		t.Run(tt.as+"/"+tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "ms: secret\ntoken: "+testToken)
			if err := b.sandbox.AddTargets(counterID, "order"); err != nil {
				t.Fatal(err)
			}
			u := connectors.Upload{As: tt.as, Columns: columnsNamed(tt.as, tt.columns...), Options: tt.options}
			body, refused := encoded(t, b.Connector, u, tt.values)
			file, _ := io.ReadAll(body)
			if tt.cause == "" {
				if len(refused) > 0 {
					t.Fatal(refused[0])
				}
				return
			}
			err := refused[0]
			if err == nil || model.ClassOf(err) != model.ClassPermanent || model.CauseOf(err) != tt.cause {
				t.Fatalf("%v (%s, %s)", err, model.ClassOf(err), model.CauseOf(err))
			}
			if bytes.Count(file, []byte("\n")) > 1 {
				t.Errorf("the file holds the row: %q", file)
			}
			if strings.Contains(err.Error(), visitor) {
				t.Errorf("the message tells the value: %v", err)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, as string
		options  map[string]string
		mistakes []string
	}{
		{"none", asCalls, nil, nil},
		{"all of calls", asCalls, map[string]string{"phone": "masked", "static": "skip", "new_goal_name": "Звонок", "price": "5", "price_by": "a=1, b=2,50"}, []string{"options.price_by:"}},
		{"calls", asCalls, map[string]string{"phone": "masked", "static": "send", "new_goal_name": "Звонок", "price": "5", "price_by": "a=1, b=2.5"}, nil},
		{"phone", asCalls, map[string]string{"phone": "half"}, []string{"options.phone:"}},
		{"of another kind", asCalls, map[string]string{"provider": "x"}, []string{"options.provider:"}},
		{"name", asConversions, map[string]string{"target": "Заказ, оплата"}, []string{"options.target:", "map.Target"}},
		{"price", asConversions, map[string]string{"target": "a", "price": "-1"}, []string{"options.price:"}},
		{"provider", asExpenses, map[string]string{"provider": "", "replace": "maybe"}, []string{"options.provider:", "options.replace:", "map.UTMSource"}},
		{"two of parameters", asUserParams, map[string]string{"action": "drop", "layout": "tall"}, []string{"options.action:", "options.layout:"}},
		{"events without ms", asEvents, map[string]string{"type": "event", "in_doubt": "repeat"}, []string{"to:"}},
	}
	c, err := newConnector(yamlSettings("counter: 1\ntoken: a"), connectors.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		errs := c.CheckFlow(connectors.Upload{As: tt.as, Options: tt.options})
		if len(errs) != len(tt.mistakes) {
			t.Errorf("%s: %v", tt.name, errs)
			continue
		}
		for i, want := range tt.mistakes {
			if !strings.HasPrefix(errs[i].Error(), want) {
				t.Errorf("%s: %v", tt.name, errs[i])
			}
		}
	}
}

// No file is begun with a map or options that cannot be right.
func TestBadSheets(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for name, u := range map[string]connectors.Upload{
		"no target":         {As: asConversions, Columns: columnsNamed(asConversions, "id", "ClientId", "DateTime")},
		"no time":           {As: asCalls, Columns: columnsNamed(asCalls, "id", "ClientId")},
		"unknown option":    {As: asCalls, Columns: columnsNamed(asCalls, "id", "DateTime"), Options: map[string]string{"x": "y"}},
		"twice":             {As: asCalls, Columns: append(columnsNamed(asCalls, "id", "DateTime"), columnsNamed(asCalls, "DateTime")...)},
		"attribute":         {As: asCalls, Columns: append(columnsNamed(asCalls, "id", "DateTime"), model.Column{Name: "x", Attribute: true})},
		"name of attribute": {As: asUserParams, Columns: append(columnsNamed(asUserParams, "id", "ClientId"), model.Column{Name: "имя", Attribute: true})},
		"no source":         {As: asExpenses, Columns: columnsNamed(asExpenses, "id", "Date", "Expenses")},
		"no ms":             {As: asEvents, Columns: columnsNamed(asEvents, "id", "cid")},
		"another kind":      {As: "products"},
	} {
		if _, err := b.Encode(t.Context(), u, io.Discard); model.ClassOf(err) != model.ClassPermanent || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// User parameters of a file have one identifier; ClientID wins.
func TestGroupsOfUserParams(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{As: asUserParams, Columns: columnsNamed(asUserParams, "id", "ClientId", "UserId", "crm_id")}
	for want, values := range map[string][]any{
		"ClientId": {"1", []string{visitor}, "u1", "1"},
		"UserId":   {"2", nil, "u2", "2"},
		"":         {"3", nil, nil, "3"},
	} {
		if got := b.Group(u, &model.Row{Values: values}); got != want {
			t.Errorf("%v goes by %q", values, got)
		}
	}
	u.Group = "UserId"
	body, refused := encoded(t, b.Connector, u, []any{"2", nil, "u,2", "2"})
	got, _ := io.ReadAll(body)
	if len(refused) > 0 || string(got) != "UserId,Key,Value\n\"u,2\",crm_id,2\n" {
		t.Errorf("%q %v", got, refused)
	}
}

// Whatever texts records hold, the files stay readable and keep their rows.
func FuzzSheets(f *testing.F) {
	f.Add("Иван, \"x\"\n", "tag", "https://a.b/c", "79995551111", int64(1795210145))
	f.Add("\xff\x00", "\"", "http://[", "+7", int64(-1))
	f.Fuzz(func(t *testing.T, user, tag, address, phone string, at int64) {
		c, err := newConnector(yamlSettings("counter: 1\ntoken: a"), connectors.Deps{Now: func() time.Time { return testStart }})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		u := connectors.Upload{As: asCalls, Columns: columnsNamed(asCalls, "id", "UserId", "DateTime", "PhoneNumber", "Tag", "URL")}
		w, err := c.Encode(t.Context(), u, &file)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for _, p := range []any{phone, nil} {
			if w.Write(&model.Row{Values: []any{"1", user, time.Unix(at, 0), p, tag, address}}) == nil {
				rows++
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(bytes.NewReader(file.Bytes())).ReadAll()
		if err != nil || len(records) != rows+1 || bytes.Count(file.Bytes(), []byte("\n")) != rows+1 {
			t.Fatalf("%d rows: %v %q", rows, err, file.String())
		}
		header, err := readHeader(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.readFacts(header, bytes.NewReader(file.Bytes())); got.Rows != rows {
			t.Fatalf("%d rows are counted as %+v", rows, got)
		}
	})
}

func BenchmarkEncodeCalls(b *testing.B) {
	c, err := newConnector(yamlSettings("counter: 1\ntoken: a"), connectors.Deps{Now: func() time.Time { return testStart }})
	if err != nil {
		b.Fatal(err)
	}
	u := connectors.Upload{As: asCalls, Columns: columnsNamed(asCalls, "id", "ClientId", "DateTime", "StaticCall", "PhoneNumber", "TalkDuration", "HoldDuration", "CallMissed", "Tag", "FirstTimeCaller", "URL")}
	w, err := c.Encode(b.Context(), u, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	row := &model.Row{Values: []any{"1", []string{visitor}, testStart.Add(-time.Hour), false, "79995551111", int64(65), int64(7), false, "целевой", true, "https://shop.example/cart"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
