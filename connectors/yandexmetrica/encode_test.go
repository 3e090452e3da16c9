package yandexmetrica

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

var made = time.Date(2026, 11, 20, 21, 30, 5, 0, time.UTC) // 00:30:05 of the next day in Moscow

func TestEncodeContacts(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{As: "contacts", Mode: "SAVE", Columns: append(
		columnsNamed("contacts", "phones", "uniq_id", "name", "birth_date", "create_date_time", "client_ids", "user_ids", "emails", "emails_md5", "user_comment"),
		model.Column{Name: "age", Type: model.TypeDecimal, Attribute: true},
		model.Column{Name: "tags", Type: model.TypeTexts, Attribute: true},
	)}
	body, refused := encoded(t, b.Connector, u,
		[]any{[]string{"79995551111", "78005553535"}, "b24:1", "Иван \"Ваня\" Петров, мл.", model.Date("1985-03-02"), made, []string{"133591247640966458"}, []string{"u-1"}, []string{"mail@yandex.ru", "mail2@example.com"}, []string{"3c56ff8fef0f6c65b36b2d25720fe276"}, "line one\r\nline two", money(t, "40.50"), []string{"vip", "опт"}},
		[]any{nil, " 2 ", "", model.Date("1969-12-31"), time.Time{}, []string{"", " "}, nil, nil, nil, "bad \xff byte\x00", model.Decimal{}, nil},
		[]any{[]string{"79995551111", "79995551111"}, "3", "=cmd", model.Date(""), made.Add(-time.Hour), nil, nil, nil, nil, nil, money(t, "-1000000000000000.000001"), []string{"one"}},
	)
	if len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
	got, _ := io.ReadAll(body)
	golden(t, "contacts.golden.csv", got)
}

func TestEncodeOrders(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{As: "orders", Mode: "SAVE", ClientType: "COMPANY",
		Columns: columnsNamed("orders", "id", "client_uniq_id", "create_date_time", "update_date_time", "finish_date_time", "order_status", "revenue", "cost", "currency", "products", "goals", "user_comment")}
	products := []model.Product{
		{ID: "pear", Quantity: money(t, "10")}, {Name: "Яблоко: зелёное, 1 кг"}, {ID: "pear", Quantity: money(t, "0.5")},
		{ID: "gift", Quantity: money(t, "0")}, {},
	}
	body, refused := encoded(t, b.Connector, u,
		[]any{"704", "J3QQ4", made, made, nil, "001", money(t, "5000.00"), money(t, "4000"), "RUB", products, []model.GoalHit{{ID: "goal_id1", Price: money(t, "123.5")}, {ID: "goal_id2"}}, "a;b"},
		[]any{"706", "ZYX4", made, nil, made, "PAID", money(t, "1e3"), nil, nil, nil, nil, nil},
	)
	if len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
	got, _ := io.ReadAll(body)
	golden(t, "orders.golden.csv", got)
}

func TestEncodeSimpleOrders(t *testing.T) {
	t.Parallel()
	b := newBench(t, "time_zone: Asia/Yekaterinburg\ntoken: "+testToken)
	u := connectors.Upload{As: "simple_orders",
		Columns: columnsNamed("simple_orders", "id", "create_date_time", "client_uniq_id", "client_ids", "emails", "phones", "phones_md5", "order_status", "revenue", "cost", "goals", "currency")}
	body, refused := encoded(t, b.Connector, u,
		[]any{"s_ord1", made, "s_user1", nil, []string{"mail@example.com", "mail2@example.com"}, nil, nil, "PAID", money(t, "200"), money(t, "150"), []model.GoalHit{{ID: "oplata_cash", Price: money(t, "200")}, {ID: "filial_1"}}, nil},
		[]any{"s_ord2", made, nil, "12345", []string{"mail3@example.com"}, nil, nil, "IN_PROGRESS", nil, money(t, "150"), nil, "EUR"},
		[]any{"s_ord3", made, nil, nil, nil, nil, []string{"f09f2c3d48f31e2a802944ade2e5aec5"}, "plohoy_lead", nil, nil, nil, nil},
	)
	if len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
	got, _ := io.ReadAll(body)
	golden(t, "simple_orders.golden.csv", got)
}

