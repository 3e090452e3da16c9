package jobs_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// lawful gives the flow of clients the day law of calls.
func lawful(f *model.FlowSpec) {
	if f.ID == "clients" {
		f.Schedule = model.Schedule{Daily: "03:00", PreviousDay: true, Again: []int{2, 7, 14, 20}}
	}
}

// version puts a version of a client into the source.
func (b *bundle) version(made time.Time, name string) {
	b.t.Helper()
	c := b.contact("3", name)
	c.CreatedAt = made
	b.crm.put(c)
	b.hook(hookFor(c))
}

// hours lets the hub work every hour until the day is over.
func (b *bundle) hours(until time.Time) {
	b.t.Helper()
	for b.now().Before(until) {
		b.advance(time.Hour)
		b.work()
	}
}

// What is made on one day goes on the next; changes go on days 2, 7, 14 and 20
// after it, and not at all after the last of them.
func TestDayLaw(t *testing.T) {
	t.Parallel()
	b := setup(t, lawful)
	made := b.now() // May 1, 10:00
	day := func(n int) time.Time { return time.Date(2026, 5, 1+n, 0, 0, 0, 0, time.UTC) }
	b.version(made, "day 0")
	b.work()
	var sent []string
	for n := range 26 {
		b.hours(day(n).Add(15 * time.Hour))
		if slices.Contains([]int{1, 3, 8, 15, 21}, n) {
			b.version(made, fmt.Sprint("day ", n))
		}
		b.hours(day(n + 1).Add(-time.Hour))
		if len(b.metrica.uploads) > 0 {
			sent = append(sent, fmt.Sprintf("on day %d %d time(s): %s", n, len(b.metrica.uploads), b.metrica.rows["contacts"]["3"]))
			b.metrica.uploads = nil
		}
	}
	if want := []string{"on day 1 1 time(s): [3 day 0]", "on day 2 1 time(s): [3 day 1]", "on day 7 1 time(s): [3 day 3]",
		"on day 14 1 time(s): [3 day 8]", "on day 20 1 time(s): [3 day 15]"}; !slices.Equal(sent, want) {
		t.Errorf("got  %q\nwant %q", sent, want)
	}
	d := b.delivery("clients", "3")
	if d.State != store.DeliverySent || d.DoneSeq != d.WantedSeq || d.Error == "" {
		t.Errorf("the last change is to be settled with a note: %+v", d)
	}
}

// While a row waits for its day it is due but not looked at. An operator's wish
// goes before the law, and a law that is taken away holds nothing.
func TestDayLawGivesWay(t *testing.T) {
	t.Parallel()
	ask := func(b *bundle) {
		b.t.Helper()
		if err := b.db.AskFlow(b.t.Context(), "shop", "clients"); err != nil {
			b.t.Fatal(err)
		}
		b.work()
	}
	for _, c := range []struct {
		name string
		act  func(b *bundle) error
		sent int
	}{
		{"a run alone changes nothing", func(*bundle) error { return nil }, 0},
		{"an operator wants the row", func(b *bundle) error {
			_, err := b.db.Resend(b.t.Context(), store.DeliveryFilter{Project: "shop", Flow: "clients", IDs: []string{"3"}}, false, false)
			return err
		}, 1},
		{"the law is taken away", func(b *bundle) error {
			b.setup.Projects[0].Flows[0].Spec.Schedule = model.Schedule{}
			return nil
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, lawful)
			b.version(b.now(), "x")
			b.work()
			ask(b)
			d := b.delivery("clients", "3")
			if want := time.Date(2026, 5, 2, 3, 0, 0, 0, time.UTC); !d.HoldUntil.Equal(want) || d.DoneSeq == d.WantedSeq || len(b.metrica.uploads) != 0 {
				t.Fatalf("held: %+v, uploads %q", d, b.metrica.uploads)
			}
			if err := c.act(b); err != nil {
				t.Fatal(err)
			}
			ask(b)
			if len(b.metrica.uploads) != c.sent {
				t.Errorf("uploads %q, want %d", b.metrica.uploads, c.sent)
			}
		})
	}
}
