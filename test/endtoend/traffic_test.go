package endtoend

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
)

// load is the size of a bulk edit.
type load struct {
	deals, contacts, changes int
	perSecond                float64
}

func bulk() load {
	if *full {
		return load{deals: 5000, contacts: 3000, changes: 20_000, perSecond: 500}
	}
	return load{deals: 300, contacts: 200, changes: 1500, perSecond: 500}
}

// editor changes a CRM as people and imports do.
type editor struct {
	random *rand.Rand
	load   load
	gone   map[string]bool // what was deleted, as "orders 7"
}

func newEditor(l load) *editor {
	return &editor{random: rand.New(rand.NewPCG(5, 6)), load: l, gone: map[string]bool{}}
}

// pace calls step n times at the given rate. What a slow moment held up is made
// up for, so that the rate is true.
func pace(ctx context.Context, n int, perSecond float64, step func(i int)) error {
	start := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for done := 0; done < n; {
		for due := min(n, int(time.Since(start).Seconds()*perSecond)); done < due; done++ {
			step(done)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// phone writes numbers in the ways that people do.
func (e *editor) phone() string {
	n := e.random.IntN(10_000_000)
	forms := []string{"+7 916 %03d-%02d-%02d", "8 (916) %03d %02d %02d", "8916%03d%02d%02d", "+7(916)%03d%02d%02d"}
	return fmt.Sprintf(forms[e.random.IntN(len(forms))], n/10000, n/100%100, n%100)
}

func (e *editor) mail() string {
	return fmt.Sprintf("Client.%d@Example.ru", e.random.IntN(1_000_000))
}

func (e *editor) amount() string {
	return fmt.Sprintf("%d.%02d", 100+e.random.IntN(200_000), e.random.IntN(100))
}

// referenced is how many contacts deals may point to. The others are those that
// are deleted: a deleted client's orders are another matter.
func (e *editor) referenced() int { return e.load.contacts * 9 / 10 }

// fillBitrix makes contacts and deals.
func (e *editor) fillBitrix(ctx context.Context, p *bitrix24.Portal) error {
	err := pace(ctx, e.load.contacts, e.load.perSecond, func(i int) {
		f := bitrix24.Fields{"NAME": "Мария", "LAST_NAME": "Кравчук", "PHONE": e.phone(), "EMAIL": e.mail()}
		if i%3 == 0 {
			f["UF_CRM_YM_UID"] = fmt.Sprintf("17%017d", e.random.IntN(1<<40))
		}
		if i%4 == 0 {
			f["PHONE"] = []string{e.phone(), e.phone()}
		}
		p.AddContact(f)
	})
	if err != nil {
		return err
	}
	contacts := p.IDs(bitrix24.Contact)
	return pace(ctx, e.load.deals, e.load.perSecond, func(i int) {
		p.AddDeal(bitrix24.Fields{
			"TITLE": "Заказ " + strconv.Itoa(i), "OPPORTUNITY": e.amount(), "CATEGORY_ID": strconv.Itoa(i % 5 / 4),
			"CONTACT_ID": contacts[e.random.IntN(e.referenced())],
		})
	})
}

// editBitrix makes one change.
func (e *editor) editBitrix(p *bitrix24.Portal, contacts, deals []int) {
	deal, contact := deals[e.random.IntN(len(deals))], contacts[e.random.IntN(len(contacts))]
	switch kind := e.random.IntN(100); {
	case kind < 2:
		if p.DeleteDeal(deal) {
			e.gone["orders "+strconv.Itoa(deal)] = true
		}
	case kind < 3 && len(contacts) > e.referenced():
		contact = contacts[e.referenced()+e.random.IntN(len(contacts)-e.referenced())]
		if p.DeleteContact(contact) {
			e.gone["contacts "+strconv.Itoa(contact)] = true
		}
	case kind < 8:
		p.UpdateDeal(deal, bitrix24.Fields{"CURRENCY_ID": []string{"RUB", "USD", "EUR"}[e.random.IntN(3)], "OPPORTUNITY": e.amount()})
	case kind < 13:
		p.UpdateDeal(deal, bitrix24.Fields{"CONTACT_ID": contacts[e.random.IntN(e.referenced())]})
	case kind < 20:
		p.UpdateContact(contact, bitrix24.Fields{"PHONE": e.phone(), "SECOND_NAME": "Ильинична"})
	case kind < 30:
		p.UpdateContact(contact, bitrix24.Fields{"EMAIL": []string{e.mail(), e.mail()}})
	default:
		stage := []string{"NEW", "PREPARATION", "PREPAYMENT_INVOICE", "EXECUTING", "WON", "LOSE"}[e.random.IntN(6)]
		if now := p.Get(bitrix24.Deal, deal); now != nil && now["CATEGORY_ID"] == "1" {
			stage = []string{"C1:NEW", "C1:PREPARATION", "C1:WON", "C1:LOSE"}[e.random.IntN(4)]
		}
		p.UpdateDeal(deal, bitrix24.Fields{"STAGE_ID": stage, "OPPORTUNITY": e.amount()})
	}
}

// playBitrix makes n changes and waits until their events are sent.
func (e *editor) playBitrix(ctx context.Context, p *bitrix24.Portal, n int) error {
	contacts, deals := p.IDs(bitrix24.Contact), p.IDs(bitrix24.Deal)
	if err := pace(ctx, n, e.load.perSecond, func(int) { e.editBitrix(p, contacts, deals) }); err != nil {
		return err
	}
	return p.Flush(ctx)
}

// fillAmo makes contacts and leads.
func (e *editor) fillAmo(ctx context.Context, a *amocrm.Account) error {
	var contacts []int64
	err := pace(ctx, e.load.contacts, e.load.perSecond, func(i int) {
		contacts = append(contacts, a.Add(amocrm.Contacts, amocrm.Entity{Name: "Клиент " + strconv.Itoa(i),
			Fields: map[int64][]string{amocrm.ContactPhone: {e.phone()}, amocrm.ContactEmail: {e.mail()}}}))
	})
	if err != nil {
		return err
	}
	return pace(ctx, e.load.deals, e.load.perSecond, func(i int) {
		a.Add(amocrm.Leads, amocrm.Entity{Name: "Заявка " + strconv.Itoa(i), Price: strconv.Itoa(100 + e.random.IntN(200_000)),
			ContactIDs: []int64{contacts[e.random.IntN(e.referenced())]}})
	})
}

// editAmo makes one change.
func (e *editor) editAmo(a *amocrm.Account, contacts, leads []amocrm.Entity) {
	lead, contact := leads[e.random.IntN(len(leads))].ID, contacts[e.random.IntN(len(contacts))].ID
	switch kind := e.random.IntN(100); {
	case kind < 3:
		if a.Delete(amocrm.Leads, lead) {
			e.gone["orders "+strconv.FormatInt(lead, 10)] = true
		} else {
			a.Restore(amocrm.Leads, lead)
		}
	case kind < 4:
		contact = contacts[e.referenced()+e.random.IntN(len(contacts)-e.referenced())].ID
		if a.Delete(amocrm.Contacts, contact) {
			e.gone["contacts "+strconv.FormatInt(contact, 10)] = true
		}
	case kind < 20:
		phone, mail := e.phone(), e.mail()
		a.Change(amocrm.Contacts, contact, func(c *amocrm.Entity) {
			c.Fields[amocrm.ContactPhone], c.Fields[amocrm.ContactEmail] = []string{phone}, []string{mail}
		})
	case kind < 25:
		other := contacts[e.random.IntN(e.referenced())].ID
		a.Change(amocrm.Leads, lead, func(l *amocrm.Entity) { l.ContactIDs = []int64{other} })
	case kind < 30:
		a.Repeat()
	default:
		price := strconv.Itoa(100 + e.random.IntN(200_000))
		pipeline, status := int64(amocrm.MainPipeline), []int64{amocrm.StatusNew, amocrm.StatusWork, amocrm.StatusWon, amocrm.StatusLost}[e.random.IntN(4)]
		if e.random.IntN(10) == 0 {
			pipeline, status = amocrm.SecondPipeline, 64831362
		}
		a.Change(amocrm.Leads, lead, func(l *amocrm.Entity) { l.Price, l.PipelineID, l.StatusID = price, pipeline, status })
	}
}

// playAmo makes n changes and waits until their webhooks are sent.
func (e *editor) playAmo(ctx context.Context, a *amocrm.Account, n int) error {
	contacts, leads := a.All(amocrm.Contacts), a.All(amocrm.Leads)
	if err := pace(ctx, n, e.load.perSecond, func(int) { e.editAmo(a, contacts, leads) }); err != nil {
		return err
	}
	return a.Flush(ctx)
}
