package admin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/handlers/admin"
	"github.com/svod-hub/svod/handlers/view/viewtest"
	"github.com/svod-hub/svod/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	shopToken   = "shop-token"
	clinicToken = "clinic-token"
	allToken    = "all-token"
	noToken     = "no-token"
)

type api struct {
	*viewtest.Hub
	actions *viewtest.Actions
	echo    *echo.Echo
}

func newAPI(t *testing.T) *api {
	t.Helper()
	hub := viewtest.New(t)
	a := &api{Hub: hub, actions: &viewtest.Actions{DB: hub.DB}, echo: echo.New()}
	admin.New(admin.Options{
		Store: hub.DB, Actions: a.actions, Projects: hub.Projects, Now: func() time.Time { return viewtest.Now },
		Tokens: []admin.Token{
			{Name: "ci", Token: shopToken, Projects: []string{"shop"}},
			{Name: "clinic", Token: clinicToken, Projects: []string{"clinic"}},
			{Name: "root", Token: allToken, Projects: []string{"*"}},
			{Name: "none", Token: noToken},
			{Name: "empty", Token: "", Projects: []string{"*"}},
		},
	}).Register(a.echo)
	return a
}

func (a *api) call(t *testing.T, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	a.echo.ServeHTTP(w, req)
	return w
}

func (a *api) get(t *testing.T, path string) map[string]any {
	t.Helper()
	w := a.call(t, http.MethodGet, path, shopToken, "")
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s answered %d %s", path, w.Code, w.Body)
	}
	return decode(t, w.Body)
}

func decode(t *testing.T, r io.Reader) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.NewDecoder(r).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// routes lists everything that is served, with the shop's things in the path.
func (a *api) routes(t *testing.T) []*echo.Route {
	t.Helper()
	var list []*echo.Route
	for _, route := range a.echo.Routes() {
		if route.Method != echo.RouteNotFound {
			list = append(list, route)
		}
	}
	if len(list) < 12 {
		t.Fatalf("only %d routes", len(list))
	}
	return list
}

func (a *api) path(route *echo.Route) string {
	path := strings.NewReplacer(":project", "shop", ":flow", "orders").Replace(route.Path)
	id := a.Done
	if strings.Contains(path, "/uploads/") {
		id = a.Accepted
	}
	path = strings.ReplaceAll(path, ":id", fmt.Sprint(id))
	if strings.HasSuffix(path, "/records") {
		path += "?kind=deal"
	}
	return path
}

func TestEveryRouteIsWalled(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const body = `{"filter":{"all":true}}`
	for _, route := range a.routes(t) {
		if route.Path == "/api/openapi.yaml" {
			continue
		}
		path, send := a.path(route), body
		if strings.Contains(path, "/flows/") {
			send = ""
		}
		for _, tt := range []struct {
			name, token string
			want        int
		}{
			{"no token", "", http.StatusUnauthorized},
			{"an unknown token", "x", http.StatusUnauthorized},
			{"another project's token", clinicToken, http.StatusNotFound},
			{"a token without projects", noToken, http.StatusNotFound},
		} {
			w := a.call(t, route.Method, path, tt.token, send)
			if route.Path == "/api/v1/status" && tt.want == http.StatusNotFound {
				if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "shop") {
					t.Errorf("the status with %s answered %d %s", tt.name, w.Code, w.Body)
				}
				continue
			}
			if w.Code != tt.want || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s with %s answered %d %q, want %d", route.Method, path, tt.name, w.Code, w.Header().Get("Content-Type"), tt.want)
			}
		}
		if calls := a.actions.Calls(); len(calls) > 0 {
			t.Fatalf("%s %s did %v", route.Method, path, calls)
		}
	}
	for _, route := range a.routes(t) {
		send := body
		if strings.Contains(route.Path, "/flows/") {
			send = ""
		}
		for _, token := range []string{shopToken, allToken} {
			w := a.call(t, route.Method, a.path(route), token, send)
			if w.Code != http.StatusOK {
				t.Errorf("%s %s with the right token answered %d %s", route.Method, a.path(route), w.Code, w.Body)
			}
			if token == shopToken && strings.Contains(w.Body.String(), viewtest.Marker) {
				t.Errorf("%s %s shows the other project", route.Method, a.path(route))
			}
		}
	}
}

