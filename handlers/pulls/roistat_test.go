package pulls_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/roistat/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const withPassword = "{user: hub, password: S3cret}"

var credentials = map[string]string{"user": "hub", "password": "S3cret"}

func TestAnExchangeThatRoistatHasNothingToSayAgainst(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, limit := range []string{"none", "100", "1000"} {
			t.Run(method+" with limit "+limit, func(t *testing.T) {
				t.Parallel()
				h := newHub(t, withPassword, "b24")
				h.shop("b24", 450)
				s := h.poller(map[string]string{"user": "hub", "password": "S3cret", "method": method, "limit": limit})
				first := h.run(s)
				if first.Orders != 450 || first.Clients != 7 || first.New != 450 {
					t.Errorf("the first exchange brought %+v", first)
				}
				h.later(time.Hour)
				second := h.run(s)
				if second.New != 0 || second.Changed != 0 || len(second.Lost) != 0 {
					t.Errorf("nothing happened, and the second exchange brought %+v", second)
				}
			})
		}
	}
}

func TestBlankCredentials(t *testing.T) {
	t.Parallel()
	sample := "?token=d41d8cd98f00b204e9800998ecf8427e&action=import_scheme&user=" // samples/roistat/own-crm-requests.urls.txt
	for name, c := range map[string]struct {
		settings, query string
		want            int
	}{
		"blank ones configured":           {"{}", sample, 200},
		"a password configured":           {withPassword, sample, 401},
		"blank is not no token":           {"{}", "?action=import_scheme", 401},
		"no action wants a token as well": {"{}", "", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, c.settings, "b24")
			h.shop("b24", 1)
			status, body := h.get(c.query)
			if status != c.want {
				t.Errorf("answered %d %s", status, body)
			}
			if status == 401 && !strings.HasPrefix(body, `{"status":"error","message":"`) {
				t.Errorf("the refusal is not in Roistat's shape: %s", body)
			}
		})
	}
}

// get asks as a person with a browser would.
func (h *hub) get(query string) (int, string) {
	h.t.Helper()
	resp, err := http.Get(h.url() + query)
	h.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	h.must(err)
	return resp.StatusCode, string(body)
}

func TestRule1SelectsByChangeOrCreationOverEverything(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	month := 31 * 24 * time.Hour
	h.put(
		deal("b24", 1, 2*month, func(d *model.Deal) { d.UpdatedAt = start.Add(-time.Hour) }),
		deal("b24", 2, 2*month, func(d *model.Deal) { d.CreatedAt = start.Add(-time.Hour) }),
		deal("b24", 3, time.Hour, func(d *model.Deal) { d.PipelineID, d.StatusID, d.ClosedAt = "9", "WON", start }),
		deal("b24", 4, 2*month),
		deal("amo", 5, time.Hour),
	)
	s := h.poller(credentials)
	h.run(s)
	if got := ids(s); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("exported %v", got)
	}
}

func ids(s *sandbox.Sandbox) []string {
	var list []string
	for id := range s.Orders() {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

func TestRule2LeavesDeletedDealsOut(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 20)
	s := h.poller(credentials)
	h.run(s)
	h.later(time.Hour)
	_, err := h.db.MarkMissing(t.Context(), project, "b24", []model.Ref{{Kind: model.KindDeal, ID: "7"}}, h.clock())
	h.must(err)
	if report := h.run(s); !slices.Equal(report.Lost, []string{"7"}) {
		t.Errorf("lost %v", report.Lost)
	}
}

func TestRule3NeverAnswersAnIncompleteList(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*hub){
		"a source is importing": func(h *hub) {
			h.must(h.db.SavePollState(t.Context(), store.PollState{Project: project, Connection: "b24", Stream: "deals", Cursor: "c", LastRun: start, Importing: true}))
		},
		"a source was never read": func(h *hub) { h.sources = append(h.sources, "amo") },
		"a source is stale":       func(h *hub) { h.pass(7 * time.Hour) },
		"a source is failing": func(h *hub) {
			_, err := h.db.SetConnectionStatus(t.Context(), project, "b24", "failing", model.CauseNetwork, "no route", time.Time{})
			h.must(err)
		},
		"a source wants new credentials": func(h *hub) {
			_, err := h.db.SetConnectionStatus(t.Context(), project, "b24", "needs_reauth", model.CauseAuth, "refused", time.Time{})
			h.must(err)
		},
		"no source is named": func(h *hub) { h.sources = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, withPassword, "b24")
			h.t = t
			h.shop("b24", 20)
			spoil(h)
			s := h.poller(credentials)
			report, err := s.Run(t.Context(), h.url())
			h.must(err)
			h.clean(s)
			if !strings.HasPrefix(report.Refused, "503 ") {
				t.Errorf("got %+v", report)
			}
			state, err := h.db.ConnectionState(t.Context(), project, own)
			h.must(err)
			if state.Status != "failing" || state.Cause != model.CauseIncomplete {
				t.Errorf("the operator sees %q, %q", state.Status, state.Cause)
			}
		})
	}
}

