package callkeeper

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/callkeeper/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// drain polls to the end and gives what came.
func (r *rig) drain(t *testing.T, cursor string) (records []model.Record, next string, pages []connectors.Page) {
	t.Helper()
	for {
		page, err := r.Poll(t.Context(), streamCalls, cursor)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, page.Records...)
		cursor = page.Cursor
		pages = append(pages, page)
		if !page.More {
			return records, cursor, pages
		}
		if len(pages) > 1000 {
			t.Fatal("the poll does not end")
		}
	}
}

func (r *rig) history(n int, every time.Duration) (ids []string) {
	for i := range n {
		ids = append(ids, r.service.Add(sandbox.Call{
			Client: fmt.Sprintf("7900%07d", i), Started: r.clock.Now().Add(-time.Duration(n-i) * every), Duration: i % 100,
		}))
	}
	return ids
}

// Three pages of a thousand, or smaller ones in the other order, each call once;
// then nothing until something changes.
func TestImportThenChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		order string
		size  int
	}{{"asc", 1000}, {"desc", 100}} {
		t.Run(tt.order, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, map[string]string{"order": tt.order, "page_size": strconv.Itoa(tt.size)}, nil)
			n := 5 * tt.size / 2
			ids := r.history(n, 35*24*time.Hour/time.Duration(n))
			got, cursor, pages := r.drain(t, "")
			if len(got) != n || len(pages) != 4 {
				t.Fatalf("%d calls on %d pages", len(got), len(pages))
			}
			for i, p := range pages {
				if p.Importing != (i < 3) || p.Done != min((i+1)*tt.size, n) {
					t.Errorf("page %d: importing %v, done %d", i, p.Importing, p.Done)
				}
			}
			for range 2 { // a deep reading and a short one
				r.clock.Add(10 * time.Minute)
				if got, cursor, _ = r.drain(t, cursor); len(got) != 0 {
					t.Fatalf("%d calls came again though nothing changed", len(got))
				}
			}

			today, old := ids[n-2], ids[n*6/10] // the other is two weeks old: the next deep reading sees it
			late := r.clock.Now()
			r.service.Tag(today, "целевой")
			r.service.Tag(old, "спам")
			fresh := r.service.Add(sandbox.Call{Client: "79000000001", Duration: 5, Started: late.Add(time.Minute)})
			r.clock.Add(10 * time.Minute)
			got, cursor, _ = r.drain(t, cursor)
			wantIDs(t, got, today, fresh)
			for _, rec := range got {
				if !rec.Meta().UpdatedAt.Equal(r.clock.Now()) {
					t.Errorf("updated_at is %v", rec.Meta().UpdatedAt)
				}
			}
			r.clock.Add(24 * time.Hour)
			got, cursor, _ = r.drain(t, cursor)
			wantIDs(t, got, old)
			if tags := got[0].Meta().Tags; len(tags) != 1 || tags[0] != "спам" {
				t.Errorf("tags %v", tags)
			}
			r.clock.Add(24 * time.Hour)
			if got, _, _ = r.drain(t, cursor); len(got) != 0 {
				t.Errorf("%d calls came again", len(got))
			}
			r.wantNoViolations(t)
		})
	}
}

func wantIDs(t *testing.T, records []model.Record, ids ...string) {
	t.Helper()
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	for _, rec := range records {
		if !want[rec.Meta().ID] {
			t.Errorf("%s is not expected", rec.Meta().ID)
		}
		delete(want, rec.Meta().ID)
	}
	for id := range want {
		t.Errorf("%s did not come", id)
	}
}

// An import that broke off goes on where it stopped.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, map[string]string{"page_size": "10"}, nil)
	r.history(35, time.Hour)
	kept, cursor := book{}, ""
	for i, more := 0, true; more; i++ {
		if i%2 == 1 {
			r.service.Inject(sandbox.Fault{Times: 1, Drop: true})
			if _, err := r.Poll(t.Context(), streamCalls, cursor); model.ClassOf(err) != model.ClassTemporary {
				t.Fatalf("got %v", err)
			}
		}
		page, err := r.Poll(t.Context(), streamCalls, cursor)
		if err != nil {
			t.Fatal(err)
		}
		if n := kept.take(page.Records, r.clock.Now()); n != len(page.Records) {
			t.Errorf("page %d brought calls again", i)
		}
		r.clock.Add(time.Second)
		cursor, more = page.Cursor, page.More
	}
	if len(kept) != 35 {
		t.Errorf("%d calls", len(kept))
	}
	r.wantNoViolations(t)
}

