package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// stat asks for a report.
func (c *caller) stat(path string, params ...string) (int, map[string]any) {
	c.t.Helper()
	q := url.Values{"ids": {DefaultCounter}}
	for i := 0; i < len(params); i += 2 {
		if q.Set(params[i], params[i+1]); params[i+1] == "" {
			q.Del(params[i])
		}
	}
	return c.do("GET", "/stat/v1/"+path+"?"+q.Encode(), "", nil)
}

// The informer of §12: totals of the counter's today, which begins before UTC's.
func TestInformer(t *testing.T) {
	t.Parallel()
	c := newCaller(t, map[string]string{"time_zone": "Asia/Vladivostok"})
	c.SetTraffic(DefaultCounter, "2026-11-21", Traffic{Visitors: 10, Visits: 20, PageViews: 30})
	c.SetTraffic(DefaultCounter, "2026-11-22", Traffic{Visitors: 1, Visits: 2, PageViews: 3})
	ask := func(more ...string) string {
		_, got := c.stat("data", append([]string{"metrics", "ym:s:users,ym:s:visits,ym:s:pageviews", "date1", "today", "date2", "today", "accuracy", "full"}, more...)...)
		return fmt.Sprint(got["totals"])
	}
	if got := ask(); got != "[10 20 30]" {
		t.Errorf("at 19:00 there: %s", got)
	}
	c.Advance(6 * time.Hour)
	if got := ask(); got != "[1 2 3]" {
		t.Errorf("at 01:00 there: %s", got)
	}
	if got := ask("timezone", "+00:00"); got != "[10 20 30]" {
		t.Errorf("in UTC: %s", got)
	}
	if v := c.Violations(); len(v) > 0 {
		t.Errorf("%q", v)
	}
}

// The members of both answers are those of the published ones.
func TestReportsHaveThePublishedMembers(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	for path, name := range map[string]string{"data": "stat_table_2014.json", "data/bytime": "stat_bytime_days_2014.json"} {
		var published map[string]any
		mustUnmarshal(t, sample(t, name), &published)
		_, got := c.stat(path, "metrics", "ym:s:pageviews", "group", "day")
		for member, value := range published {
			if fmt.Sprintf("%T", got[member]) != fmt.Sprintf("%T", value) {
				t.Errorf("%s: %s is %v", name, member, got[member])
			}
		}
		days := got["totals"].([]any)
		if list, ok := days[0].([]any); ok != (path == "data/bytime") || ok && len(list) != 7 {
			t.Errorf("%s: %v", path, days)
		}
	}
}

// Reaches come from what was uploaded, on its day in the counter's zone, unless
// they are set.
func TestGoalReaches(t *testing.T) {
	t.Parallel()
	c := withTargets(t, nil, "order", "other")
	evening := time.Date(2026, 11, 19, 22, 30, 0, 0, time.UTC) // 01:30 of the 20th in Moscow
	c.take(offline+"upload", fmt.Sprintf("ClientId,Target,DateTime\n1,order,%s\n2,order,%s\n", unix(evening), unix(evening.Add(-24*time.Hour))))
	if err := c.SetReaches(DefaultCounter, 334421, "2026-11-20", 7); err != nil {
		t.Fatal(err)
	}
	for _, date := range []string{"2026-11-18", "2026-11-19"} {
		c.SetTraffic(DefaultCounter, date, Traffic{})
	}
	_, got := c.stat("data", "metrics", "ym:s:visits,ym:s:goal334420reaches,ym:s:goal334421reaches", "dimensions", "ym:s:date",
		"date1", "3daysAgo", "date2", "yesterday", "sort", "ym:s:date", "limit", "100000")
	var rows []string
	for _, row := range got["data"].([]any) {
		r := row.(map[string]any)
		rows = append(rows, fmt.Sprint(r["dimensions"].([]any)[0].(map[string]any)["name"], r["metrics"].([]any)[1:]))
	}
	// The 18th has nothing and is missing.
	if want := "2026-11-19[1 0] 2026-11-20[1 7]"; strings.Join(rows, " ") != want {
		t.Errorf("%q", rows)
	}
	if got["total_rows"] != 2.0 {
		t.Errorf("%v", got)
	}
}

func TestFeedbackMetrics(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	c.mustPass("simple_orders", "SAVE", "id,create_date_time,phones,order_status\n1,2026-11-20 10:00:00,79995551111,PAID\n2,20.11.2026,79995551112,SPAM\n3,2026-11-01,79995551113,PAID\n")
	at := unix(start.Add(-24 * time.Hour))
	c.take(offline+"upload_calls", "ClientId,DateTime,CallMissed,FirstTimeCaller\n1,"+at+",1,1\n2,"+at+",0,1\n")
	_, got := c.stat("data", "metrics", "ym:s:cdpOrdersAllOrders,ym:s:cdpOrdersPayed,ym:s:cdpOrdersSpam,ym:s:offlineCalls,ym:s:offlineCallsMissed,ym:s:offlineCallsFirstTimeCaller",
		"date1", "yesterday", "date2", "yesterday")
	if fmt.Sprint(got["totals"]) != "[2 1 1 2 1 2]" {
		t.Errorf("%v", got)
	}
}

