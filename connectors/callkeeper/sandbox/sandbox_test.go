package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func newService(tb testing.TB, options map[string]string) (*Service, *httptest.Server) {
	tb.Helper()
	s, err := New(connectors.SandboxOptions{Now: func() time.Time { return noon }, Seed: 1, Options: options})
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(s)
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s, server
}

func get(tb testing.TB, address string) string {
	tb.Helper()
	resp, err := http.Get(address)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// Each part of the query is checked by its place and form; errors are an
// object, rows a list (§3).
func TestListIsStrict(t *testing.T) {
	t.Parallel()
	const good = "json/v3/" + Key + "/call/get/0/2026-03-01/2026-03-02"
	for _, tt := range []struct {
		name, query, err string
		violation        bool
	}{
		{"days", good, "", false},
		{"timestamps", "json/v3/" + Key + "/call/getWithRole/0/1772323200/1772500000", "", false},
		{"open end", "json/v3/" + Key + "/call/getByRole/0/1772323200", "", false},
		{"nothing in the period", "json/v3/" + Key + "/call/get/0/2020-05-01/2020-05-02", noRows, false},
		{"behind the last page", "json/v3/" + Key + "/call/get/1/2026-03-01/2026-03-02", badPage, false},
		{"another type", strings.Replace(good, "json", "yaml", 1), badType, true},
		{"another version", strings.Replace(good, "v3", "v9", 1), badVersion, true},
		{"a stranger's key", strings.Replace(good, Key, "0000000000000000", 1), badUser, false},
		{"the classic key", strings.Replace(good, Key, strings.Repeat("a", 32), 1), badUser, true},
		{"another entity", strings.Replace(good, "/call/", "/deal/", 1), badEntity, true},
		{"another method", strings.Replace(good, "/get/", "/list/", 1), badMethod, true},
		{"page that is no number", strings.Replace(good, "/0/", "/first/", 1), badPage, true},
		{"date in Russian", strings.Replace(good, "2026-03-01", "01.03.2026", 1), badDate, true},
		{"no date", "json/v3/" + Key + "/call/get/0", badDate, true},
		{"pairs", "format=json&version=v3", badType, true},
		{"nothing", "", badType, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, server := newService(t, nil)
			s.Add(Call{Client: "79000000001", Duration: 5})
			body := get(t, server.URL+"/api/?"+tt.query)
			var fault struct {
				Inbound struct {
					Error string `json:"error"`
				} `json:"inbound"`
			}
			if tt.err == "" {
				var rows []map[string]any
				if err := json.Unmarshal([]byte(body), &rows); err != nil || len(rows) != 1 {
					t.Errorf("got %s", body)
				}
			} else if err := json.Unmarshal([]byte(body), &fault); err != nil || fault.Inbound.Error != tt.err {
				t.Errorf("got %s, want %s", body, tt.err)
			}
			if (len(s.Violations()) > 0) != tt.violation {
				t.Errorf("violations %v", s.Violations())
			}
		})
	}
}

