package callkeeper

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

// The pages of the list, as records.
func TestListSamples(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ckct_v3_calls_response.json", "calls-for-filters.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := offline(t, "")
			var rows []json.RawMessage
			if err := json.Unmarshal(sample(t, name), &rows); err != nil {
				t.Fatal(err)
			}
			var out []model.Record
			for _, raw := range rows {
				call, err := c.listed(raw)
				if err != nil {
					t.Fatal(err)
				}
				if call != nil {
					out = append(out, call)
				}
			}
			golden(t, name, connectortest.Show(out...))
		})
	}
}

func TestListed(t *testing.T) {
	t.Parallel()
	const base = `"universalId":"17","callTime":"2026-03-02 08:00:00","clientNumber":"79000000001"`
	for _, tt := range []struct {
		name     string
		settings string
		raw      string
		check    func(*model.Call) bool
	}{
		{"tracking call", "", `{` + base + `,"serviceType":"calltracking","statusFirst":200,"statusSecond":200,"status":"success","duration":31}`,
			func(c *model.Call) bool {
				return c.ID == "17" && c.Direction == "in" && c.CallKind == "static" && !c.Missed && c.TalkDuration == 31 &&
					c.StatusID == "200/200" && c.Fields.Text("goal") == "calltracking_call_order" && c.Phone == "79000000001"
			}},
		{"with a ClientID it is dynamic", "", `{` + base + `,"serviceType":"calltracking","yaClid":"1543925000123456789"}`,
			func(c *model.Call) bool { return c.CallKind == "dynamic" && c.ClientID == "1543925000123456789" }},
		{"what is no ClientID stays a field", "", `{` + base + `,"serviceType":"calltracking","yaClid":"none"}`,
			func(c *model.Call) bool {
				return c.CallKind == "static" && c.ClientID == "" && c.Fields.Text("yaClid") == "none"
			}},
		{"call-back", "", `{` + base + `,"serviceType":"callback","cbCallId":12345,"status":"success"}`,
			func(c *model.Call) bool {
				return c.ID == "cb-12345" && c.Direction == "out" && c.CallKind == "callback" && c.Fields.Text("goal") == "call"
			}},
		{"call-back by the list's own id", "callback_id: universal", `{` + base + `,"serviceType":"callback","cbCallId":12345}`,
			func(c *model.Call) bool { return c.ID == "17" }},
		{"imported call", "", `{` + base + `,"serviceType":"import"}`,
			func(c *model.Call) bool { return c.Direction == "" && c.CallKind == "static" }},
		{"missed", "", `{` + base + `,"statusFirst":200,"statusSecond":486,"status":"fail"}`,
			func(c *model.Call) bool {
				return c.Missed && c.StatusID == "200/486" && c.Fields.Text("status") == "fail"
			}},
		{"status only in codes", "", `{` + base + `,"statusFirst":"200","statusSecond":"200"}`,
			func(c *model.Call) bool { return !c.Missed && c.Fields.Text("status") == "success" }},
		{"only 200/200 took place", "", `{` + base + `,"statusFirst":101,"statusSecond":200}`,
			func(c *model.Call) bool { return c.Missed }},
		{"unfinished", "", `{` + base + `,"statusFirst":1,"statusSecond":0,"status":"fail"}`,
			func(c *model.Call) bool { return c == nil }},
		{"scheduled", "", `{` + base + `,"statusFirst":2,"statusSecond":0}`, func(c *model.Call) bool { return c == nil }},
		{"unfinished and wanted", "unfinished: keep", `{` + base + `,"statusFirst":1,"statusSecond":0,"status":"fail"}`,
			func(c *model.Call) bool { return !c.Missed && c.StatusID == "1/0" && c.Fields.Text("status") == "" }},
		{"automatic tags", "", `{` + base + `,"unique":true,"target":false,"uniqueTarget":"false"}`,
			func(c *model.Call) bool {
				return c.First && c.Fields.Text("unique") == "true" && c.Fields.Text("target") == "false" && c.Fields.Text("uniqueTarget") == "false"
			}},
		{"tags as a list", "", `{` + base + `,"tags":["a"," b ","a",""]}`, func(c *model.Call) bool { return strings.Join(c.Tags, "|") == "a|b" }},
		{"tags as text", "", `{` + base + `,"tags":"a, b"}`, func(c *model.Call) bool { return strings.Join(c.Tags, "|") == "a|b" }},
		{"a blank is no tag", "", `{` + base + `,"tags":" "}`, func(c *model.Call) bool { return c.Tags == nil && c.Fields["tags"] == nil }},
		{"times are UTC", "", `{` + base + `}`, func(c *model.Call) bool { return c.StartedAt.Equal(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)) }},
		{"or of the zone that is set", "timezone: Europe/Moscow", `{` + base + `}`,
			func(c *model.Call) bool { return c.StartedAt.Equal(time.Date(2026, 3, 2, 5, 0, 0, 0, time.UTC)) }},
		{"impossible time", "", `{"universalId":"17","callTime":"yesterday"}`,
			func(c *model.Call) bool { return c.StartedAt.IsZero() && c.Fields.Text("callTime") == "yesterday" }},
		{"impossible phone and duration", "", `{"universalId":"17","clientNumber":"hidden","duration":"long"}`,
			func(c *model.Call) bool {
				return c.Phone == "" && c.TalkDuration == 0 && c.Fields.Text("clientNumber") == "hidden"
			}},
		{"click ids of the landing page", "", `{` + base + `,"entryPointQuery":"https://a.ru/?utm_source=x&yclid=55&gclid=Cj0-_x#top"}`,
			func(c *model.Call) bool { return c.YCLID == "55" && c.GCLID == "Cj0-_x" }},
		{"click ids of a bare query", "", `{` + base + `,"entryPointQuery":"yclid=56&b=%zz"}`, func(c *model.Call) bool { return c.YCLID == "56" }},
		{"utm without a value", "", `{` + base + `,"utm_source":"yandex","utm_medium":"(none)"}`,
			func(c *model.Call) bool { return c.UTM == model.UTM{Source: "yandex"} }},
		{"both names of the visited site", "", `{` + base + `,"siteVisit":"a.ru","visitSite":"b.ru"}`,
			func(c *model.Call) bool {
				return c.Fields.Text("siteVisit") == "a.ru" && c.Fields.Text("visitSite") == "b.ru"
			}},
		{"addresses of hooks are not kept", "", `{` + base + `,"page":3,"hooks":[{"hookAddress":"https://hub.ru/hooks/s/c/secret"}]}`,
			func(c *model.Call) bool { return c.Fields["hooks"] == nil && c.Fields["page"] == nil }},
		{"zeros of the other service", "", `{` + base + `,"serviceType":"calltracking","cbCallId":0,"cbOfficeNumber":"0","ctIsListened":"0"}`,
			func(c *model.Call) bool { return c.Fields["cbCallId"] == nil && c.Fields.Text("ctIsListened") == "0" }},
		{"ids beyond 2^53", "", `{"universalId":23423423434434234123}`, func(c *model.Call) bool { return c.ID == "23423423434434234123" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			call, err := offline(t, tt.settings).listed(json.RawMessage(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(call) {
				t.Errorf("got %+v", call)
			}
		})
	}
}

func TestListedRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`[]`, `null`, `{}`, `"x"`, `{"universalId":""}`, `{"universalId":"a b"}`, `{"universalId":{"a":1}}`} {
		if call, err := offline(t, "").listed(json.RawMessage(raw)); err == nil {
			t.Errorf("%s became %+v", raw, call)
		}
	}
}

func FuzzListed(f *testing.F) {
	f.Add([]byte(`{"universalId":"17","callTime":"2026-03-02 08:00:00","duration":31,"tags":["a"],"visit_info":"{\"a\":1}"}`))
	f.Add([]byte(`{"universalId":1e9,"entryPoint":"?yclid=%","tags":{"1":[]},"cbAttemptsQueue":[1,[2]]}`))
	c := offline(f, "unfinished: keep")
	f.Fuzz(func(t *testing.T, raw []byte) {
		call, err := c.listed(raw)
		if err != nil {
			return
		}
		if call.ID == "" || call.TalkDuration < 0 {
			t.Errorf("got %+v", call)
		}
		if _, _, err := entryOf(call); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkListed(b *testing.B) {
	c := offline(b, "")
	var rows []json.RawMessage
	if err := json.Unmarshal(sample(b, "ckct_v3_calls_response.json"), &rows); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		call, err := c.listed(rows[0])
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := entryOf(call); err != nil {
			b.Fatal(err)
		}
	}
}