// A row that Metrica would refuse stays behind with a cause; the others go.
func TestRefusedRows(t *testing.T) {
	t.Parallel()
	const mail = "Private.Person@example.com"
	tests := []struct {
		name  string
		as    string
		param string
		value any
		cause model.Cause
	}{
		{"no id", "contacts", "uniq_id", " ", model.CauseMissingRequired},
		{"upper-case mail", "contacts", "emails", []string{mail}, model.CauseBadValue},
		{"mail without domain", "contacts", "emails", []string{"a@b"}, model.CauseBadValue},
		{"mail with two at", "contacts", "emails", []string{"a@b@c.ru"}, model.CauseBadValue},
		{"Cyrillic mail", "contacts", "emails", []string{"почта@пример.рф"}, model.CauseBadValue},
		{"phone with plus", "contacts", "phones", []string{"+79995551111"}, model.CauseBadValue},
		{"short phone", "contacts", "phones", []string{"123456789"}, model.CauseBadValue},
		{"long phone", "contacts", "phones", []string{"1234567890123456"}, model.CauseBadValue},
		{"md5 in capitals", "contacts", "emails_md5", []string{"3C56FF8FEF0F6C65B36B2D25720FE276"}, model.CauseBadValue},
		{"ClientID beyond 64 bits", "contacts", "client_ids", []string{"99999999999999999999"}, model.CauseBadValue},
		{"ClientID with letters", "contacts", "client_ids", []string{"GA1.2"}, model.CauseBadValue},
		{"comma in a user id", "contacts", "user_ids", []string{"a,b"}, model.CauseBadValue},
		{"day that does not exist", "contacts", "birth_date", model.Date("2025-02-30"), model.CauseBadValue},
		{"before 1970", "contacts", "create_date_time", time.Date(1969, 12, 31, 20, 0, 0, 0, time.UTC), model.CauseBadValue},
		{"unknown Go type", "contacts", "name", struct{}{}, model.CauseInternal},
		{"huge row", "contacts", "user_comment", strings.Repeat("x", maxRowBytes), model.CauseTooLarge},
		{"no client", "orders", "client_uniq_id", nil, model.CauseMissingRequired},
		{"no status", "orders", "order_status", "", model.CauseMissingRequired},
		{"status with a space", "orders", "order_status", "in work", model.CauseBadValue},
		{"Cyrillic status", "orders", "order_status", "оплачен", model.CauseBadValue},
		{"CANCELED", "orders", "order_status", "CANCELED", model.CauseBadValue},
		{"currency in small letters", "orders", "currency", "rub", model.CauseCurrency},
		{"currency by sign", "orders", "currency", "₽", model.CauseCurrency},
		{"goal with a colon", "orders", "goals", []model.GoalHit{{ID: "a:b"}}, model.CauseBadValue},
		{"goal without id", "orders", "goals", []model.GoalHit{{}}, model.CauseBadValue},
		{"CANCELED in simple orders", "simple_orders", "order_status", "CANCELED", model.CauseBadValue},
		{"empty status means paid", "simple_orders", "order_status", nil, model.CauseMissingRequired},
		{"nobody to link to", "simple_orders", "phones", nil, model.CauseNoIdentifier},
		{"order without a date", "simple_orders", "create_date_time", nil, model.CauseMissingRequired},
	}
	b := newBench(t, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := goodRow(t, tt.as)
			u := connectors.Upload{As: tt.as}
			var right, wrong []any
			schema, _ := schemaOf(tt.as)
			for _, p := range schema.Parameters {
				if v, ok := good[p.Name]; ok || p.Name == tt.param {
					u.Columns = append(u.Columns, model.Column{Name: p.Name, Type: p.Type})
					right = append(right, v)
					if p.Name == tt.param {
						v = tt.value
					}
					wrong = append(wrong, v)
				}
			}
			body, refused := encoded(t, b.Connector, u, right, wrong, right)
			err := refused[1]
			if len(refused) != 1 || model.ClassOf(err) != model.ClassPermanent || model.CauseOf(err) != tt.cause {
				t.Fatalf("refused %v (cause %s), want %s", refused, model.CauseOf(err), tt.cause)
			}
			if strings.Contains(err.Error(), "Private") || strings.Contains(err.Error(), "99955") {
				t.Errorf("the message tells the value: %v", err)
			}
			text, _ := io.ReadAll(body)
			lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
			if len(lines) != 3 || !bytes.Equal(lines[1], lines[2]) {
				t.Errorf("the refused row left traces:\n%s", text)
			}
		})
	}
}

