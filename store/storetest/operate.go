package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var operateTests = []test{
	{"versions of a record are kept", versions},
	{"no more than 30 versions of a record", manyVersions},
	{"switches", switches},
	{"errands", errands},
	{"entries are replayed in steps", replaySome},
	{"counts by the minute", minutes},
	{"what waits is dated", oldest},
	{"troubles are grouped and marked", troubles},
	{"uploads are found", findUploads},
	{"the uploads that a row was in", sentRows},
	{"related records", related},
	{"uses by their prefix", usesOf},
	{"a record that waits to be read", waitingRef},
}

func (b *bench) versions(k model.Key) []store.RecordVersion {
	b.Helper()
	return must[[]store.RecordVersion](b)(b.db.RecordVersions(b.ctx, project, k))
}

func versions(b *bench) {
	k := key(model.KindDeal, "1")
	b.apply(deal("1", 1, 1, "a"))
	b.same("new", len(b.versions(k)), 0)
	b.apply(deal("1", 1, 2, "a"))
	b.same("read again", len(b.versions(k)), 0)
	b.apply(deal("1", 3, 3, "b"), deal("2", 3, 3, "x"))
	b.apply(deal("1", 2, 9, "late"))
	must[store.Applied](b)(b.db.MarkMissing(b.ctx, project, b24, []model.Ref{{Kind: model.KindDeal, ID: "1"}}, at(10)))
	got := ""
	for _, v := range b.versions(k) {
		d := v.Record.(*model.Deal)
		got += fmt.Sprintf("%s seq %d read %s replaced %s; ", d.Title, d.Seq, d.ReadAt.Sub(start), v.ReplacedAt.Sub(start))
	}
	b.same("history", got, "b seq 2 read 3m0s replaced 10m0s; a seq 1 read 2m0s replaced 3m0s; ")
	b.same("another project's", len(must[[]store.RecordVersion](b)(b.db.RecordVersions(b.ctx, "bakery", k))), 0)
	b.same("pruned", must[int](b)(b.db.PruneVersions(b.ctx, at(4), 100)), 1)
	b.same("left", len(b.versions(k)), 1)
}

func manyVersions(b *bench) {
	for i := range 40 {
		b.apply(deal("1", i, i, fmt.Sprint(i)), deal("2", i%2, i%2, fmt.Sprint(i%2)))
	}
	got := b.versions(key(model.KindDeal, "1"))
	b.same("kept", len(got), 30)
	b.same("newest", got[0].Record.(*model.Deal).Title, "38")
	b.same("the other's", len(b.versions(key(model.KindDeal, "2"))), 1)
}

func switches(b *bench) {
	get := func() store.Switches { return must[store.Switches](b)(b.db.Switches(b.ctx)) }
	x := store.Switch{Project: project, Subject: store.SwitchFlow, ID: "orders", User: "operator"}
	b.same("none", len(get()), 0)
	b.ok(b.db.SetSwitch(b.ctx, x, true))
	b.clock.Move(time.Minute)
	y := x
	y.User = "other"
	b.ok(b.db.SetSwitch(b.ctx, y, true))
	x.Since = start
	b.same("kept since", get(), store.Switches{x})
	b.same("off", words(get().Off(project, store.SwitchFlow, "orders"), get().Off(project, store.SwitchSource, "orders")), "true false")
	b.ok(b.db.SetSwitch(b.ctx, x, false))
	b.ok(b.db.SetSwitch(b.ctx, x, false))
	b.same("resumed", len(get()), 0)
}

func errands(b *bench) {
	e := store.Errand{Project: project, Flow: "orders", Action: store.ErrandResend, Total: 7, User: "operator",
		Rows: store.DeliveryFilter{Project: project, Flow: "orders", States: []store.DeliveryState{store.DeliveryRefused}, Cause: model.CauseCurrency}}
	b.ok(b.db.CreateErrand(b.ctx, &e))
	get := func() store.Errand { return must[store.Errand](b)(b.db.Errand(b.ctx, project, e.ID)) }
	b.same("kept", get(), e)
	e.Position, e.Done = store.ErrandPosition{Flow: "orders", ID: "5"}, 5
	b.same("goes on", must[bool](b)(b.db.SaveErrand(b.ctx, e)), true)
	b.same("running", must[[]store.Errand](b)(b.db.RunningErrands(b.ctx)), []store.Errand{e})
	b.ok(b.db.StopErrand(b.ctx, project, e.ID))
	e.Done = 6
	b.same("stopped meanwhile", must[bool](b)(b.db.SaveErrand(b.ctx, e)), false)
	b.same("status", words(get().Status, get().Done), "stopped 6")
	for _, err := range []error{b.db.StopErrand(b.ctx, project, e.ID), b.db.StopErrand(b.ctx, "bakery", e.ID)} {
		if !errors.Is(err, store.ErrNotFound) {
			b.Error(err)
		}
	}
	if _, err := b.db.Errand(b.ctx, "bakery", e.ID); !errors.Is(err, store.ErrNotFound) {
		b.Error(err)
	}
	b.same("listed", len(must[[]store.Errand](b)(b.db.Errands(b.ctx, project, 0))), 1)
	b.same("pruned", must[int](b)(b.db.PruneErrands(b.ctx, at(1))), 1)
}

