package amocrm

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

// What was heard by webhook and re-read is in the end what the account holds,
// whatever was repeated, forged or deleted on the way.
func TestTrafficConverges(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	hub := newHub(t)
	b.account.SetHookURL(hub.server.URL)
	if err := b.account.Traffic(t.Context(), sandbox.Load{Companies: 10, Contacts: 200, Leads: 300, Changes: 1500}); err != nil {
		t.Fatal(err)
	}
	b.account.Repeat()
	forged := b.account.Forge()
	b.account.Trigger(b.account.All(sandbox.Leads)[0].ID)
	if err := b.account.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(time.Minute)
	wanted, refused := map[model.Ref]bool{}, 0
	for _, d := range hub.deliveries() {
		got, err := b.Receive(d)
		if err != nil {
			refused++
		}
		for _, ref := range got.Refs {
			wanted[ref] = true
		}
	}
	if refused != forged-1 { // the long one is refused by nobody: it names a lead that is not there
		t.Errorf("%d deliveries refused, want %d", refused, forged-1)
	}
	refs := slices.Collect(maps.Keys(wanted))
	got, err := b.Fetch(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]model.Record{}
	for _, r := range got.Records {
		read[r.Meta().Key().Ref().ID] = r
	}
	gone := map[string]bool{}
	for _, ref := range got.Missing {
		gone[ref.ID] = true
	}
	for _, kind := range []string{sandbox.Companies, sandbox.Contacts, sandbox.Leads} {
		for _, e := range b.account.All(kind) {
			r := read[itoa(e.ID)]
			switch {
			case e.Deleted != gone[itoa(e.ID)] || e.Deleted == (r != nil):
				t.Errorf("%s %d: deleted %v, missing %v, read %v", kind, e.ID, e.Deleted, gone[itoa(e.ID)], r != nil)
			case r != nil && r.Meta().UpdatedAt.Unix() != e.UpdatedAt:
				t.Errorf("%s %d: as of %v", kind, e.ID, r.Meta().UpdatedAt)
			}
			if d, ok := r.(*model.Deal); ok && (d.Amount.String() != e.Price || d.StatusID != itoa(e.StatusID) || d.ContactID != itoa(e.ContactIDs[0])) {
				t.Errorf("lead %d: %+v", e.ID, d)
			}
		}
	}
	b.obeys(t)
}
