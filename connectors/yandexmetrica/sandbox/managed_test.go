package sandbox

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestGoals(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	status, got := c.do("POST", managed+"goals", "application/json", strings.NewReader(sample(t, "goal_create_action.json")))
	if status != 200 || got["goal"].(map[string]any)["id"] != 334420.0 {
		t.Fatalf("%d %v", status, got)
	}
	if g := c.Goals(DefaultCounter)[0]; g.Name != "API JS goal" || g.Type != "action" || g.Conditions[0] != (GoalCondition{"exact", "order"}) || g.Source != "user" {
		t.Errorf("%+v", g)
	}
	tests := []struct{ name, method, path, body, want string }{
		{"no name", "POST", "goals", `{"goal":{"type":"action","conditions":[{"type":"exact","url":"a"}]}}`, "invalid_parameter"},
		{"type", "POST", "goals", `{"goal":{"name":"a","type":"event"}}`, "invalid_parameter"},
		{"no condition", "POST", "goals", `{"goal":{"name":"a","type":"action"}}`, "invalid_parameter"},
		{"condition", "POST", "goals", `{"goal":{"name":"a","type":"action","conditions":[{"type":"equals","url":"a"}]}}`, "invalid_parameter"},
		{"no JSON", "POST", "goals", `{`, "invalid_json"},
		{"unknown", "GET", "goal/1", "", "not_found"},
		{"visits of some length", "POST", "goals", `{"goal":{"name":"d","type":"visit_duration","duration":60}}`, ""},
		{"another", "PUT", "goal/334420", `{"goal":{"name":"b","type":"action","conditions":[{"type":"exact","url":"b"}]}}`, ""},
		{"one", "GET", "goal/334420", "", ""},
	}
	for _, tt := range tests {
		if _, got := c.do(tt.method, managed+tt.path, "application/json", strings.NewReader(tt.body)); errorType(got) != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if g := c.Goals(DefaultCounter); len(g) != 2 || g[0].Conditions[0].URL != "b" || g[0].ID != 334420 {
		t.Errorf("%+v", g)
	}
	if _, got := c.do("DELETE", managed+"goal/334420", "", nil); got["success"] != true {
		t.Errorf("%v", got)
	}
	for query, want := range map[string]int{"": 1, "?useDeleted=false": 1, "?useDeleted=true": 2} {
		if _, got := c.do("GET", managed+"goals"+query, "", nil); len(got["goals"].([]any)) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

// A second goal of an identifier, a condition that offline data cannot use, and
// one goal too many.
func TestGoalConflicts(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order")
	post := func(condition string) (int, string) {
		status, got := c.do("POST", managed+"goals", "application/json", strings.NewReader(`{"goal":{"name":"n","type":"action","conditions":[{"type":"`+condition+`","url":"order"}]}}`))
		return status, errorType(got)
	}
	if status, _ := post("exact"); status != 200 {
		t.Errorf("%d", status)
	}
	if status, _ := post("contain"); status != 200 {
		t.Errorf("%d", status)
	}
	c.SetRules(func(r *Rules) { r.SameGoal = "conflict" })
	if status, kind := post("exact"); status != 409 || kind != "conflict" {
		t.Errorf("%d %s", status, kind)
	}
	c.SetRules(func(r *Rules) { r.MaxGoals = 3 })
	if status, kind := post("contain"); status != 400 || kind != "limit_exceeded" {
		t.Errorf("%d %s", status, kind)
	}
	if v := c.Violations(); len(v) != 4 {
		t.Errorf("%q", v)
	}
}

func TestUserParams(t *testing.T) {
	t.Parallel()
	upload := managed + "user_params/uploadings/upload?action="
	for name, file := range map[string]string{
		"long": "ClientId,Key,Value\n1,plan,gold\n1,size,5\n2,plan,tin\n",
		"wide": "ClientId,plan,size\n1,gold,5\n2,tin,\n",
	} {
		c := newCaller(t, nil)
		c.AddVisitor(DefaultCounter, "1", start.Add(-time.Hour))
		up := c.take(upload+"update&content_id_type=CLIENT_ID&comment=p1", file)
		if up["status"] != "uploaded" || up["content_id_type"] != "client_id" || up["action"] != "update" || up["comment"] != "p1" {
			t.Errorf("%s: %v", name, up)
		}
		c.Advance(time.Hour)
		if got := c.UserParams(DefaultCounter); len(got) != 0 || c.fate(managed+"user_params/uploading/", up)["status"] != "uploaded" {
			t.Errorf("%s: applied without a confirmation: %v", name, got)
		}
		confirm := managed + "user_params/uploading/" + unixID(up) + "/confirm"
		if _, got := c.do("POST", confirm, "application/json", strings.NewReader(`{"uploading":{"id":`+unixID(up)+`}}`)); got["uploading"].(map[string]any)["status"] != "is_processed" {
			t.Errorf("%s: %v", name, got)
		}
		if status, _ := c.do("POST", confirm, "", nil); status != 200 { // a second one changes nothing
			t.Errorf("%s: %d", name, status)
		}
		c.Advance(time.Hour)
		got := c.UserParams(DefaultCounter)
		if !maps.Equal(got["ClientId=1"], map[string]string{"plan": "gold", "size": "5"}) || got["ClientId=2"]["plan"] != "tin" {
			t.Errorf("%s: %v", name, got)
		}
		if fate := c.ManagedUploads(DefaultCounter, "user_params")[0]; fate.Status != "processed" || fate.Linked != 1 || fate.UserNotFound != 1 || fate.Confirms != 2 {
			t.Errorf("%s: %+v", name, fate)
		}
		gone := c.take(upload+"delete_keys", "ClientId,Key\n1,plan\n")
		c.do("POST", managed+"user_params/uploading/"+unixID(gone)+"/confirm", "", nil)
		if got := c.UserParams(DefaultCounter)["ClientId=1"]; !maps.Equal(got, map[string]string{"size": "5"}) {
			t.Errorf("%s: %v", name, got)
		}
		if v := c.Violations(); len(v) > 0 {
			t.Errorf("%q", v)
		}
	}
}

// unixID is the id of an upload as text.
func unixID(up map[string]any) string {
	return unix(time.Unix(int64(up["id"].(float64)), 0))
}

func TestUserParamsThatAreRefused(t *testing.T) {
	t.Parallel()
	const long = "UserId,Key,Value\n"
	tests := []struct{ name, query, file, kind string }{
		{"no action", "", long, "missing_parameter"},
		{"action", "?action=replace", long, "invalid_parameter"},
		{"identifier", "?action=update", "Email,Key,Value\na@b.ru,k,v\n", "invalid_uploading"},
		{"no identifier", "?action=update", long + ",k,v\n", "invalid_uploading"},
		{"no value", "?action=update", "UserId,Key\nu,k\n", "invalid_uploading"},
		{"repeated key", "?action=update", long + "u,k,1\nu,k,2\n", "invalid_uploading"},
		{"another identifier type", "?action=update&content_id_type=client_id", long + "u,k,v\n", "invalid_parameter"},
		{"loose quote", "?action=update", long + "u,k,\"v\n", "invalid_uploading"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t, nil)
			if status, got := c.send(managed+"user_params/uploadings/upload"+tt.query, tt.file); status != 400 || errorType(got) != tt.kind {
				t.Errorf("%d %v", status, got)
			}
		})
	}
	c := newCaller(t, map[string]string{"params_comment": "false", "confirm_answer": "success"})
	up := c.take(managed+"user_params/uploadings/upload?action=update&comment=x", long+"u,k,v\n")
	path := managed + "user_params/uploading/" + unixID(up)
	if up["comment"] != "" {
		t.Errorf("%v", up)
	}
	if _, got := c.do("PUT", path, "application/json", strings.NewReader(`{"uploading":{"comment":"later"}}`)); got["uploading"].(map[string]any)["comment"] != "later" {
		t.Errorf("%v", got)
	}
	if status, _ := c.do("POST", path+"/confirm", "", strings.NewReader(`{"uploading":{"id":1}}`)); status != 400 {
		t.Errorf("another upload's object: %d", status)
	}
	if _, got := c.do("POST", path+"/confirm", "", nil); got["success"] != true {
		t.Errorf("%v", got)
	}
}

func TestExpenses(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	up := c.take(managed+"expense/upload?provider=vk&comment=e1", sample(t, "expenses.csv"))
	for _, want := range []string{"UPLOADED", "IN_PROGRESS", "PROCESSED"} {
		if got := c.fate(managed+"expense/uploading/", up); got["status"] != want || got["provider"] != "vk" || got["type"] != "EXPENSES" || got["source_quantity"] != 1.0 {
			t.Errorf("%v", got)
		}
		c.Advance(time.Minute)
	}
	rows := c.Expenses(DefaultCounter)
	if len(rows) != 1 || rows[0].Values["Expenses"] != "1500.50" || rows[0].Key != "provider=vk;Date=2026-07-01;UTMSource=vk;UTMCampaign=promo" {
		t.Errorf("%+v", rows)
	}
	c.take(managed+"expense/upload?provider=other", "Date,UTMSource,UTMCampaign,Expenses\n2026-07-01,vk,promo,7\n2026-07-02,vk,Promo,8\n2026-07-01/2026-07-03,vk,promo,9\n")
	c.take(managed+"expense/delete?provider=vk&comment=e1", "Date,UTMCampaign\n2026-07-01,promo\n")
	if n := c.RowCount(DefaultCounter, "expenses"); n != 3 {
		t.Errorf("after the removal: %+v", c.Expenses(DefaultCounter))
	}
	if _, got := c.do("POST", managed+"expense/delete_single?date=2026-07-01/2026-07-03&UTMSource=vk&UTMCampaign=promo", "", nil); got["uploading"].(map[string]any)["type"] != "REMOVES" {
		t.Errorf("%v", got)
	}
	if rows := c.Expenses(DefaultCounter); len(rows) != 1 || rows[0].Values["UTMCampaign"] != "Promo" {
		t.Errorf("%+v", rows)
	}
	if v := c.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
	if _, got := c.do("GET", managed+"expense/uploadings?limit=10&offset=0", "", nil); len(got["uploadings"].([]any)) != 4 {
		t.Errorf("%v", got)
	}
}

// The same expense again counts as sent again; what Metrica does with it is a rule.
func TestExpensesSentAgain(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{"replace": "8", "add": "15.5"} {
		c := newCaller(t, map[string]string{"expenses": rule})
		for _, sum := range []string{"7.5", "8"} {
			c.take(managed+"expense/upload", "Date,UTMSource,Expenses,Clicks\n2026-07-01,vk,"+sum+",3\n")
		}
		if rows := c.Expenses(DefaultCounter); rows[0].Values["Expenses"] != want || rows[0].Times != 2 || len(c.Violations()) != 1 {
			t.Errorf("%s: %+v %q", rule, rows, c.Violations())
		}
	}
}

func TestExpensesThatAreWrong(t *testing.T) {
	t.Parallel()
	const head = "Date,UTMSource,UTMMedium,TrafficSource,Expenses,Currency,Clicks\n"
	for name, row := range map[string]string{
		"no day": "2026-02-30,vk,,,1,,", "range backwards": "2026-07-02/2026-07-01,vk,,,1,,", "three days": "2026-07-01/2026-07-02/2026-07-03,vk,,,1,,",
		"no sum": "2026-07-01,vk,,,,,", "no source": "2026-07-01,,,,1,,", "unknown source": "2026-07-01,vk,,banner,1,,", "clicks": "2026-07-01,vk,,,1,,x",
		"currency": "2026-07-01,vk,,,1,RUR1,",
	} {
		c := newCaller(t, nil)
		if status, got := c.send(managed+"expense/upload", head+row+"\n"); status != 400 || errorType(got) != "invalid_uploading" {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	c := newCaller(t, nil)
	c.take(managed+"expense/upload", head+"2026-07-01,yandex,cpc,,1,RUB,1\n2026-07-01,,,social,1,RUB,1\n")
	if rows, v := c.Expenses(DefaultCounter), c.Violations(); len(v) != 1 || !strings.Contains(v[0], "Direct") || rows[0].Direct || !rows[1].Direct {
		t.Errorf("%+v %q", rows, v)
	}
	if status, _ := c.do("POST", managed+"expense/delete_single?date=July", "", nil); status != 400 {
		t.Errorf("a removal without a date: %d", status)
	}
}

// Narrow scopes open their own part only (§2.2).
func TestNarrowScopes(t *testing.T) {
	t.Parallel()
	at := unix(start.Add(-time.Hour))
	parts := map[string][2]string{
		"metrika:offline_data": {offline + "upload", "ClientId,Target,DateTime\n1,order," + at + "\n"},
		"metrika:user_params":  {managed + "user_params/uploadings/upload?action=update", "UserId,Key,Value\nu,k,v\n"},
		"metrika:expenses":     {managed + "expense/upload", "Date,UTMSource,Expenses\n2026-07-01,vk,1\n"},
	}
	for scope := range parts {
		c := withTargets(t, nil, "order")
		c.AddToken("narrow", DefaultLogin, scope)
		for other, part := range parts {
			contentType, body := multipartOf("file", "data.csv", "text/csv", part[1])
			if status, got := c.do("POST", part[0], contentType, body, as("narrow")); (status == 200) != (scope == other) {
				t.Errorf("%s for %s: %d %v", scope, other, status, got)
			}
		}
		for _, path := range []string{managed + "goals", "/stat/v1/data?ids=12345678&metrics=ym:s:visits"} {
			method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(path, "goals")]
			if status, _ := c.do(method, path, "", strings.NewReader(`{}`), as("narrow")); status != 403 {
				t.Errorf("%s: %s: %d", scope, path, status)
			}
		}
	}
}

// event posts to /collect and gives the status; the body never tells anything.
func (c *caller) event(values ...string) {
	c.t.Helper()
	form := url.Values{"tid": {DefaultCounter}, "cid": {"1"}, "ms": {DefaultMeasurement}, "t": {"event"}, "ea": {"order"}}
	for i := 0; i < len(values); i += 2 {
		if form.Set(values[i], values[i+1]); values[i+1] == "" {
			form.Del(values[i])
		}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/collect", strings.NewReader(form.Encode()))
	if c.ServeHTTP(w, r); w.Code != http.StatusOK {
		c.t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order")
	c.AddVisitor(DefaultCounter, "1", start.Add(-time.Hour))
	c.AddVisitor(DefaultCounter, "2", start.Add(-13*time.Hour))
	c.event("ev", "10.5", "cu", "RUB")
	c.event("cid", "2")
	c.event("cid", "3")
	c.event("cid", "3", "t", "pageview", "ea", "", "dl", "https://shop.example/", "dt", "Shop")
	c.event("cid", "3", "et", unix(start.Add(30*time.Second)))
	for range 2 {
		c.event("et", unix(start.Add(-10*time.Minute)))
	}
	c.event("et", unix(start.Add(-13*time.Hour)))
	c.event("et", unix(start.Add(time.Hour)))
	c.event("ms", "")
	c.event("ms", "wrong")
	for _, bad := range [][]string{
		{"t", "click"}, {"cid", "abc"}, {"ea", ""}, {"t", "pageview"}, {"et", "now"}, {"ev", "1,5"}, {"params", "{"}, {"dl", "shop"}, {"pa", "buy"},
	} {
		c.event(bad...)
	}
	events := c.Collected(DefaultCounter)
	if len(events) != 3 || events[0].Value != "10.5" || events[1].Type != "pageview" || events[2].Times != 2 {
		t.Errorf("%+v", events)
	}
	want := map[string]int{DropNoVisit: 2, DropTooOld: 1, DropFuture: 2, DropNoToken: 2, DropIncorrect: 9}
	if got := c.Dropped(DefaultCounter); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	c.event("tid", "1")
	if c.Dropped(DefaultCounter)[DropIncorrect] != 10 {
		t.Error("an unknown counter is not noted")
	}
}

func TestMeasurementSwitch(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	flags := func(enabled string) {
		if status, got := c.do("PUT", "/management/v1/counter/12345678?field=counter_flags", "application/json", strings.NewReader(`{"counter":{"counter_flags":{"measurement_enabled":`+enabled+`}}}`)); status != 200 {
			t.Errorf("%d %v", status, got)
		}
	}
	flags("false")
	c.event()
	flags("true")
	c.event()
	if c.Dropped(DefaultCounter)[DropDisabled] != 1 || len(c.Collected(DefaultCounter)) != 1 {
		t.Errorf("%v", c.Dropped(DefaultCounter))
	}
	for i := range 4 {
		if _, got := c.do("GET", managed+"measurement/generate", "", nil); got["response"] == "" {
			t.Errorf("token %d: %v", i, got)
		}
	}
	_, got := c.do("GET", managed+"measurement/generate", "", nil)
	var published map[string]any
	mustUnmarshal(t, sample(t, "error_measurement_token_limit.json"), &published)
	if errorType(got) != errorType(published) || got["code"] != published["code"] {
		t.Errorf("a sixth token: %v", got)
	}
	if status, _ := c.do("POST", managed+"measurement/delete?token="+DefaultMeasurement, "", nil); status != 200 {
		t.Errorf("%d", status)
	}
	_, got = c.do("GET", "/management/v1/counter/12345678?field=measurement_tokens,counter_flags,goals", "", nil)
	if counter := got["counter"].(map[string]any); len(counter["measurement_tokens"].([]any)) != 4 || counter["goals"] == nil {
		t.Errorf("%v", counter)
	}
	c.event()
	if c.Dropped(DefaultCounter)[DropNoToken] != 1 {
		t.Error("a revoked token is taken")
	}
}
