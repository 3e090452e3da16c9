package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var journalTests = []test{
	{"journal keeps what came in", journalKeeps},
	{"journal takes any bytes", journalTakesAnyBytes},
	{"journal gives new entries in order until they are settled", journalBacklog},
	{"journal lists newest first, page by page", journalLists},
	{"journal lists by times", journalTimes},
	{"journal filters", journalFilters},
	{"journal replays settled entries", journalReplays},
	{"journal prunes settled entries only", journalPrunes},
	{"journal ids are right when many append", journalConcurrent},
}

func entry(connection string, minute int, body string) *store.Entry {
	return &store.Entry{Project: project, Connection: connection, ReceivedAt: at(minute), Method: "POST", Query: "a=1",
		Header: []byte(`{"Content-Type":"text/plain"}`), Body: []byte(body), Remote: "192.0.2.7"}
}

func (b *bench) append(entries ...*store.Entry) {
	b.Helper()
	b.ok(b.db.AppendJournal(b.ctx, entries))
}

func journalKeeps(b *bench) {
	b.ok(b.db.AppendJournal(b.ctx, nil))
	e := entry(b24, 1, "hello")
	b.append(e)
	if e.ID == 0 {
		b.Fatal("no id was filled in")
	}
	got := must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, e.ID))
	b.same("entry", got, *e)
	for _, x := range []struct {
		project string
		id      int64
	}{{"other", e.ID}, {project, e.ID + 1}} {
		if _, err := b.db.JournalEntry(b.ctx, x.project, x.id); !errors.Is(err, store.ErrNotFound) {
			b.Errorf("entry %d of %s: %v", x.id, x.project, err)
		}
	}
}

// PostgreSQL's texts hold neither zero bytes nor broken UTF-8.
func journalTakesAnyBytes(b *bench) {
	e := entry(b24, 1, "\x00\xff")
	e.Query, e.Note, e.Error = "q=\x00\xff", "\xf0\x28", "a\x00b"
	e.Header = nil
	b.append(e, entry(b24, 1, ""))
	got := must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, e.ID))
	b.same("body", got.Body, []byte("\x00\xff"))
	b.same("query", got.Query, "q=\uFFFD")
	b.ok(b.db.SettleJournal(b.ctx, project, []store.Settlement{{ID: e.ID, State: store.EntryRefused, Error: "\x00\xff", Note: "\xff"}}))
}

func journalBacklog(b *bench) {
	a1, m1, a2, a3 := entry(b24, 1, "1"), entry(amo, 2, "2"), entry(b24, 3, "3"), entry(b24, 4, "4")
	b.append(a1, m1)
	b.append(a2, a3)
	backlogs := must[[]store.Backlog](b)(b.db.JournalBacklogs(b.ctx))
	b.same("backlogs", backlogs, []store.Backlog{
		{Project: project, Connection: amo, Count: 1, Oldest: at(2)}, {Project: project, Connection: b24, Count: 3, Oldest: at(1)}})
	next := must[[]store.Entry](b)(b.db.NextJournal(b.ctx, project, b24, 2))
	b.same("next", next, []store.Entry{*a1, *a2})

	b.clock.Move(time.Hour)
	b.ok(b.db.SettleJournal(b.ctx, project, []store.Settlement{
		{ID: a1.ID, State: store.EntryDone, Note: "deal 7"},
		{ID: a2.ID, State: store.EntryRefused, Cause: model.CauseBadPayload, Error: "no id"},
	}))
	b.ok(b.db.SettleJournal(b.ctx, "other", []store.Settlement{{ID: a3.ID, State: store.EntryDone}}))
	next = must[[]store.Entry](b)(b.db.NextJournal(b.ctx, project, b24, 9))
	b.same("next after settling", next, []store.Entry{*a3})
	a2.State, a2.Cause, a2.Error, a2.SettledAt = store.EntryRefused, model.CauseBadPayload, "no id", b.clock.Now()
	b.same("settled", must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, a2.ID)), *a2)
	stats := must[[]store.JournalStat](b)(b.db.JournalStats(b.ctx, project, at(2)))
	b.same("stats", stats, []store.JournalStat{
		{Connection: amo, State: store.EntryNew, Count: 1}, {Connection: b24, State: store.EntryNew, Count: 1},
		{Connection: b24, State: store.EntryRefused, Cause: model.CauseBadPayload, Count: 1}})
}