func minutes(b *bench) {
	var entries []*store.Entry
	for _, x := range []struct{ minute, second int }{{0, 0}, {1, 0}, {1, 59}, {3, 5}} {
		entries = append(entries, &store.Entry{Project: project, Connection: b24, ReceivedAt: at(x.minute).Add(time.Duration(x.second) * time.Second)})
	}
	entries = append(entries, &store.Entry{Project: "bakery", Connection: b24, ReceivedAt: at(1)})
	b.ok(b.db.AppendJournal(b.ctx, entries))
	b.same("in", must[[]store.Minute](b)(b.db.ReceivedPerMinute(b.ctx, project, at(1))), []store.Minute{{Start: at(1), Count: 2}, {Start: at(3), Count: 1}})
	u := store.Upload{Project: project, Flow: "orders", Status: store.UploadBuilding, CreatedAt: at(2)}
	b.ok(b.db.CreateUpload(b.ctx, &u))
	u.Status, u.Accepted, u.FinishedAt = store.UploadAccepted, 9, at(2).Add(time.Second)
	b.ok(b.db.AcceptUpload(b.ctx, u, nil, nil))
	b.same("out", must[[]store.Minute](b)(b.db.AcceptedPerMinute(b.ctx, project, at(1))), []store.Minute{{Start: at(2), Count: 9}})
	b.same("another's", len(must[[]store.Minute](b)(b.db.AcceptedPerMinute(b.ctx, "bakery", at(1)))), 0)
}

func oldest(b *bench) {
	due := func() time.Duration {
		b.Helper()
		t := must[time.Time](b)(b.db.OldestDue(b.ctx, project, "orders"))
		if t.IsZero() {
			return 0
		}
		return t.Sub(start)
	}
	b.same("nothing", due(), time.Duration(0))
	b.apply(deal("1", 1, 1, "a"))
	b.apply(deal("2", 5, 5, "b"))
	b.same("behind", must[time.Time](b)(b.db.OldestBehind(b.ctx, project, 1)), at(5))
	b.same("not behind", must[time.Time](b)(b.db.OldestBehind(b.ctx, project, 2)).IsZero(), true)
	must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: "orders", Connections: []string{b24}, Kind: model.KindDeal, To: 2}))
	b.same("due", due(), time.Minute)
}

func troubles(b *bench) {
	b.apply(deal("1", 1, 1, "a"), deal("2", 1, 1, "b"), deal("3", 1, 1, "c"))
	must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: "orders", Connections: []string{b24}, Kind: model.KindDeal, To: 3}))
	refuse := func(id string, seq int64) store.Verdict {
		return store.Verdict{Connection: b24, ID: id, Seq: seq, State: store.DeliveryRefused, Cause: model.CauseCurrency, Error: "no currency"}
	}
	b.ok(b.db.SettleDue(b.ctx, project, "orders", []store.Verdict{refuse("1", 1)}))
	b.clock.Move(time.Minute)
	b.ok(b.db.SettleDue(b.ctx, project, "orders", []store.Verdict{refuse("3", 3)}))
	e := &store.Entry{Project: project, Connection: b24, ReceivedAt: at(2), State: store.EntryRefused, Cause: model.CauseBadPayload, Error: "odd"}
	b.ok(b.db.AppendJournal(b.ctx, []*store.Entry{e}))
	b.same("troubles", must[[]store.Trouble](b)(b.db.Troubles(b.ctx, project)), []store.Trouble{
		{Subject: "flow", ID: "orders", Cause: model.CauseCurrency, Error: "no currency", Count: 2, First: at(0), Last: at(1), Connection: b24, Example: "3", Kind: model.KindDeal},
		{Subject: "connection", ID: b24, Cause: model.CauseBadPayload, Error: "odd", Count: 1, First: at(2), Last: at(2), Connection: b24, Example: fmt.Sprint(e.ID)},
	})
	m := store.ErrorMark{Project: project, Subject: "flow", ID: "orders", Cause: model.CauseCurrency, Field: "currency", Mark: "acknowledged", User: "operator"}
	b.ok(b.db.MarkErrors(b.ctx, m))
	m.Mark = "ignored"
	b.ok(b.db.MarkErrors(b.ctx, m))
	m.At = at(1)
	marks := func() []store.ErrorMark { return must[[]store.ErrorMark](b)(b.db.ErrorMarks(b.ctx, project)) }
	b.same("marks", marks(), []store.ErrorMark{m})
	m.Mark = ""
	b.ok(b.db.MarkErrors(b.ctx, m))
	b.same("taken away", len(marks()), 0)
}

