package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// caller speaks to a sandbox without a network.
type caller struct {
	*Sandbox
	t  testing.TB
	mu sync.Mutex
	at time.Time
}

func newCaller(t testing.TB, options map[string]string) *caller {
	t.Helper()
	c := &caller{t: t, at: start}
	sb, err := New(connectors.SandboxOptions{Seed: 1, Options: options, Now: func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = c.at.Add(100 * time.Millisecond) // ten requests a second
		return c.at
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.Sandbox = sb
	return c
}

const cdp = "/cdp/api/v1/counter/12345678"

func (c *caller) do(method, path, contentType string, body io.Reader, change ...func(*http.Request)) (int, map[string]any) {
	c.t.Helper()
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "OAuth "+DefaultToken)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, ch := range change {
		ch(r)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		c.t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, got
}

func multipartOf(name, filename, contentType, file string) (string, *bytes.Buffer) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	h := textproto.MIMEHeader{"Content-Type": {contentType}}
	h.Set("Content-Disposition", fmt.Sprintf("form-data; name=%q; filename=%q", name, filename))
	part, _ := w.CreatePart(h)
	_, _ = io.WriteString(part, file)
	_ = w.Close()
	return w.FormDataContentType(), &body
}

// post uploads a CSV file and gives the uploading.
func (c *caller) post(kind, query, file string) map[string]any {
	c.t.Helper()
	path := cdp + "/data/" + kind
	if kind != "simple_orders" {
		path += "/csv"
	}
	contentType, body := multipartOf("file", "data.csv", "text/csv", file)
	status, got := c.do("POST", path+"?"+query, contentType, body)
	if status != http.StatusOK {
		c.t.Fatalf("%d %v", status, got)
	}
	return got["uploading"].(map[string]any)
}

func (c *caller) mustPass(kind, mode, file string) {
	c.t.Helper()
	if up := c.post(kind, "merge_mode="+mode, file); up["api_validation_status"] != "PASSED" {
		c.t.Fatalf("%v", up)
	}
}

func errorType(body map[string]any) string {
	list, _ := body["errors"].([]any)
	if len(list) == 0 {
		return ""
	}
	return list[0].(map[string]any)["error_type"].(string)
}

func sample(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The published examples pass.
func TestPublishedExamples(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	if err := c.AddCounter(Counter{ID: DefaultCounter, Owner: DefaultLogin, Zone: DefaultZone, Goals: []string{"oplata_cash", "filial_1", "plohoy_lead"}}); err != nil {
		t.Fatal(err)
	}
	c.mustPass("simple_orders", "SAVE", sample(t, "simple_orders.csv"))
	first, _ := c.Entity(DefaultCounter, "simple_orders", "s_ord1")
	if first["emails"] != "mail@example.com,mail2@example.com" || first["goals"] != "oplata_cash:200,filial_1" {
		t.Errorf("%v", first)
	}
	if second, _ := c.Entity(DefaultCounter, "simple_orders", "s_ord2"); second["order_status"] != "PAID" {
		t.Errorf("an empty status is %v", second)
	}
	if loose := c.Loose(DefaultCounter); len(loose) != 1 || loose[0]["client_ids"] != "34456" {
		t.Errorf("without id: %v", loose)
	}
	for path, name := range map[string]string{
		"/schema/attributes?entity_type=CONTACT": "attributes_create.json",
		"/schema/products":                       "products_create.json",
		"/data/contacts/json?merge_mode=SAVE":    "contacts_upload.json",
	} {
		if status, got := c.do("POST", cdp+path, "application/json", strings.NewReader(sample(t, name))); status != 200 {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	status, got := c.do("POST", cdp+"/data/orders/json?merge_mode=SAVE", "application/x-yametrika+json", strings.NewReader(sample(t, "orders_upload.json")))
	if status != 200 || got["uploading"].(map[string]any)["elements_count"] != 2.0 {
		t.Errorf("orders: %d %v", status, got)
	}
	if order, _ := c.Entity(DefaultCounter, "orders", "704"); order["products"] != "apple:30,pear:10" || order["goals"] != "goal_id1:123.5" || order["revenue"] != "5000" {
		t.Errorf("order %v", order)
	}
	mapping := url.Values{"merge_mode": {"SAVE"}, "columns_mapping": {`"uniq_id":"ID","name":"Name","emails":"Email","age":"Age"`}}
	if up := c.post("contacts", mapping.Encode(), sample(t, "contacts_upload.csv")); up["api_validation_status"] != "PASSED" {
		t.Fatalf("%v", up)
	}
	want := map[string]string{"uniq_id": "11", "name": "John J.", "emails": "example@example.com", "age": "40"}
	if got, _ := c.Entity(DefaultCounter, "contacts", "11"); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// The table of §5.2.
func TestMergeModes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		mode string
		want map[string]string
	}{
		{"SAVE", map[string]string{"uniq_id": "c", "phones": "79990000001,79990000003", "create_date_time": "2026-01-01"}},
		{"UPDATE", map[string]string{"uniq_id": "c", "name": "Old", "phones": "79990000001,79990000003", "create_date_time": "2026-01-01"}},
		{"APPEND", map[string]string{"uniq_id": "c", "name": "Old", "phones": "79990000001,79990000002,79990000003", "create_date_time": "2026-01-01"}},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t, nil)
			c.mustPass("contacts", "SAVE", "uniq_id,name,phones,create_date_time\nc,Old,\"79990000001,79990000002\",2026-01-01\nother,Other,79990000009,\n")
			c.mustPass("contacts", tt.mode, "uniq_id,phones,create_date_time\nc,\"79990000001,79990000003\",2027-01-01\nnew,79990000004,2026-02-02\n")
			if got, _ := c.Entity(DefaultCounter, "contacts", "c"); !maps.Equal(got, tt.want) {
				t.Errorf("%v", got)
			}
			if other, _ := c.Entity(DefaultCounter, "contacts", "other"); other["name"] != "Other" {
				t.Errorf("an entity that is not in the file changed: %v", other)
			}
			if _, ok := c.Entity(DefaultCounter, "contacts", "new"); !ok {
				t.Error("an unknown id is not created")
			}
		})
	}
}

