package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func (b *bundle) pause(subject, id string, paused bool) {
	b.t.Helper()
	x := store.Switch{Project: "shop", Subject: subject, ID: id, User: "operator"}
	if subject == store.SwitchQueue {
		x.Project = ""
	}
	if err := b.db.SetSwitch(b.t.Context(), x, paused); err != nil {
		b.t.Fatal(err)
	}
}

// sell puts n clients with an order each into the CRM and names them in a hook.
func (b *bundle) sell(from, n int) {
	var all []model.Record
	for i := from; i < from+n; i++ {
		id := fmt.Sprint(i)
		all = append(all, b.contact(id, "Client "+id), b.deal(id, id, "NEW", 100))
	}
	b.crm.put(all...)
	b.hook(hookFor(all...))
}

func TestPausedThingsKeepWhatArrives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, subject, id string
		fetches, orders   int // while paused
	}{
		{"a source", store.SwitchSource, "b24", 0, 0},
		{"a flow", store.SwitchFlow, "orders", 1, 0},
		{"the queue of intake", store.SwitchQueue, string(jobs.WorkIntake), 0, 0},
		{"the queue of deliveries", store.SwitchQueue, string(jobs.WorkDeliver), 1, 0},
		{"the queue of housekeeping", store.SwitchQueue, string(jobs.WorkHousekeeping), 1, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.pause(tt.subject, tt.id, true)
			b.sell(1, 3)
			b.work()
			if b.crm.fetches != tt.fetches || b.metrica.count("orders") != tt.orders {
				t.Errorf("%d fetches and %d orders while paused, want %d and %d", b.crm.fetches, b.metrica.count("orders"), tt.fetches, tt.orders)
			}
			b.pause(tt.subject, tt.id, false)
			b.advance(time.Minute)
			b.work()
			if got := b.metrica.count("orders"); got != 3 {
				t.Errorf("%d orders after resuming, want 3", got)
			}
		})
	}
}

func (b *bundle) errand(x store.Errand) store.Errand {
	b.t.Helper()
	x.Project, x.User = "shop", "operator"
	if err := b.db.CreateErrand(b.t.Context(), &x); err != nil {
		b.t.Fatal(err)
	}
	return x
}

func (b *bundle) errandNow(id int64) store.Errand {
	b.t.Helper()
	x, err := b.db.Errand(b.t.Context(), "shop", id)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

func TestErrandSendsRowsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sell(1, 1200)
	b.work()
	sent := len(b.metrica.uploads)
	x := b.errand(store.Errand{Flow: "orders", Action: store.ErrandResend, Total: 1200,
		Rows: store.DeliveryFilter{Project: "shop", Flow: "orders", States: []store.DeliveryState{store.DeliverySent}}})
	b.work()
	if got := b.errandNow(x.ID); got.Status != store.ErrandDone || got.Done != 1200 {
		t.Errorf("the errand is %s after %d rows, want it done after 1200", got.Status, got.Done)
	}
	b.advance(time.Minute)
	b.work()
	again := strings.Join(b.metrica.uploads[sent:], " ")
	if n := len(strings.Fields(strings.ReplaceAll(again, "orders:", ""))); n != 1200 {
		t.Errorf("%d rows went again, want 1200", n)
	}
}

func TestStoppedErrandLeavesTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sell(1, 10)
	b.work()
	x := b.errand(store.Errand{Action: store.ErrandResend, Total: 20, Rows: store.DeliveryFilter{Project: "shop"}})
	if err := b.db.StopErrand(t.Context(), "shop", x.ID); err != nil {
		t.Fatal(err)
	}
	sent := len(b.metrica.uploads)
	b.work()
	if got := b.errandNow(x.ID); got.Status != store.ErrandStopped || got.Done != 0 || len(b.metrica.uploads) != sent {
		t.Errorf("the stopped errand is %s after %d rows, %d uploads more", got.Status, got.Done, len(b.metrica.uploads)-sent)
	}
}

func TestErrandTakesEntriesInAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.hook("nonsense")
	}
	b.sell(1, 2)
	b.work()
	x := b.errand(store.Errand{Action: store.ErrandReplay, Total: 3,
		Entries: store.JournalFilter{Project: "shop", States: []store.EntryState{store.EntryRefused}}})
	b.work()
	if got := b.errandNow(x.ID); got.Status != store.ErrandDone || got.Done != 3 {
		t.Errorf("the errand is %s after %d entries, want it done after 3", got.Status, got.Done)
	}
}

func TestErrandThatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, subject := range []string{"7", "x", ""} {
		if err := b.engine.Do(t.Context(), jobs.Work{Kind: jobs.WorkErrand, Project: "shop", Subject: subject}); err != nil {
			t.Errorf("errand %q: %v", subject, err)
		}
	}
}