// A call that began before the hub stood still for a week is not missed.
func TestCatchesUpAfterAPause(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, map[string]any{"recheck_days": 1})
	r.history(3, time.Hour)
	_, cursor, _ := r.drain(t, "")
	_, cursor, _ = r.drain(t, cursor)
	r.clock.Add(time.Hour)
	id := r.service.Add(sandbox.Call{Client: "79000000001", Duration: 5})
	r.clock.Add(7 * 24 * time.Hour)
	got, _, _ := r.drain(t, cursor)
	wantIDs(t, got, id)
}

// A call becomes a record when it is over.
func TestLiveCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	id := r.service.Begin(sandbox.Call{Client: "79000000001"})
	got, cursor, _ := r.drain(t, "")
	wantIDs(t, got)
	r.service.Finish(id, 42)
	r.clock.Add(time.Minute)
	got, _, _ = r.drain(t, cursor)
	wantIDs(t, got, id)
	if c := got[0].(*model.Call); c.TalkDuration != 42 || c.Missed {
		t.Errorf("got %+v", c)
	}
}

// What hooks and the list tell of a call-back is one record, and the list's
// version stays however late the hooks come, and whichever clock is ahead.
func TestHooksAndListAreOneCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		hooksFirst bool
		began      time.Duration // before now
	}{
		{"hook, list, hook again", true, 2 * time.Minute},
		{"list, then a late hook", false, 2 * time.Minute},
		{"the hook's duration is longer than the call can have been", true, 5 * time.Second},
		{"the sender's clock is ahead", true, -time.Minute},
		{"the sender's clock is ahead and the hook late", false, -time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, nil)
			start := r.clock.Now().Add(-tt.began)
			id := r.service.Add(sandbox.Call{Service: sandbox.Callback, Client: "79000000001", Duration: 60, Unique: true,
				Started: start, Tags: []string{"целевой"}})
			body := fmt.Sprintf(`{"id":%s,"hook_event":"Call is over","phone2":"79000000001","status_code":200,"status2_code":200,"duration_sec":100,"duration2_sec":60,"date_timestamp":%d,"tags":" "}`,
				r.service.CallID(id), start.Unix())
			kept := book{}
			hook := func() {
				in, err := r.Receive(connectors.Delivery{Body: []byte(body)})
				if err != nil {
					t.Fatal(err)
				}
				r.clock.Add(time.Second)
				kept.take(in.Records, r.clock.Now())
			}
			if tt.hooksFirst {
				hook()
			}
			// The list's answer, as it would come by a clock that is behind.
			c := cursor{Phase: phaseChanges, From: start.Add(-time.Hour), To: start.Add(time.Hour)}
			got, _, _ := r.drain(t, c.String())
			kept.take(got, r.clock.Now())
			hook()
			if len(got) != 1 || len(kept) != 1 {
				t.Fatalf("%d calls, %d records", len(got), len(kept))
			}
			for _, rec := range kept {
				if len(rec.Meta().Tags) != 1 || !rec.(*model.Call).First {
					t.Errorf("the list's version was lost: %+v", rec)
				}
			}
		})
	}
}

