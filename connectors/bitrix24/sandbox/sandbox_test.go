package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type bench struct {
	*Portal
	t     *testing.T
	clock *clock
}

func newPortal(t *testing.T, options map[string]string) *bench {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	p, err := New(connectors.SandboxOptions{Now: c.Now, Seed: 1, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{Portal: p, t: t, clock: c}
}

// answer is a decoded REST answer.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

func (a answer) code() string { return text(a.body["error"]) }

func (b *bench) do(method, target, contentType, body string) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	out := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &out.body)
	return out
}

const base = "http://portal.test/rest/1/" + Secret + "/"

func (b *bench) call(method, params string) answer {
	b.t.Helper()
	return b.do("POST", base+method, "application/json", params)
}

func (b *bench) want(a answer, status int, code string) {
	b.t.Helper()
	if a.status != status || a.code() != code {
		b.t.Errorf("got %d %q, want %d %q", a.status, a.raw, status, code)
	}
}

func (b *bench) wantViolations(parts ...string) {
	b.t.Helper()
	got := b.Violations()
	if len(got) != len(parts) {
		b.t.Errorf("violations %q, want %q", got, parts)
		return
	}
	for i, part := range parts {
		if !strings.Contains(got[i], part) {
			b.t.Errorf("violation %q, want %q", got[i], part)
		}
	}
}

// §12.1: who may call what.
func TestRefusals(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	p.want(p.call("crm.deal.nothing", "{}"), 404, "ERROR_METHOD_NOT_FOUND")
	p.want(p.do("POST", "http://portal.test/rest/1/wrong/profile", "application/json", "{}"), 401, "NO_AUTH_FOUND")
	p.want(p.do("POST", "http://portal.test/rest/profile", "application/json", "{}"), 401, "NO_AUTH_FOUND")
	p.want(p.call("event.bind", `{"event":"ONCRMDEALADD","handler":"https://x/"}`), 403, "WRONG_AUTH_TYPE")
	p.SetRights("crm", "telephony")
	p.want(p.call("telephony.externalCall.register", "{}"), 403, "WRONG_AUTH_TYPE")
	p.want(p.call("user.get", "{}"), 403, "insufficient_scope")
	p.want(p.call("crm.deal.add", "not json"), 400, "INVALID_REQUEST")
	if a := p.call("PROFILE.json", "{}"); a.status != 200 {
		t.Errorf("method names know no case: %d", a.status)
	}
	https := newPortal(t, map[string]string{"require_https": "true"})
	https.want(https.call("profile", "{}"), 400, "INVALID_REQUEST")
	if _, err := New(connectors.SandboxOptions{Options: map[string]string{"nonsense": "1"}}); err == nil {
		t.Error("an unknown option was taken")
	}
}

// §12.4: the bucket and the operating time.
func TestLimits(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	for range 50 {
		if a := p.call("profile", "{}"); a.status != 200 {
			t.Fatalf("within the bucket: %d", a.status)
		}
	}
	p.want(p.call("profile", "{}"), 503, "QUERY_LIMIT_EXCEEDED")
	p.clock.Add(time.Second)
	for range 2 {
		if a := p.call("profile", "{}"); a.status != 200 {
			t.Errorf("two a second leak out: %d", a.status)
		}
	}
	p.want(p.call("profile", "{}"), 503, "QUERY_LIMIT_EXCEEDED")

	p.clock.Add(time.Minute)
	p.Burn("crm.deal.list", 481)
	a := p.call("crm.deal.list", "{}")
	p.want(a, 429, "OPERATION_TIME_LIMIT")
	if p.call("crm.lead.list", "{}").status != 200 {
		t.Error("another method is not concerned")
	}
	p.clock.Add(11 * time.Minute)
	if a := p.call("crm.deal.list", "{}"); a.status != 200 {
		t.Errorf("after ten minutes: %d", a.status)
	}
}