func TestRule4ChangesBetweenPagesMoveNothing(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 300)
	s := h.poller(map[string]string{"user": "hub", "password": "S3cret", "limit": "50"})
	next := 2000
	h.before = func(r *http.Request) {
		if offset := r.URL.Query().Get("offset"); offset == "" || offset == "0" {
			return
		}
		next++
		h.put(
			deal("b24", next, 0, func(d *model.Deal) { d.ContactID = "" }),
			deal("b24", next%300+1, -time.Hour),
		)
		_, err := h.db.MarkMissing(t.Context(), project, "b24", []model.Ref{{Kind: model.KindDeal, ID: fmt.Sprint(next - 1900)}}, start.Add(time.Hour))
		h.must(err)
	}
	if report := h.run(s); report.Orders != 300 {
		t.Errorf("got %+v", report)
	}
}

func TestRule4ParallelRunsOfOneDateDoNotMix(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 300)
	var mu sync.Mutex
	next := 2000
	h.before = func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		next++
		h.put(deal("b24", next, 0, func(d *model.Deal) { d.ContactID = "" }))
	}
	var wg sync.WaitGroup
	for range 4 {
		s := h.poller(map[string]string{"user": "hub", "password": "S3cret", "limit": "50"})
		wg.Go(func() {
			report, err := s.RunSince(t.Context(), h.url(), start.Add(-31*24*time.Hour))
			if err != nil || report.Refused != "" || report.Orders < 300 {
				t.Errorf("got %+v, %v", report, err)
			}
			for _, v := range s.Violations() {
				t.Error("violation: " + v)
			}
		})
	}
	wg.Wait()
}

func TestRule4AnOffsetWithoutASnapshotMakesOne(t *testing.T) {
	t.Parallel()
	h := newHub(t, "{}", "b24")
	h.shop("b24", 50)
	for _, c := range []struct {
		query string
		rows  int
	}{{"&offset=20&limit=20", 20}, {"&offset=40&limit=20", 10}, {"&offset=60&limit=20", 0}} {
		_, body := h.get("?action=export&date=1646747823&user=&token=d41d8cd98f00b204e9800998ecf8427e" + c.query)
		var page struct {
			Orders     []any
			Pagination struct {
				Total int `json:"total_count"`
				Limit int
			}
		}
		h.must(json.Unmarshal([]byte(body), &page))
		if len(page.Orders) != c.rows || page.Pagination.Total != 50 || page.Pagination.Limit != 20 {
			t.Errorf("%s: %d rows, %+v", c.query, len(page.Orders), page.Pagination)
		}
	}
}