// Rows of one id are applied in any order: a sender that does not collapse them
// is found out.
func TestRepeatedIDs(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	var file strings.Builder
	file.WriteString("uniq_id,name\n")
	for i := range 100 {
		fmt.Fprintf(&file, "%d,first\n%d,last\n", i, i)
	}
	c.mustPass("contacts", "SAVE", file.String())
	names := map[string]int{}
	for _, e := range c.Entities(DefaultCounter, "contacts", 0) {
		names[e["name"]]++
	}
	if names["first"] == 0 || names["last"] == 0 || len(c.Violations()) != 1 {
		t.Errorf("%v %q", names, c.Violations())
	}
}

func TestContentThatFails(t *testing.T) {
	t.Parallel()
	const contact, order, simple = "uniq_id,name,phones,emails,client_ids,birth_date\n", "id,client_uniq_id,client_type,create_date_time,order_status,revenue,currency,products,goals\n", "id,create_date_time,phones,order_status\n"
	tests := []struct{ name, kind, file string }{
		{"empty file", "contacts", ""},
		{"no required column", "contacts", "name\nx\n"},
		{"repeated column", "contacts", "uniq_id,name,name\n1,a,b\n"},
		{"unknown attribute", "contacts", "uniq_id,age\n1,40\n"},
		{"byte order mark", "contacts", "\ufeffuniq_id\n1\n"},
		{"missing cell", "contacts", contact + "1,a\n"},
		{"loose quote", "contacts", contact + "1,a\"b,,,,\n"},
		{"not UTF-8", "contacts", contact + "1,\xff,,,,\n"},
		{"no key", "contacts", contact + ",a,,,,\n"},
		{"phone with plus", "contacts", contact + "1,a,+79995551111,,,\n"},
		{"upper-case mail", "contacts", contact + "1,a,,A@b.ru,,\n"},
		{"ClientID", "contacts", contact + "1,a,,,x,\n"},
		{"spaces in a list", "contacts", contact + "1,a,\"79995551111, 79995551112\",,,\n"},
		{"impossible day", "contacts", contact + "1,a,,,,2025-02-30\n"},
		{"before 1970", "contacts", contact + "1,a,,,,1969-12-31\n"},
		{"order without client", "orders", order + "1,,CONTACT,2026-01-01,PAID,,,,\n"},
		{"client type", "orders", order + "1,c,PERSON,2026-01-01,PAID,,,,\n"},
		{"unregistered status", "orders", order + "1,c,CONTACT,2026-01-01,003,,,,\n"},
		{"sum with a comma", "orders", order + "1,c,CONTACT,2026-01-01,PAID,\"1,5\",,,\n"},
		{"currency", "orders", order + "1,c,CONTACT,2026-01-01,PAID,1,rub,,\n"},
		{"products", "orders", order + "1,c,CONTACT,2026-01-01,PAID,1,RUB,pear,\n"},
		{"goals", "orders", order + "1,c,CONTACT,2026-01-01,PAID,1,RUB,,a:b\n"},
		{"simple order of nobody", "simple_orders", simple + "1,2026-01-01,,PAID\n"},
		{"CANCELED", "simple_orders", simple + "1,2026-01-01,79995551111,CANCELED\n"},
		{"no date", "simple_orders", simple + "1,,79995551111,PAID\n"},
		{"date in words", "simple_orders", simple + "1,2026-01-01T10:00:00Z,79995551111,PAID\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t, nil)
			up := c.post(tt.kind, "merge_mode=SAVE", tt.file)
			if up["api_validation_status"] != "FAILED" || len(up["api_validation_errors"].([]any)) == 0 || c.Count(DefaultCounter, tt.kind) != 0 {
				t.Errorf("%v", up)
			}
			if len(c.Violations()) == 0 {
				t.Error("no violation is noted")
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	contacts := cdp + "/data/contacts/csv"
	type call struct {
		name, method, path string
		part               [3]string // name, filename, type
		body               string    // instead of a part
		bodyType           string
		change             func(*http.Request)
		status             int
		kind               string
	}
	file := [3]string{"file", "data.csv", "text/csv"}
	tests := []call{
		{name: "no token", method: "GET", path: cdp + "/last_uploadings", change: func(r *http.Request) { r.Header.Del("Authorization") }, status: 401, kind: "unauthorized"},
		{name: "Bearer", method: "GET", path: cdp + "/last_uploadings", change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+DefaultToken) }, status: 401, kind: "unauthorized"},
		{name: "token in the query", method: "GET", path: cdp + "/last_uploadings?oauth_token=" + DefaultToken, status: 401, kind: "unauthorized"},
		{name: "reader's scope", method: "POST", path: contacts + "?merge_mode=SAVE", part: file, change: as("reader"), status: 403, kind: "access_denied"},
		{name: "guest who may only view", method: "POST", path: contacts + "?merge_mode=SAVE", part: file, change: as("viewer"), status: 403, kind: "access_denied"},
		{name: "somebody else's counter", method: "GET", path: "/cdp/api/v1/counter/999/last_uploadings", status: 403, kind: "access_denied"},
		{name: "unknown path", method: "POST", path: cdp + "/data/contacts", status: 404, kind: "not_found"},
		{name: "unknown host path", method: "GET", path: "/stat/v9", status: 404, kind: "not_found"},
		{name: "no merge_mode", method: "POST", path: contacts, part: file, status: 400, kind: "missing_parameter"},
		{name: "unknown merge_mode", method: "POST", path: contacts + "?merge_mode=REPLACE", part: file, status: 400, kind: "invalid_parameter"},
		{name: "delimiter", method: "POST", path: contacts + "?merge_mode=SAVE&delimiter_type=TAB", part: file, status: 400, kind: "invalid_parameter"},
		{name: "mapping without quotes", method: "POST", path: contacts + "?merge_mode=SAVE&columns_mapping=a:b", part: file, status: 400, kind: "invalid_parameter"},
		{name: "mapping to no column", method: "POST", path: contacts + "?merge_mode=SAVE&columns_mapping=" + url.QueryEscape(`"uniq_id":"ID"`), part: file, status: 400, kind: "invalid_parameter"},
		{name: "another part name", method: "POST", path: contacts + "?merge_mode=SAVE", part: [3]string{"data", "data.csv", "text/csv"}, status: 400, kind: "invalid_parameter"},
		{name: "no file name", method: "POST", path: contacts + "?merge_mode=SAVE", part: [3]string{"file", "", "text/csv"}, status: 400, kind: "invalid_parameter"},
		{name: "type of the part", method: "POST", path: contacts + "?merge_mode=SAVE", part: [3]string{"file", "data.csv", "text/plain"}, status: 400, kind: "invalid_parameter"},
		{name: "no form", method: "POST", path: contacts + "?merge_mode=SAVE", body: "uniq_id\n1\n", bodyType: "text/csv", status: 400, kind: "invalid_parameter"},
		{name: "no JSON", method: "POST", path: cdp + "/data/contacts/json?merge_mode=SAVE", body: "{", bodyType: "application/json", status: 400, kind: "invalid_json"},
		{name: "no contacts in it", method: "POST", path: cdp + "/data/contacts/json?merge_mode=SAVE", body: `{"contacts":[]}`, bodyType: "application/json", status: 400, kind: "invalid_parameter"},
		{name: "JSON as text", method: "POST", path: cdp + "/data/contacts/json?merge_mode=SAVE", body: `{"contacts":[{}]}`, bodyType: "text/plain", status: 400, kind: "invalid_parameter"},
		{name: "limit", method: "GET", path: cdp + "/last_uploadings?limit=1001", status: 400, kind: "invalid_parameter"},
		{name: "offset", method: "GET", path: cdp + "/last_uploadings?datetime_offset=yesterday", status: 400, kind: "invalid_parameter"},
		{name: "status id", method: "POST", path: cdp + "/schema/order_statuses", body: `{"order_statuses":[{"id":"in work","type":"PAID"}]}`, status: 400, kind: "invalid_parameter"},
		{name: "status type", method: "POST", path: cdp + "/schema/order_statuses", body: `{"order_statuses":[{"id":"1","type":"CANCELED"}]}`, status: 400, kind: "invalid_parameter"},
		{name: "goals as text", method: "POST", path: cdp + "/schema/order_statuses", body: `{"order_statuses":[{"id":"1","type":"PAID","goal_action_ids":"a"}]}`, status: 400, kind: "invalid_parameter"},
		{name: "repeated goals", method: "POST", path: cdp + "/schema/order_statuses", body: `{"order_statuses":[{"id":"1","type":"PAID","goal_action_ids":["a","a"]}]}`, status: 400, kind: "invalid_parameter"},
		{name: "entity type", method: "GET", path: cdp + "/schema/attributes?entity_type=DEAL", status: 400, kind: "invalid_parameter"},
		{name: "no entity type", method: "GET", path: cdp + "/schema/attributes", status: 400, kind: "missing_parameter"},
		{name: "attribute of the system", method: "POST", path: cdp + "/schema/attributes?entity_type=ORDER", body: `{"attributes":[{"name":"revenue","multivalued":false,"type_name":"text"}]}`, status: 400, kind: "invalid_parameter"},
		{name: "attribute without multivalued", method: "POST", path: cdp + "/schema/attributes?entity_type=ORDER", body: `{"attributes":[{"name":"a","type_name":"text"}]}`, status: 400, kind: "invalid_parameter"},
		{name: "products without attributes", method: "POST", path: cdp + "/schema/products", body: `{"items":[{"name":"a"}]}`, status: 400, kind: "invalid_parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t, nil)
			c.AddToken("reader", DefaultLogin, "metrika:read")
			c.AddToken("viewer", "guest", "metrika:read", "metrika:write")
			if err := c.AddCounter(Counter{ID: DefaultCounter, Owner: DefaultLogin, Zone: DefaultZone, Guests: map[string]string{"guest": "view"}}); err != nil {
				t.Fatal(err)
			}
			contentType, body := tt.bodyType, bytes.NewBufferString(tt.body)
			if tt.part[0] != "" {
				contentType, body = multipartOf(tt.part[0], tt.part[1], tt.part[2], "uniq_id\n1\n")
			}
			change := []func(*http.Request){}
			if tt.change != nil {
				change = append(change, tt.change)
			}
			status, got := c.do(tt.method, tt.path, contentType, body, change...)
			if status != tt.status || errorType(got) != tt.kind || got["code"] != float64(tt.status) {
				t.Errorf("%d %v", status, got)
			}
		})
	}
}

