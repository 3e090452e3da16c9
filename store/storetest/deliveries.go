package storetest

import (
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var deliveryTests = []test{
	{"due rows come by change number, ties together", duePages},
	{"verdicts settle rows", dueVerdicts},
	{"a change that came meanwhile leaves the row due", dueMeanwhile},
	{"a change while the row is on its way", dueOpenUpload},
	{"held rows wait", dueHeld},
	{"row states", rowStates},
	{"waiting rows are released by key", releaseByKey},
	{"waiting rows are released by upload", releaseByUpload},
	{"deliveries are listed and filtered", deliveriesList},
	{"rows are sent again", resend},
	{"forgotten rows are sent again even unchanged", resendForget},
	{"rows on their way are sent again afterwards", resendOpen},
	{"a row of another kind is another row", otherKind},
}

func (b *bench) delivery(id string) store.Delivery {
	b.Helper()
	got := must[[]store.Delivery](b)(b.db.Deliveries(b.ctx, store.DeliveryFilter{Project: project, Flow: flow, IDs: []string{id}}))
	if len(got) != 1 {
		b.Fatalf("%d deliveries of %s", len(got), id)
	}
	return got[0]
}

// deals makes deals 0…n-1, all due.
func (b *bench) deals(n int) {
	b.Helper()
	var batch []model.Record
	for i := range n {
		batch = append(batch, deal(words(i), 1, 1, "first"))
	}
	b.apply(batch...)
	b.fanOut(int64(n))
}

func duePages(b *bench) {
	var batch []model.Record
	for i := range 6 {
		d := deal(words(i), 1, 1, "")
		if i%2 == 0 {
			d.ContactID = "c"
		}
		batch = append(batch, d)
	}
	b.apply(batch...)
	b.fanOut(6)
	b.apply(contact("c", 1, 1, ""))
	b.fanOut(7, showsContact)
	page := func(after int64, limit int) string {
		got := must[[]store.Due](b)(b.db.DueDeliveries(b.ctx, project, flow, model.KindDeal, after, limit))
		rows := strings.Fields(dueText(got))
		return words(len(rows), rows)
	}
	b.same("first page", page(0, 2), "2 [1@2 3@4]")
	b.same("second page, which ends in a tie", strings.HasPrefix(page(4, 2), "4 [5@6 "), true)
	b.same("third page", page(7, 2), "0 []")
	b.same("no limit", strings.HasPrefix(page(0, 0), "1 "), true)
	b.same("other kind", len(must[[]store.Due](b)(b.db.DueDeliveries(b.ctx, project, flow, model.KindLead, 0, 9))), 0)
}

func dueVerdicts(b *bench) {
	b.deals(4)
	b.accept(b.upload(sending("0", 1, "h")))
	b.ok(b.db.SettleDue(b.ctx, project, flow, nil))
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{
		{Connection: b24, ID: "0", RowKey: "r0", Seq: 1, State: store.DeliverySent},
		{Connection: b24, ID: "1", RowKey: "r1", Seq: 2, State: store.DeliveryRefused, Cause: model.CauseCurrency, Error: "XXX"},
		{Connection: b24, ID: "2", RowKey: "r2", Seq: 3, State: store.DeliveryWaiting, Needs: "c1", Cause: model.CauseWaitsForContact},
		{Connection: b24, ID: "3", Seq: 4, State: store.DeliverySent}, // never was
		{Connection: b24, ID: "404", Seq: 4, State: store.DeliverySkipped},
	}))
	b.same("due", dueText(b.due()), "3@4")
	refused := b.delivery("1")
	b.same("refused", words(refused.State, refused.Cause, refused.Error, refused.Attempts, refused.DoneSeq, refused.RowKey), "4 currency XXX 1 2 r1")
	waiting := b.delivery("2")
	b.same("waiting", words(waiting.State, waiting.Needs, waiting.Cause), "5 c1 waits_for_contact")
}