func TestRule5And6HoldASharpDropUntilItIsReleased(t *testing.T) {
	t.Parallel()
	for _, left := range []int{60, 0} {
		t.Run(fmt.Sprintf("%d of 100 left", left), func(t *testing.T) {
			t.Parallel()
			h := newHub(t, withPassword, "b24")
			h.shop("b24", 100)
			s := h.poller(credentials)
			h.run(s)
			var gone []model.Ref
			for id := left + 1; id <= 100; id++ {
				gone = append(gone, model.Ref{Kind: model.KindDeal, ID: fmt.Sprint(id)})
			}
			h.later(time.Hour)
			_, err := h.db.MarkMissing(t.Context(), project, "b24", gone, h.clock())
			h.must(err)
			report, err := s.Run(t.Context(), h.url())
			h.must(err)
			held, err := h.roistat.Held(t.Context())
			h.must(err)
			if !strings.HasPrefix(report.Refused, "503 ") || len(s.Orders()) != 100 || held == "" {
				t.Fatalf("got %+v, held %q", report, held)
			}
			state, err := h.db.ConnectionState(t.Context(), project, own)
			h.must(err)
			if state.Cause != model.CauseSharpDrop {
				t.Errorf("the operator sees %q", state.Cause)
			}
			h.must(h.roistat.Release(t.Context()))
			if report := h.run(s); len(report.Lost) != 100-left {
				t.Errorf("after the release lost %d", len(report.Lost))
			}
			if held, _ := h.roistat.Held(t.Context()); held != "" {
				t.Errorf("still held: %s", held)
			}
			if state, _ = h.db.ConnectionState(t.Context(), project, own); state.Status != "ok" {
				t.Errorf("the status is %q", state.Status)
			}
		})
	}
}

func TestAShortPeriodIsNoDrop(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 500)
	s := h.poller(credentials)
	h.run(s)
	report, err := s.RunSince(t.Context(), h.url(), start.Add(-25*time.Hour))
	h.must(err)
	if report.Refused != "" || report.Orders != 25 {
		t.Errorf("got %+v", report)
	}
}

func TestALeadMakesOneOrderHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"with an id": "90", "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, withPassword, "b24")
			h.shop("b24", 3)
			s := h.poller(credentials)
			lead := sandbox.SampleLead(start)
			lead.ID = id
			orderID, err := s.PushLead(t.Context(), h.url(), lead)
			h.must(err)
			h.later(30 * time.Minute)
			h.must(s.RepeatAll(t.Context(), h.url()))
			h.shut()
			h.open()
			h.later(30 * time.Minute)
			h.must(s.RepeatAll(t.Context(), h.url()))
			h.run(s)
			if o := s.Orders()[orderID]; len(s.Orders()) != 4 || o.Roistat != "12852" || o.Status != "svod:new" {
				t.Errorf("orders %v", s.Orders())
			}
			r, err := h.db.Record(t.Context(), project, model.Key{Connection: own, Kind: model.KindLead, ID: orderID})
			h.must(err)
			if l := r.(*model.Deal); l.Name != "Иван" || l.Phones[0] != "79990001122" || l.Fields.Text("640163") != "test" || !l.CreatedAt.Equal(start) {
				t.Errorf("the lead is %+v", l)
			}
			if h.woken != 1 {
				t.Errorf("flows were woken %d times", h.woken)
			}
		})
	}
}

func TestThePromisedIDStaysWhenTheCRMHasMadeADeal(t *testing.T) {
	t.Parallel()
	linked := func(d *model.Deal) { d.LeadID = "77"; d.Roistat = "" }
	for name, c := range map[string]struct {
		link model.Key
		deal *model.Deal
		want int // orders besides the shop's
	}{
		"linked to the deal":                      {model.Key{Connection: "b24", Kind: model.KindDeal, ID: "500"}, deal("b24", 500, 0), 1},
		"linked to a lead that became a deal":     {model.Key{Connection: "b24", Kind: model.KindLead, ID: "77"}, deal("b24", 500, 0, linked), 1},
		"linked to a lead that is not yet a deal": {model.Key{Connection: "b24", Kind: model.KindLead, ID: "77"}, nil, 1},
		"linked to an old deal":                   {model.Key{Connection: "b24", Kind: model.KindDeal, ID: "500"}, deal("b24", 500, 90*24*time.Hour), 1},
		"linked to a deal that was not read yet":  {model.Key{Connection: "b24", Kind: model.KindDeal, ID: "500"}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, withPassword, "b24")
			h.shop("b24", 3)
			s := h.poller(credentials)
			orderID, err := s.PushLead(t.Context(), h.url(), sandbox.SampleLead(start))
			h.must(err)
			h.run(s)
			h.must(h.db.LinkPromise(t.Context(), project, own, orderID, c.link))
			if c.deal != nil {
				h.put(c.deal)
			}
			h.later(time.Hour)
			report := h.run(s)
			orders := s.Orders()
			if len(orders) != 3+c.want || len(report.Lost) != 0 {
				t.Errorf("orders %v, lost %v", ids(s), report.Lost)
			}
			if o := orders[orderID]; o.Roistat == "" || (c.deal != nil) != (o.Price != "") {
				t.Errorf("the promised order is %+v", o)
			}
			h.later(time.Hour)
			if again := h.run(s); again.New+again.Changed+len(again.Lost) != 0 {
				t.Errorf("the order does not stay as it is: %+v", again)
			}
		})
	}
}

