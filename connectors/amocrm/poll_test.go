package amocrm

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

func TestStreams(t *testing.T) {
	t.Parallel()
	if got := receiver(t, "token: t").Streams(); !slices.Equal(got, []string{"contact", "company", "lead", "events"}) {
		t.Error(got)
	}
	if got := receiver(t, "token: t, events: off").Streams(); slices.Contains(got, "events") {
		t.Error(got)
	}
}

// The import reads everything, can be killed anywhere, and leaves nobody out when
// leads vanish in front of it.
func TestImport(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"on", "off"} {
		t.Run("filter "+filter, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"filter": filter}, nil)
			ids := b.leads(1200)
			b.clock.Add(time.Hour)
			cursor, seen, last := "", map[string]int{}, connectors.Page{Importing: true}
			for i := 0; last.Importing; i++ {
				if i > 50 {
					t.Fatal("the import does not end")
				}
				page, err := b.Poll(t.Context(), streamLead, cursor)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Records {
					seen[r.Meta().ID]++
				}
				last, cursor = page, page.Cursor
				if i < 3 { // vanish before, at and behind the reader
					for _, at := range []int{i * 20, i*240 + 245, i*240 + 249, i*240 + 250} {
						b.account.Delete(sandbox.Leads, ids[at])
					}
				}
			}
			for _, id := range ids {
				if e, _ := b.account.Get(sandbox.Leads, id); !e.Deleted && seen[itoa(id)] == 0 {
					t.Errorf("lead %d was left out", id)
				}
			}
			if last.Done < 1180 || last.Done > 1200 {
				t.Errorf("done %d", last.Done)
			}
			b.obeys(t)
		})
	}
}

func TestImportOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	for _, stream := range b.Streams() {
		pages, cursor := b.drain(t, stream, "")
		if last := pages[len(pages)-1]; last.Importing || cursor == "" || len(idsOf(pages)) > 0 {
			t.Errorf("%s: %+v", stream, last)
		}
	}
	b.obeys(t)
}

func TestImportMeetsAnEmptyPageByMistake(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	ids := b.leads(700)
	b.account.Inject(sandbox.Fault{Path: "/api/v4/leads", Skip: 1, Status: 204, Times: 1})
	b.account.Inject(sandbox.Fault{Path: "/api/v4/leads", Skip: 3, Status: 204, Times: 2})
	pages, _ := b.drain(t, streamLead, "")
	if got := idsOf(pages); len(got) != len(ids) {
		t.Errorf("%d of %d leads", len(got), len(ids))
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"on", "off"} {
		t.Run("filter "+filter, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"filter": filter}, nil)
			ids := b.leads(900)
			b.clock.Add(time.Hour)
			_, cursor := b.drain(t, streamLead, "")
			b.clock.Add(time.Hour)
			pages, cursor := b.drain(t, streamLead, cursor)
			if got := idsOf(pages); len(got) != 0 {
				t.Errorf("%d changes, but nothing changed", len(got))
			}
			for _, id := range ids[100:800] { // all within one second: more than a page holds
				b.account.Change(sandbox.Leads, id, func(e *sandbox.Entity) { e.Price = "5" })
			}
			b.clock.Add(time.Minute)
			for _, id := range ids[:50] {
				b.account.Change(sandbox.Leads, id, func(e *sandbox.Entity) { e.Price = "6" })
			}
			b.clock.Add(time.Minute)
			pages, cursor = b.drain(t, streamLead, cursor)
			if got := idsOf(pages); len(got) != 750 {
				t.Errorf("%d changes, want 750", len(got))
			}
			// A change that shows up late is still in the overlap.
			b.clock.Add(5 * time.Minute)
			pages, _ = b.drain(t, streamLead, cursor)
			if got := idsOf(pages); len(got) < 50 {
				t.Errorf("%d changes in the overlap", len(got))
			}
			b.obeys(t)
		})
	}
}