func goodRow(t testing.TB, as string) map[string]any {
	switch as {
	case "contacts":
		return map[string]any{"uniq_id": "1", "name": "N", "phones": []string{"79995551111"}}
	case "orders":
		return map[string]any{"id": "1", "client_uniq_id": "c", "create_date_time": made, "order_status": "PAID", "revenue": money(t, "1.5")}
	}
	return map[string]any{"id": "1", "create_date_time": made, "phones": []string{"79995551111"}, "order_status": "PAID"}
}

// Under UPDATE a file holds only the columns that its rows fill (§15.1).
func TestGroupsOfFilledColumns(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{As: "contacts", Mode: "UPDATE", Columns: columnsNamed("contacts", "uniq_id", "name", "birth_date", "emails", "phones")}
	withMail := []any{"1", "N", nil, []string{"a@b.ru"}, nil}
	old := []any{"2", "N", model.Date("1950-01-01"), []string{"c@d.ru"}, []string{" "}}
	withPhone := []any{"3", nil, nil, nil, []string{"79995551111"}}
	groups := make([]string, 0, 3)
	for _, v := range [][]any{withMail, old, withPhone} {
		groups = append(groups, b.Group(u, &model.Row{Values: v}))
	}
	if groups[0] != groups[1] || groups[0] == groups[2] {
		t.Fatalf("groups %q", groups)
	}
	for _, given := range []string{"", groups[0]} {
		u.Group = given
		body, refused := encoded(t, b.Connector, u, withMail, old)
		text, _ := io.ReadAll(body)
		if want := "uniq_id,name,emails\n1,N,a@b.ru\n2,N,c@d.ru\n"; string(text) != want || len(refused) > 0 {
			t.Errorf("file %q, refused %v", text, refused)
		}
	}
	w, err := b.Encode(t.Context(), u, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&model.Row{Values: withPhone}); err == nil || model.ClassOf(err) == model.ClassPermanent {
		t.Errorf("a row of another group: %v", err)
	}
	u.Mode = "SAVE"
	if g := b.Group(u, &model.Row{Values: withPhone}); g != "" {
		t.Errorf("SAVE groups by %q", g)
	}
}

// A row without a required parameter is refused in every mode (§5.2).
func TestRequiredUnderUpdate(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{As: "orders", Mode: "UPDATE", Columns: columnsNamed("orders", "id", "client_uniq_id", "create_date_time", "order_status", "revenue")}
	row := []any{"1", nil, made, "PAID", money(t, "5")}
	u.Group = b.Group(u, &model.Row{Values: row})
	body, refused := encoded(t, b.Connector, u, row)
	text, _ := io.ReadAll(body)
	if model.CauseOf(refused[0]) != model.CauseMissingRequired || string(text) != "id,client_uniq_id,client_type,create_date_time,order_status,revenue\n" {
		t.Errorf("%q %v", text, refused)
	}
}

func TestEncodeRefusesUploads(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	required := columnsNamed("orders", "id", "client_uniq_id", "create_date_time", "order_status")
	tests := []struct {
		name string
		u    connectors.Upload
	}{
		{"unknown kind", connectors.Upload{As: "visits"}},
		{"unknown mode", connectors.Upload{As: "orders", Mode: "REPLACE", Columns: required}},
		{"required parameter without a source", connectors.Upload{As: "orders", Columns: required[:3]}},
		{"simple orders without a status", connectors.Upload{As: "simple_orders", Columns: columnsNamed("simple_orders", "id", "create_date_time", "phones")}},
		{"unknown parameter", connectors.Upload{As: "orders", Columns: append(required[:4:4], model.Column{Name: "sum"})}},
		{"twice", connectors.Upload{As: "orders", Columns: append(required[:4:4], required[0])}},
		{"attribute with a Cyrillic name", connectors.Upload{As: "orders", Columns: append(required[:4:4], model.Column{Name: "возраст", Attribute: true})}},
		{"attribute of simple orders", connectors.Upload{As: "simple_orders", Columns: append(columnsNamed("simple_orders", "id", "create_date_time", "order_status"), model.Column{Name: "a", Attribute: true})}},
		{"client type", connectors.Upload{As: "orders", ClientType: "PERSON", Columns: required}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := b.Encode(t.Context(), tt.u, io.Discard); model.ClassOf(err) != model.ClassPermanent {
				t.Errorf("got %v", err)
			}
		})
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestEncodeStopsWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	w, err := b.Encode(t.Context(), connectors.Upload{As: "contacts", Columns: columnsNamed("contacts", "uniq_id", "name")}, failingWriter{})
	if err != nil {
		t.Fatal(err)
	}
	row := &model.Row{Values: []any{"1", strings.Repeat("x", 1000)}}
	for range 200 {
		if err = w.Write(row); err != nil {
			break
		}
	}
	if err == nil || model.ClassOf(err) == model.ClassPermanent {
		t.Errorf("writing went on: %v", err)
	}
	if w.Close() == nil {
		t.Error("closing hides the failure")
	}
}