// The sandbox's hooks, as a hub would take them, give every call-back and every
// tracking call once.
func TestTraffic(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, map[string]string{"tracking_method": method}, map[string]any{"key": ""})
			kept, problems := book{}, make(chan error, 1000)
			hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				body, err := io.ReadAll(req.Body)
				if err != nil {
					problems <- err
				}
				in, err := r.Receive(connectors.Delivery{Method: req.Method, Query: req.URL.RawQuery, Header: req.Header, Body: body, ReceivedAt: r.clock.Now()})
				if err != nil {
					problems <- err
				}
				r.clock.Add(time.Millisecond)
				kept.take(in.Records, r.clock.Now())
			}))
			defer hub.Close()
			r.service.SetHookURL(hub.URL + "/hooks/shop/ck/secret")
			if err := r.service.Traffic(t.Context(), sandbox.Load{History: 8, Callbacks: 30, Calls: 30, Changes: 10}); err != nil {
				t.Fatal(err)
			}
			close(problems)
			for err := range problems {
				t.Error(err)
			}
			if len(kept) != 60 {
				t.Errorf("%d calls of 60", len(kept))
			}
			if sent, failed, _ := r.service.Hooks(); sent != 240 || failed != 0 {
				t.Errorf("%d hooks sent, %d failed", sent, failed)
			}
			r.wantNoViolations(t)
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	r.service.Add(sandbox.Call{Client: "79000000001", Duration: 5})
	if text, err := r.Check(t.Context()); err != nil || !strings.Contains(text, "1 calls in the last hour") {
		t.Errorf("got %q, %v", text, err)
	}
	r.clock.Add(5 * time.Hour) // an hour without calls is no error
	if _, err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
	wrong := newRig(t, nil, map[string]any{"key": "0000000000000000"})
	if _, err := wrong.Check(t.Context()); model.ClassOf(err) != model.ClassReauth || strings.Contains(err.Error(), "0000") {
		t.Errorf("with a wrong key: %v", err)
	}
	if text, err := offline(t, "").Check(t.Context()); err != nil || !strings.Contains(text, "hooks") {
		t.Errorf("without a key: %q, %v", text, err)
	}
	if streams := offline(t, "").Streams(); len(streams) != 0 {
		t.Errorf("without a key %v are polled", streams)
	}
	r.wantNoViolations(t)
}

func TestFaultsOfTheList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		class model.Class
		cause model.Cause
	}{
		{"unknown user", sandbox.Fault{Text: "User is not recognized"}, model.ClassReauth, model.CauseAuth},
		{"unknown method", sandbox.Fault{Text: "Method does not exist"}, model.ClassPermanent, model.CauseRequestRejected},
		{"unknown version", sandbox.Fault{Text: "It is wrong API version"}, model.ClassPermanent, model.CauseRequestRejected},
		{"undocumented error", sandbox.Fault{Text: "Something about " + sandbox.Key}, model.ClassTemporary, model.CauseRemoteFailure},
		{"page for people", sandbox.Fault{Status: 200}, model.ClassTemporary, model.CauseRemoteFailure},
		{"overload", sandbox.Fault{Status: 502}, model.ClassTemporary, model.CauseRemoteFailure},
		{"too many requests", sandbox.Fault{Status: 429, RetryAfter: "30"}, model.ClassQuota, model.CauseQuota},
		{"refused", sandbox.Fault{Status: 401}, model.ClassReauth, model.CauseAuth},
		{"cut off", sandbox.Fault{Drop: true}, model.ClassTemporary, model.CauseNetwork},
		{"half a list", sandbox.Fault{Body: `[{"universalId":"1"},`}, model.ClassTemporary, model.CauseRemoteFailure},
		{"neither", sandbox.Fault{Body: `{"status":"ok"}`}, model.ClassTemporary, model.CauseRemoteFailure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, nil)
			r.history(3, time.Hour)
			r.service.Inject(tt.fault)
			_, err := r.Poll(t.Context(), streamCalls, "")
			if err == nil || model.ClassOf(err) != tt.class || model.CauseOf(err) != tt.cause {
				t.Fatalf("got %v (%s, %s), want %s, %s", err, model.ClassOf(err), model.CauseOf(err), tt.class, tt.cause)
			}
			if strings.Contains(err.Error(), sandbox.Key) {
				t.Errorf("the error shows the key: %v", err)
			}
			r.service.Heal()
			if tt.class == model.ClassQuota {
				if _, err := r.Poll(t.Context(), streamCalls, ""); model.ClassOf(err) != model.ClassQuota || r.service.Requests() != 1 {
					t.Errorf("asked again while the account rests: %v", err)
				}
				r.clock.Add(31 * time.Second)
			}
			if page, err := r.Poll(t.Context(), streamCalls, ""); err != nil || len(page.Records) != 3 {
				t.Errorf("afterwards: %d calls, %v", len(page.Records), err)
			}
		})
	}
}

