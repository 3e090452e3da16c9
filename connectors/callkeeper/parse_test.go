package callkeeper

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

// Every sample hook becomes the expected records, where only hooks bring calls.
func TestReceiveSamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/hook-*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no samples", err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := offline(t, "").Receive(delivery(t, name))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, map[string]any{"note": in.Note, "records": connectortest.Show(in.Records...)})
		})
	}
}

// In whatever order and however often the two hooks of a call come, its end
// stays.
func TestHooksInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, first, last string }{
		{"call-back", "hook-callback-start.txt", "hook-callback-over.txt"},
		{"call-back without a talk", "hook-callback-start.txt", "hook-callback-failed.txt"},
		{"tracking call", "hook-tracking-start.txt", "hook-tracking-end.txt"},
	} {
		for _, settings := range []string{"unfinished: keep", "unfinished: skip"} {
			for _, order := range [][]string{{tt.first, tt.last}, {tt.last, tt.first}, {tt.first, tt.first, tt.last, tt.last}, {tt.last, tt.last, tt.first, tt.first}} {
				t.Run(tt.name+" "+settings, func(t *testing.T) {
					t.Parallel()
					c, kept, at := offline(t, settings), book{}, connectortest.NewClock()
					for _, name := range order {
						in, err := c.Receive(delivery(t, name))
						if err != nil {
							t.Fatal(err)
						}
						at.Add(time.Second)
						kept.take(in.Records, at.Now())
					}
					if len(kept) != 1 {
						t.Fatalf("%d records", len(kept))
					}
					for _, r := range kept {
						if r.Meta().Fields.Text("status") == "" {
							t.Errorf("%v: the end was lost: %+v", order, r)
						}
					}
				})
			}
		}
	}
}

func TestReceive(t *testing.T) {
	t.Parallel()
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	json := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	const key = "key: abcdefgh01234567\n"
	for _, tt := range []struct {
		name     string
		settings string
		d        connectors.Delivery
		check    func(*model.Call) bool // nil: only noted
		cause    model.Cause
		note     string
	}{
		{name: "call-back as a form", d: connectors.Delivery{Header: form, Body: []byte("id=5&hook_event=Call+is+over&phone2=79000000001&status_code=200&status2_code=200&duration2_sec=12&duration_sec=20&date_timestamp=1543925694&visit_info[current][src]=vk&visit_info[session][cpg]=https%3A%2F%2Fa.ru%2F&tags[]=x&tags[]=y")},
			check: func(c *model.Call) bool {
				return c.ID == "cb-5" && c.TalkDuration == 12 && c.UTM.Source == "vk" && c.PageURL == "https://a.ru/" && len(c.Tags) == 2 &&
					c.UpdatedAt.Equal(time.Unix(1543925695, 0))
			}},
		{name: "visit_info as text", d: connectors.Delivery{Header: json, Body: []byte(`{"id":"5","hook_event":"Call is over","visit_info":"{\"current\":{\"utm_source\":\"vk\"}}"}`)},
			check: func(c *model.Call) bool { return c.UTM.Source == "vk" }},
		{name: "visit_info as PHP writes none", d: connectors.Delivery{Header: json, Body: []byte(`{"id":"5","hook_event":"Call is over","visit_info":[]}`)},
			check: func(c *model.Call) bool { return c.UTM == model.UTM{} }},
		{name: "another scenario of hooks", d: connectors.Delivery{Body: []byte(`{"id":5,"hook_event":"Call was rated","status_code":200,"status2_code":200}`)},
			check: func(c *model.Call) bool { return !c.Missed }},
		{name: "another scenario, not over", d: connectors.Delivery{Body: []byte(`{"id":5,"status_code":1,"status2_code":0}`)},
			note: "call-back cb-5 has begun; it becomes a record when it is over"},
		{name: "over with the codes of a call that goes on", d: connectors.Delivery{Body: []byte(`{"id":5,"hook_event":"Call is over","status_code":1,"status2_code":0}`)},
			check: func(c *model.Call) bool { return c.Missed && c.Fields.Text("status") == "fail" }},
		{name: "date alone", d: connectors.Delivery{Body: []byte(`{"id":5,"hook_event":"Call is over","date":"2018-12-04 12:14:54"}`)},
			check: func(c *model.Call) bool { return c.StartedAt.Equal(time.Unix(1543925694, 0)) }},
		{name: "call-backs are the same with a key", settings: key, d: connectors.Delivery{Body: []byte(`{"id":5,"hook_event":"Call is over"}`)},
			check: func(c *model.Call) bool { return c.ID == "cb-5" }},
		{name: "tracking calls are noted with a key", settings: key, d: connectors.Delivery{Query: "client_number=79000000001&time_start=2026-03-02+08:00:00&duration=5"}},
		{name: "unless records are wanted", settings: key + "tracking_hooks: records", d: connectors.Delivery{Query: "client_number=79000000001&time_start=2026-03-02+08:00:00&duration=5"},
			check: func(c *model.Call) bool { return c.TalkDuration == 5 && !c.Missed }},
		{name: "names in other letters", d: connectors.Delivery{Query: "Client-Number=79000000001&TIME_START=1543925694&Duration=5&call_status=200/486"},
			check: func(c *model.Call) bool {
				return c.Phone == "79000000001" && c.Missed && c.StatusID == "200/486" && c.StartedAt.Equal(time.Unix(1543925694, 0))
			}},
		{name: "a hidden number", d: connectors.Delivery{Query: "client_number=&calltracking_number=74950000105&time_start=2026-03-02+08:00:00&duration=5"},
			check: func(c *model.Call) bool { return c.Phone == "" && c.VirtualNumber == "74950000105" }},
		{name: "Cyrillic in windows-1251", d: connectors.Delivery{Query: "client_number=79000000001&time_start=2026-03-02+08:00:00&duration=5&city=%CC%EE%F1%EA%E2%E0"},
			check: func(c *model.Call) bool { return c.Fields.Text("city") == "Москва" }},
		{name: "parameters in the address of a POST", d: connectors.Delivery{Query: "event=end", Header: form, Body: []byte("client_number=79000000001&time_start=2026-03-02+08:00:00&call_status=fail")},
			check: func(c *model.Call) bool { return c.Missed }},
		{name: "call-back through the tracking hook", d: connectors.Delivery{Query: "client_number=79000000001&time_start=2026-03-02+08:00:00&duration=5&call_type=callback"},
			check: func(c *model.Call) bool { return c.CallKind == "callback" && c.Direction == "out" }},
		{name: "no time", d: connectors.Delivery{Query: "client_number=79000000001&duration=5"}, cause: model.CauseMissingRequired},
		{name: "form without a phone", d: connectors.Delivery{Query: "widgetHash=abc&form_name=x"}, cause: model.CauseMissingRequired},
		{name: "id that is none", d: connectors.Delivery{Body: []byte(`{"id":"5 OR 1","hook_event":"Call is over"}`)}, cause: model.CauseBadPayload},
		{name: "something else", d: connectors.Delivery{Body: []byte(`{"hello":"world"}`)}, cause: model.CauseBadPayload},
		{name: "empty", cause: model.CauseBadPayload},
		{name: "broken JSON", d: connectors.Delivery{Body: []byte(`{"id":5,`)}, cause: model.CauseBadPayload},
		{name: "empty list", d: connectors.Delivery{Body: []byte(`[]`)}, cause: model.CauseBadPayload},
		{name: "broken encoding", d: connectors.Delivery{Query: "client_number=%zz"}, cause: model.CauseBadEncoding},
		{name: "multipart", d: connectors.Delivery{Header: http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}, Body: []byte("--x")}, cause: model.CauseBadEncoding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.d.ReceivedAt = connectortest.NewClock().Now()
			in, err := offline(t, tt.settings).Receive(tt.d)
			if tt.cause != "" {
				if err == nil || model.CauseOf(err) != tt.cause {
					t.Fatalf("got %v, %v, want cause %s", in, err, tt.cause)
				}
				if strings.Contains(err.Error(), "79000000001") {
					t.Errorf("the error shows the phone: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.note != "" && in.Note != tt.note {
				t.Errorf("note %q, want %q", in.Note, tt.note)
			}
			if tt.check == nil {
				if len(in.Records) != 0 || in.Note == "" {
					t.Errorf("got %+v", in)
				}
				return
			}
			if len(in.Records) != 1 || !tt.check(in.Records[0].(*model.Call)) {
				t.Errorf("got %+v", connectortest.Show(in.Records...))
			}
		})
	}
}

