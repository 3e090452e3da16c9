package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/shopspring/decimal"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	roistat "github.com/svod-hub/svod/connectors/roistat/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// summary is what `svod demo --once` tells.
type summary struct {
	took      time.Duration
	webhooks  int
	records   int
	sent      int
	confirmed int
	lost      []string
	refused   []refusal
	roistat   roistat.Report
	calls     int
	wrong     []string // what makes the demo fail
}

type refusal struct {
	what    string
	cause   model.Cause
	count   int
	example string
}

func (d *demo) summarise(ctx context.Context) (*summary, error) {
	s := &summary{calls: d.portal.Calls("")}
	var err error
	if s.roistat, err = d.roistat.Run(ctx, d.pull()); err != nil {
		return nil, err
	}
	if err := d.countEntries(ctx, s); err != nil {
		return nil, err
	}
	if err := d.countRows(ctx, s); err != nil {
		return nil, err
	}
	s.lost = d.compare(ctx)
	for _, lost := range s.lost {
		s.wrong = append(s.wrong, "lost: "+lost)
	}
	for name, violations := range map[string][]string{
		"Bitrix24": d.portal.Violations(), "amoCRM": d.account.Violations(), "Yandex Metrica": d.counter.Violations(),
		"Roistat": d.roistat.Violations(), "the shop": d.shop.Violations(),
	} {
		for _, v := range violations {
			s.wrong = append(s.wrong, "against the protocol of "+name+": "+v)
		}
	}
	if s.roistat.Refused != "" {
		s.wrong = append(s.wrong, "Roistat was refused: "+s.roistat.Refused)
	}
	slices.Sort(s.wrong)
	return s, nil
}

// countEntries compares what the journal refused with what was sent wrongly on
// purpose.
func (d *demo) countEntries(ctx context.Context, s *summary) error {
	refused, total, err := d.refusedEntries(ctx)
	if err != nil {
		return err
	}
	s.webhooks = total
	for _, cause := range slices.Sorted(maps.Keys(refused)) {
		example, err := d.hub.store.Journal(ctx, store.JournalFilter{Project: demoProject, Cause: cause, Limit: 1})
		if err != nil {
			return err
		}
		text := ""
		if len(example) > 0 {
			text = example[0].Error
		}
		s.refused = append(s.refused, refusal{"webhook", cause, refused[cause], text})
	}
	if !maps.Equal(refused, d.bad.entries) {
		s.wrong = append(s.wrong, fmt.Sprintf("refused webhooks are %v, sent wrongly were %v", refused, d.bad.entries))
	}
	counts, err := d.hub.store.CountRecords(ctx, demoProject)
	if err != nil {
		return err
	}
	for _, c := range counts {
		if !c.Kind.Reference() {
			s.records += c.Live + c.Deleted
		}
	}
	return nil
}

// countRows sums up what was uploaded, and compares the refused rows with the
// records that are wrong on purpose.
func (d *demo) countRows(ctx context.Context, s *summary) error {
	db := d.hub.store
	refused := map[model.Cause]int{}
	for _, f := range d.hub.setup.Projects[0].Flows {
		uploads, err := db.Uploads(ctx, store.UploadFilter{Project: demoProject, Flow: f.Spec.ID, Limit: 10_000})
		if err != nil {
			return err
		}
		for _, u := range uploads {
			if !u.StartedAt.IsZero() {
				s.sent += u.Rows
			}
			if u.Status == store.UploadAccepted {
				s.confirmed += u.Accepted
			}
		}
		rows, err := db.Deliveries(ctx, store.DeliveryFilter{Project: demoProject, Flow: f.Spec.ID, Limit: 1000,
			States: []store.DeliveryState{store.DeliveryRefused, store.DeliveryWaiting}})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if refused[row.Cause] == 0 {
				s.refused = append(s.refused, refusal{"row of " + row.Flow, row.Cause, 0, row.Error})
			}
			refused[row.Cause]++
		}
	}
	for i := range s.refused {
		if s.refused[i].count == 0 {
			s.refused[i].count = refused[s.refused[i].cause]
		}
	}
	if !maps.Equal(refused, d.bad.rows) {
		s.wrong = append(s.wrong, fmt.Sprintf("refused rows are %v, wrong on purpose were %v", refused, d.bad.rows))
	}
	return nil
}

