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
	"sync/atomic"
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
	*Account
	clock *clock
	url   string
	token string
}

func newBench(t testing.TB, options map[string]string) *bench {
	t.Helper()
	b := &bench{clock: &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}}
	var err error
	if b.Account, err = New(connectors.SandboxOptions{Now: b.clock.Now, Options: options}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(b.Account)
	b.url = server.URL
	b.token = fmt.Sprint(b.Settings(server.URL)["token"])
	t.Cleanup(func() {
		_ = b.Close()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return b
}

// ask makes one call, a second apart from the last.
func (b *bench) ask(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	b.clock.Add(time.Second)
	return b.rush(t, method, path, body)
}

func (b *bench) rush(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("User-Agent", "test")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestRateAndBlock(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for i := range 7 {
		if status, _ := b.rush(t, "GET", "/api/v4/account", ""); status != 200 {
			t.Fatalf("call %d: %d", i, status)
		}
	}
	for range 21 {
		if status, body := b.rush(t, "GET", "/api/v4/account", ""); status != 429 || !strings.HasPrefix(body, "<html") {
			t.Fatal(status, body)
		}
	}
	for range 2 {
		if status, _ := b.ask(t, "GET", "/api/v4/account", ""); status != 403 {
			t.Fatal(status)
		}
	}
	b.clock.Add(16 * time.Minute)
	if status, _ := b.ask(t, "GET", "/api/v4/account", ""); status != 200 || len(b.Violations()) == 0 {
		t.Fatal(status)
	}
}

// What a sender may get wrong is answered as amoCRM would (§9.7, §9.8, §9.10).
func TestAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.Add(Leads, Entity{Name: "Сделка"})
	lead := fmt.Sprintf("/api/v4/leads/%d", id)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		say                      string
	}{
		{"page over the limit", "GET", "/api/v4/leads?limit=251", "", 400, ""},
		{"events over the limit", "GET", "/api/v4/events?limit=101", "", 400, ""},
		{"unknown filter", "GET", "/api/v4/leads?filter[colour]=1", "", 400, ""},
		{"empty page", "GET", "/api/v4/leads?page=2", "", 204, ""},
		{"unknown id", "GET", "/api/v4/leads/5", "", 204, ""},
		{"known id", "GET", lead, "", 200, `"custom_fields_values":null`},
		{"unknown address", "GET", "/api/v4/robots", "", 404, ""},
		{"no array", "POST", "/api/v4/leads", `{"name":"a"}`, 400, ""},
		{"unknown field", "POST", "/api/v4/leads", `[{"custom_fields_values":[{"field_id":1,"values":[{"value":"a"}]}]}]`, 400, `"path":"custom_fields_values.0.field_id"`},
		{"no field", "POST", "/api/v4/leads", `[{"custom_fields_values":[{"values":[{"value":"a"}]}]}]`, 400, "FieldMissing"},
		{"unknown status", "POST", "/api/v4/leads", `[{"status_id":5}]`, 400, `"path":"status_id"`},
		{"status of another pipeline", "POST", "/api/v4/leads", `[{"pipeline_id":7883554,"status_id":64831342}]`, 400, `"path":"status_id"`},
		{"unknown pipeline", "POST", "/api/v4/leads", `[{"pipeline_id":5}]`, 400, `"path":"pipeline_id"`},
		{"text for a number", "POST", "/api/v4/leads", `[{"price":"5"}]`, 400, `"code":"InvalidType"`},
		{"two contacts", "POST", "/api/v4/leads/complex", `[{"_embedded":{"contacts":[{"name":"a"},{"name":"b"}]}}]`, 400, ""},
		{"one bad of two", "POST", "/api/v4/leads", `[{"name":"ok"},{"price":"5","request_id":"second"}]`, 400, `"request_id":"second"`},
		{"good", "POST", "/api/v4/leads/complex", `[{"name":"ok","price":5,"_embedded":{"contacts":[{"name":"a","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"+79990001122","enum_code":"WORK"}]}]}]}}]`, 200, `"merged":false`},
		{"tags are replaced", "PATCH", "/api/v4/leads", fmt.Sprintf(`[{"id":%d,"_embedded":{"tags":[{"name":"x"}]}}]`, id), 200, "updated_at"},
		{"tags are added", "PATCH", "/api/v4/leads", fmt.Sprintf(`[{"id":%d,"tags_to_add":[{"name":"y"}]}]`, id), 200, ""},
		{"unsorted without metadata", "POST", "/api/v4/leads/unsorted/forms", `[{"source_name":"a","source_uid":"b"}]`, 400, "metadata.form_id"},
	} {
		if status, body := b.ask(t, tc.method, tc.path, tc.body); status != tc.status || !strings.Contains(body, tc.say) {
			t.Errorf("%s: %d %s", tc.name, status, body)
		}
	}
	if e, _ := b.Get(Leads, id); strings.Join(e.Tags, ",") != "x,y" {
		t.Errorf("tags %v", e.Tags)
	}
}

func TestDuplicatesAreViolations(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	body := fmt.Sprintf(`[{"name":"a","custom_fields_values":[{"field_id":%d,"values":[{"value":"k"}]}],
"_embedded":{"contacts":[{"name":"a","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"+79990001122"}]}]}]}}]`, LeadSvodID)
	for range 2 {
		if status, answer := b.ask(t, "POST", "/api/v4/leads/complex", body); status != 200 {
			t.Fatal(answer)
		}
	}
	if got := strings.Join(b.Violations(), "\n"); !strings.Contains(got, "second contact") || !strings.Contains(got, "second lead") {
		t.Error(got)
	}
}

func TestUnsorted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	form := `[{"source_name":"s","source_uid":"u","metadata":{"form_id":"1","form_name":"f","form_page":"p","form_sent_at":1},"_embedded":{"leads":[{"name":"Заявка"}],"contacts":[{"name":"Иван"}]}}]`
	_, body := b.ask(t, "POST", "/api/v4/leads/unsorted/forms", form)
	var made struct {
		Embedded struct {
			Unsorted []struct {
				UID string `json:"uid"`
			} `json:"unsorted"`
		} `json:"_embedded"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || len(made.Embedded.Unsorted) != 1 {
		t.Fatal(body, err)
	}
	for _, path := range []string{"/api/v4/leads", "/api/v4/contacts"} {
		if status, _ := b.ask(t, "GET", path, ""); status != 204 {
			t.Errorf("%s is visible before it is accepted", path)
		}
	}
	accept := "/api/v4/leads/unsorted/" + made.Embedded.Unsorted[0].UID + "/accept"
	if status, _ := b.ask(t, "POST", accept, `{"status_id":5}`); status != 400 {
		t.Error(status)
	}
	if status, _ := b.ask(t, "POST", accept, fmt.Sprintf(`{"status_id":%d}`, StatusWork)); status != 200 {
		t.Error(status)
	}
	if status, _ := b.ask(t, "GET", "/api/v4/contacts", ""); status != 200 {
		t.Error(status)
	}
	off := newBench(t, map[string]string{"unsorted": "off"})
	if status, _ := off.ask(t, "POST", "/api/v4/leads/unsorted/forms", form); status != 422 {
		t.Error(status)
	}
}

func TestRefreshTokenIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"auth": "oauth"})
	ask := func(grant, name, value string) (int, map[string]any) {
		data, err := json.Marshal(map[string]string{"client_id": ClientID, "client_secret": ClientSecret, "redirect_uri": RedirectURI, "grant_type": grant, name: value})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(b.url+"/oauth2/access_token", "application/json", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
	code := b.Code()
	status, pair := ask("authorization_code", "code", code)
	if again, _ := ask("authorization_code", "code", code); status != 200 || again != 401 {
		t.Error(status, again)
	}
	first := fmt.Sprint(pair["refresh_token"])
	if status, _ := ask("refresh_token", "refresh_token", first); status != 200 {
		t.Error(status)
	}
	if status, out := ask("refresh_token", "refresh_token", first); status != 401 || out["hint"] != "Token has been revoked" {
		t.Error(status, out)
	}
}

// hookServer answers webhooks with a status that may be changed.
func hookServer(t testing.TB, b *bench, status *atomic.Int64) *atomic.Int64 {
	t.Helper()
	got := new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(1)
		if r.Header.Get("X-Amocrm-Requestid") == "" || r.Header.Get("User-Agent") != "amoCRM-Webhooks/3.0" {
			t.Error("headers are not amoCRM's")
		}
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(server.Close)
	b.SetHookURL(server.URL)
	return got
}

func (b *bench) flush(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestRetrySchedule(t *testing.T) {
	t.Parallel()
	const m = time.Minute
	for name, tc := range map[string]struct {
		status int64
		waits  []time.Duration
	}{
		"refusals are tried three times": {404, []time.Duration{5 * m, 15 * m}},
		"failures five times":            {503, []time.Duration{5 * m, 15 * m, 15 * m, 60 * m}},
		"a client that left, too":        {499, []time.Duration{5 * m, 15 * m, 15 * m, 60 * m}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			var status atomic.Int64
			status.Store(tc.status)
			got := hookServer(t, b, &status)
			b.Add(Leads, Entity{Name: "a"})
			b.flush(t)
			for i, wait := range tc.waits {
				b.clock.Add(wait - time.Second)
				if n := b.RetryDue(); n != 0 {
					t.Fatalf("try %d came early", i+2)
				}
				b.clock.Add(time.Second)
				if n := b.RetryDue(); n != 1 {
					t.Fatalf("try %d did not come", i+2)
				}
				b.flush(t)
			}
			b.clock.Add(24 * time.Hour)
			if n := b.RetryDue(); n != 0 || got.Load() != int64(len(tc.waits)+1) {
				t.Errorf("%d tries", got.Load())
			}
			b.Trigger(b.All(Leads)[0].ID)
			b.flush(t)
			if b.Hooks().Waiting != 0 {
				t.Error("a digital pipeline's webhook is tried again")
			}
		})
	}
}

func TestHookIsDisabled(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var status atomic.Int64
	status.Store(500)
	got := hookServer(t, b, &status)
	for range 101 {
		b.Add(Leads, Entity{Name: "a"})
	}
	b.flush(t)
	if r := b.Hooks(); !r.Disabled || got.Load() != 101 {
		t.Fatalf("%+v after %d", r, got.Load())
	}
	b.Add(Leads, Entity{Name: "a"})
	b.flush(t)
	if got.Load() != 101 {
		t.Error("a disabled hook is called")
	}
	_, body := b.ask(t, "GET", "/api/v4/webhooks", "")
	if !strings.Contains(body, `"disabled":true`) {
		t.Error(body)
	}
	destination := b.hooks.url
	if code, body := b.ask(t, "POST", "/api/v4/webhooks", fmt.Sprintf(`{"destination":%q,"settings":["add_lead"]}`, destination)); code != 201 || !strings.Contains(body, `"disabled":false`) {
		t.Error(code, body)
	}
	if code, _ := b.ask(t, "GET", "/api/v4/webhooks?filter[destination]="+url.QueryEscape("https://other.test"), ""); code != 204 {
		t.Error(code)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.Add(Leads, Entity{Name: "Сделка"})
	for path, say := range map[string]string{"": `"account":31612010`, "leads": "Сделка", "contacts": "[]", "violations": ""} {
		if status, body := b.ask(t, "GET", "/__fake/"+path, ""); status != 200 || !strings.Contains(body, say) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"auth": "password", "filter": "maybe", "rate": "fast", "time_scale": "-1"} {
		if _, err := New(connectors.SandboxOptions{Options: map[string]string{name: value}}); err == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
}

// BenchmarkTraffic is the load that acceptance plays, without its pauses.
func BenchmarkTraffic(b *testing.B) {
	for b.Loop() {
		a, err := New(connectors.SandboxOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Traffic(b.Context(), Load{Companies: 100, Contacts: 3000, Leads: 5000, Changes: 20000}); err != nil {
			b.Fatal(err)
		}
		_ = a.Close()
	}
}
