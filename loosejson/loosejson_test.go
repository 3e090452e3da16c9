package loosejson_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

func TestScalars(t *testing.T) {
	t.Parallel()
	text := func(s string) string { var v loosejson.Text; must(t, s, &v); return v.String() }
	integer := func(s string) string {
		var v loosejson.Int
		must(t, s, &v)
		return show(v.Set, v.Value, v.Raw, v.Err())
	}
	amount := func(s string) string {
		var v loosejson.Decimal
		must(t, s, &v)
		return show(v.Set, v.Decimal.Decimal, v.Raw, v.Err())
	}
	boolean := func(s string) string {
		var v loosejson.Bool
		must(t, s, &v)
		return show(v.Set, v.Value, v.Raw, v.Err())
	}
	moment := func(s string) string {
		var v loosejson.Time
		must(t, s, &v)
		return show(!v.IsZero(), v.Format(time.RFC3339Nano), v.Raw, v.Err())
	}
	for _, test := range []struct {
		name string
		read func(string) string
		json string
		want string // "" is absent; "!x" is kept as unreadable
	}{
		{"text", text, `"abc"`, "abc"},
		{"text with escapes", text, `"\u0418\n\"\ud83d\ude00"`, "И\n\"😀"},
		{"text from a number", text, `12.50`, "12.50"},
		{"text from a long number", text, `12345678901234567890`, "12345678901234567890"},
		{"text from a bool", text, `true`, "true"},
		{"text null", text, `null`, ""},
		{"text {}", text, `{ }`, ""},
		{"text []", text, `[]`, ""},
		{"text from an object", text, `{"a": 1}`, `{"a":1}`},

		{"int", integer, `42`, "42"},
		{"int text", integer, `" -42 "`, "-42"},
		{"int as 15.0", integer, `15.0`, "15"},
		{"int as 1e3", integer, `1e3`, "1000"},
		{"int true", integer, `true`, "1"},
		{"int false", integer, `false`, ""},
		{"int null", integer, `null`, ""},
		{"int empty", integer, `""`, ""},
		{"int {}", integer, `{}`, ""},
		{"int zero is not absent", integer, `"0"`, "0"},
		{"int fraction", integer, `1.5`, "!1.5"},
		{"int words", integer, `"many"`, "!many"},
		{"int too large", integer, `99999999999999999999`, "!99999999999999999999"},
		{"int exponent bomb", integer, `1e999999999`, "!1e999999999"},
		{"int list", integer, `[1]`, "![1]"},

		{"amount", amount, `1234.50`, "1234.5"},
		{"amount text", amount, `"1 234,50"`, "1234.5"},
		{"amount with float noise", amount, `1234.5600000000001`, "1234.56"},
		{"amount zero is not absent", amount, `0`, "0"},
		{"amount null", amount, `null`, ""},
		{"amount empty", amount, `""`, ""},
		{"amount false", amount, `false`, ""},
		{"amount with currency", amount, `"100|RUB"`, "!100|RUB"},
		{"amount too exact as text", amount, `"0.1234567890123456"`, "!0.1234567890123456"},
		{"amount bomb", amount, `1e-999999999`, "!1e-999999999"},
		{"amount object", amount, `{"v":1}`, `!{"v":1}`},

		{"bool", boolean, `true`, "true"},
		{"bool Y", boolean, `"Y"`, "true"},
		{"bool N", boolean, `"N"`, "false"},
		{"bool 1", boolean, `1`, "true"},
		{"bool 0", boolean, `0`, "false"},
		{"bool text 1", boolean, `"1"`, "true"},
		{"bool text true", boolean, `"TRUE"`, "true"},
		{"bool null", boolean, `null`, ""},
		{"bool empty", boolean, `""`, ""},
		{"bool unclear", boolean, `"maybe"`, "!maybe"},

		{"time with offset", moment, `"2024-08-30T14:29:00+02:00"`, "2024-08-30T12:29:00Z"},
		{"time UTC with fraction", moment, `"2024-08-30T14:29:00.25Z"`, "2024-08-30T14:29:00.25Z"},
		{"time with plain offset", moment, `"2024-08-30 14:29:00+0300"`, "2024-08-30T11:29:00Z"},
		{"time unix", moment, `1709609319`, "2024-03-05T03:28:39Z"},
		{"time unix text", moment, `"1709609319"`, "2024-03-05T03:28:39Z"},
		{"time unix with fraction", moment, `1725020945.541275`, "2024-08-30T12:29:05Z"},
		{"time in milliseconds", moment, `1709609319123`, "2024-03-05T03:28:39.123Z"},
		{"time before 1970", moment, `-86400`, "1969-12-31T00:00:00Z"},
		{"time null", moment, `null`, ""},
		{"time empty", moment, `""`, ""},
		{"time {}", moment, `{}`, ""},
		{"time 0", moment, `0`, ""},
		{"time of zeros", moment, `"0000-00-00 00:00:00"`, ""},
		{"time without offset", moment, `"2024-08-30 14:29:00"`, "!2024-08-30 14:29:00"},
		{"time impossible", moment, `"2024-02-30T00:00:00Z"`, "!2024-02-30T00:00:00Z"},
		{"time of the year 10000", moment, `"9999-12-31T23:59:59-23:59"`, "!9999-12-31T23:59:59-23:59"},
		{"time far off", moment, `999999999999999`, "!999999999999999"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := test.read(test.json); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func must(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

func show(set bool, value any, raw string, err error) string {
	switch {
	case (raw != "") != (err != nil) || err != nil && (model.CauseOf(err) != model.CauseBadValue || strings.Contains(err.Error(), raw)):
		return fmt.Sprintf("raw %q but error %v", raw, err)
	case raw != "":
		return "!" + raw
	case set:
		return fmt.Sprint(value)
	}
	return ""
}

func TestParseTimeInAZone(t *testing.T) {
	t.Parallel()
	moscow := time.FixedZone("MSK", 3*3600)
	for text, want := range map[string]string{
		"2020-10-20 11:40":          "2020-10-20T08:40:00Z",
		"2020-10-20 11:40:05":       "2020-10-20T08:40:05Z",
		"2020-10-20T11:40:05.5":     "2020-10-20T08:40:05.5Z",
		"2020-10-20":                "2020-10-19T21:00:00Z",
		"20.10.2020":                "2020-10-19T21:00:00Z",
		"20.10.2020 11:40":          "2020-10-20T08:40:00Z",
		"2020-10-20T11:40:00+05:00": "2020-10-20T06:40:00Z",
	} {
		got, err := loosejson.ParseTime(text, moscow)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %s, %v", text, got.Format(time.RFC3339Nano), err)
		}
	}
}

func TestContainers(t *testing.T) {
	t.Parallel()
	dict := func(s string) (any, error) {
		var v loosejson.Map[loosejson.Int]
		err := json.Unmarshal([]byte(s), &v)
		plain := map[string]int64{}
		for k, i := range v {
			plain[k] = i.Value
		}
		return plain, err
	}
	list := func(s string) (any, error) {
		var v loosejson.List[loosejson.Text]
		err := json.Unmarshal([]byte(s), &v)
		return []loosejson.Text(v), err
	}
	for _, test := range []struct {
		name string
		read func(string) (any, error)
		json string
		want string // "error" when the shape is wrong
	}{
		{"map", dict, `{"a":1,"b":"2"}`, "map[a:1 b:2]"},
		{"map []", dict, `[ ]`, "map[]"},
		{"map null", dict, `null`, "map[]"},
		{"map empty text", dict, `""`, "map[]"},
		{"map false", dict, `false`, "map[]"},
		{"map from a list", dict, `[5,6]`, "map[0:5 1:6]"},
		{"map from text", dict, `"x"`, "error"},
		{"list", list, `["a",2]`, "[a 2]"},
		{"list null", list, `null`, "[]"},
		{"list {}", list, `{}`, "[]"},
		{"list false", list, `false`, "[]"},
		{"list as object", list, `{"10":"c","9":"b","1":"a"}`, "[a b c]"},
		{"list as object with names", list, `{"a":"x"}`, "error"},
		{"list as object with odd numbers", list, `{"01":"x"}`, "error"},
		{"list from a number", list, `5`, "error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v, err := test.read(test.json)
			got := fmt.Sprint(v)
			if err != nil {
				got = "error"
			}
			if got != test.want {
				t.Errorf("got %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

// Odd values do not take the row down, odd rows not the page.
func TestOneBadValue(t *testing.T) {
	t.Parallel()
	type row struct {
		ID    loosejson.Text    `json:"id"`
		Price loosejson.Decimal `json:"price"`
		At    loosejson.Time    `json:"at"`
	}
	var page struct {
		Items loosejson.List[json.RawMessage] `json:"items"`
	}
	if err := loosejson.Unmarshal([]byte(`{"items":[{"id":1,"price":"free","at":false},{"id":[],"price":[1]},7]}`), &page); err != nil {
		t.Fatal(err)
	}
	var good []row
	for _, item := range page.Items {
		var r row
		if loosejson.Unmarshal(item, &r) == nil {
			good = append(good, r)
		}
	}
	if len(good) != 2 || good[0].ID != "1" || good[0].Price.Raw != "free" || good[1].Price.Err() == nil {
		t.Errorf("got %+v", good)
	}
}

func TestRealAnswers(t *testing.T) {
	t.Parallel()
	var amo struct {
		Embedded struct {
			Leads loosejson.List[struct {
				ID       loosejson.Text                  `json:"id"`
				Price    loosejson.Decimal               `json:"price"`
				Created  loosejson.Time                  `json:"created_at"`
				Closed   loosejson.Time                  `json:"closed_at"`
				Deleted  loosejson.Bool                  `json:"is_deleted"`
				Custom   loosejson.List[json.RawMessage] `json:"custom_fields_values"`
				Embedded loosejson.Map[json.RawMessage]  `json:"_embedded"`
			}] `json:"leads"`
		} `json:"_embedded"`
	}
	read(t, "testdata/api-leads-list-page1-real.json", &amo)
	lead := amo.Embedded.Leads[0]
	if lead.ID != "4214965" || lead.Price.String() != "10000" || lead.Created.Unix() != 1709609319 || !lead.Closed.IsZero() ||
		!lead.Deleted.Set || lead.Deleted.Value || lead.Custom != nil || len(lead.Embedded) != 2 {
		t.Errorf("lead is %+v", lead)
	}
	var b24 struct {
		Result struct {
			ID      loosejson.Int     `json:"ID"`
			Amount  loosejson.Decimal `json:"OPPORTUNITY"`
			Manual  loosejson.Bool    `json:"IS_MANUAL_OPPORTUNITY"`
			Closed  loosejson.Bool    `json:"CLOSED"`
			Lead    loosejson.Int     `json:"LEAD_ID"`
			Created loosejson.Time    `json:"DATE_CREATE"`
		} `json:"result"`
	}
	read(t, "testdata/rest-crm-deal-get-doc.json", &b24)
	deal := b24.Result
	if deal.ID.Value != 410 || deal.Amount.String() != "1000000" || !deal.Manual.Value || deal.Closed.Value || deal.Lead.Set ||
		deal.Created.Format(time.RFC3339) != "2024-08-30T12:29:00Z" {
		t.Errorf("deal is %+v", deal)
	}
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := loosejson.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func TestMarshal(t *testing.T) {
	t.Parallel()
	var v struct {
		A, B loosejson.Int
		C, D loosejson.Bool
		E    loosejson.Decimal
		F    loosejson.Text
	}
	must(t, `{"A":"5","B":null,"C":"Y","D":"","E":"1,5","F":7}`, &v)
	got, err := json.Marshal(v)
	if want := `{"A":5,"B":null,"C":true,"D":null,"E":"1.5","F":"7"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	type row struct {
		ID string `json:"id"`
	}
	for _, test := range []struct {
		name  string
		data  string
		cause model.Cause
		want  string
	}{
		{"byte order mark", "\xef\xbb\xbf{\"id\":\"1\"}", "", ""},
		{"64 levels", strings.Repeat("[", 64) + strings.Repeat("]", 64), model.CauseBadPayload, "another type"},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), model.CauseTooLarge, "deeper than 64"},
		{"brackets in text", `{"id":"` + strings.Repeat("[", 100) + `\"{\\"}`, "", ""},
		{"empty", "", model.CauseBadPayload, "byte 0"},
		{"a page", "<html>79001234567", model.CauseBadPayload, "not JSON at byte 1"},
		{"cut", `{"id":"79001234567`, model.CauseBadPayload, "not JSON"},
		{"another type", `{"id":79001234567}`, model.CauseBadPayload, `field "id"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var r row
			err := loosejson.Unmarshal([]byte(test.data), &r)
			if test.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || model.CauseOf(err) != test.cause || model.ClassOf(err) != model.ClassPermanent || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "7900") {
				t.Errorf("got %v", err)
			}
		})
	}
	if loosejson.CheckSize([]byte("123"), 3) != nil || model.CauseOf(loosejson.CheckSize([]byte("1234"), 3)) != model.CauseTooLarge {
		t.Error("size")
	}
}

type everything struct {
	Text    loosejson.Text
	Int     loosejson.Int
	Decimal loosejson.Decimal
	Bool    loosejson.Bool
	Time    loosejson.Time
	Map     loosejson.Map[loosejson.Text]
	List    loosejson.List[loosejson.Map[loosejson.Decimal]]
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"Text":1,"Int":"2","Decimal":"3,5","Bool":"Y","Time":1709609319,"Map":[],"List":{"1":{"a":1e5}}}`))
	f.Add([]byte(`{"Text":{},"Int":[],"Decimal":true,"Bool":null,"Time":"2024-08-30T14:29:00+02:00","Map":{"a":null},"List":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v everything
		if loosejson.Unmarshal(data, &v) == nil {
			if _, err := json.Marshal(v.Int); err != nil {
				t.Error(err)
			}
		}
	})
}

// Values as such: every valid one is read, broken ones do not panic.
func FuzzValue(f *testing.F) {
	for _, s := range []string{`"x"`, `1e9`, `{}`, `[1]`, `null`, `"`, `"\`, `"\ud800"`, `-`, "\"\xff\"", `"0000-00-00"`, `"9999-12-31T23:59:59-23:59"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v everything
		for _, read := range []func([]byte) error{
			v.Text.UnmarshalJSON, v.Int.UnmarshalJSON, v.Decimal.UnmarshalJSON, v.Bool.UnmarshalJSON, v.Time.UnmarshalJSON,
		} {
			if err := read(data); err != nil {
				t.Errorf("%q: %v", data, err)
			}
		}
		v.Map.UnmarshalJSON(data)
		v.List.UnmarshalJSON(data)
		if v.Decimal.Set && v.Decimal.Raw != "" || v.Int.Set && v.Int.Raw != "" {
			t.Errorf("%q is read and not read", data)
		}
	})
}
