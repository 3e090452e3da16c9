package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/roistat/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2022, 4, 10, 12, 0, 0, 0, time.UTC)

// Right answers; the cases below put one wrong one in place of them.
var right = map[string]string{
	"import_scheme":  `{"statuses":[{"id":"1","name":"New"}],"fields":[],"managers":[]}`,
	"export":         `{"orders":[{"id":"7","name":"A","date_create":1649500000,"status":"1","price":1.5,"roistat":"12","client_id":"3","fields":{}}],"pagination":{"total_count":1,"limit":10}}`,
	"export_clients": `{"clients":[{"id":"3","name":"I","phone":"79990001122","email":""}],"pagination":{"total_count":1,"limit":10}}`,
	"lead":           `{"status":"ok","order_id":"7"}`,
}

// hub answers by action; each answer of a list is given once, the last one for
// ever.
func hub(t *testing.T, answers map[string][]string) string {
	t.Helper()
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action := r.FormValue("action")
		body := right[action]
		if list := answers[action]; len(list) > 0 {
			body = list[min(asked[action], len(list)-1)]
			asked[action]++
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if rest, refused := strings.CutPrefix(body, "503 "); refused {
			w.WriteHeader(http.StatusServiceUnavailable)
			body = rest
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/pull?own=1"
}

func newSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(connectors.SandboxOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestItFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	export := func(order string) string {
		return `{"orders":[` + order + `],"pagination":{"total_count":1,"limit":10}}`
	}
	for name, c := range map[string]struct {
		action  string
		answers []string
		want    string // "" when it is right
	}{
		"everything right":           {"", nil, ""},
		"a BOM":                      {"export", []string{"\ufeff" + right["export"]}, "not pure JSON"},
		"a warning before it":        {"export", []string{"Warning: x\n" + right["export"]}, "not pure JSON"},
		"no list of managers":        {"import_scheme", []string{`{"statuses":[{"id":"1","name":"New"}],"fields":[]}`}, "no list managers"},
		"a status twice":             {"import_scheme", []string{`{"statuses":[{"id":"1","name":"A"},{"id":"1","name":"B"}],"fields":[],"managers":[]}`}, "id 1 twice"},
		"no statuses":                {"import_scheme", []string{`{"statuses":[],"fields":[],"managers":[]}`}, "no statuses"},
		"a number for an id":         {"export", []string{export(`{"id":7,"date_create":1649500000,"status":"1"}`)}, "export: id is not a text"},
		"an unknown status":          {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"2"}`)}, "status 2 of order 7 is not in the scheme"},
		"an unknown client":          {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"1","client_id":"9"}`)}, "client 9 of order 7 is not exported"},
		"fields as a list":           {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"1","fields":["x"]}`)}, "fields is a list"},
		"fields as an empty list":    {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"1","fields":[]}`)}, ""},
		"the date as text":           {"export", []string{export(`{"id":"7","date_create":"2022-04-09 12:30","status":"1"}`)}, ""},
		"the date in another form":   {"export", []string{export(`{"id":"7","date_create":"09.04.2022","status":"1"}`)}, "date_create is neither"},
		"a price of letters":         {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"1","price":"1 000 руб"}`)}, "price is not a number"},
		"a placeholder for a visit":  {"export", []string{export(`{"id":"7","date_create":1649500000,"status":"1","roistat":"{visit}"}`)}, "placeholder"},
		"no pagination":              {"export", []string{`{"orders":[]}`}, "no usable pagination"},
		"fewer rows than counted":    {"export", []string{`{"orders":[],"pagination":{"total_count":5,"limit":10}}`}, "0 rows in all, total_count is 5"},
		"a count that changes":       {"export", []string{strings.Replace(right["export"], `1,"limit":10`, `2,"limit":1`, 1), strings.Replace(strings.Replace(right["export"], `1,"limit":10`, `3,"limit":1`, 1), `"7"`, `"8"`, 1)}, "total_count changed from 2 to 3"},
		"an order twice":             {"export", []string{strings.Replace(right["export"], `1,"limit":10`, `2,"limit":1`, 1)}, "order 7 twice"},
		"several phones in one":      {"export_clients", []string{`{"clients":[{"id":"3","name":"I","phone":"1, 2","email":""}],"pagination":{"total_count":1,"limit":10}}`}, "not one number"},
		"a refusal without a reason": {"export", []string{"503 busy"}, "without an error in Roistat's shape"},
		"a refusal for now":          {"export", []string{`503 {"status":"error","message":"loading"}`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			if _, err := s.Run(t.Context(), hub(t, map[string][]string{c.action: c.answers})); err != nil {
				t.Fatal(err)
			}
			got := s.Violations()
			if c.want == "" && len(got) != 0 || c.want != "" && !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Errorf("violations %q", got)
			}
		})
	}
}

func TestItDeletesWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	base := hub(t, map[string][]string{"export": {right["export"], `503 {"status":"error","message":"loading"}`, `{"orders":[],"pagination":{"total_count":0,"limit":10}}`}})
	for i, want := range []int{0, 0, 1} {
		report, err := s.Run(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Lost) != want {
			t.Errorf("exchange %d lost %v", i, report.Lost)
		}
	}
}

func TestItRepeatsALeadUntilItIsTaken(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	base := hub(t, map[string][]string{"lead": {`503 {"status":"error","message":"later"}`, `503 {"status":"error","message":"later"}`, right["lead"], `{"status":"ok","order_id":"8"}`}})
	if id, err := s.PushLead(t.Context(), base, sandbox.SampleLead(now)); id != "" || err != nil {
		t.Fatal(id, err)
	}
	for _, waiting := range []int{1, 0} {
		if report, err := s.Run(t.Context(), base); err != nil || report.Repeated != 1 || report.Waiting != waiting {
			t.Errorf("got %+v, %v", report, err)
		}
	}
	if got := s.Violations(); len(got) != 0 {
		t.Errorf("violations %q", got)
	}
	if err := s.RepeatAll(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	if got := s.Violations(); len(got) != 1 || !strings.Contains(got[0], "a second order 8 besides 7") {
		t.Errorf("violations %q", got)
	}
}