func dueMeanwhile(b *bench) {
	b.deals(1)
	read := b.due()
	b.apply(deal("0", 2, 2, "second"))
	b.fanOut(2)
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{{Connection: b24, ID: "0", Seq: read[0].WantedSeq, State: store.DeliverySkipped}}))
	b.same("due", dueText(b.due()), "0@2")
}

func dueOpenUpload(b *bench) {
	b.deals(1)
	u := b.upload(sending("0", 1, "h"))
	b.apply(deal("0", 2, 2, "second"))
	b.fanOut(2)
	b.same("sending", b.delivery("0").State, store.DeliverySending)
	b.accept(u)
	b.same("due for the change", words(dueText(b.due()), b.delivery("0").State, string(b.due()[0].Hash)), "0@2 1 h")
}

func dueHeld(b *bench) {
	b.deals(3)
	hold := func(id string, seq int64, until time.Time) store.Verdict {
		return store.Verdict{Connection: b24, ID: id, Seq: seq, HoldUntil: until}
	}
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{hold("0", 1, at(5)), hold("1", 2, at(9)), hold("2", 3, at(9))}))
	b.same("due", len(b.due()), 0)
	b.same("held", words(b.delivery("0").HoldUntil.Equal(at(5)), b.delivery("0").State, b.delivery("0").DoneSeq), "true 0 0")
	b.same("counts", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)), store.FlowCounts{Held: 3})
	hasDue := func(minute int) bool { return must[bool](b)(b.db.HasDue(b.ctx, project, flow, at(minute))) }
	b.same("to do", words(hasDue(4), hasDue(5)), "false true")
	release := func(until time.Time) int { return must[int](b)(b.db.ReleaseHeld(b.ctx, project, flow, until)) }
	b.same("too early", release(at(4)), 0)
	b.apply(deal("0", 2, 2, "changed meanwhile"))
	b.fanOut(4)
	b.same("held all the same", len(b.due()), 0)
	b.same("released", release(at(5)), 1)
	b.same("due", words(dueText(b.due()), hasDue(0)), "0@4 true")
	b.same("asked for", must[int](b)(b.db.Resend(b.ctx, store.DeliveryFilter{Project: project, IDs: []string{"1"}}, false, false)), 1)
	b.same("due", dueText(b.due()), "1@2 0@4")
	b.same("is known to be asked for", words(b.due()[0].Asked, b.due()[1].Asked), "true false")
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{hold("1", 2, at(9))}))
	b.same("and not held", dueText(b.due()), "1@2 0@4")
	b.same("all", release(time.Time{}), 1)
	b.same("due", dueText(b.due()), "1@2 2@3 0@4")
}

func rowStates(b *bench) {
	b.deals(4)
	b.accept(b.upload(sending("0", 1, "h"), sending("1", 2, "h")))
	b.upload(sending("2", 3, "h"))
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{{Connection: b24, ID: "3", RowKey: "3", Seq: 4, State: store.DeliveryRefused}}))
	b.same("forgotten", must[int](b)(b.db.Resend(b.ctx, store.DeliveryFilter{Project: project, Flow: flow, IDs: []string{"1"}}, true, false)), 1)
	got := must[map[string]store.RowState](b)(b.db.RowStates(b.ctx, project, []string{"other", flow}, []string{"0", "1", "2", "3", "4", ""}))
	b.same("states", got, map[string]store.RowState{
		"0": {State: store.DeliverySent, Accepted: true}, "1": {State: store.DeliveryNew, Accepted: true},
		"3": {State: store.DeliveryRefused}})
}

func (b *bench) wait(id string, seq int64, needs string) {
	b.Helper()
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{{Connection: b24, ID: id, RowKey: "o" + id, Seq: seq, State: store.DeliveryWaiting, Needs: needs}}))
}

func releaseByKey(b *bench) {
	b.deals(3)
	b.wait("0", 1, "c1")
	b.wait("1", 2, "c2")
	b.wait("2", 3, "c1")
	b.same("of another flow", must[int](b)(b.db.ReleaseWaiting(b.ctx, project, []string{"other"}, []string{"c1"})), 0)
	b.same("of no flow", must[int](b)(b.db.ReleaseWaiting(b.ctx, project, nil, []string{"c1"})), 0)
	b.same("released", must[int](b)(b.db.ReleaseWaiting(b.ctx, project, []string{flow, "other"}, []string{"c1", "c3"})), 2)
	b.same("due", dueText(b.due()), "0@1 2@3")
	b.same("twice", must[int](b)(b.db.ReleaseWaiting(b.ctx, project, []string{flow}, []string{"c1"})), 0)
}

