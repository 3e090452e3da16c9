package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// uploadKind is one way to upload, with two rows.
type uploadKind struct {
	name, path, file string
	arrived          func(*Sandbox) int
}

func uploadKinds() []uploadKind {
	at := unix(start.Add(-time.Hour))
	rows := func(kind string) func(*Sandbox) int {
		return func(s *Sandbox) int { return s.RowCount(DefaultCounter, kind) }
	}
	entities := func(kind string) func(*Sandbox) int {
		return func(s *Sandbox) int { return s.Count(DefaultCounter, kind) }
	}
	return []uploadKind{
		{"contacts", cdp + "/data/contacts/csv?merge_mode=SAVE", "uniq_id\n1\n2\n", entities("contacts")},
		{"orders", cdp + "/data/orders/csv?merge_mode=SAVE", "id,client_uniq_id,client_type,create_date_time,order_status\n1,c,CONTACT,2026-01-01,PAID\n2,c,CONTACT,2026-01-01,PAID\n", entities("orders")},
		{"simple_orders", cdp + "/data/simple_orders?merge_mode=SAVE", "id,create_date_time,phones,order_status\n1,2026-01-01,79995551111,PAID\n2,2026-01-01,79995551111,PAID\n", entities("simple_orders")},
		{"conversions", offline + "upload?comment=c", "ClientId,Target,DateTime\n1,order," + at + "\n2,order," + at + "\n", rows("conversions")},
		{"calls", offline + "upload_calls?comment=c", "ClientId,DateTime\n1," + at + "\n2," + at + "\n", rows("calls")},
		{"chats", offline + "upload?type=CHATS&comment=c", "DateTime,ChatPlatform,ChatUserID\n" + at + ",viber,1\n" + at + ",viber,2\n", rows("chats")},
		{"user_params", managed + "user_params/uploadings/upload?action=update&comment=c", "UserId,Key,Value\nu,a,1\nu,b,2\n", func(s *Sandbox) int {
			n := 0
			for _, up := range s.ManagedUploads(DefaultCounter, "user_params") {
				n += up.Lines
			}
			return n
		}},
		{"expenses", managed + "expense/upload?comment=c", "Date,UTMSource,Expenses\n2026-07-01,vk,1\n2026-07-02,vk,2\n", rows("expenses")},
	}
}

// Each fault of each kind of upload: what the caller sees and what is stored.
func TestFaultsOfEveryUpload(t *testing.T) {
	t.Parallel()
	type outcome struct {
		fault   Fault
		status  int // 0: no whole answer
		arrived int
	}
	tests := []outcome{
		{Fault{Name: FaultResetBefore}, 0, 0},
		{Fault{Name: FaultResetDuring}, 0, 0}, {Fault{Name: FaultResetDuring, At: 1}, 0, 0}, {Fault{Name: FaultResetDuring, At: 150}, 0, 0},
		{Fault{Name: FaultResetAfter}, 0, 0}, {Fault{Name: FaultResetStored}, 0, 2},
		{Fault{Name: FaultResetAnswer}, 0, 2}, {Fault{Name: FaultResetAnswer, At: 1}, 0, 2}, {Fault{Name: FaultResetAnswer, At: 1 << 20}, 0, 2},
		{Fault{Name: FaultTruncated}, 0, 2}, {Fault{Name: FaultTruncated, At: 1}, 0, 2}, {Fault{Name: FaultTruncated, At: 1 << 20}, 0, 2},
		{Fault{Name: FaultNonsense}, 200, 2}, {Fault{Name: FaultFewer}, 200, -1},
		{Fault{Name: Fault503}, 503, 0}, {Fault{Name: Fault504}, 504, 0}, {Fault{Name: Fault504Stored}, 504, 2},
		{Fault{Name: FaultHTML502}, 502, 0}, {Fault{Name: FaultHTMLStored}, 502, 2},
		{Fault{Name: FaultQuota + "quota_requests_by_ip"}, 429, 0}, {Fault{Name: FaultQuota + "quota_parallel_requests", Status: 420}, 420, 0},
		{Fault{Name: FaultUnauthorized}, 401, 0}, {Fault{Name: FaultForbidden}, 403, 0}, {Fault{Name: FaultConflict}, 409, 0},
		{Fault{Name: FaultInvalid}, 400, 0}, {Fault{Name: FaultInvalidParam}, 400, 0},
		{Fault{Name: FaultSlow, Delay: time.Millisecond}, 200, 2},
	}
	for _, kind := range uploadKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range tests {
				c := withTargets(t, map[string]string{"per_second": "1000"}, "order")
				status := throughServer(t, c, kind, tt.fault)
				if status != tt.status {
					t.Errorf("%+v: status %d", tt.fault, status)
				}
				// Contacts and orders of an upload that reports fewer are stored all the same.
				if got := kind.arrived(c.Sandbox); got != tt.arrived && !(tt.arrived < 0 && got > 0) {
					t.Errorf("%+v: %d rows arrived", tt.fault, got)
				}
			}
		})
	}
}

