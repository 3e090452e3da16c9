package jobs_test

import (
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Bad deliveries are refused with their cause and take nobody down with them.
func TestIntakeRefusesBadDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contact := b.contact("3", "Анна")
	b.crm.put(contact)
	b.hook("panic")
	b.hook("<html>")
	b.hook(hookFor(contact))
	b.work()
	entries, err := b.db.Journal(t.Context(), store.JournalFilter{Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		state store.EntryState
		cause model.Cause
	}{{store.EntryDone, ""}, {store.EntryRefused, model.CauseBadPayload}, {store.EntryRefused, model.CauseInternal}} // newest first
	for i, e := range entries {
		if e.State != want[i].state || e.Cause != want[i].cause {
			t.Errorf("entry %d: %v %s, want %+v", i, e.State, e.Cause, want[i])
		}
	}
	if d := b.delivery("clients", "3"); d.State != store.DeliverySent {
		t.Errorf("the good one: %+v", d)
	}
}

// Many events for one record are one re-read.
func TestReferencesCoalesce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contact := b.contact("3", "Анна")
	b.crm.put(contact)
	for range 500 {
		b.hook(hookFor(contact))
	}
	b.work()
	if b.crm.fetches != 1 || b.crm.asked != 1 {
		t.Errorf("%d fetches of %d references, want 1 of 1", b.crm.fetches, b.crm.asked)
	}
}

// While the source is away references wait, without a try for each sweep, and
// go when it is back.
func TestFetchWaitsForTheSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contact := b.contact("3", "Анна")
	b.crm.put(contact)
	b.crm.fail = model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "502 with HTML")
	b.hook(hookFor(contact))
	for range 600 {
		b.work()
		b.advance(time.Second)
	}
	if b.crm.fetches < 5 || b.crm.fetches > 20 {
		t.Errorf("%d tries in ten minutes", b.crm.fetches)
	}
	b.crm.fail = nil
	b.advance(15 * time.Minute)
	b.work()
	if d := b.delivery("clients", "3"); d.State != store.DeliverySent {
		t.Errorf("after the outage: %+v", d)
	}
}

// What the source does not have any more is a tombstone, and its rows are not
// sent.
func TestDeletedRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook(`[{"kind":"contact","id":"9"}]`)
	b.work()
	r, err := b.db.Record(t.Context(), "shop", model.Key{Connection: "b24", Kind: model.KindContact, ID: "9"})
	if err != nil || !r.Meta().Deleted {
		t.Errorf("record %+v, %v", r, err)
	}
	if len(b.metrica.uploads) != 0 {
		t.Errorf("uploads %q", b.metrica.uploads)
	}
}

// The import goes page by page, keeps its place over a restart, and is followed
// by polls at their interval.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contact := b.contact("3", "Анна")
	b.crm.put(contact)
	b.crm.pages[""] = connectors.Page{Records: []model.Record{b.deal("1", "3", "NEW", 1)}, Cursor: "1", More: true, Importing: true, Done: 1, Total: 2}
	b.crm.pages["1"] = connectors.Page{Records: []model.Record{b.deal("2", "3", "NEW", 1)}, Cursor: "since", Done: 2, Total: 2}
	b.work()
	st, err := b.db.PollState(t.Context(), "shop", "b24", "deal")
	if err != nil || st.Cursor != "since" || st.Importing || st.Done != 2 {
		t.Errorf("poll state %+v, %v", st, err)
	}
	b.crm.pages["since"] = connectors.Page{Records: []model.Record{b.deal("1", "3", "WON", 5)}, Cursor: "later"}
	b.advance(9 * time.Minute)
	b.restart()
	b.work()
	if st, _ = b.db.PollState(t.Context(), "shop", "b24", "deal"); st.Cursor != "since" {
		t.Errorf("polled before its time: %+v", st)
	}
	b.advance(time.Minute)
	b.work()
	if st, _ = b.db.PollState(t.Context(), "shop", "b24", "deal"); st.Cursor != "later" {
		t.Errorf("not polled in time: %+v", st)
	}
}

// Reference data that vanished from the source is marked deleted.
func TestCatalogueForgetsWhatVanished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status := func(id string) model.Record {
		r := &model.Reference{Name: id, StatusID: id, Of: model.KindDeal}
		r.Kind, r.ID = model.KindStatus, id
		return r
	}
	b.crm.listed = []model.Record{status("NEW"), status("OLD")}
	b.work()
	b.advance(time.Hour)
	b.crm.listed = []model.Record{status("NEW")}
	b.work()
	live, err := b.db.LiveIDs(t.Context(), "shop", "b24", model.KindStatus)
	if err != nil || len(live) != 1 || live[0] != "NEW" {
		t.Errorf("live statuses %v, %v", live, err)
	}
}