// A flow sends the lead on; what the CRM made of it is found by the id that the
// upload brought back.
func TestWhatTheCRMMadeOfALeadIsFound(t *testing.T) {
	t.Parallel()
	made := func(d *model.Deal) { d.CreatedAt = start.Add(time.Minute) }
	crmLead := &model.Deal{Base: model.Base{Kind: model.KindLead, Connection: "b24", ID: "77", CreatedAt: start.Add(time.Minute), ReadAt: start}}
	otherLead := &model.Deal{Base: model.Base{Kind: model.KindLead, Connection: "b24", ID: "1", ReadAt: start}}
	for name, c := range map[string]struct {
		crm  []model.Record
		want []string
	}{
		"nothing was read back yet":      {nil, []string{"h1"}},
		"a deal":                         {[]model.Record{deal("b24", 77, 0, made)}, []string{"h1"}},
		"a lead":                         {[]model.Record{crmLead}, []string{"h1"}},
		"a lead that became a deal":      {[]model.Record{crmLead, deal("b24", 500, 0, func(d *model.Deal) { d.LeadID = "77" })}, []string{"h1"}},
		"an old deal of the same number": {[]model.Record{deal("b24", 77, 24*time.Hour)}, []string{"77", "h1"}},
		"a deal of the same number at a CRM with leads": {[]model.Record{otherLead, deal("b24", 77, 0, made)}, []string{"77", "h1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, withPassword, "b24")
			s := h.poller(credentials)
			orderID, err := s.PushLead(t.Context(), h.url(), sandbox.SampleLead(start))
			h.must(err)
			h.sendOn(orderID, "77")
			h.put(c.crm...)
			h.later(time.Hour)
			h.run(s)
			if got := ids(s); !slices.Equal(got, c.want) {
				t.Errorf("exported %v", got)
			}
		})
	}
}

// sendOn is what a flow of leads to b24 leaves behind.
func (h *hub) sendOn(id, remoteID string) {
	h.t.Helper()
	ctx := h.t.Context()
	end, err := h.db.FeedEnd(ctx, project)
	h.must(err)
	_, err = h.db.FanOut(ctx, store.FanOut{Project: project, Flow: "leads", Connections: []string{own}, Kind: model.KindLead, To: end})
	h.must(err)
	u := store.Upload{Project: project, Flow: "leads", Connection: "b24", As: "leads", Rows: 1}
	h.must(h.db.CreateUpload(ctx, &u))
	h.must(h.db.FillUpload(ctx, u.ID, []store.Sending{{Connection: own, ID: id, RowKey: id, Seq: end, Hash: []byte("x")}}))
	u.Status = store.UploadAccepted
	h.must(h.db.AcceptUpload(ctx, u, nil, map[string]string{id: remoteID}))
}