// Whatever texts a CRM holds, the file stays readable and keeps them.
func FuzzCells(f *testing.F) {
	f.Add("Иван, \"x\"\n", "a,b", "mail@yandex.ru", "79995551111")
	f.Add("\xff\x00", "", "@", "+7")
	f.Add("=1+1", "\"", "a@b.c", "0000000000")
	zone := time.UTC
	f.Fuzz(func(t *testing.T, name, id, mail, phone string) {
		columns, err := columnsOf(connectors.Upload{As: "contacts", Columns: columnsNamed("contacts", "uniq_id", "name", "user_ids", "emails", "phones")})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		w := &rowWriter{output: newOutput("contacts", &file), all: columns, cell: cell{zone: zone}}
		w.begin(columns)
		rows := 0
		for _, values := range [][]any{
			{id, name, []string{id, name}, []string{mail}, []string{phone, phone}},
			{"x" + id, name, nil, nil, nil},
		} {
			if w.Write(&model.Row{Values: values}) == nil {
				rows++
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(file.Bytes(), []byte("\n")); n != rows+1 {
			t.Fatalf("%d rows make %d lines: %q", rows, n, file.String())
		}
		records, err := csv.NewReader(bytes.NewReader(file.Bytes())).ReadAll()
		if err != nil {
			t.Fatalf("%v: %q", err, file.String())
		}
		if len(records) != rows+1 {
			t.Fatalf("%d records of %d rows: %q", len(records), rows, file.String())
		}
		for _, r := range records[1:] {
			if p := r[4]; p != "" && !phoneLike(p) {
				t.Fatalf("phone %q", p)
			}
		}
	})
}

func FuzzAppendDecimal(f *testing.F) {
	f.Add("0.10")
	f.Add("-1000000000000000.000001")
	f.Add("1e3")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := model.ParseDecimal(text)
		if err != nil || !d.Set {
			return
		}
		got := string(appendDecimal(nil, d.Decimal))
		back, err := model.ParseDecimal(got)
		if err != nil || !back.Equal(d.Decimal) || strings.ContainsAny(got, "eE, ") {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
	})
}

func BenchmarkEncodeOrders(b *testing.B) {
	u := connectors.Upload{As: "orders", Columns: columnsNamed("orders", "id", "client_uniq_id", "create_date_time", "update_date_time", "finish_date_time", "order_status", "revenue", "cost", "currency", "products")}
	row := &model.Row{Values: []any{"b24:704123", "b24:51234", made, made.Add(time.Hour), made.Add(2 * time.Hour), "003", money(b, "15000.50"), money(b, "4000"), "RUB",
		[]model.Product{{ID: "pear", Quantity: money(b, "10")}, {ID: "apple", Quantity: money(b, "2")}}}}
	benchmarkEncode(b, u, row)
}

func BenchmarkEncodeContacts(b *testing.B) {
	u := connectors.Upload{As: "contacts", Columns: columnsNamed("contacts", "uniq_id", "name", "birth_date", "create_date_time", "update_date_time", "client_ids", "emails", "phones")}
	row := &model.Row{Values: []any{"b24:51234", "Иванов Иван Иванович", model.Date("1985-03-02"), made, made, []string{"1665742342123456789"}, []string{"ivanov@example.com"}, []string{"79995551111", "78005553535"}}}
	benchmarkEncode(b, u, row)
}

func benchmarkEncode(b *testing.B, u connectors.Upload, row *model.Row) {
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		b.Fatal(err)
	}
	columns, err := columnsOf(u)
	if err != nil {
		b.Fatal(err)
	}
	w := &rowWriter{output: newOutput(u.As, io.Discard), all: columns, cell: cell{zone: zone}}
	w.begin(columns)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(row); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func ExampleType() {
	for _, s := range Type().Schemas {
		fmt.Println(s.As, s.Key)
	}
	// Output:
	// contacts uniq_id
	// orders id
	// simple_orders id
	// conversions id
	// calls id
	// chats id
	// user_params id
	// expenses id
	// events id
}
