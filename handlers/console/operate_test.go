package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/handlers/view/viewtest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// busy is a site with queues, visitors and a credential that ends.
func busy(o *console.Options) {
	o.Depths = func(context.Context) ([]console.QueueDepth, error) {
		return []console.QueueDepth{{Name: "deliver", Waiting: 3, Active: 1}, {Name: "intake"}}, nil
	}
	o.Audience = func(_ context.Context, _, connection string) (connectors.Audience, bool, error) {
		if connection == "roistat" {
			return connectors.Audience{}, false, fmt.Errorf("not now")
		}
		return connectors.Audience{Visitors: 1234, Visits: 1500, PageViews: 9000}, connection == "metrica", nil
	}
	o.Quotas = func(context.Context, string) ([]console.Quota, error) {
		return []console.Quota{{Connection: "metrica", Used: 1000, Limit: 4000}}, nil
	}
	o.Expiries = func(context.Context, string) ([]console.Expiry, error) {
		return []console.Expiry{{Connection: "metrica", At: viewtest.Now.Add(72 * time.Hour)}}, nil
	}
}

func TestSearchSaysWhereItFoundThings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	const page = "/console/p/shop/search?"
	for _, tt := range []struct {
		name, query string
		want, bad   []string
	}{
		{"the id of a deal", "q=001", []string{"Deal 001", "found by its id", "orders", "Send again"}, []string{"Nothing was found"}},
		{"a phone as people write it", "q=" + url.QueryEscape("+7 (999) 555-11-22"), []string{"Contact 77", "found in <code>phones[0]</code>"}, []string{"79995551122"}},
		{"an e-mail", "q=IVAN@example.ru", []string{"Contact 77", "emails[0]"}, []string{"ivan@example.ru"}},
		{"a text in a body", "q=application_token", []string{"found in the body", "ONCRMLEADADD"}, nil},
		{"a text in a note", "q=1000983", []string{"found in the note"}, nil},
		{"a text in an error", "q=unirock", []string{"Another account"}, nil},
		{"an upload by its id there", "q=4242", []string{"/uploads/", "accepted"}, nil},
		{"a cause", "cause=status_unmapped", []string{"The status &lt;i&gt;X&lt;/i&gt; has no pair."}, nil},
		{"a state of the journal", "state=new", []string{"Journal entry"}, nil},
		{"a flow", "q=001&flow=orders", []string{"orders"}, []string{"Contact 77"}},
		{"nothing", "q=nothing-like-this", []string{"Nothing was found"}, nil},
		{"a time that is over", "q=ONCRMLEADADD&until=2026-01-01T00:00&since=2025-12-01T00:00", []string{"Nothing was found"}, nil},
		{"a time that cannot be read", "q=1&since=yesterday", []string{"These filters cannot be read"}, nil},
		{"no question yet", "", []string{"Find"}, []string{"Nothing was found"}},
		{"another project's", "q=" + viewtest.Marker, []string{"Nothing was found"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := b.in(t).page(page + tt.query)
			wellFormed(t, got)
			contains(t, got, tt.want...)
			_, results, _ := strings.Cut(got, `<form class="filters"`)
			_, results, _ = strings.Cut(results, "</form>")
			lacks(t, results, tt.bad...)
		})
	}
}

func TestStoryOfADealOnItsPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	key := model.Key{Connection: "b24", Kind: model.KindDeal, ID: "001"}
	rec, err := s.DB.Record(t.Context(), "shop", key)
	if err != nil {
		t.Fatal(err)
	}
	deal := rec.(*model.Deal)
	deal.StatusID, deal.UpdatedAt, deal.ReadAt = "WON", viewtest.Now.Add(time.Minute), viewtest.Now.Add(time.Hour)
	if _, err := s.DB.ApplyRecords(t.Context(), "shop", []model.Record{deal}); err != nil {
		t.Fatal(err)
	}
	page := b.page("/console/p/shop/record?connection=b24&kind=deal&id=001")
	wellFormed(t, page)
	contains(t, page, "Read anew, and different", "<code>status_id</code>", "<td>NEW</td><td>WON</td>", "The row was sent", "PROCESSED",
		"Refused by the destination", "gap bad", "60 min later", "Contact 77")
	contains(t, b.page("/console/p/shop/record?connection=b24&kind=contact&id=77"), "Deal 001", "Deal 020")
}