func TestALeadThatBecameTwoDealsKeepsItsIDWithTheFirst(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	s := h.poller(credentials)
	orderID, err := s.PushLead(t.Context(), h.url(), sandbox.SampleLead(start))
	h.must(err)
	h.must(h.db.LinkPromise(t.Context(), project, own, orderID, model.Key{Connection: "b24", Kind: model.KindLead, ID: "77"}))
	lead := func(d *model.Deal) { d.LeadID, d.ContactID = "77", "" }
	h.put(deal("b24", 2, 0, lead), deal("b24", 1, time.Minute, lead))
	h.run(s)
	if got := ids(s); !slices.Equal(got, []string{"2", orderID}) {
		t.Errorf("exported %v", got)
	}
}

func TestProbesAndOddData(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 3)
	s := h.poller(credentials)
	h.must(s.Probe(t.Context(), h.url()))
	if report := h.run(s); report.Orders != 3+len(sandbox.OddData) {
		t.Errorf("got %+v", report)
	}
	long := sandbox.SampleLead(start)
	for _, post := range []bool{false, true} {
		long.ID, long.Text, long.Post = fmt.Sprint("long-", post), strings.Repeat("ж", 150_000), post // 900 kB as %D0%B6
		orderID, err := s.PushLead(t.Context(), h.url(), long)
		h.must(err)
		r, err := h.db.Record(t.Context(), project, model.Key{Connection: own, Kind: model.KindLead, ID: orderID})
		h.must(err)
		if r.Meta().Comment != long.Text {
			t.Errorf("the text of %d bytes came as %d bytes", len(long.Text), len(r.Meta().Comment))
		}
	}
	h.clean(s)
	for _, secrets := range []string{secret, "2b7c2e3559c2ae357511858bacea9b3f", "S3cret", "79990001122", "79990001122"} {
		if strings.Contains(h.log.String(), secrets) {
			t.Errorf("the log holds %q", secrets)
		}
	}
}

func TestSeveralSourcesHaveIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24", "amo")
	h.shop("b24", 2)
	h.shop("amo", 2)
	s := h.poller(credentials)
	h.run(s)
	if got := ids(s); !slices.Equal(got, []string{"amo:1", "amo:2", "b24:1", "b24:2"}) {
		t.Errorf("exported %v", got)
	}
	if o := s.Orders()["amo:1"]; o.Status != "amo:0:NEW" || o.Client != "amo:1" {
		t.Errorf("got %+v", o)
	}
}

func TestASecondSourceDoesNotRenameTheFirst(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	h.shop("b24", 2)
	s := h.poller(credentials)
	h.run(s)
	h.sources = append(h.sources, "amo")
	h.shop("amo", 1)
	h.later(time.Hour)
	if report := h.run(s); len(report.Lost) != 0 || !slices.Equal(ids(s), []string{"1", "2", "amo:1"}) {
		t.Errorf("exported %v, lost %v", ids(s), report.Lost)
	}
}

func TestTheAddressTellsNothing(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	answers := map[string]bool{}
	for _, path := range []string{"/nowhere", "/pull/shop/roistat/wrong", "/pull/shop/nobody/" + secret, "/pull/other/roistat/" + secret, "/pull/shop/b24/" + url.PathEscape("of the hook b24")} {
		resp, err := http.Get(h.server.URL + path)
		h.must(err)
		body, err := io.ReadAll(resp.Body)
		h.must(err)
		h.must(resp.Body.Close())
		answers[fmt.Sprint(resp.StatusCode, resp.Header.Get("Content-Type"), string(body))] = true
	}
	if len(answers) != 1 {
		t.Errorf("different answers: %v", answers)
	}
}

func TestLimitsOfARequest(t *testing.T) {
	t.Parallel()
	h := newHub(t, withPassword, "b24")
	for name, c := range map[string]struct {
		query, body string
		want        int
	}{
		"an address over the limit": {"?text=" + strings.Repeat("a", 1<<20+16<<10), "", 414},
		"a body over the limit":     {"", "text=" + strings.Repeat("a", 4<<20), 413},
		"too many parameters":       {"?" + strings.Repeat("a=1&", 1001), "", 414},
		"too many form fields":      {"", strings.Repeat("a=1&", 1001), 413},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.Post(h.url()+c.query, "application/x-www-form-urlencoded", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.want {
				t.Errorf("answered %d", resp.StatusCode)
			}
		})
	}
}
