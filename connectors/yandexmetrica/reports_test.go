package yandexmetrica

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

// Many viewers make one request a minute.
func TestAudience(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.sandbox.SetTraffic(counterID, "2026-11-21", sandbox.Traffic{Visitors: 120, Visits: 150, PageViews: 600})
	want := connectors.Audience{Visitors: 120, Visits: 150, PageViews: 600, Date: "2026-11-21", ReadAt: testStart}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := b.Audience(t.Context()); err != nil || got != want {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := b.limiter.waits[b.reportsKey()]; n != 1 {
		t.Errorf("%d reports", n)
	}
	// Another process finds the answer in Memory.
	other, err := Type().New(yamlSettings("counter: 12345678\nurl: "+b.base+"\ntoken: "+testToken), b.deps())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.(connectors.Informer).Audience(t.Context()); err != nil || !got.ReadAt.Equal(testStart) || b.limiter.waits[b.reportsKey()] != 1 {
		t.Errorf("%+v %v", got, err)
	}
	// While Metrica does not answer, older numbers serve, and it is not asked by each
	// viewer.
	b.clock.advance(2 * time.Minute)
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.Fault503, Path: "/stat/", Times: -1})
	for range 5 {
		if got, err := b.Audience(t.Context()); err != nil || got != want {
			t.Errorf("%+v %v", got, err)
		}
	}
	if n := b.limiter.waits[b.reportsKey()]; n != 2 {
		t.Errorf("%d reports", n)
	}
	b.clock.advance(audienceStale)
	if got, err := b.Audience(t.Context()); err == nil {
		t.Errorf("stale numbers %+v", got)
	}
	b.sandbox.ClearFaults()
	b.clock.advance(audienceLasts)
	b.sandbox.SetTraffic(counterID, "2026-11-21", sandbox.Traffic{Visitors: 130})
	if got, err := b.Audience(t.Context()); err != nil || got.Visitors != 130 || got.Visits != 0 {
		t.Errorf("%+v %v", got, err)
	}
	noViolations(t, b)
}

// At midnight of the counter yesterday's numbers are not today's.
func TestAudienceAtMidnight(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.clock.at = time.Date(2026, 11, 21, 20, 59, 40, 0, time.UTC) // 23:59:40 in Moscow
	first, err := b.Audience(t.Context())
	if err != nil || first.Date != "2026-11-21" {
		t.Fatalf("%+v %v", first, err)
	}
	b.clock.advance(30 * time.Second)
	if got, err := b.Audience(t.Context()); err != nil || got.Date != "2026-11-22" {
		t.Errorf("%+v %v", got, err)
	}
}

// A used-up quota of reports does not stop uploads, whatever it is called.
func TestQuotaOfReports(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultQuota + "quota_requests_by_uid", Path: "/stat/"})
	var e *model.Error
	if _, err := b.Audience(t.Context()); !errors.As(err, &e) || e.Class != model.ClassQuota || !e.RetryAt.Equal(testStart.Add(reportsWindow)) {
		t.Fatalf("%v", e)
	}
	if len(b.limiter.paused) != 1 || b.limiter.paused[b.reportsKey()].IsZero() {
		t.Errorf("paused %v", b.limiter.paused)
	}
	if _, err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if limit := b.limiter.limits[b.reportsKey()]; limit.Rate+limit.Burst > 200 || limit.Period != 5*time.Minute {
		t.Errorf("limit %+v", limit)
	}
}