func TestOtherSchemesDoNotOpen(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, header := range []string{"Basic " + shopToken, shopToken, "Bearer", "Bearer ", "Bearer " + shopToken + "x"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/status", nil)
		req.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		a.echo.ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q answered %d", header, w.Code)
		}
	}
}

func TestThingsOfOtherProjectsAreNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{
		fmt.Sprintf("/journal/%d", a.Foreign), fmt.Sprintf("/uploads/%d", a.Other), "/journal/x", "/uploads/0", "/nothing",
	} {
		w := a.call(t, http.MethodGet, "/api/v1/projects/shop"+path, shopToken, "")
		if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), viewtest.Marker) {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
	}
	w := a.call(t, http.MethodPost, "/api/v1/projects/shop/flows/visits/send", shopToken, "")
	if w.Code != http.StatusNotFound {
		t.Errorf("a foreign flow answered %d", w.Code)
	}
	w = a.call(t, http.MethodPost, "/api/v1/projects/shop/replay", shopToken, fmt.Sprintf(`{"filter":{"ids":[%d]}}`, a.Foreign))
	if got := decode(t, w.Body); got["matched"] != 0.0 {
		t.Errorf("a foreign entry was taken in again: %v", got)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.get(t, "/api/v1/projects/shop/journal?state=refused&state=new&limit=1")
	items := got["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["state"] != "new" || got["next"] == nil {
		t.Fatalf("got %v", got)
	}
	got = a.get(t, "/api/v1/projects/shop/journal?state=refused&state=new&limit=1&cursor="+got["next"].(string))
	if first := got["items"].([]any)[0].(map[string]any); first["cause"] != "foreign_account" {
		t.Errorf("got %v", first)
	}
	entry := a.get(t, fmt.Sprintf("/api/v1/projects/shop/journal/%d", a.Done))
	text := fmt.Sprint(entry)
	for _, secret := range []string{"very-secret", "query-secret", "s6p6eclrvim6da22ft9ch94ekreb52lv"} {
		if strings.Contains(text, secret) {
			t.Errorf("the entry shows %s", secret)
		}
	}
	if body := entry["body"].(map[string]any); body["form"] != "json" || !strings.Contains(body["text"].(string), "1000983") {
		t.Errorf("the body is %v", body)
	}
}