func TestReportsThatAreRefused(t *testing.T) {
	t.Parallel()
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	tests := []struct {
		name   string
		params []string
		status int
		kind   string
	}{
		{"no counter", []string{"ids", "", "metrics", "ym:s:visits"}, 400, "missing_parameter"},
		{"foreign counter", []string{"ids", "99", "metrics", "ym:s:visits"}, 403, "access_denied"},
		{"too many counters", []string{"ids", many(501, DefaultCounter), "metrics", "ym:s:visits"}, 400, "invalid_parameter"},
		{"no metrics", nil, 400, "missing_parameter"},
		{"21 metrics", []string{"metrics", many(21, "ym:s:visits")}, 400, "invalid_parameter"},
		{"11 dimensions", []string{"metrics", "ym:s:visits", "dimensions", many(11, "ym:s:date")}, 400, "invalid_parameter"},
		{"two prefixes", []string{"metrics", "ym:s:visits,ym:pv:pageviews"}, 400, "invalid_parameter"},
		{"prefix of a dimension", []string{"metrics", "ym:s:visits", "dimensions", "ym:pv:date"}, 400, "invalid_parameter"},
		{"no metric", []string{"metrics", "visits"}, 400, "invalid_parameter"},
		{"unknown goal", []string{"metrics", "ym:s:goal1reaches"}, 400, "invalid_parameter"},
		{"offset 0", []string{"metrics", "ym:s:visits", "offset", "0"}, 400, "invalid_parameter"},
		{"limit", []string{"metrics", "ym:s:visits", "limit", "100001"}, 400, "invalid_parameter"},
		{"date", []string{"metrics", "ym:s:visits", "date1", "tomorrow"}, 400, "invalid_parameter"},
		{"dates turned", []string{"metrics", "ym:s:visits", "date1", "today", "date2", "yesterday"}, 400, "invalid_parameter"},
		{"zone with a blank for the plus", []string{"metrics", "ym:s:visits", "timezone", " 03:00"}, 400, "invalid_parameter"},
		{"accuracy", []string{"metrics", "ym:s:visits", "accuracy", "best"}, 400, "invalid_parameter"},
		{"sort", []string{"metrics", "ym:s:visits", "sort", "-ym:s:users"}, 400, "invalid_parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCaller(t, nil)
			if status, got := c.stat("data", tt.params...); status != tt.status || errorType(got) != tt.kind {
				t.Errorf("%d %v", status, got)
			}
		})
	}
}

func TestPagesOfReports(t *testing.T) {
	t.Parallel()
	c := newCaller(t, map[string]string{"sampled": "true"})
	var days []string
	for offset := 1; offset <= 7; offset += 3 {
		_, got := c.stat("data", "metrics", "ym:s:visits", "dimensions", "ym:s:date", "sort", "ym:s:date", "limit", "3", "offset", fmt.Sprint(offset), "date2", "yesterday", "date1", "7daysAgo")
		if got["sampled"] != true {
			t.Fatalf("%v", got)
		}
		for _, row := range got["data"].([]any) {
			days = append(days, row.(map[string]any)["dimensions"].([]any)[0].(map[string]any)["name"].(string))
		}
	}
	if len(days) != 7 || days[0] != "2026-11-14" || days[6] != "2026-11-20" {
		t.Errorf("%q", days)
	}
}

// 200 in five minutes; released five minutes after it was exceeded.
func TestReportQuota(t *testing.T) {
	t.Parallel()
	for _, status := range []int{420, 429} {
		c := newCaller(t, map[string]string{"quota_status": fmt.Sprint(status)})
		ask := func() int {
			code, _ := c.stat("data", "metrics", "ym:s:visits")
			return code
		}
		for i := range 200 {
			if code := ask(); code != http.StatusOK {
				t.Fatalf("report %d: %d", i, code)
			}
		}
		if code := ask(); code != status {
			t.Errorf("report 201: %d", code)
		}
		if code, _ := c.do("GET", managed+"goals", "", nil); code != http.StatusOK {
			t.Errorf("others: %d", code)
		}
		c.Advance(4 * time.Minute)
		if code := ask(); code != status {
			t.Errorf("after four minutes: %d", code)
		}
		c.Advance(time.Minute)
		if code := ask(); code != http.StatusOK {
			t.Errorf("after five minutes: %d", code)
		}
	}
}

// Nobody brings the sandbox down with a report.
func FuzzReport(f *testing.F) {
	f.Add("ym:s:visits,ym:s:goal334420conversionRate", "ym:s:date", "6daysAgo", "today", "-ym:s:visits", "+03:00", "day")
	f.Add("ym:pv:pageviews", "", "2026-01-01", "yesterday", "", "", "all")
	f.Fuzz(func(t *testing.T, metrics, dimensions, from, to, sort, zone, group string) {
		c := withTargets(t, nil, "order")
		for _, path := range []string{"data", "data/bytime"} {
			status, got := c.stat(path, "metrics", metrics, "dimensions", dimensions, "date1", from, "date2", to, "sort", sort, "timezone", zone, "group", group)
			if status != http.StatusOK && status != http.StatusBadRequest {
				t.Fatalf("%d %v", status, got)
			}
		}
	})
}