func releaseByUpload(b *bench) {
	b.deals(4)
	b.wait("0", 1, "c1")
	b.wait("1", 2, "c2")
	b.wait("2", 3, "c3")
	b.apply(contact("1", 1, 1, ""), contact("2", 1, 1, ""), contact("3", 1, 1, ""))
	clients := store.FanOut{Project: project, Flow: "clients", Connections: []string{b24}, Kind: model.KindContact, To: 7}
	b.same("clients", must[int](b)(b.db.FanOut(b.ctx, clients)), 3)
	u := b.uploadOf("clients", store.Sending{Connection: b24, ID: "1", RowKey: "c1", Seq: 5}, store.Sending{Connection: b24, ID: "2", RowKey: "c2", Seq: 6, Position: 1})
	u.Status = store.UploadAccepted
	b.ok(b.db.AcceptUpload(b.ctx, u, []store.RowRefusal{{RowKey: "c2", Cause: model.CauseRefusedByRemote}}, nil))
	b.same("released", must[int](b)(b.db.ReleaseWaitingFor(b.ctx, u.ID, []string{flow})), 1)
	b.same("due", dueText(b.due()), "0@1 3@4")
	b.same("no flows", must[int](b)(b.db.ReleaseWaitingFor(b.ctx, u.ID, nil)), 0)
	b.same("no upload", must[int](b)(b.db.ReleaseWaitingFor(b.ctx, 12345, []string{flow})), 0)
}

func deliveriesList(b *bench) {
	b.deals(4)
	u := b.upload(sending("0", 1, "h"), sending("1", 2, "h"))
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{
		{Connection: b24, ID: "2", RowKey: "r_2%", Seq: 3, State: store.DeliveryRefused, Cause: model.CauseCurrency, Error: "no such currency"},
	}))
	b.ok(func() error {
		_, err := b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: "zz", Connections: []string{b24}, Kind: model.KindDeal, To: 2})
		return err
	}())
	for _, x := range []struct {
		name string
		f    store.DeliveryFilter
		want string
	}{
		{"all", store.DeliveryFilter{}, "orders/0 orders/1 orders/2 orders/3 zz/0 zz/1"},
		{"flow", store.DeliveryFilter{Flow: "zz"}, "zz/0 zz/1"},
		{"state", store.DeliveryFilter{States: []store.DeliveryState{store.DeliveryRefused}}, "orders/2"},
		{"states", store.DeliveryFilter{States: []store.DeliveryState{store.DeliveryRefused, store.DeliverySending}}, "orders/0 orders/1 orders/2"},
		{"cause", store.DeliveryFilter{Cause: model.CauseCurrency}, "orders/2"},
		{"text of an error", store.DeliveryFilter{Text: "such"}, "orders/2"},
		{"text of a row key", store.DeliveryFilter{Text: "_2%"}, "orders/2"},
		{"row keys, known once a row is settled", store.DeliveryFilter{Flow: flow, RowKeys: []string{"1", "r_2%", ""}}, "orders/2"},
		{"states, one of which is told by uploads", store.DeliveryFilter{Flow: flow, States: []store.DeliveryState{store.DeliverySending}}, "orders/0 orders/1"},
		{"skipped", store.DeliveryFilter{Flow: flow, States: []store.DeliveryState{store.DeliverySkipped}}, ""},
		{"states of rows put aside", store.DeliveryFilter{Flow: flow, States: []store.DeliveryState{store.DeliveryRefused, store.DeliverySkipped}}, "orders/2"},
		{"upload", store.DeliveryFilter{UploadID: u.ID}, "orders/0 orders/1"},
		{"page of an upload", store.DeliveryFilter{UploadID: u.ID, AfterID: key(model.KindDeal, "0")}, "orders/1"},
		{"since", store.DeliveryFilter{Flow: "zz", Since: at(0)}, "zz/0 zz/1"},
		{"since later", store.DeliveryFilter{Since: at(1)}, ""},
		{"until", store.DeliveryFilter{Until: at(0)}, ""},
		{"first page", store.DeliveryFilter{Flow: flow, Limit: 2}, "orders/0 orders/1"},
		{"second page", store.DeliveryFilter{Flow: flow, AfterID: key(model.KindDeal, "1")}, "orders/2 orders/3"},
		{"page across flows", store.DeliveryFilter{AfterFlow: flow, AfterID: key(model.KindDeal, "2"), Limit: 2}, "orders/3 zz/0"},
	} {
		x.f.Project = project
		var got []string
		for _, d := range must[[]store.Delivery](b)(b.db.Deliveries(b.ctx, x.f)) {
			got = append(got, d.Flow+"/"+d.ID)
		}
		b.same(x.name, strings.Join(got, " "), x.want)
	}
}

