package jobs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// A webhook that only points to a deal brings the deal and its client to the
// destination, the client first, after the status scheme.
func TestWebhookBecomesRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deal := b.deal("7", "3", "NEW", 100)
	b.crm.put(deal, b.contact("3", "Анна"))
	b.hook(hookFor(deal)) // the contact's own event got lost
	b.work()
	if want := []string{"contacts: 3", "orders: 7"}; !slices.Equal(b.metrica.uploads, want) {
		t.Errorf("uploads %q, want %q", b.metrica.uploads, want)
	}
	if len(b.metrica.statuses) != 1 || len(b.metrica.statuses[0]) != 2 {
		t.Errorf("status scheme registered: %v", b.metrica.statuses)
	}
	if d := b.delivery("orders", "7"); d.State != store.DeliverySent || d.WantedSeq != d.DoneSeq {
		t.Errorf("delivery %+v", d)
	}
}

// Changes that leave the row as it is are not sent; ten changes between two
// runs are one row; a change of the client is a change of the order's row.
func TestOnlyChangesAreSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deal, contact := b.deal("7", "3", "NEW", 100), b.contact("3", "Анна")
	b.crm.put(deal, contact)
	b.hook(hookFor(deal, contact))
	b.work()
	b.metrica.uploads = nil

	for i := range 10 {
		b.advance(time.Second)
		changed := b.deal("7", "3", "NEW", int64(200+i))
		b.crm.put(changed)
		b.hook(hookFor(changed))
	}
	b.work()
	if want := []string{"orders: 7"}; !slices.Equal(b.metrica.uploads, want) {
		t.Errorf("ten changes: uploads %q, want %q", b.metrica.uploads, want)
	}
	if row := b.metrica.rows["orders"]["7"]; !strings.Contains(row, "209") {
		t.Errorf("not the newest version: %s", row)
	}

	b.advance(time.Second)
	same := b.deal("7", "3", "NEW", 209)
	same.Title = "a title that the map does not use"
	b.crm.put(same)
	b.hook(hookFor(same))
	b.metrica.uploads = nil
	b.work()
	if len(b.metrica.uploads) != 0 {
		t.Errorf("an unchanged row was sent: %q", b.metrica.uploads)
	}

	b.advance(time.Second)
	renamed := b.contact("3", "Анна Каренина")
	b.crm.put(renamed)
	b.hook(hookFor(renamed))
	b.work()
	if want := []string{"contacts: 3", "orders: 7"}; !slices.Equal(b.metrica.uploads, want) {
		t.Errorf("renamed client: uploads %q, want %q", b.metrica.uploads, want)
	}
}

// A deal in a status without a pair is set aside with its reason and goes by
// itself when the record is mended.
func TestRefusedRowWaitsForItsRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bad, good, contact := b.deal("7", "3", "UNHEARD", 1), b.deal("8", "3", "NEW", 1), b.contact("3", "Анна")
	b.crm.put(bad, good, contact)
	b.hook(hookFor(bad, good, contact))
	b.work()
	if d := b.delivery("orders", "7"); d.State != store.DeliveryRefused || d.Cause != model.CauseStatusUnmapped {
		t.Errorf("bad row: %+v", d)
	}
	if d := b.delivery("orders", "8"); d.State != store.DeliverySent {
		t.Errorf("its neighbour: %+v", d)
	}
	b.advance(time.Second)
	mended := b.deal("7", "3", "WON", 1)
	b.crm.put(mended)
	b.hook(hookFor(mended))
	b.work()
	if d := b.delivery("orders", "7"); d.State != store.DeliverySent {
		t.Errorf("mended row: %+v", d)
	}
}

// An upload that the destination refuses as a whole is halved until the bad
// rows stand alone; the good ones arrive.
func TestBisection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []model.Record
	for i := range 50 {
		all = append(all, b.contact(fmt.Sprint(i), "x"))
	}
	b.crm.put(all...)
	b.metrica.outcome = func(_ string, keys []string) (connectors.Outcome, error) {
		if slices.Contains(keys, "13") || slices.Contains(keys, "31") {
			return connectors.Outcome{State: connectors.UploadRejected, Reasons: []string{"bad line"}}, nil
		}
		return connectors.Outcome{State: connectors.UploadAccepted, Accepted: len(keys)}, nil
	}
	b.hook(hookFor(all...))
	b.work()
	if n := len(b.metrica.rows["contacts"]); n != 48 {
		t.Errorf("%d rows arrived, want 48", n)
	}
	for _, id := range []string{"13", "31"} {
		if d := b.delivery("clients", id); d.State != store.DeliveryRefused || d.Cause != model.CauseUploadRejected || d.Error != "bad line" {
			t.Errorf("bad row: %+v", d)
		}
	}
	if n := len(b.metrica.uploads); n > 4*6+1 {
		t.Errorf("%d uploads to find two rows of fifty", n)
	}
}