func as(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "OAuth "+token) }
}

func TestTwoParts(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for range 2 {
		h := textproto.MIMEHeader{"Content-Type": {"text/csv"}, "Content-Disposition": {`form-data; name="file"; filename="data.csv"`}}
		part, _ := w.CreatePart(h)
		_, _ = io.WriteString(part, "uniq_id\n1\n")
	}
	_ = w.Close()
	if status, _ := c.do("POST", cdp+"/data/contacts/csv?merge_mode=SAVE", w.FormDataContentType(), &body); status != 400 || c.Count(DefaultCounter, "contacts") != 0 {
		t.Errorf("status %d", status)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"420", "429"} {
		c := newCaller(t, map[string]string{"quota_status": status})
		list := func() (int, string) {
			code, got := c.do("GET", cdp+"/last_uploadings", "", nil)
			return code, errorType(got)
		}
		c.SetRules(func(r *Rules) { r.PerDay = 5 })
		for range 5 {
			if code, _ := list(); code != 200 {
				t.Fatal(code)
			}
		}
		if code, kind := list(); fmt.Sprint(code) != status || kind != "quota_requests_by_uid" {
			t.Errorf("%d %s", code, kind)
		}
		c.mu.Lock()
		c.at = c.at.Add(24 * time.Hour)
		c.mu.Unlock()
		if code, _ := list(); code != 200 {
			t.Errorf("the next day: %d", code)
		}
		c.SetRules(func(r *Rules) { r.PerDay, r.PerCounter = 1000, 2 })
		list()
		if code, kind := list(); fmt.Sprint(code) != status || kind != "quota_requests_by_counter_id" {
			t.Errorf("of the counter: %d %s", code, kind)
		}
		c.SetRules(func(r *Rules) { r.PerCounter, r.PerSecond = 1000, 2 })
		kinds := map[string]bool{}
		for range 9 {
			_, kind := list()
			kinds[kind] = true
		}
		if !kinds["quota_requests_by_ip"] {
			t.Errorf("%v", kinds)
		}
		c.SetRules(func(r *Rules) { r.PerSecond, r.Parallel = 1000, 0 })
		if _, kind := list(); kind != "quota_parallel_requests" {
			t.Errorf("at a time: %s", kind)
		}
	}
}