func ids(entries []store.Entry) (out []int64) {
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

// journalTimes lists by times in a journal whose numbers do not follow the times
// exactly: entries wait for their commit for different spans.
func journalTimes(b *bench) {
	var all []*store.Entry
	for i := range 60 {
		e := entry(b24, 0, "")
		e.ReceivedAt = at(0).Add(time.Duration(i+3*(i%2)) * 2 * time.Minute)
		all = append(all, e)
	}
	b.append(all...)
	for _, from := range []int{-20, 0, 31, 60, 119, 200} {
		for _, length := range []int{0, 1, 40, 500} {
			since, until := at(0).Add(time.Duration(from)*time.Minute), at(0).Add(time.Duration(from+length)*time.Minute)
			var want []int64
			for _, e := range slices.Backward(all) {
				if !e.ReceivedAt.Before(since) && e.ReceivedAt.Before(until) {
					want = append(want, e.ID)
				}
			}
			f := store.JournalFilter{Project: project, Connection: b24, Since: since, Until: until, Limit: 100}
			b.same(fmt.Sprintf("from minute %d, %d minutes", from, length), ids(must[[]store.Entry](b)(b.db.Journal(b.ctx, f))), want)
		}
	}
}

func journalLists(b *bench) {
	var all []*store.Entry
	for i := range 7 {
		all = append(all, entry(b24, i, words(i)))
	}
	b.append(all...)
	first := must[[]store.Entry](b)(b.db.Journal(b.ctx, store.JournalFilter{Project: project, Limit: 3}))
	b.same("first page", ids(first), []int64{all[6].ID, all[5].ID, all[4].ID})
	if first[0].Body != nil || first[0].Header != nil {
		b.Error("a list has bodies")
	}
	second := must[[]store.Entry](b)(b.db.Journal(b.ctx, store.JournalFilter{Project: project, Connection: b24, BeforeID: all[4].ID, WithBody: true}))
	b.same("second page", ids(second), []int64{all[3].ID, all[2].ID, all[1].ID, all[0].ID})
	b.same("body", string(second[0].Body), "3")
}

func journalFilters(b *bench) {
	e1, e2, e3, e4 := entry(b24, 1, "phone 100%_x"), entry(amo, 2, "two"), entry(b24, 3, "Три"), entry(b24, 4, "four")
	b.append(e1, e2, e3, e4)
	b.ok(b.db.SettleJournal(b.ctx, project, []store.Settlement{
		{ID: e1.ID, State: store.EntryDone, Note: "contact 5"},
		{ID: e2.ID, State: store.EntryRefused, Cause: model.CauseWrongToken, Error: "token"},
		{ID: e3.ID, State: store.EntryPartly, Cause: model.CauseBadValue},
	}))
	for _, x := range []struct {
		name string
		f    store.JournalFilter
		want []int64
	}{
		{"connection", store.JournalFilter{Connection: amo}, []int64{e2.ID}},
		{"one state", store.JournalFilter{States: []store.EntryState{store.EntryNew}}, []int64{e4.ID}},
		{"refused states", store.JournalFilter{States: []store.EntryState{store.EntryRefused, store.EntryPartly}}, []int64{e3.ID, e2.ID}},
		{"mixed states", store.JournalFilter{States: []store.EntryState{store.EntryNew, store.EntryPartly}}, []int64{e4.ID, e3.ID}},
		{"cause", store.JournalFilter{Cause: model.CauseWrongToken}, []int64{e2.ID}},
		{"since", store.JournalFilter{Since: at(3)}, []int64{e4.ID, e3.ID}},
		{"until", store.JournalFilter{Until: at(2)}, []int64{e1.ID}},
		{"text of a body", store.JournalFilter{Text: "Три"}, []int64{e3.ID}},
		{"text is no pattern", store.JournalFilter{Text: "0%_"}, []int64{e1.ID}},
		{"text of a note", store.JournalFilter{Text: "contact"}, []int64{e1.ID}},
		{"text of an error", store.JournalFilter{Text: "token"}, []int64{e2.ID}},
		{"nothing", store.JournalFilter{Text: "absent"}, nil},
	} {
		x.f.Project = project
		b.same(x.name, ids(must[[]store.Entry](b)(b.db.Journal(b.ctx, x.f))), x.want)
	}
}

func journalReplays(b *bench) {
	e1, e2, e3 := entry(b24, 1, "1"), entry(b24, 2, "2"), entry(b24, 3, "3")
	b.append(e1, e2, e3)
	b.ok(b.db.SettleJournal(b.ctx, project, []store.Settlement{
		{ID: e1.ID, State: store.EntryRefused, Cause: model.CauseUnmapped, Error: "x", Note: "n"}, {ID: e2.ID, State: store.EntryDone}}))
	f := store.JournalFilter{Project: project, States: []store.EntryState{store.EntryRefused}}
	b.same("dry run", must[int](b)(b.db.ReplayJournal(b.ctx, f, true)), 1)
	b.same("new before", len(must[[]store.Entry](b)(b.db.NextJournal(b.ctx, project, b24, 9))), 1)
	b.same("run", must[int](b)(b.db.ReplayJournal(b.ctx, f, false)), 1)
	b.same("new after", ids(must[[]store.Entry](b)(b.db.NextJournal(b.ctx, project, b24, 9))), []int64{e1.ID, e3.ID})
	got := must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, e1.ID))
	b.same("verdict", words(got.Cause, got.Error, got.SettledAt.IsZero()), "  true")
	b.same("rest", must[int](b)(b.db.ReplayJournal(b.ctx, store.JournalFilter{Project: project}, false)), 1)
}