// Reaches are read once a day, for each day that is over in the counter's zone.
func TestReaches(t *testing.T) {
	t.Parallel()
	b := newBench(t, "import_goals: [order, 334421]\ntoken: "+testToken)
	if err := b.sandbox.AddTargets(counterID, "order", "lead"); err != nil {
		t.Fatal(err)
	}
	goals := b.sandbox.Goals(counterID)
	if err := b.sandbox.SetReaches(counterID, goals[0].ID, "2026-11-20", 17); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Streams(), []string{"goals"}) {
		t.Fatalf("streams %v", b.Streams())
	}
	page, err := b.Poll(t.Context(), "goals", "")
	if err != nil || page.Cursor != "2026-11-20" || page.More || len(page.Records) != 2 {
		t.Fatalf("%+v %v", page, err)
	}
	order := page.Records[0].(*model.Event)
	if order.ID != strconv.FormatInt(goals[0].ID, 10)+":2026-11-20" || order.Kind != model.KindGoal || order.Target != "order" || order.Fields["reaches"] != "17" || order.Fields["visits"] == "" {
		t.Errorf("record %+v", order)
	}
	if !order.CreatedAt.Equal(time.Date(2026, 11, 19, 21, 0, 0, 0, time.UTC)) {
		t.Errorf("the day begins at %s", order.CreatedAt)
	}
	if lead := page.Records[1].(*model.Event); lead.Fields["reaches"] != "0" {
		t.Errorf("record %+v", lead)
	}
	// Nothing is asked again that day, nor in the first hours of the next.
	asked := b.limiter.waits[addressKey]
	b.clock.at = time.Date(2026, 11, 22, 0, 59, 0, 0, time.UTC) // 03:59 in Moscow
	if page, err = b.Poll(t.Context(), "goals", page.Cursor); err != nil || len(page.Records) != 0 || page.Cursor != "2026-11-20" || b.limiter.waits[addressKey] != asked {
		t.Errorf("%+v %v", page, err)
	}
	// After a stop all days are made good.
	b.clock.at = time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC)
	if page, err = b.Poll(t.Context(), "goals", page.Cursor); err != nil || len(page.Records) != 2*maxDays || !page.More || page.Cursor != "2026-12-21" {
		t.Errorf("%d records, %s, %v", len(page.Records), page.Cursor, err)
	}
	if page, err = b.Poll(t.Context(), "goals", page.Cursor); err != nil || len(page.Records) != 2*19 || page.More || page.Cursor != "2027-01-09" {
		t.Errorf("%d records, %s, %v", len(page.Records), page.Cursor, err)
	}
	noViolations(t, b)
}

func TestManyGoals(t *testing.T) {
	t.Parallel()
	var names []string
	settings := "import_goals: ["
	for i := range 23 {
		names = append(names, "g"+strconv.Itoa(i))
		settings += names[i] + ", "
	}
	b := newBench(t, settings+"]\ntoken: "+testToken)
	if err := b.sandbox.AddTargets(counterID, names...); err != nil {
		t.Fatal(err)
	}
	page, err := b.Poll(t.Context(), "goals", "")
	if err != nil || len(page.Records) != 23 || b.limiter.waits[b.reportsKey()] != 3 {
		t.Errorf("%d records, %d reports, %v", len(page.Records), b.limiter.waits[b.reportsKey()], err)
	}
	noViolations(t, b)
}

func TestBadPolls(t *testing.T) {
	t.Parallel()
	b := newBench(t, "import_goals: [nothing]\ntoken: "+testToken)
	if _, err := b.Poll(t.Context(), "goals", ""); model.CauseOf(err) != model.CauseNotFound {
		t.Errorf("an unknown goal: %v", err)
	}
	if _, err := b.Poll(t.Context(), "visits", ""); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("an unknown stream: %v", err)
	}
	if _, err := b.Poll(t.Context(), "goals", "x"); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("a broken cursor: %v", err)
	}
	if without := newBench(t, ""); len(without.Streams()) != 0 {
		t.Error("there is a stream without goals")
	}
}

