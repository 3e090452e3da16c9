package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const flow = "orders"

var flowTests = []test{
	{"flow states", flowStates},
	{"a run asked for meanwhile stays asked for", flowAsked},
	{"changes fan out", flowFanOut},
	{"changes of related records fan out", flowRelated},
	{"fanning out never passes the feed's end", flowEnd},
	{"an unknown relation is refused", flowUnknownRelation},
	{"a restarted flow looks at everything again", flowRestart},
	{"flow counts", flowCounts},
}

func flowStates(b *bench) {
	empty := store.FlowState{Project: project, Flow: flow}
	b.same("none", must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow)), empty)
	state := empty
	state.Fingerprint, state.Statuses, state.LastRun, state.LastSuccess, state.LastUpload = "f1", "s1", at(1), at(2), 7
	state.NextRun, state.Error, state.Cause, state.Failures = at(3), "no", model.CauseQuota, 2
	state.Cursor = 99 // only FanOut and RestartFlow move it
	b.ok(b.db.SaveFlowState(b.ctx, state))
	state.Cursor = 0
	b.same("saved", must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow)), state)
	b.apply(deal("1", 1, 1, ""))
	b.fanOut(1)
	state.Failures = 0
	b.ok(b.db.SaveFlowState(b.ctx, state))
	state.Cursor = 1
	b.same("saved again", must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow)), state)
	b.ok(b.db.AskFlow(b.ctx, "bakery", "bread"))
	b.same("of a project", must[[]store.FlowState](b)(b.db.FlowStates(b.ctx, project)), []store.FlowState{state})
	b.same("all", len(must[[]store.FlowState](b)(b.db.FlowStates(b.ctx, ""))), 2)
}

func flowAsked(b *bench) {
	b.clock.Move(5 * time.Minute)
	b.ok(b.db.AskFlow(b.ctx, project, flow))
	asked := must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow))
	b.same("asked", words(asked.Asked, asked.NextRun.Equal(at(5))), "true true")

	running := asked
	running.Asked, running.NextRun = false, at(60)
	b.ok(b.db.AskFlow(b.ctx, project, flow)) // while it runs
	b.ok(b.db.SaveFlowState(b.ctx, running))
	again := must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow))
	b.same("still asked", words(again.Asked, again.NextRun.Equal(at(5))), "true true")

	again.Asked, again.NextRun = false, at(60)
	b.ok(b.db.SaveFlowState(b.ctx, again))
	done := must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow))
	b.same("done", words(done.Asked, done.NextRun.Equal(at(60))), "false true")
}

// fanOut takes b24's deals in, with the contacts that they show.
func (b *bench) fanOut(to int64, related ...store.Relation) int {
	b.Helper()
	return must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: flow, Connections: []string{b24},
		Kind: model.KindDeal, Related: related, To: to}))
}

var showsContact = store.Relation{Kind: model.KindContact, Link: "contact_id"}

func (b *bench) due() []store.Due {
	b.Helper()
	return must[[]store.Due](b)(b.db.DueDeliveries(b.ctx, project, flow, model.KindDeal, 0, 10000))
}

// dueText lists rows as id@wanted.
func dueText(due []store.Due) string {
	var out []string
	for _, d := range due {
		out = append(out, fmt.Sprintf("%s@%d", d.ID, d.WantedSeq))
	}
	return strings.Join(out, " ")
}

func flowFanOut(b *bench) {
	other := deal("1", 1, 1, "of amo")
	other.Connection = amo
	b.apply(deal("1", 1, 1, "a"), deal("2", 1, 1, "b"), contact("1", 1, 1, "c"), other, deal("3", 1, 1, "d"))
	b.same("first step", b.fanOut(2), 2)
	b.same("due", dueText(b.due()), "1@1 2@2")
	b.same("same step", b.fanOut(2), 0)
	b.same("rest", b.fanOut(5), 1)
	b.same("due", dueText(b.due()), "1@1 2@2 3@5")
	b.apply(deal("2", 2, 2, "b2"))
	b.missing(9, model.Ref{Kind: model.KindDeal, ID: "3"})
	b.same("changes", b.fanOut(7), 2)
	got := b.due()
	b.same("due", dueText(got), "1@1 2@6 3@7")
	b.same("the newest version", got[1].Record.(*model.Deal).Title, "b2")
	b.same("a tombstone", got[2].Record.Meta().Deleted, true)
	b.same("cursor", must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow)).Cursor, 7)
}