// TestCursorsWalkWholeLists pages through every list and finds each thing once.
func TestCursorsWalkWholeLists(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, want := range map[string]int{
		"/journal?limit=2": 3, "/uploads?limit=3": 4, "/deliveries?limit=17": 120, "/deliveries?limit=17&flow=orders": 120, "/records?kind=deal&limit=33": 120,
	} {
		seen, next := map[string]bool{}, ""
		for range 20 {
			got := a.get(t, "/api/v1/projects/shop"+path+"&cursor="+next)
			for _, item := range got["items"].([]any) {
				id := fmt.Sprint(item.(map[string]any)["id"])
				if seen[id] {
					t.Errorf("%s gives %s twice", path, id)
				}
				seen[id] = true
			}
			next, _ = got["next"].(string)
			if next == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%s gives %d things, want %d", path, len(seen), want)
		}
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.get(t, fmt.Sprintf("/api/v1/projects/shop/uploads/%d", a.Accepted))
	if got["status"] != "accepted" || got["remote_id"] != "4242" || got["answer"] == nil || got["refused"] != 1.0 {
		t.Errorf("got %v", got)
	}
	if strings.Contains(fmt.Sprint(got), "answer-secret") {
		t.Errorf("the answer shows a secret: %v", got)
	}
	parts := a.get(t, fmt.Sprintf("/api/v1/projects/shop/uploads?parent=%d", a.Split))["items"].([]any)
	if len(parts) != 2 {
		t.Errorf("the split upload has %d parts", len(parts))
	}
}

func TestRecordsAreMasked(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/v1/projects/shop/records?kind=contact"
	if text := fmt.Sprint(a.get(t, path)); strings.Contains(text, "79995551122") || strings.Contains(text, "ivan@") {
		t.Errorf("got %s", text)
	}
	if text := fmt.Sprint(a.get(t, path+"&reveal=true")); !strings.Contains(text, "79995551122") {
		t.Errorf("got %s", text)
	}
	log, err := a.DB.AuditLog(t.Context(), 10)
	if err != nil || len(log) != 1 || log[0].Action != "reveal" || log[0].User != "token:ci" {
		t.Errorf("the audit log is %v, %v", log, err)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path, body, call, answer string
	}{
		{"send", "/flows/orders/send", "", "send shop/orders", `{"asked":true}`},
		{"send, said in words", "/flows/orders/send", `{"all":false}`, "send shop/orders", `{"asked":true}`},
		{"send everything", "/flows/orders/send", `{"all":true}`, "send all shop/orders", `{"asked":true}`},
		{"statuses", "/flows/orders/statuses", "", "statuses shop/orders", `{"asked":true}`},
		{"replay", "/replay", `{"filter":{"states":["refused"]}}`, "replay shop 1", `{"matched":1,"dry_run":false}`},
		{"replay, counted only", "/replay", `{"filter":{"all":true},"dry_run":true}`, "", `{"matched":2,"dry_run":true}`},
		{"resend", "/resend", `{"filter":{"flow":"orders","cause":"status_unmapped"}}`, "resend shop 1", `{"matched":1,"dry_run":false}`},
		{"resend, counted only", "/resend", `{"filter":{"states":["refused"]},"dry_run":true}`, "", `{"matched":4,"dry_run":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			w := a.call(t, http.MethodPost, "/api/v1/projects/shop"+tt.path, shopToken, tt.body)
			if w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != tt.answer {
				t.Errorf("answered %d %s, want %s", w.Code, w.Body, tt.answer)
			}
			if calls := strings.Join(a.actions.Calls(), "; "); calls != tt.call {
				t.Errorf("asked for %q, want %q", calls, tt.call)
			}
			log, err := a.DB.AuditLog(t.Context(), 10)
			if err != nil || (len(log) == 1) != (tt.call != "") {
				t.Errorf("the audit log is %v, %v", log, err)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, tt := range []struct {
		method, path, body, parameter string
		status                        int
	}{
		{"GET", "/journal?state=odd", "", "state", 400},
		{"GET", "/journal?limit=1001", "", "limit", 400},
		{"GET", "/journal?limit=-1", "", "limit", 400},
		{"GET", "/journal?since=yesterday", "", "since", 400},
		{"GET", "/journal?cursor=%21", "", "cursor", 400},
		{"GET", "/deliveries?state=odd", "", "state", 400},
		{"GET", "/records", "", "kind", 400},
		{"GET", "/records?kind=deal&live=perhaps", "", "live", 400},
		{"POST", "/flows/clients/statuses", "", "flow", 400},
		{"POST", "/flows/orders/send", `{"al":true}`, "body", 400},
		{"POST", "/flows/orders/send", `{"all":true} {}`, "body", 400},
		{"POST", "/replay", ``, "filter", 400},
		{"POST", "/replay", `{"filter":{}}`, "filter", 400},
		{"POST", "/replay", `{"filter":{"state":"refused"}}`, "body", 400},
		{"POST", "/replay", `{"filter":{"states":["odd"]}}`, "state", 400},
		{"POST", "/resend", `{"filter":{}}`, "filter", 400},
		{"POST", "/resend", `[`, "body", 400},
		{"POST", "/resend", `{"filter":{"text":"` + strings.Repeat("x", 70<<10) + `"}}`, "", 413},
	} {
		w := a.call(t, tt.method, "/api/v1/projects/shop"+tt.path, shopToken, tt.body)
		got := decode(t, w.Body)
		parameter, _ := got["parameter"].(string)
		if w.Code != tt.status || parameter != tt.parameter || got["title"] == "" || got["detail"] == "" {
			t.Errorf("%s %s %.60s answered %d %v, want %d about %q", tt.method, tt.path, tt.body, w.Code, got, tt.status, tt.parameter)
		}
	}
	if calls := a.actions.Calls(); len(calls) > 0 {
		t.Errorf("something was done: %v", calls)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.actions.Err = model.Errorf(model.ClassReauth, model.CauseAuth, "Metrica refuses the token")
	w := a.call(t, http.MethodPost, "/api/v1/projects/shop/flows/orders/statuses", shopToken, "")
	if got := decode(t, w.Body); w.Code != http.StatusBadGateway || got["cause"] != "auth" || got["detail"] != "Metrica refuses the token" {
		t.Errorf("answered %d %v", w.Code, got)
	}
	a.actions.Err = fmt.Errorf("dial postgres://user:secret@db")
	w = a.call(t, http.MethodPost, "/api/v1/projects/shop/flows/orders/send", shopToken, "")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// TestDocumentListsEveryRoute compares the OpenAPI document with what is
// served, both ways, and follows every reference in it.
func TestDocumentListsEveryRoute(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	served := a.call(t, http.MethodGet, "/api/openapi.yaml", "", "")
	data, err := os.ReadFile("openapi.yaml")
	if err != nil || served.Body.String() != string(data) || !strings.HasPrefix(served.Header().Get("Content-Type"), "application/yaml") {
		t.Fatalf("the document is served as %q, %v", served.Header().Get("Content-Type"), err)
	}
	var document struct {
		Paths      map[string]map[string]any            `yaml:"paths"`
		Components map[string]map[string]map[string]any `yaml:"components"`
	}
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	var described, routes []string
	for path, methods := range document.Paths {
		for method := range methods {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	parameter := regexp.MustCompile(`:([a-z]+)`)
	for _, route := range a.routes(t) {
		routes = append(routes, route.Method+" "+parameter.ReplaceAllString(route.Path, "{$1}"))
	}
	sort.Strings(described)
	sort.Strings(routes)
	if !slices.Equal(described, routes) {
		t.Errorf("described:\n%s\nserved:\n%s", strings.Join(described, "\n"), strings.Join(routes, "\n"))
	}
	for _, m := range regexp.MustCompile(`#/components/([a-zA-Z]+)/([a-zA-Z]+)`).FindAllStringSubmatch(string(data), -1) {
		if document.Components[m[1]][m[2]] == nil {
			t.Errorf("%s is not there", m[0])
		}
	}
}

// TestAnswersHaveOnlyDescribedMembers holds answers against the document's
// schemas.
func TestAnswersHaveOnlyDescribedMembers(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	data, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	members := func(schema string, value any, extra ...string) {
		t.Helper()
		for name := range value.(map[string]any) {
			if _, ok := document.Components.Schemas[schema].Properties[name]; !ok && !slices.Contains(extra, name) {
				t.Errorf("the schema %s does not describe %q", schema, name)
			}
		}
	}
	first := func(path string) any { return a.get(t, "/api/v1/projects/shop"+path)["items"].([]any)[0] }
	status := a.get(t, "/api/v1/status")
	project := status["projects"].([]any)[0].(map[string]any)
	members("Status", status)
	members("Project", project)
	for schema, list := range map[string]string{"Attention": "attention", "Connection": "connections", "Flow": "flows", "RecentError": "errors"} {
		for _, item := range project[list].([]any) {
			members(schema, item)
		}
	}
	members("Entry", a.get(t, fmt.Sprintf("/api/v1/projects/shop/journal/%d", a.Done)))
	members("Upload", a.get(t, fmt.Sprintf("/api/v1/projects/shop/uploads/%d", a.Accepted)), "answer")
	members("Delivery", first("/deliveries?state=refused"))
	members("Delivery", first("/deliveries?state=waiting"))
	members("Record", first("/records?kind=contact"))
}