// The console sees what the limiter does not tell.
func TestQuotas(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.sandbox.SetRules(func(r *sandbox.Rules) { r.PerSecond = 1000 })
	day := func() connectors.Quota {
		t.Helper()
		q, err := b.Quotas(t.Context())
		if err != nil || len(q) != 2 {
			t.Fatalf("%v %v", q, err)
		}
		return q[0]
	}
	for range 25 {
		if _, err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if q := day(); q.Used != 25 || q.Limit != 4000 || !q.ResetAt.Equal(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)) || !q.NextAt.IsZero() {
		t.Errorf("%+v", q)
	}
	// Another process adds to the same count.
	other, err := Type().New(yamlSettings("counter: 12345678\nurl: "+b.base+"\ntoken: "+testToken), b.deps())
	if err != nil {
		t.Fatal(err)
	}
	for range usageEvery + 1 {
		if _, err := other.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if q := day(); q.Used != 25+usageEvery+1 {
		t.Errorf("with another process %+v", q)
	}
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultQuota + "quota_requests_by_uid"})
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassQuota {
		t.Fatal(err)
	}
	if q := day(); q.NextAt.Before(q.ResetAt) {
		t.Errorf("used up: %+v", q)
	}
	b.clock.advance(24 * time.Hour)
	if q := day(); q.Used != 0 || !q.NextAt.IsZero() {
		t.Errorf("the next day: %+v", q)
	}
	if _, err := b.Audience(t.Context()); err != nil {
		t.Fatal(err)
	}
	if q, _ := b.Quotas(t.Context()); q[1].Used != 1 || q[1].Limit != reportsPerWindow || !q[1].ResetAt.Equal(b.clock.now().Add(reportsWindow)) {
		t.Errorf("reports: %+v", q[1])
	}
}

func TestCompareStatuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	if err := b.PutStatuses(t.Context(), []connectors.Status{
		{ID: "001", Name: "Новый", Type: "IN_PROGRESS"}, {ID: "002", Name: "В работе", Type: "IN_PROGRESS"}, {ID: "old", Name: "Старый", Type: "SPAM"},
	}); err != nil {
		t.Fatal(err)
	}
	wanted := []connectors.Status{
		{ID: "001", Name: "Новый", Type: "IN_PROGRESS"}, {ID: "002", Name: "Оплата", Type: "PAID"}, {ID: "003", Name: "Успех", Type: "PAID"},
	}
	d, err := b.CompareStatuses(t.Context(), wanted)
	if err != nil || !slices.Equal(d.Add, []string{"003"}) || !slices.Equal(d.Change, []string{"002"}) || !slices.Equal(d.Extra, []string{"old"}) {
		t.Errorf("%+v %v", d, err)
	}
	if got := b.sandbox.Statuses(counterID); len(got) != 3 || got["002"] != "IN_PROGRESS" {
		t.Errorf("comparing changed %v", got)
	}
	if err := b.PutStatuses(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	if d, err := b.CompareStatuses(t.Context(), wanted); err != nil || len(d.Add)+len(d.Change) != 0 {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := b.CompareStatuses(t.Context(), []connectors.Status{{ID: "в работе", Type: "PAID"}}); model.ClassOf(err) != model.ClassPermanent {
		t.Error(err)
	}
}

func TestCompareAttributes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	if err := b.PutAttributes(t.Context(), asContacts, []connectors.Attribute{{Name: "age", Type: model.TypeDecimal}, {Name: "city", Type: model.TypeText}}); err != nil {
		t.Fatal(err)
	}
	d, err := b.CompareAttributes(t.Context(), asContacts, []connectors.Attribute{{Name: "age", Type: model.TypeText}, {Name: "vip", Type: model.TypeText}})
	if err != nil || !slices.Equal(d.Add, []string{"vip"}) || !slices.Equal(d.Change, []string{"age"}) || !slices.Equal(d.Extra, []string{"city"}) {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := b.CompareAttributes(t.Context(), asCalls, []connectors.Attribute{{Name: "a"}}); model.ClassOf(err) != model.ClassPermanent {
		t.Error(err)
	}
	if d, err := b.CompareAttributes(t.Context(), asUserParams, []connectors.Attribute{{Name: "a"}}); err != nil || len(d.Add) != 0 {
		t.Errorf("%+v %v", d, err)
	}
}