func findUploads(b *bench) {
	for _, u := range []store.Upload{
		{Project: project, Flow: "orders", RemoteID: "4242"}, {Project: project, Flow: "orders", Error: "line 3: bad date"},
		{Project: "bakery", RemoteID: "4242"}, {Project: project, Details: []byte(`{"id":4242}`)},
	} {
		u.Status = store.UploadFailed
		b.ok(b.db.CreateUpload(b.ctx, &u))
	}
	find := func(text string) int {
		b.Helper()
		return len(must[[]store.Upload](b)(b.db.FindUploads(b.ctx, project, text, 10)))
	}
	b.same("found", words(find("4242"), find("bad date"), find("424"), find("none")), "2 1 1 0")
}

func related(b *bench) {
	d := deal("1", 1, 1, "a")
	d.ContactID = "77"
	b.apply(d, deal("2", 1, 1, "b"))
	b.same("of the contact", must[[]string](b)(b.db.RelatedIDs(b.ctx, project, b24, model.KindDeal, "contact_id", "77")), []string{"1"})
	if _, err := b.db.RelatedIDs(b.ctx, project, b24, model.KindDeal, "id", "1"); err == nil {
		b.Error("an unknown link was taken")
	}
}

func replaySome(b *bench) {
	var entries []*store.Entry
	for range 5 {
		entries = append(entries, &store.Entry{Project: project, Connection: b24, ReceivedAt: at(0), State: store.EntryRefused})
	}
	entries = append(entries, &store.Entry{Project: "bakery", Connection: b24, ReceivedAt: at(0), State: store.EntryRefused})
	b.ok(b.db.AppendJournal(b.ctx, entries))
	got, before := "", int64(0)
	for range 4 {
		n, last, err := b.db.ReplaySome(b.ctx, store.JournalFilter{Project: project}, before, 2)
		b.ok(err)
		got, before = got+fmt.Sprint(n, " "), last
		if n == 0 {
			break
		}
	}
	b.same("steps", got, "2 2 1 0 ")
	b.same("waiting", must[[]store.Backlog](b)(b.db.JournalBacklogs(b.ctx))[0].Count, 5)
}

func waitingRef(b *bench) {
	ref := model.Ref{Kind: model.KindDeal, ID: "1"}
	get := func() store.Waits { return must[store.Waits](b)(b.db.WaitingRef(b.ctx, project, b24, ref)) }
	b.same("none", get().Since.IsZero(), true)
	b.ok(b.db.RequestRefs(b.ctx, project, b24, []model.Ref{ref}))
	pending := must[[]store.PendingRef](b)(b.db.PendingRefs(b.ctx, project, b24, 10))
	b.ok(b.db.PostponeRefs(b.ctx, project, b24, pending, at(5), "asked to wait"))
	b.same("waits", get(), store.Waits{Since: start, DueAt: at(5), Attempts: 1, Error: "asked to wait"})
}

func sentRows(b *bench) {
	b.apply(deal("1", 1, 1, "a"), deal("2", 1, 1, "b"))
	must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: "orders", Connections: []string{b24}, Kind: model.KindDeal, To: 2}))
	want := ""
	for i := range 3 {
		u := store.Upload{Project: project, Flow: "orders", Connection: "metrica", Status: store.UploadBuilding, Rows: 1, CreatedAt: at(i)}
		b.ok(b.db.CreateUpload(b.ctx, &u))
		id := []string{"1", "2", "1"}[i]
		b.ok(b.db.FillUpload(b.ctx, u.ID, []store.Sending{{Connection: b24, ID: id, RowKey: id, Seq: int64(i + 1), Hash: []byte("x")}}))
		u.Status, u.FinishedAt = store.UploadAccepted, at(i)
		var refused []store.RowRefusal
		if i == 2 {
			refused = []store.RowRefusal{{RowKey: "1", Cause: model.CauseBadValue}}
		}
		b.ok(b.db.AcceptUpload(b.ctx, u, refused, nil))
		if id == "1" {
			want += fmt.Sprintf("%d of change %d refused %t; ", u.ID, i+1, i == 2)
		}
	}
	got := ""
	for _, x := range must[[]store.SentRow](b)(b.db.SentRows(b.ctx, project, "orders", b24, "1")) {
		got += fmt.Sprintf("%d of change %d refused %t; ", x.UploadID, x.Seq, x.Refused)
	}
	b.same("uploads", got, want)
	b.same("of a row that is not there", len(must[[]store.SentRow](b)(b.db.SentRows(b.ctx, project, "orders", b24, "9"))), 0)
}

func usesOf(b *bench) {
	for _, name := range []string{"quota/shop/a", "quota/shop/b", "quota/shopper/c", "quota/shop/b"} {
		must[int](b)(b.db.AddUsage(b.ctx, name, "2025-03-01", 2))
	}
	must[int](b)(b.db.AddUsage(b.ctx, "quota/shop/a", "2025-03-02", 9))
	b.same("uses", must[map[string]int](b)(b.db.UsageOf(b.ctx, "quota/shop/", "2025-03-01")), map[string]int{"quota/shop/a": 2, "quota/shop/b": 4})
}