// §12.6: pages, start, filters, types.
func TestLists(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	p.AddUserField(Deal, "ROISTAT", "roistat", "string")
	for i := range 120 {
		p.AddDeal(Fields{"TITLE": fmt.Sprint("d", i), "OPPORTUNITY": "99.90", "UF_CRM_ROISTAT": "7", "NO_SUCH_FIELD": "x"})
		p.clock.Add(time.Second)
	}
	list := func(method, params string) ([]any, answer) {
		a := p.call(method, params)
		rows, ok := a.body["result"].([]any)
		if !ok {
			rows, _ = child(a.body["result"], "items").([]any)
		}
		return rows, a
	}
	rows, a := list("crm.deal.list", `{}`)
	if len(rows) != 50 || text(json.Number(fmt.Sprint(a.body["total"]))) != "120" || a.body["next"] != float64(50) {
		t.Errorf("%d rows, total %v, next %v", len(rows), a.body["total"], a.body["next"])
	}
	if row := rows[0].(map[string]any); row["ID"] != "1" || row["OPPORTUNITY"] != "99.90" || row["UF_CRM_ROISTAT"] != nil || row["LEAD_ID"] != nil || row["NO_SUCH_FIELD"] != nil {
		t.Errorf("classic row %v", row)
	}
	rows, a = list("crm.deal.list", `{"start":-1,"filter":{">ID":100},"select":["*","UF_*"]}`)
	if len(rows) != 20 || a.body["next"] != nil || a.body["total"] != float64(0) || rows[0].(map[string]any)["UF_CRM_ROISTAT"] != "7" {
		t.Errorf("start -1: %d rows, %v", len(rows), a.body["total"])
	}
	rows, _ = list("crm.item.list", `{"entityTypeId":2,"filter":{"@id":["3","5",500]},"useOriginalUfNames":"Y"}`)
	if len(rows) != 2 {
		t.Fatalf("by ids: %v", rows)
	}
	if row := rows[0].(map[string]any); row["id"] != float64(3) || row["opportunity"] != 99.9 || row["UF_CRM_ROISTAT"] != "7" || row["leadId"] != float64(0) {
		t.Errorf("item %v", row)
	}
	rows, _ = list("crm.item.list", `{"entityTypeId":2,"start":-1,"filter":{">=updatedTime":"2026-03-02T12:01:55+03:00"}}`)
	if len(rows) != 5 {
		t.Errorf("by time: %d rows", len(rows))
	}
	rows, _ = list("crm.item.list", `{"entityTypeId":2,"start":-1,"filter":{"0":{"logic":"OR","0":{"id":1},"1":{"title":"d4"}}}}`)
	if len(rows) != 2 {
		t.Errorf("or: %d rows", len(rows))
	}
	p.want(p.call("crm.item.list", `{"entityTypeId":2,"filter":{"nothing":1}}`), 400, "INVALID_ARG_VALUE")
	if rows, _ = list("crm.deal.list", `{"filter":{"NOTHING":1}}`); len(rows) != 50 {
		t.Error("classic methods ignore unknown filters")
	}
	rows, _ = list("crm.deal.list", `{"order":{"ID":"DESC"},"start":-1}`)
	if rows[0].(map[string]any)["ID"] != "120" {
		t.Errorf("descending: %v", rows[0])
	}
	if a := p.call("crm.contact.list", "{}"); strings.Contains(a.raw, "null") || !strings.Contains(a.raw, `"result":[]`) {
		t.Errorf("an empty list is a list: %s", a.raw)
	}
}

// §12.7: multi-fields, unknown fields, wrong statuses.
func TestWrites(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	if a := p.call("crm.lead.add", `{"fields":{"TITLE":"x","NOTHING":"y","PHONE":[{"VALUE":"+7900","VALUE_TYPE":"WORK"}]}}`); a.body["result"] != float64(1) {
		t.Fatalf("got %s", a.raw)
	}
	p.want(p.call("crm.lead.add", `{"fields":{"STATUS_ID":"WHATEVER"}}`), 400, "")
	p.want(p.call("crm.lead.add", `{}`), 400, "")
	p.call("crm.lead.update", `{"id":1,"fields":{"PHONE":[{"VALUE":"+7901"}]}}`)
	if got := p.Get(Lead, 1)["PHONE"]; got != "+7900,+7901" {
		t.Errorf("without an id the number is appended: %s", got)
	}
	p.call("crm.lead.update", `{"id":1,"fields":{"PHONE":[{"ID":"1001","VALUE":"+7902"},{"ID":1002,"DELETE":"Y"}]}}`)
	if got := p.Get(Lead, 1)["PHONE"]; got != "+7902" {
		t.Errorf("got %s", got)
	}
	p.want(p.call("crm.lead.get", `{"id":9}`), 400, "")
	p.want(p.call("crm.item.get", `{"entityTypeId":1,"id":9}`), 400, "NOT_FOUND")
	if a := p.call("crm.lead.delete", `{"id":1}`); a.body["result"] != true || p.Get(Lead, 1) != nil {
		t.Errorf("delete: %s", a.raw)
	}
	p.wantViolations()
	for range 2 { // §12.12: the real system does not dedupe
		p.call("crm.lead.add", `{"fields":{"ORIGINATOR_ID":"svod","ORIGIN_ID":"7"}}`)
	}
	p.wantViolations("ORIGIN_ID")
}