// compare looks at what the CRMs have now and at what Metrica has, and names
// every difference.
func (d *demo) compare(ctx context.Context) []string {
	contacts := d.counter.Entities(metrica.DefaultCounter, "contacts", 0)
	orders := d.counter.Entities(metrica.DefaultCounter, "orders", 0)
	var lost []string
	check := func(kind, id string, there bool, order map[string]string, amount, status string) {
		switch {
		case !there:
			lost = append(lost, kind+" "+id+" is missing")
		case kind == "order" && !sameAmount(order["revenue"], amount):
			lost = append(lost, fmt.Sprintf("order %s has revenue %s, the CRM %s", id, order["revenue"], amount))
		case kind == "order" && order["order_status"] != status:
			lost = append(lost, fmt.Sprintf("order %s has status %s, the CRM %s", id, order["order_status"], status))
		}
	}
	statuses := map[string]string{}
	for _, pair := range demoStatuses() {
		statuses[pair["crm"].(string)] = pair["id"].(string)
	}
	for _, id := range d.portal.IDs(bitrix24.Contact) {
		key := "b24:" + strconv.Itoa(id)
		check("contact", key, contacts[key] != nil, nil, "", "")
	}
	for _, id := range d.portal.IDs(bitrix24.Deal) {
		deal, key := d.portal.Get(bitrix24.Deal, id), "b24:"+strconv.Itoa(id)
		status, paired := statuses[deal["STAGE_ID"]]
		if deal["CONTACT_ID"] == "" || deal["CONTACT_ID"] == "0" || !paired || deal["CURRENCY_ID"] != "RUB" {
			continue // wrong on purpose
		}
		check("order", key, orders[key] != nil, orders[key], deal["OPPORTUNITY"], status)
	}
	for _, c := range d.account.All(amocrm.Contacts) {
		key := "amo:" + strconv.FormatInt(c.ID, 10)
		check("contact", key, c.Deleted || contacts[key] != nil, nil, "", "")
	}
	for _, l := range d.account.All(amocrm.Leads) {
		if l.Deleted {
			continue
		}
		key := "amo:" + strconv.FormatInt(l.ID, 10)
		check("order", key, orders[key] != nil, orders[key], l.Price, statuses[strconv.FormatInt(l.StatusID, 10)])
	}
	return lost
}

func sameAmount(a, b string) bool {
	x, errX := decimal.NewFromString(a)
	y, errY := decimal.NewFromString(b)
	return errX == nil && errY == nil && x.Equal(y)
}

func (s *summary) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "The sample traffic is over; it took %s.\n\n", s.took.Round(100*time.Millisecond))
	fmt.Fprintf(w, "webhooks accepted\t%d\n", s.webhooks)
	fmt.Fprintf(w, "calls to Bitrix24\t%d\n", s.calls)
	fmt.Fprintf(w, "records\t%d\n", s.records)
	fmt.Fprintf(w, "rows sent\t%d\n", s.sent)
	fmt.Fprintf(w, "rows confirmed\t%d\n", s.confirmed)
	fmt.Fprintf(w, "lost\t%d\n", len(s.lost))
	refused := 0
	for _, r := range s.refused {
		refused += r.count
	}
	fmt.Fprintf(w, "refused\t%d\n", refused)
	fmt.Fprintf(w, "Roistat orders read\t%d\n", s.roistat.Orders)
	if len(s.refused) > 0 {
		fmt.Fprintln(w, "\nRefused, and why:")
		for _, r := range s.refused {
			fmt.Fprintf(w, "  %d\t%s\t%s\t%s\n", r.count, r.what, r.cause, oneLine(r.example))
		}
	}
	_ = w.Flush()
	for _, wrong := range s.wrong {
		fmt.Fprintln(out, "WRONG: "+wrong)
	}
}
