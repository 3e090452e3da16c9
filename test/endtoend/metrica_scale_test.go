package endtoend

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var scale = flag.Int("scale", 20_000, "how many orders go to Metrica in the test of its size")

const (
	scaleParts    = 5   // uploads that the orders make
	scalePerBuyer = 100 // orders of one client
)

// TestMetricaScale brings many orders to the counter and cuts the power in the
// middle. Parts that Metrica has are not sent again: the rows of all uploads
// together are the orders, each once.
func TestMetricaScale(t *testing.T) {
	n := *scale
	w := newWorld(t, embedded())
	w.counter.SetRules(func(r *metrica.Rules) { r.Keep = "keys" })
	w.connections[0]["max_rows"] = (n + scaleParts - 1) / scaleParts
	w.withSite()
	w.from("site", "clients", "contact", "contacts", nil)
	w.from("site", "orders", "deal", "orders", map[string]any{"statuses": []map[string]string{{"crm": "won", "id": "won", "metrica": "PAID"}}})

	buyers := (n + scalePerBuyer - 1) / scalePerBuyer
	w.fill(buyers, buyer)
	p := w.start("hub")
	w.flowSent(2*time.Minute, "clients", buyers)
	p.terminate(30 * time.Second)
	w.fill(n, order)

	start := time.Now()
	p = w.start("hub")
	eventually(t, w.patience(), "some parts are at the counter", func() string {
		p.alive()
		if parts, _ := w.orderUploads(); parts < 2 {
			return fmt.Sprint(parts, " are")
		}
		return ""
	})
	before, firstHalf := p.usage(), time.Since(start)
	p.kill()
	partsBefore, rowsBefore := w.orderUploads()
	p = w.start("hub")
	w.flowSent(w.patience(), "orders", n)
	took, after := time.Since(start), p.usage()

	parts, rows := w.orderUploads()
	t.Logf("%d orders in %d uploads; killed after %s with %d rows in %d uploads at the counter; all confirmed after %s: %.0f rows/s with the restart; "+
		"CPU %s and %s, peak RSS %d and %d MiB, before and after it", n, parts, firstHalf.Round(time.Millisecond), rowsBefore, partsBefore,
		took.Round(time.Millisecond), float64(n)/took.Seconds(), before.cpu, after.cpu, before.rss, after.rss)
	if rows != n {
		t.Errorf("the uploads hold %d rows together, there are %d orders", rows, n)
	}
	if got := w.counter.Count(metrica.DefaultCounter, "orders"); got != n {
		t.Errorf("the counter has %d orders, not %d", got, n)
	}
	w.keepsProtocols()
}

// patience grows with the number of orders; a busy machine makes a thousand a
// second.
func (w *world) patience() time.Duration {
	return time.Minute + time.Duration(*scale)*time.Millisecond
}

// orderUploads counts the uploads of orders and their rows.
func (w *world) orderUploads() (uploads, rows int) {
	for _, up := range w.counter.Uploads(metrica.DefaultCounter) {
		if up.Kind == "orders" {
			uploads++
			rows += up.Rows
		}
	}
	return uploads, rows
}

// flowSent waits until a flow has sent so many rows, and has nothing to do.
func (w *world) flowSent(within time.Duration, flow string, rows int) {
	w.t.Helper()
	eventually(w.t, within, fmt.Sprintf("%s has sent %d rows", flow, rows), func() string {
		for _, p := range w.status().Projects {
			for _, f := range p.Flows {
				if f.ID == flow && f.Sent < rows {
					return fmt.Sprintf("it has sent %d; %d refused, %d wait %s", f.Sent, f.Refused, f.Waiting, f.Error)
				}
			}
		}
		return w.busy()
	})
}

// fill writes records into the hub's database while no hub runs.
func (w *world) fill(n int, make func(i int) model.Record) {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.database, store.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	if err := db.Migrate(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	const step = 2000
	for from := 0; from < n; from += step {
		var batch []model.Record
		for i := from; i < min(n, from+step); i++ {
			batch = append(batch, make(i))
		}
		applied, err := db.ApplyRecords(w.t.Context(), project, batch)
		if err != nil || len(applied.Refused) > 0 {
			w.t.Fatalf("records %d and on: %v, %d refused", from, err, len(applied.Refused))
		}
	}
}

var filledAt = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func filled(kind model.Kind, id string) model.Base {
	return model.Base{Kind: kind, Connection: "site", ID: id, CreatedAt: filledAt, UpdatedAt: filledAt, ReadAt: filledAt}
}

func buyer(i int) model.Record {
	c := &model.Contact{Base: filled(model.KindContact, fmt.Sprint("k", i)), Name: "Мария Кравчук", Phones: []string{fmt.Sprint(79160000000 + i)}}
	c.ClientID = fmt.Sprint(1_700_000_000_000_000_000 + i)
	return c
}

func order(i int) model.Record {
	d := &model.Deal{
		Base: filled(model.KindDeal, fmt.Sprint("d", i)), Title: "Заказ с сайта", Amount: model.NewDecimal(decimal.New(int64(100+i), -2)),
		Currency: "RUB", StatusID: "won", ClosedAt: filledAt.Add(time.Hour),
	}
	d.ContactID = fmt.Sprint("k", i/scalePerBuyer)
	d.Fields = model.Fields{"SOURCE_ID": "WEB", "UF_CRM_1": "value"}
	return d
}
