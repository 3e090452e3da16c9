package endtoend

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
)

// converges waits until the counter has what the CRM holds, attribute by
// attribute, and nothing is left to do.
func (w *world) converges(within time.Duration, wanted func() (contacts, orders entities), e *editor) time.Duration {
	w.t.Helper()
	var last []string
	took := eventually(w.t, within, "the counter has what the CRM holds", func() string {
		if busy := w.busy(); busy != "" {
			return busy
		}
		contacts, orders := wanted()
		if last = w.differences(contacts, orders, e.gone); len(last) > 0 {
			return fmt.Sprintf("%d differences, such as %s", len(last), last[0])
		}
		return ""
	})
	return took
}

func bitrixFlows(w *world) {
	w.flow("clients", "b24", "contact", "contacts", nil)
	w.flow("orders", "b24", "deal", "orders", map[string]any{"mode": "SAVE", "map": orderMap(), "statuses": scheme(statuses)})
}

func amoFlows(w *world) {
	w.flow("clients", "amo", "contact", "contacts", nil)
	w.flow("orders", "amo", "deal", "orders", map[string]any{"mode": "SAVE", "map": orderMap(), "statuses": scheme(amoStatuses)})
}

// TestBulkEditBitrix24 changes a portal as fast as an import does, with events
// that come twice, late and in the wrong order, while Roistat reads.
func TestBulkEditBitrix24(t *testing.T) {
	for _, s := range storages() {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, s)
			w.withBitrix("10m")
			w.withRoistat("b24")
			bitrixFlows(w)
			p := w.start("hub")
			w.imported("b24")
			e := newEditor(bulk())
			w.relay.mischief = true
			if err := e.fillBitrix(t.Context(), w.portal); err != nil {
				t.Fatal(err)
			}
			stop := w.poll()
			calls, start := w.portal.Calls(""), time.Now()
			if err := e.playBitrix(t.Context(), w.portal, e.load.changes); err != nil {
				t.Fatal(err)
			}
			played := time.Since(start)
			took := w.converges(60*time.Second, w.ofBitrix, e)
			calls = w.portal.Calls("") - calls
			used := p.usage()
			stop()
			t.Logf("%d changes in %s; equal %s after the last; %d calls to the CRM; hub: %s CPU since its start, peak RSS %d MiB",
				e.load.changes, played.Round(time.Millisecond), took.Round(time.Millisecond), calls, used.cpu, used.rss)
			if most := e.load.changes / 20; calls > most {
				t.Errorf("%d calls to the CRM for %d changes, at most %d are allowed", calls, e.load.changes, most)
			}
			w.roistatHas(e)
			w.deliveredAll(e.load.contacts + e.load.deals + e.load.changes)
			w.keepsProtocols()
		})
	}
}

// TestBulkEditAmoCRM does the same to an amoCRM account.
func TestBulkEditAmoCRM(t *testing.T) {
	for _, s := range storages() {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, s)
			w.withAmo("10m")
			amoFlows(w)
			p := w.start("hub")
			w.imported("amo")
			e := newEditor(bulk())
			w.relay.mischief = true
			if err := e.fillAmo(t.Context(), w.account); err != nil {
				t.Fatal(err)
			}
			before, start := w.account.Calls(), time.Now()
			if err := e.playAmo(t.Context(), w.account, e.load.changes); err != nil {
				t.Fatal(err)
			}
			played := time.Since(start)
			took := w.converges(60*time.Second, w.ofAmo, e)
			used := p.usage()
			calls, all := w.account.Calls(), 0
			for name := range calls {
				calls[name] -= before[name]
				all += calls[name]
			}
			t.Logf("%d changes in %s; equal %s after the last; %d calls to the CRM (%v); hub: %s CPU since its start, peak RSS %d MiB",
				e.load.changes, played.Round(time.Millisecond), took.Round(time.Millisecond), all, calls, used.cpu, used.rss)
			w.deliveredAll(e.load.contacts + e.load.deals)
			w.keepsProtocols()
		})
	}
}

// deliveredAll wants every delivery to have been answered with 200, and to have
// been of use.
func (w *world) deliveredAll(atLeast int) {
	w.t.Helper()
	taken, missed, others := w.relay.counts()
	if missed > 0 || len(others) > 0 {
		w.t.Errorf("%d deliveries got no answer; answered with something else than 200: %v", missed, others)
	}
	// Deletions and the like come on top of that, and so do repetitions.
	if taken < atLeast*9/10 {
		w.t.Errorf("%d deliveries were made, at least %d were to be expected", taken, atLeast*9/10)
	}
	for _, state := range []string{"refused", "partly"} {
		if entries := w.journal(map[string][]string{"state": {state}}); len(entries) > 0 {
			w.t.Errorf("%d deliveries are %s, such as %s: %s", len(entries), state, entries[0].Cause, entries[0].Error)
		}
	}
	if rows := w.rows(map[string][]string{"state": {"refused", "waiting"}}); len(rows) > 0 {
		w.t.Errorf("%d rows were set aside, such as %s %s: %s", len(rows), rows[0].Flow, rows[0].ID, rows[0].Error)
	}
}

// poll lets Roistat read again and again until the returned function is called.
func (w *world) poll() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var reader sync.WaitGroup
	address := w.pull()
	reader.Go(func() {
		for ctx.Err() == nil {
			report, err := w.roistat.Run(ctx, address)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				w.t.Errorf("Roistat could not read: %v", err)
			case report.Refused != "":
				w.t.Errorf("Roistat was refused: %s", report.Refused)
			}
			for _, id := range report.Lost {
				// Roistat forgets an order that the answer lacks (roistat §2.4).
				if deal, _ := number(id); w.portal.Get(bitrix24.Deal, deal) != nil {
					w.t.Errorf("Roistat was not told of order %s, which the CRM has", id)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
	stop = func() {
		cancel()
		reader.Wait()
	}
	w.t.Cleanup(stop) // if the test ends early
	return stop
}

// roistatHas wants Roistat to know exactly the deals that there are.
func (w *world) roistatHas(e *editor) {
	w.t.Helper()
	report, err := w.roistat.Run(w.t.Context(), w.pull())
	if err != nil || report.Refused != "" {
		w.t.Fatalf("Roistat could not read: %v %s", err, report.Refused)
	}
	known, live := w.roistat.Orders(), w.portal.IDs(bitrix24.Deal)
	if len(known) != len(live) {
		w.t.Errorf("Roistat knows %d orders, the CRM %d", len(known), len(live))
	}
	wrong := 0
	for _, n := range live {
		deal, order := w.portal.Get(bitrix24.Deal, n), known[fmt.Sprint(n)]
		if !sameAmount(order.Price, deal["OPPORTUNITY"]) || order.Client != deal["CONTACT_ID"] {
			if wrong++; wrong <= 3 {
				w.t.Errorf("Roistat has of order %d %+v, the CRM has %s for client %s", n, order, deal["OPPORTUNITY"], deal["CONTACT_ID"])
			}
		}
	}
}

func number(text string) (n int, err error) {
	_, err = fmt.Sscanf(text, "%d", &n)
	return n, err
}
