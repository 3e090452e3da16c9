package sandbox

import (
	"cmp"
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Traffic is what came to a counter on one day.
type Traffic struct {
	Visitors  int64 `json:"visitors"`
	Visits    int64 `json:"visits"`
	PageViews int64 `json:"page_views"`
}

// SetTraffic says what came to a counter on a date (yyyy-MM-dd, in its zone). For
// dates that were not set the sandbox makes some traffic up, always the same for a
// seed, and on the current day as much as the hour allows.
func (s *Sandbox) SetTraffic(counter, date string, traffic Traffic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.counters[counter]; c != nil {
		c.traffic[date] = traffic
	}
}

// trafficOf gives the traffic of a date. The caller holds s.mu.
func (s *Sandbox) trafficOf(c *counterState, date string) Traffic {
	if t, ok := c.traffic[date]; ok {
		return t
	}
	now := s.Now().In(c.zone)
	today := now.Format(time.DateOnly)
	if date > today {
		return Traffic{}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.ID + date + strconv.FormatUint(s.seed, 10)))
	visitors := 300 + int64(h.Sum64()%400)
	if date == today {
		passed := int64(now.Hour()*60 + now.Minute())
		visitors = visitors * passed / (24 * 60)
	}
	return Traffic{Visitors: visitors, Visits: visitors * 5 / 4, PageViews: visitors * 4}
}

var goalMetric = regexp.MustCompile(`^ym:s:goal(\d{1,18})(reaches|visits|users|conversionRate)$`)

// plainMetrics are those of no goal. Visitors of several days are added up, which
// counts one who came twice twice.
func plainMetrics() map[string]func(*dayFacts) float64 {
	m := map[string]func(*dayFacts) float64{
		"ym:s:users":                       func(d *dayFacts) float64 { return float64(d.traffic.Visitors) },
		"ym:s:visits":                      func(d *dayFacts) float64 { return float64(d.traffic.Visits) },
		"ym:s:pageviews":                   func(d *dayFacts) float64 { return float64(d.traffic.PageViews) },
		"ym:pv:users":                      func(d *dayFacts) float64 { return float64(d.traffic.Visitors) },
		"ym:pv:pageviews":                  func(d *dayFacts) float64 { return float64(d.traffic.PageViews) },
		"ym:s:offlineCalls":                func(d *dayFacts) float64 { return float64(d.calls) },
		"ym:s:offlineCallsMissed":          func(d *dayFacts) float64 { return float64(d.missed) },
		"ym:s:offlineCallsFirstTimeCaller": func(d *dayFacts) float64 { return float64(d.firstCalls) },
		"ym:s:cdpOrdersAllOrders":          func(d *dayFacts) float64 { return float64(d.orders) },
	}
	for name, kind := range map[string]string{"InProgress": "IN_PROGRESS", "Payed": "PAID", "Spam": "SPAM", "Cancelled": "CANCELLED", "Other": "OTHER"} {
		m["ym:s:cdpOrders"+name] = func(d *dayFacts) float64 { return float64(d.byType[kind]) }
	}
	return m
}

// readMetric finds out how a metric is read off a day.
func (q *report) readMetric(name string) *badRequest {
	if read, ok := plainMetrics()[name]; ok {
		q.readers = append(q.readers, read)
		return nil
	}
	m := goalMetric.FindStringSubmatch(name)
	if m == nil {
		return invalid("this sandbox does not have the metric %.80q", name)
	}
	for _, c := range q.counters {
		if c.goalByID(m[1]) != nil {
			q.readers = append(q.readers, goalReader(m[1], m[2]))
			return nil
		}
	}
	return invalid("no goal %s in the counters of the report", m[1])
}

func (c *counterState) goalByID(id string) *Goal {
	for _, g := range c.goals {
		if g.Status != "Deleted" && strconv.FormatInt(g.ID, 10) == id {
			return g
		}
	}
	return nil
}

// dayFacts is what a counter knows of one day.
type dayFacts struct {
	counter                   *counterState
	date                      string
	traffic                   Traffic
	calls, missed, firstCalls int
	orders                    int
	byType                    map[string]int
}