// The error envelope is the sample's, and rows have the sample's members and
// types.
func TestListLooksLikeTheSamples(t *testing.T) {
	t.Parallel()
	sample := func(name string, into any) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("..", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	s, server := newService(t, nil)
	address := server.URL + "/api/?json/v3/" + Key + "/call/get/0/2026-03-01/2026-03-02"
	var want, got map[string]any
	sample("ckct_error_response.json", &want)
	body := get(t, address)
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	wantText, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if gotText, err := json.Marshal(got); err != nil || string(gotText) != string(wantText) {
		t.Errorf("got %s\nwant %s, %v", gotText, wantText, err)
	}

	s.Add(Call{Client: "79000000001"})
	s.Add(Call{Service: Callback, Client: "79000000002"})
	var real, rows []map[string]any
	sample("ckct_v3_calls_response.json", &real)
	body = get(t, address)
	if strings.Contains(body, "null") {
		t.Error("a value is null")
	}
	if err := json.Unmarshal([]byte(body), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("got %s, %v", body, err)
	}
	for name, value := range real[0] {
		for _, row := range rows {
			if mine, ok := row[name]; !ok || kindOf(mine) != kindOf(value) {
				t.Errorf("%s is %v, in the sample %v", name, mine, value)
			}
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "bool"
	case []any:
		return "list"
	}
	return "other"
}

// taken is what a receiver got.
type taken struct {
	method, kind string
	query        url.Values
	body         []byte
}

func receiver(t *testing.T, s *Service, status int) func() []taken {
	t.Helper()
	var mu sync.Mutex
	var all []taken
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		all = append(all, taken{r.Method, r.Header.Get("Content-Type"), r.URL.Query(), body})
		mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(func() { // before the service is closed
		s.hooks.client.CloseIdleConnections()
		hub.Close()
	})
	s.SetHookURL(hub.URL)
	return func() []taken {
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// Both bodies of a call-back go twice, in either order, with the oddities of the
// real ones (§6).
func TestCallbackHooks(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	flush := receiver(t, s, http.StatusOK)
	s.Add(Call{Service: Callback, Client: "79000000001", Duration: 61, ClientID: "17"})
	s.Add(Call{Service: Callback, Client: "79000000002", Duration: 5})
	var events []string
	for _, h := range flush() {
		var body map[string]any
		if err := json.Unmarshal(h.body, &body); err != nil || h.method != "POST" || h.kind != "application/json" {
			t.Fatalf("got %+v, %v", h, err)
		}
		events = append(events, body["hook_event"].(string))
		if body["tags"] != " " {
			t.Errorf("tags %q", body["tags"])
		}
		if _, ok := body["duration_min"].(string); !ok {
			t.Errorf("duration_min %v", body["duration_min"])
		}
		if (body["ya_clientid"] == nil) != (body["phone2"] == "79000000002") {
			t.Errorf("ya_clientid %v", body["ya_clientid"])
		}
	}
	const begun, over = "Call is processing", " Call is over"
	if want := strings.Join([]string{begun, begun, over, over, over, over, begun, begun}, "|"); strings.Join(events, "|") != want {
		t.Errorf("got %q", events)
	}
}

func TestTrackingHooks(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s, server := newService(t, map[string]string{"tracking_method": method})
			flush := receiver(t, s, http.StatusNoContent)
			s.Add(Call{Client: "79000000001", Duration: 61, City: "Москва"})
			for i, h := range flush() {
				values := h.query
				if method == "POST" {
					var err error
					if values, err = url.ParseQuery(string(h.body)); err != nil {
						t.Fatal(err)
					}
				}
				if h.method != method || values.Get("city") != "Москва" || values.Has("duration") != (i > 1) {
					t.Errorf("hook %d: %s %v", i, h.method, values)
				}
			}
			body := get(t, server.URL+"/api/?json/v3/"+Key+"/call/get/0/2026-03-01/2026-03-02")
			if strings.Count(body, `"hookResponseStatus":204`) != 4 {
				t.Errorf("the list does not tell what became of the hooks: %s", body)
			}
		})
	}
}

// A hook that is not answered with 2xx is lost: it is not repeated.
func TestHooksAreSentOnce(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	flush := receiver(t, s, http.StatusServiceUnavailable)
	s.Add(Call{Service: Callback, Client: "79000000001"})
	if got := flush(); len(got) != 4 {
		t.Errorf("%d attempts", len(got))
	}
	if sent, failed, _ := s.Hooks(); sent != 0 || failed != 4 || len(s.Violations()) != 4 {
		t.Errorf("%d sent, %d failed, %v", sent, failed, s.Violations())
	}
}

func TestLateChanges(t *testing.T) {
	t.Parallel()
	s, server := newService(t, nil)
	id := s.Begin(Call{Client: "79000000001"})
	address := server.URL + "/api/?json/v3/" + Key + "/call/get/0/2026-03-01/2026-03-02"
	if body := get(t, address); !strings.Contains(body, `"statusFirst":1,"statusSecond":0`) {
		t.Errorf("a call that goes on: %s", body)
	}
	s.Finish(id, 30)
	s.Tag(id, "целевой")
	s.Attach(id, "https://a.example/r")
	body := get(t, address)
	for _, want := range []string{`"statusFirst":200`, `"duration":30`, `"tags":["целевой"]`, `"recordUrl":"https://a.example/r"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	if state := get(t, server.URL+"/__fake/state"); !strings.Contains(state, `"calltracking": 1`) {
		t.Errorf("state %s", state)
	}
}

// A person makes calls by POST.
func TestTrafficPage(t *testing.T) {
	t.Parallel()
	s, server := newService(t, nil)
	post := func(query string) int {
		resp, err := http.Post(server.URL+"/__fake/traffic?"+query, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if status := post("calls=3&callbacks=2&history=4&changes=5"); status != http.StatusOK || s.Len() != 9 {
		t.Errorf("%d, %d calls", status, s.Len())
	}
	if status := post("calls=many"); status != http.StatusBadRequest {
		t.Errorf("nonsense is answered with %d", status)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, options := range []map[string]string{
		{"page_size": "0"}, {"order": "random"}, {"hooks": "some"}, {"tracking_method": "PUT"}, {"colour": "red"},
	} {
		if _, err := New(connectors.SandboxOptions{Options: options}); err == nil {
			t.Errorf("%v was taken", options)
		}
	}
	if _, err := New(connectors.SandboxOptions{Options: map[string]string{"page_size": "5", "order": "desc", "hooks": "none", "tracking_method": "POST"}}); err != nil {
		t.Error(err)
	}
}
