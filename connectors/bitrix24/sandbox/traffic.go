package sandbox

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Load describes sample traffic.
type Load struct {
	Companies int
	Contacts  int
	Deals     int
	Leads     int
	// Changes come after the entities were made: deals move on, contacts get
	// e-mails, leads are worked on, and some things are deleted.
	Changes int
	// PerSecond bounds all of these; 0 makes them as fast as possible.
	PerSecond float64
}

// DemoLoad is a small shop's day.
var DemoLoad = Load{Companies: 5, Contacts: 60, Leads: 30, Deals: 80, Changes: 300, PerSecond: 20}

// Traffic plays a load and waits until its events are sent.
func (p *Portal) Traffic(ctx context.Context, l Load) error {
	p.trackingFields()
	pace := pacer(l.PerSecond)
	defer pace.stop()
	steps := []struct {
		n    int
		step func(i int)
	}{
		{l.Companies, func(i int) { p.AddCompany(Fields{"TITLE": fmt.Sprintf("ООО «Образец %d»", i+1)}) }},
		{l.Contacts, p.sampleContact},
		{l.Leads, p.sampleLead},
		{l.Deals, p.sampleDeal},
		{l.Changes, p.sampleChange},
	}
	for _, s := range steps {
		for i := range s.n {
			if err := pace.wait(ctx); err != nil {
				return err
			}
			s.step(i)
		}
	}
	return p.Flush(ctx)
}

type ticker struct{ t *time.Ticker }

func pacer(perSecond float64) ticker {
	if perSecond <= 0 {
		return ticker{}
	}
	return ticker{t: time.NewTicker(time.Duration(float64(time.Second) / perSecond))}
}

func (t ticker) wait(ctx context.Context) error {
	if t.t == nil {
		return ctx.Err()
	}
	select {
	case <-t.t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t ticker) stop() {
	if t.t != nil {
		t.t.Stop()
	}
}

func (p *Portal) trackingFields() {
	for _, kind := range []string{Contact, Deal, Lead} {
		for _, f := range []struct{ code, label string }{{"ROISTAT", "roistat"}, {"YM_UID", "Metrika ClientID"}} {
			p.mu.Lock()
			known := p.table(kind).schema.byCode["UF_CRM_"+f.code] != nil
			p.mu.Unlock()
			if !known {
				p.AddUserField(kind, f.code, f.label, "string")
			}
		}
	}
}

var (
	firstNames = []string{"Александр", "Мария", "Дмитрий", "Елена", "Сергей", "Ольга", "Иван", "Наталья"}
	lastNames  = []string{"Соколенко", "Кравчук", "Черных", "Вербицких", "Дурново", "Живаго", "Седых", "Бондаренко"}
	campaigns  = []string{"brand", "remont", "okna", "retarget"}
	sources    = []string{"WEB", "CALL", "ADVERTISING", "WEBFORM"}
)

// draw gives a number below n from the portal's own source of chance.
func (p *Portal) draw(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

func samplePhone(n int) string {
	return fmt.Sprintf("+7 900 %03d-%02d-%02d", n/10000%1000, n/100%100, n%100)
}

func (p *Portal) marks(f Fields) Fields {
	n := p.draw(1 << 30)
	f["UF_CRM_ROISTAT"] = strconv.Itoa(100000 + n%900000)
	f["UF_CRM_YM_UID"] = fmt.Sprintf("17%017d", n)
	f["UTM_SOURCE"], f["UTM_MEDIUM"] = "yandex", "cpc"
	f["UTM_CAMPAIGN"] = campaigns[n%len(campaigns)]
	f["SOURCE_ID"] = sources[n/7%len(sources)]
	return f
}

func (p *Portal) sampleContact(i int) {
	n := p.draw(10_000_000)
	p.AddContact(p.marks(Fields{
		"NAME": firstNames[n%len(firstNames)], "LAST_NAME": lastNames[n/11%len(lastNames)],
		"PHONE": samplePhone(n), "EMAIL": fmt.Sprintf("client%d@example.ru", i+1),
	}))
}

func (p *Portal) sampleLead(int) {
	n := p.draw(10_000_000)
	p.AddLead(p.marks(Fields{"TITLE": "Заявка с сайта", "NAME": firstNames[n%len(firstNames)], "PHONE": samplePhone(n)}))
}

func (p *Portal) sampleDeal(int) {
	n := p.draw(1 << 30)
	f := Fields{"TITLE": "Заказ", "OPPORTUNITY": fmt.Sprintf("%d.00", 1000+n%90000), "CATEGORY_ID": strconv.Itoa(n % 5 / 4)}
	if contacts := p.IDs(Contact); len(contacts) > 0 {
		f["CONTACT_ID"] = contacts[n%len(contacts)]
	}
	p.AddDeal(p.marks(f))
}

var route = map[string]string{"NEW": "PREPARATION", "PREPARATION": "PREPAYMENT_INVOICE", "PREPAYMENT_INVOICE": "EXECUTING", "EXECUTING": "WON"}

func (p *Portal) sampleChange(i int) {
	kind := []string{Deal, Deal, Deal, Deal, Contact, Lead}[p.draw(6)]
	id, ok := p.someID(kind)
	if !ok {
		return
	}
	switch {
	case i%100 == 99:
		p.Delete(kind, id)
	case kind == Contact:
		p.UpdateContact(id, Fields{"EMAIL": fmt.Sprintf("client%d.%d@example.ru", id, i)})
	case kind == Lead:
		p.UpdateLead(id, Fields{"STATUS_ID": []string{"IN_PROCESS", "PROCESSED", "JUNK"}[p.draw(3)]})
	default:
		p.advance(id)
	}
}

// someID picks an entity without copying all ids: changes come by the hundred a
// second.
func (p *Portal) someID(kind string) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := p.table(kind).ids
	if len(ids) == 0 {
		return 0, false
	}
	return ids[p.rand.IntN(len(ids))], true
}

// advance moves a deal one stage on; one in ten is lost on the way.
func (p *Portal) advance(id int) {
	now := p.Get(Deal, id)
	if now == nil {
		return
	}
	stage, prefix := now["STAGE_ID"], ""
	if now["CATEGORY_ID"] != "0" {
		prefix = "C" + now["CATEGORY_ID"] + ":"
		stage = stage[min(len(prefix), len(stage)):]
	}
	next := route[stage]
	if p.draw(10) == 0 {
		next = "LOSE"
	}
	if next == "" { // it had ended; the client came again
		next = "NEW"
	}
	p.UpdateDeal(id, Fields{"STAGE_ID": prefix + next, "OPPORTUNITY": fmt.Sprintf("%d.00", 1000+p.draw(90000))})
}