func resend(b *bench) {
	b.deals(3)
	b.accept(b.upload(sending("0", 1, "h")))
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{
		{Connection: b24, ID: "1", Seq: 2, State: store.DeliveryRefused, Cause: model.CauseCurrency, Error: "x"},
		{Connection: b24, ID: "2", Seq: 3, State: store.DeliverySkipped},
	}))
	refused := store.DeliveryFilter{Project: project, Flow: flow, States: []store.DeliveryState{store.DeliveryRefused}}
	b.same("dry run", must[int](b)(b.db.Resend(b.ctx, refused, false, true)), 1)
	b.same("nothing due", len(b.due()), 0)
	b.same("run", must[int](b)(b.db.Resend(b.ctx, refused, false, false)), 1)
	b.same("due", dueText(b.due()), "1@2")
	got := b.delivery("1")
	b.same("verdict is gone", words(got.State, got.Cause, got.Error, got.Attempts), "0   0")
	b.same("all", must[int](b)(b.db.Resend(b.ctx, store.DeliveryFilter{Project: project, Flow: flow}, false, false)), 3)
	b.same("the hash stays", string(b.delivery("0").Hash), "h")
}

func resendForget(b *bench) {
	b.deals(1)
	b.accept(b.upload(sending("0", 1, "h")))
	read := store.Verdict{Connection: b24, ID: "0", Seq: 1, State: store.DeliverySent}
	b.same("run", must[int](b)(b.db.Resend(b.ctx, store.DeliveryFilter{Project: project}, true, false)), 1)
	got := b.delivery("0")
	b.same("forgotten", words(len(got.Hash), got.State), "0 0")
	// A run that had read the row before finds it unchanged.
	b.ok(b.db.SettleDue(b.ctx, project, flow, []store.Verdict{read}))
	b.same("due all the same", dueText(b.due()), "0@1")
}

func resendOpen(b *bench) {
	b.deals(1)
	u := b.upload(sending("0", 1, "h"))
	b.same("run", must[int](b)(b.db.Resend(b.ctx, store.DeliveryFilter{Project: project}, true, false)), 1)
	b.accept(u)
	b.same("due", dueText(b.due()), "0@1")
	b.same("forgotten", len(b.delivery("0").Hash), 0)
	b.accept(b.upload(sending("0", 1, "h")))
	b.same("once", len(b.due()), 0)
}

func otherKind(b *bench) {
	b.deals(1)
	b.accept(b.upload(sending("0", 1, "h")))
	lead := deal("0", 1, 1, "")
	lead.Kind = model.KindLead
	b.apply(lead)
	b.ok(b.db.RestartFlow(b.ctx, project, flow, "f2"))
	b.same("taken in", must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: flow, Connections: []string{b24}, Kind: model.KindLead, To: 2})), 1)
	due := must[[]store.Due](b)(b.db.DueDeliveries(b.ctx, project, flow, model.KindLead, 0, 9))
	b.same("due", words(dueText(due), len(due[0].Hash)), "0@2 0")
}
