package endtoend

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

// TestMetricaIsRead has the hub read from the counter: yesterday's reaches of a
// goal become records, and operators see today's visitors.
func TestMetricaIsRead(t *testing.T) {
	w := newWorld(t, embedded())
	zone, err := time.LoadLocation(counterZone)
	if err != nil {
		t.Fatal(err)
	}
	goal, err := w.counter.AddGoal(metrica.DefaultCounter, metrica.Goal{
		Name: "Оплата", Type: "action", Conditions: []metrica.GoalCondition{{Type: "exact", URL: "order_paid"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// A day is read from four in the morning of the next one, of the counter's clock.
	now := time.Now().In(zone)
	last := now.Add(-4*time.Hour).AddDate(0, 0, -1).Format(time.DateOnly)
	if err := w.counter.SetReaches(metrica.DefaultCounter, goal, last, 37); err != nil {
		t.Fatal(err)
	}
	for _, day := range []time.Time{now, now.AddDate(0, 0, 1)} { // midnight may come meanwhile
		w.counter.SetTraffic(metrica.DefaultCounter, day.Format(time.DateOnly), metrica.Traffic{Visitors: 4321, Visits: 5432, PageViews: 9876})
	}
	w.connections[0]["import_goals"] = []string{"order_paid"}
	w.start("hub")
	type record struct {
		ID   string `json:"id"`
		Data struct {
			Name   string            `json:"name"`
			Target string            `json:"target"`
			Fields map[string]string `json:"fields"`
		} `json:"data"`
	}
	var got []record
	eventually(t, 20*time.Second, "the goal's reaches are read", func() string {
		if got = list[record](w, "/records", url.Values{"kind": {"goal"}}); len(got) == 0 {
			return "there is no record of a goal"
		}
		return ""
	})
	id := strconv.FormatInt(goal, 10)
	if len(got) != 1 || got[0].ID != id+":"+last || got[0].Data.Name != "Оплата" || got[0].Data.Target != "order_paid" ||
		got[0].Data.Fields["reaches"] != "37" || got[0].Data.Fields["date"] != last {
		t.Errorf("the records of goals are %+v", got)
	}
	page := w.overview()
	if text := spaces.ReplaceAllString(page, ""); !strings.Contains(text, "4321") {
		t.Errorf("the overview does not show 4321 visitors:\n%s", page)
	}
	w.keepsProtocols()
}

// spaces stand between thousands, and markup between words.
var spaces = regexp.MustCompile("[\\s\u00a0\u202f,]+")

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// overview signs in as the operator and reads the project's page.
func (w *world) overview() string {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Jar: jar, Transport: transport, Timeout: 15 * time.Second}
	base := "http://" + w.hub().listen
	read := func(resp *http.Response, err error) string {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			w.t.Fatalf("%s: %d %v %s", resp.Request.URL.Path, resp.StatusCode, err, text)
		}
		return string(text)
	}
	found := csrfField.FindStringSubmatch(read(client.Get(base + "/console/sign-in")))
	if found == nil {
		w.t.Fatal("the form to sign in has no token")
	}
	form := url.Values{"name": {"operator"}, "password": {"endtoend-operator-password"}, "csrf": {found[1]}, "next": {"/console/p/" + project + "/"}}
	return read(client.PostForm(base+"/console/sign-in", form))
}