// An upload with an unknown outcome is asked about before anything is sent
// again.
func TestUploadInDoubt(t *testing.T) {
	t.Parallel()
	unknown := model.Errorf(model.ClassUnknown, model.CauseNetwork, "reset after the body")
	for _, c := range []struct {
		name    string
		found   bool
		uploads int
	}{{"the destination has it", true, 1}, {"the destination does not have it", false, 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			contact := b.contact("3", "Анна")
			b.crm.put(contact)
			b.metrica.outcome = func(string, []string) (connectors.Outcome, error) {
				if len(b.metrica.uploads) == 1 {
					return connectors.Outcome{}, unknown
				}
				return connectors.Outcome{State: connectors.UploadAccepted}, nil
			}
			asked := 0
			b.metrica.settle = func() (connectors.Outcome, bool, error) {
				asked++
				if asked == 1 {
					return connectors.Outcome{}, false, model.Errorf(model.ClassTemporary, model.CauseNetwork, "not now")
				}
				return connectors.Outcome{State: connectors.UploadAccepted}, c.found, nil
			}
			b.hook(hookFor(contact))
			b.work()
			if len(b.metrica.uploads) != 1 {
				t.Fatalf("sent again while in doubt: %q", b.metrica.uploads)
			}
			b.restart() // the doubt outlives the process
			b.advance(time.Minute)
			b.work()
			b.advance(time.Minute)
			b.work()
			if len(b.metrica.uploads) != c.uploads {
				t.Errorf("%d uploads, want %d", len(b.metrica.uploads), c.uploads)
			}
			if d := b.delivery("clients", "3"); d.State != store.DeliverySent {
				t.Errorf("delivery %+v", d)
			}
		})
	}
}

// A process that dies while it builds or sends leaves an open upload; the next
// one gives the rows back or asks about them.
func TestInterruptedUpload(t *testing.T) {
	t.Parallel()
	for _, status := range []store.UploadStatus{store.UploadBuilding, store.UploadSending} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			contact := b.contact("3", "Анна")
			b.crm.put(contact)
			b.metrica.outcome = func(string, []string) (connectors.Outcome, error) {
				return connectors.Outcome{}, model.Errorf(model.ClassTemporary, model.CauseNetwork, "no connection")
			}
			b.metrica.settle = func() (connectors.Outcome, bool, error) { return connectors.Outcome{}, false, nil }
			b.hook(hookFor(contact))
			b.work()

			ctx := t.Context()
			up := store.Upload{Project: "shop", Flow: "clients", Connection: "metrica", As: "contacts"}
			if err := b.db.CreateUpload(ctx, &up); err != nil {
				t.Fatal(err)
			}
			d := b.delivery("clients", "3")
			if err := b.db.FillUpload(ctx, up.ID, []store.Sending{{Connection: "b24", ID: "3", RowKey: "3", Seq: d.WantedSeq, Hash: []byte("x")}}); err != nil {
				t.Fatal(err)
			}
			up.Status, up.Rows = status, 1
			if err := b.db.SaveUpload(ctx, up); err != nil {
				t.Fatal(err)
			}
			b.metrica.outcome = nil
			b.restart()
			b.advance(time.Minute)
			b.work()
			b.advance(time.Minute)
			b.work()
			if d := b.delivery("clients", "3"); d.State != store.DeliverySent || d.UploadID == up.ID {
				t.Errorf("delivery %+v", d)
			}
		})
	}
}

// A destination that refuses our credential is left alone until a person acts.
func TestNeedsReauthStopsTheFlow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contact := b.contact("3", "Анна")
	b.crm.put(contact)
	b.metrica.outcome = func(string, []string) (connectors.Outcome, error) {
		return connectors.Outcome{}, model.Errorf(model.ClassReauth, model.CauseAuth, "the token is refused")
	}
	b.hook(hookFor(contact))
	for range 20 {
		b.work()
		b.advance(10 * time.Minute)
	}
	if len(b.metrica.uploads) != 1 {
		t.Errorf("%d tries with a refused token, want 1", len(b.metrica.uploads))
	}
	st, err := b.db.ConnectionState(t.Context(), "shop", "metrica")
	if err != nil || st.Status != "needs_reauth" {
		t.Errorf("connection %+v, %v", st, err)
	}
	b.metrica.outcome = nil
	if err := jobs.Reset(t.Context(), b.db, "shop", "metrica"); err != nil {
		t.Fatal(err)
	}
	b.work()
	if d := b.delivery("clients", "3"); d.State != store.DeliverySent {
		t.Errorf("after the person acted: %+v", d)
	}
}

// A changed map looks at every record again and sends the rows that differ.
func TestChangedMapSendsWhatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	deal, contact := b.deal("7", "3", "NEW", 100), b.contact("3", "Анна")
	b.crm.put(deal, contact)
	b.hook(hookFor(deal, contact))
	b.work()
	b.metrica.uploads = nil

	changed := setup(t, func(f *model.FlowSpec) {
		if f.ID == "orders" {
			f.Map = map[string]string{"id": "deal.id", "client_uniq_id": "contact.id", "revenue": "deal.amount * 2", "order_status": "status"}
		}
	})
	b.setup.Projects[0].Flows[1].Compiled = changed.setup.Projects[0].Flows[1].Compiled
	b.restart()
	b.advance(time.Minute)
	b.work()
	if want := []string{"orders: 7"}; !slices.Equal(b.metrica.uploads, want) {
		t.Errorf("uploads %q, want %q", b.metrica.uploads, want)
	}
}