func journalPrunes(b *bench) {
	e1, e2, e3, e4 := entry(b24, 1, "1"), entry(b24, 2, "2"), entry(amo, 3, "3"), entry(b24, 9, "4")
	e5 := entry(b24, 1, "5")
	e5.Project = "zoo"
	b.append(e1, e2, e3, e4, e5)
	var done []store.Settlement
	for _, e := range []*store.Entry{e1, e3, e4} {
		done = append(done, store.Settlement{ID: e.ID, State: store.EntryDone})
	}
	b.ok(b.db.SettleJournal(b.ctx, project, done))
	b.ok(b.db.SettleJournal(b.ctx, "zoo", []store.Settlement{{ID: e5.ID, State: store.EntryDone}}))
	b.same("first", must[int](b)(b.db.PruneJournal(b.ctx, at(5), 1)), 1)
	b.same("rest", must[int](b)(b.db.PruneJournal(b.ctx, at(5), 10)), 2)
	b.same("nothing", must[int](b)(b.db.PruneJournal(b.ctx, at(5), 10)), 0)
	b.same("left", ids(must[[]store.Entry](b)(b.db.Journal(b.ctx, store.JournalFilter{Project: project}))), []int64{e4.ID, e2.ID})
}

func journalConcurrent(b *bench) {
	const writers, batches, size = 4, 5, 33
	var wg sync.WaitGroup
	seen := make([]map[int64]string, writers)
	for w := range writers {
		seen[w] = map[int64]string{}
		wg.Go(func() {
			for i := range batches {
				batch := make([]*store.Entry, size)
				for j := range batch {
					batch[j] = entry(b24, i, fmt.Sprintf("%d/%d/%d", w, i, j))
				}
				if err := b.db.AppendJournal(b.ctx, batch); err != nil {
					b.Error(err)
					return
				}
				for _, e := range batch {
					seen[w][e.ID] = string(e.Body)
				}
			}
		})
	}
	wg.Wait()
	all := must[[]store.Entry](b)(b.db.NextJournal(b.ctx, project, b24, 10000))
	b.same("entries", len(all), writers*batches*size)
	for _, e := range all {
		found := false
		for w := range seen {
			found = found || seen[w][e.ID] == string(e.Body)
		}
		if !found {
			b.Fatalf("entry %d holds %q, which its writer knows by another id", e.ID, e.Body)
		}
	}
}