// §12.8 and §6: references, order, inner errors, limits.
func TestBatch(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	for range 120 {
		p.AddDeal(nil)
	}
	a := p.call("batch", `{"halt":0,"cmd":{
		"z":"crm.deal.list?start=-1",
		"a":"crm.deal.list?start=-1&filter%5B%3EID%5D=%24result%5Bz%5D%5B49%5D%5BID%5D",
		"lost":"crm.deal.list?start=-1&filter%5B%3EID%5D=$result[a][99][ID]",
		"bad":"crm.deal.get?id=999","nested":"batch?cmd[x]=profile"}}`)
	inner := a.body["result"].(map[string]any)
	first := func(name string) any {
		return child(child(inner["result"], name), "0").(map[string]any)["ID"]
	}
	if first("z") != "1" || first("a") != "51" || first("lost") != "1" {
		t.Errorf("got %v, %v, %v", first("z"), first("a"), first("lost"))
	}
	if text(child(child(inner["result_error"], "nested"), "error")) != "ERROR_BATCH_METHOD_NOT_ALLOWED" || child(inner["result_error"], "bad") == nil {
		t.Errorf("inner errors %v", inner["result_error"])
	}
	a = p.call("batch", `{"cmd":{"x":"nothing"}}`)
	if got := a.body["result"].(map[string]any)["result"]; fmt.Sprint(got) != "[]" {
		t.Errorf("an empty map is a list: %v", got)
	}
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint("c", i)] = "profile"
	}
	data, _ := json.Marshal(map[string]any{"cmd": many})
	p.want(p.call("batch", string(data)), 400, "ERROR_BATCH_LENGTH_EXCEEDED")
	p.wantViolations("batch of 51")
}

// §12.9: a renamed portal.
func TestRename(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	p.Rename("new.test")
	a := p.call("profile", "{}")
	if a.status != 302 || a.header.Get("Location") != "http://new.test/rest/1/"+Secret+"/profile" {
		t.Errorf("got %d %v", a.status, a.header)
	}
	p.do("GET", a.header.Get("Location"), "", "")
	p.wantViolations("followed the redirect")
}

// §12.2, §12.3: tokens and codes.
func TestOAuth(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"auth": "oauth", "redirect_url": "https://hub.test/oauth"})
	page := p.do("GET", "http://portal.test/oauth/authorize/?client_id="+ClientID+"&state=s1", "", "")
	back, err := url.Parse(page.header.Get("Location"))
	if err != nil || page.status != 302 || back.Query().Get("state") != "s1" || back.Query().Get("member_id") != MemberID {
		t.Fatalf("got %d %v", page.status, page.header)
	}
	token := func(q url.Values) answer {
		q.Set("client_id", ClientID)
		q.Set("client_secret", ClientSecret)
		return p.do("GET", "http://portal.test/oauth/token/?"+q.Encode(), "", "")
	}
	late := p.NewCode()
	p.clock.Add(29 * time.Second)
	pair := token(url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}})
	if pair.status != 200 || pair.body["client_endpoint"] != "http://portal.test/rest/" || pair.body["domain"] != "oauth.bitrix.info" {
		t.Fatalf("got %s", pair.raw)
	}
	p.clock.Add(2 * time.Second)
	p.want(token(url.Values{"grant_type": {"authorization_code"}, "code": {late}}), 400, "invalid_grant")
	call := func(access any) answer {
		return p.do("POST", "http://portal.test/rest/profile", "application/json", fmt.Sprintf(`{"auth":%q}`, access))
	}
	if a := call(pair.body["access_token"]); a.status != 200 {
		t.Errorf("got %s", a.raw)
	}
	p.clock.Add(time.Hour)
	p.want(call(pair.body["access_token"]), 401, "expired_token")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(pair.body["refresh_token"])}}
	fresh := token(refresh)
	if a := call(fresh.body["access_token"]); a.status != 200 {
		t.Errorf("got %s", a.raw)
	}
	p.wantViolations()
	p.want(token(refresh), 400, "invalid_grant")
	token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(fresh.body["refresh_token"])}})
	p.wantViolations("twice", "long before")
	p.want(p.do("GET", "http://portal.test/oauth/token/?client_id=x", "", ""), 401, "invalid_client")
}