func TestTwoUploadsInFlight(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	begun, finish := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		c.do("POST", cdp+"/data/contacts/csv?merge_mode=SAVE", "multipart/form-data; boundary=b", begun)
	})
	// The first byte is taken only when the upload is being read.
	if _, err := io.WriteString(finish, "--b\r\n"); err != nil {
		t.Fatal(err)
	}
	c.mustPass("orders", "SAVE", "id,client_uniq_id,client_type,create_date_time,order_status\n")
	before := slices.Clone(c.Violations())
	c.mustPass("contacts", "SAVE", "uniq_id\n1\n")
	after := c.Violations()
	_ = finish.Close()
	wg.Wait()
	if len(after) != len(before)+1 || !strings.Contains(after[len(before)], "in flight") {
		t.Errorf("%q", after)
	}
}

func TestOrdersAndClients(t *testing.T) {
	t.Parallel()
	const head = "id,client_uniq_id,client_type,create_date_time,order_status\n"
	c := newCaller(t, nil)
	c.mustPass("orders", "SAVE", head+"o1,ghost,CONTACT,2026-01-01,PAID\no2,firm,COMPANY,2026-01-01,PAID\n")
	if v := c.Violations(); len(v) != 1 || !strings.Contains(v[0], "1 orders came before their contacts") {
		t.Errorf("%q", v)
	}
	strict := newCaller(t, map[string]string{"unknown_client": "fail"})
	strict.SetRules(func(r *Rules) { r.OrdersPerUser = 2 })
	if up := strict.post("orders", "merge_mode=SAVE", head+"o1,ghost,CONTACT,2026-01-01,PAID\n"); up["api_validation_status"] != "FAILED" {
		t.Errorf("%v", up)
	}
	strict.mustPass("contacts", "SAVE", "uniq_id\nc\n")
	strict.mustPass("orders", "SAVE", head+"o1,c,CONTACT,2026-01-01,PAID\no2,c,CONTACT,2026-01-01,PAID\n")
	strict.mustPass("orders", "SAVE", head+"o1,c,CONTACT,2026-01-01,SPAM\n")
	if up := strict.post("orders", "merge_mode=SAVE", head+"o3,c,CONTACT,2026-01-01,PAID\n"); up["api_validation_status"] != "FAILED" {
		t.Errorf("a third order: %v", up)
	}
}

