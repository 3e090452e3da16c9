package sandbox

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reportWindow counts the reports of a login.
type reportWindow struct {
	start   time.Time
	count   int
	blocked time.Time
}

const reportPeriod = 5 * time.Minute

// hit reports whether one more report is allowed; a quota that was exceeded is
// released five minutes later (§3.2).
func (q *reportWindow) hit(now time.Time, limit int) bool {
	if now.Before(q.blocked) {
		return false
	}
	if now.Sub(q.start) >= reportPeriod || !q.blocked.IsZero() {
		*q = reportWindow{start: now}
	}
	if q.count++; q.count > limit {
		q.blocked = now.Add(reportPeriod)
		return false
	}
	return true
}

// The caps of a report (§12).
const (
	maxReportIDs     = 500
	maxMetrics       = 20
	maxDimensions    = 10
	maxReportRows    = 100_000
	defaultReportRow = 100
)

// report is a query that was found right.
type report struct {
	counters   []*counterState
	ids        []int64
	metrics    []string
	readers    []func(*dayFacts) float64 // of the metrics
	dimensions []string
	sort       []string
	from, to   time.Time // midnights in zone
	zone       *time.Location
	limit      int
	offset     int
	accuracy   string
	group      string
}

// serveStat is /stat/v1/data and /stat/v1/data/bytime (§16.20).
func (s *Sandbox) serveStat(w http.ResponseWriter, r *http.Request, user *account, path []string, fault *Fault) {
	bytime := slices.Equal(path, []string{"data", "bytime"})
	if r.Method != http.MethodGet || !bytime && !slices.Equal(path, []string{"data"}) {
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !user.reports.hit(s.Now(), s.rules.Reports) {
		s.violate("quota exceeded: more than %d reports in five minutes", s.rules.Reports)
		refuse(w, s.rules.QuotaStatus, s.rules.ReportQuota, "quota exceeded")
		return
	}
	if !slices.Contains(user.scopes, "metrika:read") {
		refuse(w, http.StatusForbidden, "access_denied", "Access is denied")
		return
	}
	q := &report{}
	if !s.reportCounters(w, r.URL.Query(), user, q) {
		return
	}
	if why := q.read(r.URL.Query(), s.Now(), bytime); why != nil {
		s.violate("a report was refused with %s: %s", why.kind, why.why)
		refuse(w, http.StatusBadRequest, why.kind, why.why)
		return
	}
	if r.URL.Query().Get("filters") != "" {
		s.violate("the sandbox does not evaluate the filters of reports")
	}
	if bytime {
		s.reply(w, fault, s.byTime(q))
		return
	}
	s.reply(w, fault, s.tabulate(q))
}

// reportCounters finds the counters of a report. The caller holds s.mu.
func (s *Sandbox) reportCounters(w http.ResponseWriter, query url.Values, user *account, q *report) bool {
	ids := cmp.Or(query.Get("ids"), query.Get("id"))
	if ids == "" {
		s.violate("a report names no counter")
		refuse(w, http.StatusBadRequest, "missing_parameter", "ids is missing")
		return false
	}
	list := strings.Split(ids, ",")
	if len(list) > maxReportIDs {
		s.violate("a report names more than %d counters", maxReportIDs)
		refuse(w, http.StatusBadRequest, "invalid_parameter", "ids holds too many counters")
		return false
	}
	for _, id := range list {
		c := s.counters[id]
		if c == nil || c.permission(user.login) == "" {
			refuse(w, http.StatusForbidden, "access_denied", "Access is denied")
			return false
		}
		number, _ := strconv.ParseInt(id, 10, 64)
		q.counters, q.ids = append(q.counters, c), append(q.ids, number)
	}
	return true
}

var (
	fieldForm = regexp.MustCompile(`^(ym:(?:s|pv|ce|ad|ev|up):)[A-Za-z0-9<>_]+$`)
	daysAgo   = regexp.MustCompile(`^(\d{1,5})daysAgo$`)
	zoneForm  = regexp.MustCompile(`^([+-])(\d\d):(\d\d)$`)
)

func invalid(format string, args ...any) *badRequest {
	return &badRequest{"invalid_parameter", fmt.Sprintf(format, args...)}
}

// read checks the parameters.
func (q *report) read(query url.Values, now time.Time, bytime bool) *badRequest {
	if query.Get("metrics") == "" {
		return &badRequest{"missing_parameter", "metrics is missing"}
	}
	q.metrics = strings.Split(query.Get("metrics"), ",")
	q.dimensions, q.sort = []string{}, []string{}
	if d := query.Get("dimensions"); d != "" {
		q.dimensions = strings.Split(d, ",")
	}
	if order := query.Get("sort"); order != "" {
		q.sort = strings.Split(order, ",")
	}
	switch {
	case len(q.metrics) > maxMetrics:
		return invalid("more than %d metrics", maxMetrics)
	case len(q.dimensions) > maxDimensions:
		return invalid("more than %d dimensions", maxDimensions)
	}
	if why := q.checkFields(); why != nil {
		return why
	}
	if why := q.readDates(query, now); why != nil {
		return why
	}
	q.limit, q.offset = wholeOf(query, "limit", defaultReportRow), wholeOf(query, "offset", 1)
	if q.limit < 1 || q.limit > maxReportRows || q.offset < 1 {
		return invalid("limit is outside 1 to %d, or offset below 1", maxReportRows)
	}
	q.accuracy = cmp.Or(query.Get("accuracy"), "medium")
	if share, err := strconv.ParseFloat(q.accuracy, 64); !slices.Contains([]string{"low", "medium", "high", "full"}, q.accuracy) && (err != nil || !(share > 0 && share <= 1)) {
		return invalid("accuracy is none of low, medium, high, full, nor a share")
	}
	if q.group = cmp.Or(query.Get("group"), "week"); bytime && q.group != "day" && q.group != "all" {
		return invalid("this sandbox groups by day and all only")
	}
	return nil
}

// checkFields: one prefix in the whole query, and only what the sandbox has.
func (q *report) checkFields() *badRequest {
	prefix := ""
	for _, name := range slices.Concat(q.metrics, q.dimensions) {
		m := fieldForm.FindStringSubmatch(name)
		if m == nil {
			return invalid("%.80q is neither a metric nor a dimension", name)
		}
		if prefix != "" && m[1] != prefix {
			return invalid("metrics and dimensions mix the prefixes %s and %s", prefix, m[1])
		}
		prefix = m[1]
	}
	for _, name := range q.metrics {
		if why := q.readMetric(name); why != nil {
			return why
		}
	}
	for _, name := range q.dimensions {
		if name != "ym:s:date" && name != "ym:pv:date" {
			return invalid("this sandbox does not have the dimension %.80q", name)
		}
	}
	for _, name := range q.sort {
		name = strings.TrimPrefix(name, "-")
		if !slices.Contains(q.metrics, name) && !slices.Contains(q.dimensions, name) {
			return invalid("sort names %.80q, which the report does not have", name)
		}
	}
	return nil
}

// readDates finds the days in the counter's zone or the query's (§16.20).
func (q *report) readDates(query url.Values, now time.Time) *badRequest {
	q.zone = q.counters[0].zone
	if text := query.Get("timezone"); text != "" {
		m := zoneForm.FindStringSubmatch(text)
		if m == nil {
			return invalid("timezone is not ±hh:mm; is the plus encoded as %%2B?")
		}
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		offset := hours*3600 + minutes*60
		if m[1] == "-" {
			offset = -offset
		}
		q.zone = time.FixedZone(text, offset)
	}
	y, m, d := now.In(q.zone).Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, q.zone)
	for _, bound := range []struct {
		name, otherwise string
		into            *time.Time
	}{{"date1", "6daysAgo", &q.from}, {"date2", "today", &q.to}} {
		text := cmp.Or(query.Get(bound.name), bound.otherwise)
		ago := daysAgo.FindStringSubmatch(text)
		switch {
		case text == "today":
			*bound.into = today
		case text == "yesterday":
			*bound.into = today.AddDate(0, 0, -1)
		case ago != nil:
			n, _ := strconv.Atoi(ago[1])
			*bound.into = today.AddDate(0, 0, -n)
		default:
			t, err := time.ParseInLocation(time.DateOnly, text, q.zone)
			if err != nil {
				return invalid("%s is no date", bound.name)
			}
			*bound.into = t
		}
	}
	if q.from.After(q.to) || q.to.Sub(q.from) > 3700*24*time.Hour {
		return invalid("date1 lies behind date2, or ten years before it")
	}
	return nil
}

func wholeOf(query url.Values, key string, otherwise int) int {
	if query.Get(key) == "" {
		return otherwise
	}
	n, err := strconv.Atoi(query.Get(key))
	if err != nil {
		return -1
	}
	return n
}