// Nothing is left out when leads change while changes are read.
func TestChangesWhileReading(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	ids := b.leads(800)
	_, cursor := b.drain(t, streamLead, "")
	b.clock.Add(time.Hour)
	want := map[string]bool{}
	touch := func(n int) {
		for i := range n {
			id := ids[(i*37+n)%len(ids)]
			b.account.Change(sandbox.Leads, id, func(e *sandbox.Entity) { e.Price = fmt.Sprint(i) })
			want[itoa(id)] = true
			if i%10 == 0 {
				b.clock.Add(time.Second)
			}
		}
	}
	touch(600)
	b.clock.Add(time.Minute)
	got := map[string]time.Time{}
	for round := range 60 {
		page, err := b.Poll(t.Context(), streamLead, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			got[r.Meta().ID] = r.Meta().UpdatedAt
		}
		cursor = page.Cursor
		if round < 20 {
			touch(15)
		}
		b.clock.Add(time.Second)
	}
	for id := range want {
		at, ok := got[id]
		if e, _ := b.account.Get(sandbox.Leads, number(id)); !ok || at.Unix() != e.UpdatedAt {
			t.Errorf("lead %s: read as of %v", id, at)
		}
	}
	b.obeys(t)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"comma", "array"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil, map[string]any{"events": form})
			ids := b.leads(150)
			for _, id := range ids {
				b.account.Change(sandbox.Leads, id, func(e *sandbox.Entity) { e.StatusID = sandbox.StatusWork })
			}
			b.account.Delete(sandbox.Leads, ids[3])
			b.clock.Add(time.Hour)
			pages, cursor := b.drain(t, streamEvents, "")
			if got := idsOf(pages); len(got) != 150 || pages[len(pages)-1].Importing {
				t.Errorf("%d steps", len(got))
			}
			golden(t, "stage-change", described(pages[0].Records[0]))
			b.account.Change(sandbox.Leads, ids[0], func(e *sandbox.Entity) { e.StatusID = sandbox.StatusWon })
			contact := b.account.Add(sandbox.Contacts, sandbox.Entity{Name: "Иван"})
			b.account.Change(sandbox.Leads, ids[1], func(e *sandbox.Entity) { e.ContactIDs = []int64{contact} })
			company := b.account.Add(sandbox.Companies, sandbox.Entity{Name: "ООО"})
			b.account.Delete(sandbox.Companies, company)
			b.account.Delete(sandbox.Contacts, contact)
			b.account.Delete(sandbox.Leads, ids[2])
			b.clock.Add(time.Minute)
			pages, cursor = b.drain(t, streamEvents, cursor)
			var refs []model.Ref
			for _, p := range pages {
				refs = append(refs, p.Refs...)
			}
			want := []string{"company " + itoa(company), "contact " + itoa(contact), "deal " + itoa(ids[1]), "deal " + itoa(ids[2])}
			if got := idsOf(pages); len(got) != 1 || !slices.Equal(sortedRefs(refs), want) {
				t.Errorf("steps %v, refs %v, want %v", got, sortedRefs(refs), want)
			}
			for _, p := range pages {
				for _, r := range p.Records {
					if s, ok := r.(*model.StageChange); !ok || s.Semantics != model.SemanticsWon || s.DealID != itoa(ids[0]) {
						t.Errorf("step %+v", r)
					}
				}
			}
			if _, err := b.Poll(t.Context(), streamEvents, cursor); err != nil {
				t.Fatal(err)
			}
			b.obeys(t)
		})
	}
}

func TestForeignCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	_, err := b.Poll(t.Context(), streamLead, "nonsense")
	classOf(t, err, model.ClassPermanent, model.CauseInternal)
}

func TestPageFor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.IntRange(0, 1_000_000).Draw(t, "offset")
		limit, page := pageFor(offset)
		first := (page - 1) * limit
		if limit < 1 || limit > pageSize || first > max(0, offset-1) || first+limit <= offset-1 || page < 1 {
			t.Fatalf("limit %d, page %d for offset %d", limit, page, offset)
		}
	})
}