// throughServer uploads over a connection and gives the status of a whole answer,
// or 0.
func throughServer(t *testing.T, c *caller, kind uploadKind, fault Fault) int {
	t.Helper()
	server := httptest.NewServer(c)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	defer client.CloseIdleConnections()
	c.Inject(fault)
	contentType, body := multipartOf("file", "data.csv", "text/csv", kind.file)
	r, err := http.NewRequest(http.MethodPost, server.URL+kind.path, bytes.NewReader(body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "OAuth "+DefaultToken)
	r.Header.Set("Content-Type", contentType)
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// An upload whose answer was lost may come to the lists late.
func TestLateUploads(t *testing.T) {
	t.Parallel()
	for _, kind := range uploadKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			c := withTargets(t, nil, "order")
			throughServer(t, c, kind, Fault{Name: FaultResetStored, Delay: 30 * time.Second})
			list := map[string]string{
				"conversions": offlineList, "chats": offlineList, "calls": callsList, "user_params": paramsList, "expenses": expensesList,
			}[kind.name]
			path := managed + list
			if list == "" {
				path = cdp + "/last_uploadings"
			}
			for _, want := range []int{0, 1} {
				_, got := c.do("GET", path, "", nil)
				if n := len(got["uploadings"].([]any)); n != want {
					t.Errorf("%d uploads in the list instead of %d", n, want)
				}
				c.Advance(time.Minute)
			}
		})
	}
}