func TestErrorsAreGroupedAndMarked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	const errorsPage = "/console/p/shop/errors"
	page := b.page(errorsPage)
	wellFormed(t, page)
	contains(t, page, "Refused by the destination", "Status without a pair", "Unusable value", "Another account", "For example", "/console/causes#bad_value")
	lacks(t, page, viewtest.Marker)
	mark := func(word string) string {
		t.Helper()
		got := b.post(errorsPage, errorsPage+"/mark", url.Values{
			"subject": {"flow"}, "id": {"orders"}, "cause": {"bad_value"}, "field": {""}, "mark": {word},
		})
		if got.status != http.StatusSeeOther {
			t.Fatalf("marking as %q answered %d", word, got.status)
		}
		return b.page(errorsPage)
	}
	contains(t, mark("acknowledged"), "Unusable value", "somebody is on it")
	ignored := mark("ignored")
	contains(t, ignored, "Show resolved and ignored ones too: 1")
	lacks(t, ignored, "causes#bad_value")
	contains(t, b.page(errorsPage+"?all=1"), "causes#bad_value", "Take the mark away")
	contains(t, mark(""), "causes#bad_value")
	lacks(t, mark("resolved"), "causes#bad_value")
	s.clock.Forward(time.Hour)
	contains(t, b.page("/console/audit"), "marked errors")
	if got := b.post(errorsPage, errorsPage+"/mark", url.Values{"subject": {"flow"}, "id": {"orders"}, "mark": {"odd"}}); got.status != http.StatusBadRequest {
		t.Errorf("an odd mark answered %d", got.status)
	}
}

func TestPickedRowsAreSentAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	rows := url.Values{"row": {"orders/001", "orders/002"}}
	asked := b.post("/console/", "/console/p/shop/deliveries/picked", rows)
	contains(t, asked.body, "sent again: 2", `name="row" value="orders/001"`)
	rows.Set("confirmed", "1")
	contains(t, b.page(b.post("/console/", "/console/p/shop/deliveries/picked", rows).location), "due again: 2")
	if calls := s.actions.Calls(); !slices.Equal(calls, []string{"resend shop 2"}) {
		t.Errorf("asked for %q", calls)
	}
	contains(t, b.post("/console/", "/console/p/shop/deliveries/picked", nil).body, "there is nothing to do")
	for _, odd := range []string{"visits/" + viewtest.Marker, "orders", "orders/", "/001"} {
		if got := b.post("/console/", "/console/p/shop/deliveries/picked", url.Values{"row": {odd}}); got.status != http.StatusBadRequest {
			t.Errorf("the row %q answered %d", odd, got.status)
		}
	}
}

func TestManyRowsBecomeAnErrand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := t.Context()
	var deals []model.Record
	for i := range 600 {
		d := &model.Deal{Title: "Заказ"}
		d.Base = model.Base{Kind: model.KindDeal, Connection: "b24", ID: fmt.Sprint("x", i), UpdatedAt: viewtest.Now, ReadAt: viewtest.Now}
		deals = append(deals, d)
	}
	if _, err := s.DB.ApplyRecords(ctx, "shop", deals); err != nil {
		t.Fatal(err)
	}
	end, err := s.DB.FeedEnd(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.FanOut(ctx, store.FanOut{Project: "shop", Flow: "orders", Connections: []string{"b24"}, Kind: model.KindDeal, To: end}); err != nil {
		t.Fatal(err)
	}
	b := s.signedIn(t, "en")
	missing := url.Values{"flow": {"orders"}, "state": {"missing"}, "since": {"2026-01-01T00:00"}}
	contains(t, b.post("/console/", "/console/p/shop/deliveries/resend", missing).body, "Rows that will be sent again: 7")
	missing.Set("confirmed", "1")
	got := b.post("/console/", "/console/p/shop/deliveries/resend", missing)
	if !strings.HasPrefix(got.location, "/console/p/shop/errands/") {
		t.Fatalf("answered %d, led to %q", got.status, got.location)
	}
	page := b.page(got.location)
	wellFormed(t, page)
	contains(t, page, "under way", "data-refresh", "Stop", "0 of 7")
	stopped := b.post(got.location, got.location+"/stop", nil)
	page = b.page(stopped.location)
	contains(t, page, "stopped")
	lacks(t, page, "data-refresh")
	contains(t, b.page("/console/p/shop/errands"), "Sending rows again", "stopped")
	if again := b.post("/console/", got.location+"/stop", nil); again.status != http.StatusNotFound {
		t.Errorf("stopping what is stopped answered %d", again.status)
	}
	id := got.location[strings.LastIndex(got.location, "/"):]
	if foreign := b.get("/console/p/clinic/errands" + id); foreign.status != http.StatusNotFound {
		t.Errorf("another project shows the errand: %d", foreign.status)
	}
}

func TestThingsArePausedAndGoOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, page, path, call, back string }{
		{"a source", "/console/p/shop/connections/b24", "/console/p/shop/connections/b24", "shop/source/b24", "Let this source go on"},
		{"a flow", "/console/p/shop/flows/orders", "/console/p/shop/flows/orders", "shop/flow/orders", "Go on"},
		{"a queue", "/console/", "/console/queue/deliver", "/queue/deliver", "Go on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, busy)
			b := s.signedIn(t, "en")
			page := b.page(b.post(tt.page, tt.path+"/pause", nil).location)
			wellFormed(t, page)
			contains(t, page, "Paused. What arrives meanwhile is kept.", tt.back)
			contains(t, b.page("/console/"), "paused by hand")
			contains(t, b.page("/console/audit"), "paused")
			contains(t, b.page(b.post(tt.page, tt.path+"/resume", nil).location), "It goes on.")
			lacks(t, b.page("/console/"), "paused by hand")
			if calls := s.actions.Calls(); !slices.Equal(calls, []string{"pause " + tt.call + " true", "pause " + tt.call + " false"}) {
				t.Errorf("asked for %q", calls)
			}
		})
	}
	s := newSite(t)
	b := s.signedIn(t, "en")
	for _, path := range []string{"/console/queue/deliver/pause", "/console/p/shop/flows/visits/pause", "/console/p/shop/connections/amo/pause"} {
		if got := b.post("/console/", path, nil); got.status != http.StatusNotFound {
			t.Errorf("POST %s answered %d", path, got.status)
		}
	}
}

func TestOverviewShowsWhatGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, busy)
	b := s.signedIn(t, "en")
	page := b.page("/console/p/shop/")
	contains(t, page, "Webhooks a minute", "in an hour: 2", `<path d="M`, "Visitors today · metrica", "1,234", "visits 1,500, page views 9,000",
		"Quota used · metrica", `value="25"`, "of 4,000 a day", "Credentials end · metrica", "in 3 d", "Bitrix24 lets us ask twice a second: records that wait: 1.", "orders runs next at 16:00: rows that wait for it: 104.",
		"orders: rows that wait until their client is accepted: 1.")
	contains(t, b.page("/console/"), "deliveries", "intake of webhooks", "Pause")
	plots := regexp.MustCompile(`aria-label="The last hour by minutes: [^"]+"`).FindAllString(page, -1)
	if len(plots) != 2 {
		t.Errorf("the plots say %q", plots)
	}
	wait := b.page("/console/p/shop/flows/orders")
	contains(t, wait, "The oldest row waits")
}

func TestStatusesAreComparedFirst(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.actions.Difference = &connectors.SchemeDifference{Add: []string{"won"}, Change: []string{"lost"}, Extra: []string{"old"}}
	b := s.signedIn(t, "en")
	got := b.post("/console/", "/console/p/shop/flows/orders/statuses", nil)
	wellFormed(t, got.body)
	contains(t, got.body, "Will be added", ">won<", "Will change", ">lost<", "left alone", ">old<")
	if calls := s.actions.Calls(); len(calls) > 0 {
		t.Errorf("something was done: %q", calls)
	}
	b.post("/console/", "/console/p/shop/flows/orders/statuses", url.Values{"confirmed": {"1"}})
	if calls := s.actions.Calls(); !slices.Equal(calls, []string{"statuses shop/orders"}) {
		t.Errorf("asked for %q", calls)
	}
}

func TestEveryCauseIsExplained(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for lang, word := range map[string]string{"en": "What to do:", "ru": "Что делать:"} {
		page := s.signedIn(t, lang).page("/console/causes")
		wellFormed(t, page)
		contains(t, page, word)
		for _, cause := range model.Causes() {
			contains(t, page, `<h2 id="`+string(cause)+`">`)
		}
	}
}