// One row that cannot be read leaves the others; a list that knows no pages
// ends.
func TestOddLists(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, nil)
	r.service.Inject(sandbox.Fault{Body: `[{"universalId":"1"},null,7,{"universalId":{"a":1}},{"universalId":"2"}]`})
	got, cursor, pages := r.drain(t, "")
	wantIDs(t, got, "1", "2")
	if len(pages) != 2 {
		t.Errorf("%d pages", len(pages))
	}
	r.service.Heal()
	r.service.Inject(sandbox.Fault{Body: `{"inbound":{},"payload":[]}`})
	if _, err := r.Poll(t.Context(), streamCalls, cursor); model.ClassOf(err) != model.ClassTemporary {
		t.Errorf("an envelope without an error: %v", err)
	}
	for _, broken := range []string{"x", `{"phase":"other"}`, `{"phase":"import","seen":"%"}`, `{"phase":"import","page":-1}`, `{"phase":"import","fresh":"QQ"}`} {
		if _, err := r.Poll(t.Context(), streamCalls, broken); model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("cursor %s: %v", broken, err)
		}
	}
	if _, err := r.Poll(context.Background(), "deal", ""); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("another stream: %v", err)
	}
}

func TestSeenKeepsEntries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := seen{}
		for _, call := range rapid.SliceOf(rapid.String()).Draw(t, "ids") {
			id, content, err := entryOf(&model.Call{Base: model.Base{ID: call, Comment: call}})
			if err != nil {
				t.Fatal(err)
			}
			s[id] = content
		}
		back, ok := parseSeen(s.String())
		if !ok || len(back) != len(s) {
			t.Fatalf("%d entries became %d", len(s), len(back))
		}
		for id, content := range s {
			if !back.has(id, content) {
				t.Fatalf("%x is lost", id)
			}
		}
	})
}

func BenchmarkPollOfAMonth(b *testing.B) {
	cur := cursor{Phase: phaseChanges}
	s := seen{}
	for i := range 30_000 {
		id, content, err := entryOf(&model.Call{Base: model.Base{ID: fmt.Sprint(i)}})
		if err != nil {
			b.Fatal(err)
		}
		s[id] = content
	}
	cur.Seen = s.String()
	text := cur.String()
	b.ReportAllocs()
	for b.Loop() {
		cur, known, _, err := parseCursor(text)
		if err != nil {
			b.Fatal(err)
		}
		cur.Seen = known.String()
		_ = cur.String()
	}
	b.ReportMetric(float64(len(text)), "cursor-bytes")
}

func FuzzReadList(f *testing.F) {
	f.Add(200, sample(f, "ckct_v3_calls_response.json"))
	f.Add(200, sample(f, "ckct_error_response.json"))
	f.Add(502, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		rows, end, err := readList(outbound.Response{Status: status, Body: body}, connectortest.NewClock().Now())
		if err == nil && len(rows) == 0 && !end {
			t.Error("nothing, and yet no end")
		}
		if err != nil && (len(rows) > 0 || end) {
			t.Errorf("%d rows, end %v, with %v", len(rows), end, err)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(`{"phase":"changes","until":"2026-03-02T09:00:00Z","deep_at":"2026-03-03T09:00:00Z","seen":"AAECAwQFBgc"}`)
	f.Fuzz(func(t *testing.T, text string) {
		cur, known, fresh, err := parseCursor(text)
		if err != nil {
			return
		}
		cur.Seen, cur.Fresh = known.String(), fresh.String()
		again, _, _, err := parseCursor(cur.String())
		if err != nil || again != cur {
			t.Errorf("%q became %+v, then %+v, %v", text, cur, again, err)
		}
	})
}