func TestSpoiledAndPoisonedUploads(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order")
	at := unix(start.Add(-time.Hour))
	c.Inject(Fault{Name: FaultFailed})
	c.take(offline+"upload", "ClientId,Target,DateTime\n1,order,"+at+"\n")
	c.Advance(time.Hour)
	if up := c.ManagedUploads(DefaultCounter, "")[0]; up.Status != "LINKAGE_FAILURE" {
		t.Errorf("%+v", up)
	}
	c.Poison(DefaultCounter, "2")
	if status, got := c.send(offline+"upload", "ClientId,Target,DateTime\n3,order,"+at+"\n2,order,"+at+"\n"); status != 400 || errorType(got) != "invalid_uploading" {
		t.Errorf("%d %v", status, got)
	}
	if n := c.RowCount(DefaultCounter, "conversions"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// Faults also hit goals, confirmations, reports and events.
func TestFaultsElsewhere(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order")
	goal := `{"goal":{"name":"n","type":"action","conditions":[{"type":"exact","url":"n"}]}}`
	for _, name := range []string{FaultHTMLStored, Fault504Stored} {
		c.Inject(Fault{Name: name, Path: "/goals"})
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", managed+"goals", strings.NewReader(goal))
		r.Header.Set("Authorization", "OAuth "+DefaultToken)
		if c.ServeHTTP(w, r); w.Code < 500 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if n := len(c.Goals(DefaultCounter)); n != 3 {
		t.Errorf("%d goals", n)
	}
	up := c.take(managed+"user_params/uploadings/upload?action=update", "UserId,Key,Value\nu,k,v\n")
	c.Inject(Fault{Name: Fault504Stored, Path: "/confirm"})
	if status, _ := c.do("POST", managed+"user_params/uploading/"+unixID(up)+"/confirm", "", nil); status != 504 || len(c.UserParams(DefaultCounter)) != 1 {
		t.Errorf("%d %v", status, c.UserParams(DefaultCounter))
	}
	c.Inject(Fault{Name: Fault503, Path: "/stat/"})
	if status, _ := c.stat("data", "metrics", "ym:s:visits"); status != 503 {
		t.Errorf("%d", status)
	}
	c.Inject(Fault{Name: Fault503, Path: "/collect"})
	w := httptest.NewRecorder()
	if c.ServeHTTP(w, httptest.NewRequest("GET", "/collect?tid="+DefaultCounter, nil)); w.Code != 503 {
		t.Errorf("%d", w.Code)
	}
}

// All state can be seen and changed over HTTP, as in a dry run.
func TestPagesForDryRuns(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	post := func(page, body string) int {
		status, _ := c.do("POST", "/__fake/"+page, "", strings.NewReader(body))
		return status
	}
	for page, body := range map[string]string{
		"goals":    `{"name":"n","type":"action","conditions":[{"type":"exact","url":"order"}]}`,
		"rules":    `{"status_step":"1s","keep":"all"}`,
		"visitors": `{"value":"1","visit":"2026-11-21T08:00:00Z"}`,
		"traffic":  `{"date":"2026-11-21","visitors":5,"visits":6,"page_views":7}`,
		"clock":    `{"advance":"1m"}`,
	} {
		if status := post(page, body); status != 200 {
			t.Errorf("%s: %d", page, status)
		}
	}
	if status := post("reaches", `{"goal":334420,"date":"2026-11-21","reaches":3}`); status != 200 {
		t.Errorf("reaches: %d", status)
	}
	at := unix(start.Add(-30 * time.Minute))
	c.take(offline+"upload", "ClientId,Target,DateTime\n1,order,"+at+"\n2,order,"+at+"\n")
	post("clock", `{"advance":"1m"}`)
	_, got := c.do("GET", "/__fake/management", "", nil)
	if up := got["uploads"].([]any)[0].(map[string]any); up["status"] != "PROCESSED" || up["linked_quantity"] != 1.0 || up["user_not_found_quantity"] != 1.0 {
		t.Errorf("%v", up)
	}
	_, got = c.do("GET", "/__fake/conversions?limit=1", "", nil)
	if got["count"] != 2.0 || len(got["conversions"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	_, got = c.stat("data", "metrics", "ym:s:users,ym:s:goal334420reaches", "date1", "today")
	if fmt.Sprint(got["totals"]) != "[5 3]" {
		t.Errorf("%v", got)
	}
	_, summary := c.do("GET", "/__fake/", "", nil)
	for _, page := range summary["pages"].([]any) {
		if status, got := c.do("GET", "/__fake/"+page.(string), "", nil); status != 200 || got == nil {
			t.Errorf("%s: %d %v", page, status, got)
		}
	}
	for page, body := range map[string]string{
		"goals": `{}`, "rules": `{"keep":"nothing"}`, "visitors": `{"identifier":"Phone","value":"1","visit":"2026-11-21T08:00:00Z"}`, "traffic": `{"date":"today"}`,
		"clock": `{"advance":"-1m"}`, "reaches": `{"goal":1,"date":"2026-11-21"}`, "faults": `{"name":"flood"}`,
	} {
		if status := post(page, body); status != 400 {
			t.Errorf("wrong %s: %d", page, status)
		}
	}
	post("faults", `{"name":"quota:quota_requests_by_uid","times":-1}`)
	post("faults/clear", `{}`)
	if status := post("reset", `{}`); status != 200 || len(c.ManagedUploads(DefaultCounter, "")) != 0 || len(c.Faults()) != 0 {
		t.Errorf("reset: %d", status)
	}
	if status := post("nothing", `{}`); status != 404 {
		t.Errorf("an unknown page: %d", status)
	}
}

// Every rule that can be set by name is shown under it and takes back what it
// shows.
func TestOptions(t *testing.T) {
	t.Parallel()
	r := DefaultRules()
	names := map[string]bool{}
	for _, o := range options() {
		if names[o.name] {
			t.Errorf("%s stands twice", o.name)
		}
		names[o.name] = true
		before := o.get(&r)
		if len(o.values) > 0 && !slices.Contains(o.values, before) {
			t.Errorf("%s: the default %q is none of %v", o.name, before, o.values)
		}
		for _, value := range append(o.values, before) {
			if err := r.set(o.name, value); err != nil || o.get(&r) != value {
				t.Errorf("%s %s: %v, shown as %s", o.name, value, err, o.get(&r))
			}
		}
		if len(o.values) == 0 && r.set(o.name, "x") == nil {
			t.Errorf("%s takes x", o.name)
		}
	}
	if a, _ := json.Marshal(r); string(a) != func() string { b, _ := json.Marshal(DefaultRules()); return string(b) }() {
		t.Errorf("setting the defaults changes them: %s", a)
	}
	if r.set("unknown", "1") == nil {
		t.Error("an unknown option is taken")
	}
}

// The documents name every page, rule and fault, in both languages.
func TestDocuments(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	names := faultNames()
	for _, o := range options() {
		names = append(names, o.name)
	}
	for page := range c.pages() {
		names = append(names, page)
	}
	for page := range c.changes() {
		names = append(names, page)
	}
	for _, language := range []string{"en", "ru"} {
		text, err := os.ReadFile("../../../docs/" + language + "/sandbox-metrica.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if name, _, _ = strings.Cut(name, "quota_requests"); name != "" && !strings.Contains(string(text), "`"+name) {
				t.Errorf("%s: %s is missing", language, name)
			}
		}
	}
}
