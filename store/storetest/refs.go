package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var refTests = []test{
	{"references are asked for once", refsOnce},
	{"a reference asked for again is not settled by earlier work", refsAgain},
	{"postponed references", refsPostponed},
	{"references are settled in large numbers", refsLarge},
	{"poll states", pollStates},
	{"a page is applied as a whole", pollPage},
}

func refs(list []string) []model.Ref {
	out := make([]model.Ref, len(list))
	for i, id := range list {
		out[i] = model.Ref{Kind: model.KindDeal, ID: id}
	}
	return out
}

func (b *bench) request(list ...string) {
	b.Helper()
	b.ok(b.db.RequestRefs(b.ctx, project, b24, refs(list)))
}

func (b *bench) pending() []store.PendingRef {
	b.Helper()
	return must[[]store.PendingRef](b)(b.db.PendingRefs(b.ctx, project, b24, 10000))
}

func refIDs(pending []store.PendingRef) (out []string) {
	for _, p := range pending {
		out = append(out, p.ID)
	}
	return out
}

func refsOnce(b *bench) {
	b.request()
	b.request("2", "3", "2")
	b.clock.Move(time.Minute)
	b.request("1", "2")
	b.ok(b.db.RequestRefs(b.ctx, project, amo, refs([]string{"2"})))
	got := b.pending()
	b.same("oldest first", refIDs(got), []string{"2", "3", "1"})
	b.same("since", got[0].Since, at(0))
	b.same("limit", len(must[[]store.PendingRef](b)(b.db.PendingRefs(b.ctx, project, b24, 2))), 2)
	b.same("backlogs", must[[]store.Backlog](b)(b.db.RefBacklogs(b.ctx)), []store.Backlog{
		{Project: project, Connection: amo, Count: 1, Oldest: at(1)}, {Project: project, Connection: b24, Count: 3, Oldest: at(0)}})
}

func refsAgain(b *bench) {
	b.request("1", "2")
	before := b.pending()
	b.request("1")
	b.ok(b.db.SettleRefs(b.ctx, project, b24, before))
	b.same("left", refIDs(b.pending()), []string{"1"})
	b.ok(b.db.SettleRefs(b.ctx, project, b24, b.pending()))
	b.same("nothing left", len(b.pending()), 0)
	// A reference that is asked for anew is no older one.
	b.request("1")
	b.ok(b.db.SettleRefs(b.ctx, project, b24, before))
	b.same("anew", refIDs(b.pending()), []string{"1"})
	b.ok(b.db.SettleRefs(b.ctx, project, b24, nil))
}

func refsPostponed(b *bench) {
	b.request("1", "2")
	b.ok(b.db.PostponeRefs(b.ctx, project, b24, b.pending()[:1], at(10), "portal is down"))
	b.ok(b.db.PostponeRefs(b.ctx, project, b24, nil, at(10), ""))
	b.same("not due", refIDs(b.pending()), []string{"2"})
	b.same("backlog", must[[]store.Backlog](b)(b.db.RefBacklogs(b.ctx))[0].Count, 1)
	b.request("1")
	b.same("a new request does not hurry it", refIDs(b.pending()), []string{"2"})
	b.clock.Move(10 * time.Minute)
	got := b.pending()
	b.same("due", refIDs(got), []string{"2", "1"})
	b.same("attempts", words(got[0].Attempts, got[1].Attempts), "0 1")
}

func refsLarge(b *bench) {
	var list []string
	for i := range 777 {
		list = append(list, fmt.Sprintf("%04d", i))
	}
	b.request(list...)
	got := b.pending()
	b.same("all", len(got), 777)
	b.ok(b.db.SettleRefs(b.ctx, project, b24, got[1:]))
	b.same("left", refIDs(b.pending()), []string{"0000"})
}

func pollStates(b *bench) {
	empty := store.PollState{Project: project, Connection: b24, Stream: "deals"}
	b.same("none", must[store.PollState](b)(b.db.PollState(b.ctx, project, b24, "deals")), empty)
	state := empty
	state.Cursor, state.Importing, state.Done, state.Total = "2025", true, 5, 10
	state.LastRun, state.NextRun, state.Failures, state.Error = at(1), at(2), 3, "slow"
	b.ok(b.db.SavePollState(b.ctx, state))
	b.same("saved", must[store.PollState](b)(b.db.PollState(b.ctx, project, b24, "deals")), state)
	state.Importing, state.NextRun = false, time.Time{}
	b.ok(b.db.SavePollState(b.ctx, state))
	other := store.PollState{Project: "bakery", Connection: b24, Stream: "deals"}
	b.ok(b.db.SavePollState(b.ctx, other))
	b.same("of a project", must[[]store.PollState](b)(b.db.PollStates(b.ctx, project)), []store.PollState{state})
	b.same("all", must[[]store.PollState](b)(b.db.PollStates(b.ctx, "")), []store.PollState{other, state})
}

func pollPage(b *bench) {
	b.apply(deal("1", 1, 1, "old"))
	state := store.PollState{Project: project, Connection: b24, Stream: "deals", Cursor: "page 2"}
	bad := deal("", 1, 1, "")
	got := must[store.Applied](b)(b.db.ApplyPage(b.ctx, state, []model.Record{deal("2", 1, 1, "new"), bad},
		refs([]string{"3"}), refs([]string{"1"}), at(5)))
	b.same("counts", words(got.Inserted, got.Changed, got.Unchanged, got.LastSeq, len(got.Refused)), "1 1 0 3 1")
	b.same("cursor", must[store.PollState](b)(b.db.PollState(b.ctx, project, b24, "deals")).Cursor, "page 2")
	b.same("references", refIDs(b.pending()), []string{"3"})
	b.same("live", must[[]string](b)(b.db.LiveIDs(b.ctx, project, b24, model.KindDeal)), []string{"2"})
	state.Cursor = "page 3"
	b.ok(func() error {
		_, err := b.db.ApplyPage(b.ctx, state, nil, nil, nil, at(6))
		return err
	}())
	b.same("empty page", must[store.PollState](b)(b.db.PollState(b.ctx, project, b24, "deals")).Cursor, "page 3")
	if _, err := b.db.Record(b.ctx, project, key(model.KindDeal, "3")); !errors.Is(err, store.ErrNotFound) {
		b.Error(err)
	}
}