// receiver keeps the events it gets.
type receiver struct {
	mu     sync.Mutex
	forms  []url.Values
	status int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	form, _ := url.ParseQuery(string(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forms = append(r.forms, form)
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
}

func (r *receiver) names() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, f := range r.forms {
		out[f.Get("event")]++
	}
	return out
}

// §12.13 to 12.15: events.
func TestEvents(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	got := &receiver{}
	server := httptest.NewServer(got)
	defer server.Close()
	p.AddDeal(nil) // nobody listens yet
	p.SetHookURL(server.URL + "/hook")
	deal := p.AddDeal(nil)
	p.UpdateDeal(deal, Fields{"STAGE_ID": "WON"})
	p.MoveDeal(deal, 1, "C1:NEW") // applications only (§4.5)
	p.DeleteDeal(deal)
	p.MixedCase(1)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := got.names()
	if names["ONCRMDEALADD"] != 1 || names["ONCRMDEALUPDATE"] < 1 || names["ONCRMDEALDELETE"] != 1 || names["onCrmDealUpdate"] != 1 || names["ONCRMDEALMOVETOCATEGORY"] != 0 {
		t.Errorf("got %v", names)
	}
	var keys []string
	for key := range got.forms[0] {
		keys = append(keys, key)
	}
	if len(keys) != 9 { // event, handler, data, ts and the five keys of an outgoing webhook (§4.2)
		t.Errorf("keys %v", keys)
	}
	p.wantViolations()

	if n := p.Forge(); n != 4 {
		t.Errorf("%d forged", n)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.call("crm.item.list", `{"entityTypeId":2,"filter":{"@id":["900000000"]}}`)
	p.wantViolations("forged")

	got.mu.Lock()
	got.status = 500
	got.mu.Unlock()
	p.AddDeal(nil)
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.wantViolations("forged", "answered the event ONCRMDEALADD with 500")
}

func TestApplicationEvents(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"auth": "oauth"})
	got := &receiver{}
	server := httptest.NewServer(got)
	defer server.Close()
	p.mu.Lock()
	_, bad := p.doBind(map[string]any{"event": "OnCrmDealMoveToCategory", "handler": server.URL})
	_, again := p.doBind(map[string]any{"event": "ONCRMDEALMOVETOCATEGORY", "handler": server.URL})
	p.mu.Unlock()
	if bad != nil || again == nil {
		t.Fatal(bad, again)
	}
	deal := p.AddDeal(nil) // not bound
	p.MoveDeal(deal, 1, "C1:NEW")
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := got.names(); len(names) != 1 || names["ONCRMDEALMOVETOCATEGORY"] != 1 {
		t.Fatalf("got %v", names)
	}
	if f := got.forms[0]; f.Get("auth[access_token]") == "" || f.Get("data[FIELDS][STAGE_ID]") != "C1:NEW" {
		t.Errorf("got %v", f)
	}
}

// The traffic of an acceptance run: its size is bounded by time, not by squares.
func TestTraffic(t *testing.T) {
	t.Parallel()
	p := newPortal(t, map[string]string{"limit_scale": "0"})
	load := Load{Companies: 10, Contacts: 300, Leads: 50, Deals: 500, Changes: 2000}
	if err := p.Traffic(t.Context(), load); err != nil {
		t.Fatal(err)
	}
	if n := len(p.IDs(Deal)); n < 450 || n > 500 {
		t.Errorf("%d deals are left", n)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Traffic(stopped, DemoLoad); err == nil {
		t.Error("a stopped context did not stop the traffic")
	}
	var state map[string]any
	a := p.do("GET", "http://portal.test/__fake/state", "", "")
	if err := json.NewDecoder(bytes.NewReader([]byte(a.raw))).Decode(&state); err != nil || state["kind"] != "bitrix24" {
		t.Errorf("state %s", a.raw)
	}
	p.wantViolations()
}

// Faults come as they were ordered, and go.
func TestFaults(t *testing.T) {
	t.Parallel()
	p := newPortal(t, nil)
	p.AddDeal(nil)
	p.Inject(Fault{Method: "profile", HTML: true, Times: 1})
	if a := p.call("profile", "{}"); a.status != 502 || !strings.HasPrefix(a.raw, "<html>") {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if a := p.call("profile", "{}"); a.status != 200 {
		t.Errorf("the fault stayed: %d", a.status)
	}
	p.Inject(Fault{Method: "*", BadDates: true, NoOperating: true})
	a := p.call("crm.deal.get", `{"id":1}`)
	if date := a.body["result"].(map[string]any)["DATE_CREATE"]; fmt.Sprint(date) != "map[]" {
		t.Errorf("date %v", date)
	}
	if a.body["time"].(map[string]any)["operating"] != nil {
		t.Error("operating is there")
	}
	p.Heal()
	p.Inject(Fault{Method: "crm.deal.get", Missing: true})
	p.want(p.call("crm.deal.get", `{"id":1}`), 404, "ERROR_METHOD_NOT_FOUND")
	p.Inject(Fault{Method: "profile", Status: 400, Text: "x"})
	p.want(p.call("profile", "{}"), 400, "")
}

func FuzzParams(f *testing.F) {
	f.Add("a[b][0]=c&d=e&f[]=1&f[]=2", []byte(`{"cmd":{"b":"x","a":"y"}}`))
	f.Fuzz(func(_ *testing.T, form string, body []byte) {
		if args, err := parseForm(form); err == nil {
			substitute(args, map[string]any{"a": []any{"x"}})
		}
		_, _ = parseJSON(body)
	})
}