// A part that cannot be used does not take the others down.
func TestReceiveKeepsGoodParts(t *testing.T) {
	t.Parallel()
	in, err := offline(t, "").Receive(connectors.Delivery{Body: []byte(`[{"id":5,"hook_event":"Call is over"},7,{"id":"","hook_event":"x"},{"id":6,"hook_event":"Call is over"}]`)})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Records) != 2 || len(in.Refused) != 2 {
		t.Errorf("got %+v", in)
	}
}

// The same form sent twice is one request, on another day or with another phone
// it is another one.
func TestFormsHaveIDs(t *testing.T) {
	t.Parallel()
	ids := map[string]int{}
	for _, change := range []func(*connectors.Delivery){
		func(*connectors.Delivery) {},
		func(d *connectors.Delivery) { d.ID, d.ReceivedAt = 2, d.ReceivedAt.Add(time.Minute) },
		func(d *connectors.Delivery) { d.ReceivedAt = d.ReceivedAt.AddDate(0, 0, 1) },
		func(d *connectors.Delivery) { d.Body = []byte(strings.Replace(string(d.Body), "00-33", "00-34", 1)) },
	} {
		d := delivery(t, "hook-form.txt")
		change(&d)
		in, err := offline(t, "").Receive(d)
		if err != nil || len(in.Records) != 1 {
			t.Fatalf("got %+v, %v", in, err)
		}
		ids[in.Records[0].Meta().ID]++
	}
	if len(ids) != 3 {
		t.Errorf("got %v", ids)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add("", []byte(`{"id":5,"hook_event":"Call is over","visit_info":{"current":{"src":"a"}},"tags":" "}`), "application/json")
	f.Add("client_number=79000000001&time_start=1543925694&duration=5", []byte(nil), "")
	f.Add("a[b][]=1", []byte("widgetHash=1&tel=79000000001&cookiesBasket=current:::typ=utm|||src=a^#^#"), "application/x-www-form-urlencoded")
	c := offline(f, "unfinished: keep")
	f.Fuzz(func(t *testing.T, query string, body []byte, kind string) {
		in, err := c.Receive(connectors.Delivery{Query: query, Body: body, Header: http.Header{"Content-Type": {kind}}})
		if err == nil && in.Note == "" {
			t.Error("taken without a note")
		}
		for _, r := range in.Records {
			if !plain(r.Meta().ID) {
				t.Errorf("id %q went through", r.Meta().ID)
			}
			if _, err := model.Encode(r); err != nil {
				t.Error(err)
			}
		}
	})
}