// goalReader reads a metric of a goal, by the parts of its name.
func goalReader(id, what string) func(*dayFacts) float64 {
	return func(d *dayFacts) float64 {
		goal := d.counter.goalByID(id)
		if goal == nil {
			return 0
		}
		reaches, set := goal.set[d.date]
		if !set {
			reaches = goal.reaches[d.date]
		}
		if what != "conversionRate" {
			return float64(reaches)
		}
		if d.traffic.Visits == 0 {
			return 0
		}
		return math.Round(float64(reaches)/float64(d.traffic.Visits)*10000) / 100
	}
}

// days gathers the facts of a report, day by day and counter by counter. The
// caller holds s.mu.
func (s *Sandbox) days(q *report) [][]*dayFacts {
	var out [][]*dayFacts
	byDate := map[string]map[*counterState]*dayFacts{}
	for day := q.from; !day.After(q.to); day = day.AddDate(0, 0, 1) {
		date := day.Format(time.DateOnly)
		facts := map[*counterState]*dayFacts{}
		var row []*dayFacts
		for _, c := range q.counters {
			d := &dayFacts{counter: c, date: date, traffic: s.trafficOf(c, date), byType: map[string]int{}}
			facts[c], row = d, append(row, d)
		}
		byDate[date], out = facts, append(out, row)
	}
	for _, c := range q.counters {
		if q.asks("offlineCalls") {
			c.countCalls(q.zone, byDate)
		}
		if q.asks("cdpOrders") {
			c.countOrders(byDate)
		}
	}
	return out
}

func (q *report) asks(part string) bool {
	return slices.ContainsFunc(q.metrics, func(m string) bool { return strings.Contains(m, part) })
}

func (c *counterState) countCalls(zone *time.Location, byDate map[string]map[*counterState]*dayFacts) {
	t := c.sheets["calls"]
	for _, kept := range t.rows {
		row := t.sheet.unpack(kept.packed) // without values when only keys are kept
		at, _ := strconv.ParseInt(row.get("DateTime"), 10, 64)
		d := byDate[time.Unix(at, 0).In(zone).Format(time.DateOnly)][c]
		if d == nil {
			continue
		}
		d.calls++
		if row.get("CallMissed") == "1" {
			d.missed++
		}
		if row.get("FirstTimeCaller") == "1" {
			d.firstCalls++
		}
	}
}

func (c *counterState) countOrders(byDate map[string]map[*counterState]*dayFacts) {
	types := map[string]string{}
	for _, st := range c.statuses {
		types[st.ID] = st.Type
	}
	for _, name := range []string{ordersKind.name, simpleKind.name} {
		t := c.tables[name]
		count := func(cells []cell) {
			created := t.get(cells, "create_date_time")
			d := byDate[isoDay(created)][c]
			if d == nil {
				return
			}
			d.orders++
			status := t.get(cells, "order_status")
			kind := cmp.Or(types[status], status)
			if !defaultStatuses[kind] {
				kind = "OTHER"
			}
			d.byType[kind]++
		}
		for _, cells := range t.byID {
			count(cells)
		}
		for _, cells := range t.loose {
			count(cells)
		}
	}
}