func TestEmptyCellsUnderUpdate(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"SAVE", "UPDATE", "APPEND"} {
		c := newCaller(t, nil)
		c.mustPass("contacts", mode, "uniq_id,name\n1,\n")
		if found := len(c.Violations()) > 0; found != (mode != "SAVE") {
			t.Errorf("%s: %q", mode, c.Violations())
		}
	}
}

func TestInspectionPages(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	c.mustPass("contacts", "SAVE", "uniq_id,name\n1,N\n")
	for _, page := range []string{"", "contacts", "contacts?id=1", "orders", "simple_orders", "uploads", "statuses", "violations"} {
		if status, got := c.do("GET", "/__fake/"+page, "", nil); status != 200 || len(got) == 0 {
			t.Errorf("%s: %d %v", page, status, got)
		}
	}
	if status, _ := c.do("GET", "/__fake/contacts?id=2", "", nil); status != 404 {
		t.Errorf("an unknown contact: %d", status)
	}
	if status, _ := c.do("POST", "/__fake/faults", "", strings.NewReader(`{"name":"503","path":"last_uploadings"}`)); status != 200 {
		t.Errorf("a fault: %d", status)
	}
	if status, _ := c.do("GET", cdp+"/last_uploadings", "", nil); status != 503 {
		t.Errorf("injected: %d", status)
	}
	if status, _ := c.do("GET", cdp+"/last_uploadings", "", nil); status != 200 {
		t.Errorf("after it: %d", status)
	}
}

func TestCountersAndGoals(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	_, got := c.do("GET", "/management/v1/counters?per_page=1", "", nil)
	if got["rows"] != 1.0 || len(got["counters"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	if status, _ := c.do("POST", "/management/v1/counter/12345678/goals", "", strings.NewReader(`{"goal":{"name":"n","type":"action","conditions":[{"type":"exact","url":"call"}]}}`)); status != 200 {
		t.Errorf("goal: %d", status)
	}
	c.mustPass("simple_orders", "SAVE", "id,create_date_time,phones,order_status\n1,2026-01-01 10:00,79995551111,call\n")
}

// Settings connect to the sandbox that they come from.
func TestSettings(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	want := map[string]any{
		"url": "http://x", "oauth_url": "http://x", "collect_url": "http://x/collect", "counter": DefaultCounter, "token": DefaultToken, "ms": DefaultMeasurement,
	}
	if got := c.Settings("http://x"); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, bad := range []map[string]string{{"quota_status": "500"}, {"unknown_client": "?"}, {"time_zone": "Mars"}, {"counter": "x"}, {"colour": "red"}, {"status_step": "soon"}} {
		if _, err := New(connectors.SandboxOptions{Options: bad}); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