func flowRelated(b *bench) {
	of := func(id, contactID, companyID string) model.Record {
		d := deal(id, 1, 1, id)
		d.ContactID, d.CompanyID = contactID, companyID
		return d
	}
	lead := of("9", "c1", "")
	lead.Meta().Kind = model.KindLead
	foreign := of("8", "c1", "")
	foreign.Meta().Connection = amo
	b.apply(of("1", "c1", ""), of("2", "c2", "k"), of("3", "c1", "k"), of("4", "", ""), lead, foreign)
	company := func(updated int) model.Record {
		return &model.Company{Base: base(model.KindCompany, "k", updated, updated)}
	}
	b.apply(contact("c1", 1, 1, ""), contact("", 1, 1, ""), company(1))
	relations := []store.Relation{showsContact, {Kind: model.KindCompany, Link: "company_id"}}
	b.same("history", b.fanOut(100, relations...), 4)
	b.same("due", dueText(b.due()), "1@1 2@2 3@3 4@4")
	b.settleAll()

	b.apply(contact("c1", 2, 2, "new name"))
	b.same("contact", b.fanOut(100, relations...), 2)
	b.same("due", dueText(b.due()), "1@9 3@9")
	b.settleAll()

	b.apply(contact("c1", 3, 3, "newer"), company(3), of("5", "c1", "k"))
	b.same("contact and company", b.fanOut(100, relations...), 5)
	b.same("due", dueText(b.due()), "1@10 2@11 3@11 5@12")
	b.settleAll()

	// Taken in up to before the row's own change: the row is due for the related
	// one already.
	b.apply(contact("c2", 1, 1, ""))
	d := of("2", "c2", "").(*model.Deal)
	d.UpdatedAt = at(5)
	b.apply(d)
	b.same("in between", b.fanOut(13, relations...), 1)
	b.same("due", dueText(b.due()), "2@13")
	b.same("the rest", b.fanOut(14, relations...), 1)
	b.same("due", dueText(b.due()), "2@14")
}

// settleAll says that every due row is filtered out.
func (b *bench) settleAll() {
	b.Helper()
	var verdicts []store.Verdict
	for _, d := range b.due() {
		verdicts = append(verdicts, store.Verdict{Connection: d.Connection, ID: d.ID, Seq: d.WantedSeq, State: store.DeliverySkipped})
	}
	b.ok(b.db.SettleDue(b.ctx, project, flow, verdicts))
	b.same("due after settling", len(b.due()), 0)
}

func flowEnd(b *bench) {
	b.apply(deal("1", 1, 1, ""))
	b.fanOut(1000)
	b.same("cursor", must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow)).Cursor, 1)
	b.same("nothing", must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: "bakery", Flow: "bread", Kind: model.KindDeal, To: 5})), 0)
}

func flowUnknownRelation(b *bench) {
	_, err := b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: flow, Kind: model.KindDeal, To: 1,
		Related: []store.Relation{{Kind: model.KindContact, Link: "data; DROP TABLE records"}}})
	b.same("class", model.ClassOf(err), model.ClassPermanent)
}

func flowRestart(b *bench) {
	b.apply(deal("1", 1, 1, "a"), deal("2", 1, 1, "b"), deal("3", 1, 1, "c"))
	b.fanOut(3)
	u := b.upload(sending("2", 2, "h"))
	b.settleAll()
	b.same("counts", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)), store.FlowCounts{Skipped: 3, Sending: 1})
	b.ok(b.db.RestartFlow(b.ctx, project, flow, "f2"))
	state := must[store.FlowState](b)(b.db.FlowState(b.ctx, project, flow))
	b.same("state", words(state.Cursor, state.Fingerprint), "0 f2")
	b.accept(u)
	b.same("nothing yet", len(b.due()), 0)
	b.fanOut(2)
	b.same("first step", dueText(b.due()), "1@1 2@2")
	b.fanOut(3)
	b.same("due, that which was on its way too", dueText(b.due()), "1@1 2@2 3@3")
	b.settleAll()
	b.apply(deal("2", 2, 2, "b2"))
	b.fanOut(4)
	b.same("only once", dueText(b.due()), "2@4")
	b.ok(b.db.RestartFlow(b.ctx, project, "a new one", "f"))
}

func flowCounts(b *bench) {
	var batch []model.Record
	for i := range 9 {
		batch = append(batch, deal(words(i), 1, 1, ""))
	}
	b.apply(batch...)
	b.same("nothing yet", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)), store.FlowCounts{Behind: 9})
	b.fanOut(8)
	b.accept(b.upload(sending("0", 1, "h"), sending("1", 2, "h")))
	b.upload(sending("2", 3, "h"))
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{
		{Connection: b24, ID: "3", Seq: 4, State: store.DeliveryRefused},
		{Connection: b24, ID: "4", Seq: 5, State: store.DeliveryWaiting, Needs: "x"},
		{Connection: b24, ID: "5", Seq: 6, State: store.DeliverySkipped},
	}))
	b.same("counts", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)),
		store.FlowCounts{Behind: 1, Due: 2, Sent: 2, Refused: 1, Waiting: 1, Skipped: 1, Sending: 1})
}