// isoDay gives the day of a date-time in any of the forms of §5.9.
func isoDay(s string) string {
	day, _, _ := strings.Cut(s, " ")
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, day); err == nil && len(day) == len(layout) {
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

// sums adds the metrics of one day over its counters. A rate of several counters
// is their mean.
func (q *report) sums(day []*dayFacts) []float64 {
	out := make([]float64, len(q.metrics))
	for i, metric := range q.metrics {
		for _, d := range day {
			out[i] += q.readers[i](d)
		}
		if strings.HasSuffix(metric, "conversionRate") {
			out[i] /= float64(len(day))
		}
	}
	return out
}

// echo is the query with resolved defaults, and the rest that both answers have.
func (s *Sandbox) echo(q *report) map[string]any {
	sampled, share := false, 1.0
	if s.rules.Sampled && q.accuracy != "full" && q.accuracy != "1" {
		sampled, share = true, 0.1
	}
	return map[string]any{
		"query": map[string]any{
			"ids": q.ids, "dimensions": q.dimensions, "metrics": q.metrics, "sort": q.sort,
			"date1": q.from.Format(time.DateOnly), "date2": q.to.Format(time.DateOnly), "limit": q.limit, "offset": q.offset,
			"accuracy": q.accuracy, "attribution": "LastSign", "currency": "RUB",
		},
		"sampled": sampled, "sample_share": share, "sample_size": 1000, "sample_space": int(1000 / share),
		"data_lag": 120, "contains_sensitive_data": false, "total_rows": 0,
	}
}

// tableRow is one row of a report's answer.
type tableRow struct {
	Dimensions []map[string]any `json:"dimensions"`
	Metrics    []float64        `json:"metrics"`
}

// tabulate answers /stat/v1/data.
func (s *Sandbox) tabulate(q *report) map[string]any {
	days := s.days(q)
	totals := make([]float64, len(q.metrics))
	rows := []tableRow{}
	for _, day := range days {
		row := tableRow{Dimensions: []map[string]any{}, Metrics: q.sums(day)}
		seen := false
		for i, v := range row.Metrics {
			totals[i] += v
			seen = seen || v != 0
		}
		for range q.dimensions {
			row.Dimensions = append(row.Dimensions, map[string]any{"name": day[0].date})
		}
		if seen { // a missing date means zero (§12)
			rows = append(rows, row)
		}
	}
	for i, metric := range q.metrics {
		if strings.HasSuffix(metric, "conversionRate") {
			totals[i] /= float64(len(days))
		}
	}
	if len(q.dimensions) == 0 {
		rows = []tableRow{{Dimensions: []map[string]any{}, Metrics: totals}}
	}
	q.order(rows)
	shown := s.echo(q)
	shown["total_rows"], shown["totals"] = len(rows), totals
	shown["min"], shown["max"] = extremes(rows, math.Min), extremes(rows, math.Max)
	first := min(q.offset-1, len(rows))
	shown["data"] = rows[first:min(first+q.limit, len(rows))]
	return shown
}

// order sorts; without sort the first metric descends.
func (q *report) order(rows []tableRow) {
	by := q.sort
	if len(by) == 0 {
		by = []string{"-" + q.metrics[0]}
	}
	slices.SortStableFunc(rows, func(a, b tableRow) int {
		for _, name := range by {
			name, descending := strings.CutPrefix(name, "-")
			c := 0
			if i := slices.Index(q.metrics, name); i >= 0 {
				c = cmp.Compare(a.Metrics[i], b.Metrics[i])
			} else if i := slices.Index(q.dimensions, name); i >= 0 {
				c = strings.Compare(a.Dimensions[i]["name"].(string), b.Dimensions[i]["name"].(string))
			}
			if descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

func extremes(rows []tableRow, better func(a, b float64) float64) []float64 {
	out := []float64{}
	for _, row := range rows {
		for i, v := range row.Metrics {
			if i == len(out) {
				out = append(out, v)
			} else {
				out[i] = better(out[i], v)
			}
		}
	}
	return out
}

// byTime answers /stat/v1/data/bytime: arrays over the intervals.
func (s *Sandbox) byTime(q *report) map[string]any {
	days := s.days(q)
	intervals, series := [][2]string{}, make([][]float64, len(q.metrics))
	for _, day := range days {
		sums := q.sums(day)
		for i, v := range sums {
			if q.group == "all" && len(series[i]) == 1 {
				series[i][0] += v
				continue
			}
			series[i] = append(series[i], v)
		}
		if q.group != "all" {
			intervals = append(intervals, [2]string{day[0].date, day[0].date})
		}
	}
	if q.group == "all" {
		intervals = [][2]string{{q.from.Format(time.DateOnly), q.to.Format(time.DateOnly)}}
	}
	shown := s.echo(q)
	shown["data"] = []map[string]any{{"dimensions": []any{}, "metrics": series}}
	shown["totals"], shown["time_intervals"] = series, intervals
	shown["query"].(map[string]any)["group"] = q.group
	return shown
}
