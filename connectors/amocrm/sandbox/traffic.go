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
	Leads     int
	// Changes come after the entities were made: leads move on, contacts get
	// e-mails, and some things are deleted and restored.
	Changes int
	// PerSecond bounds all of these; 0 makes them as fast as possible.
	PerSecond float64
}

// DemoLoad is a small shop's day.
var DemoLoad = Load{Companies: 5, Contacts: 40, Leads: 50, Changes: 200, PerSecond: 20}

// Traffic plays a load and waits until its webhooks are sent. A further load goes
// on with the entities of those before it.
func (a *Account) Traffic(ctx context.Context, l Load) error {
	a.traffic.Lock()
	defer a.traffic.Unlock()
	var tick <-chan time.Time
	if l.PerSecond > 0 {
		t := time.NewTicker(time.Duration(float64(time.Second) / l.PerSecond))
		defer t.Stop()
		tick = t.C
	}
	made := &a.sample
	made.a = a
	for _, s := range []struct {
		n    int
		step func(int)
	}{{l.Companies, made.company}, {l.Contacts, made.contact}, {l.Leads, made.lead}, {l.Changes, made.change}} {
		for i := range s.n {
			if tick != nil {
				select {
				case <-tick:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			s.step(i)
		}
	}
	return a.Flush(ctx)
}

// sample makes the entities of loads, the same for the same loads.
type sample struct {
	a                          *Account
	companies, contacts, leads []int64
	changes                    int
}

func (s *sample) company(int) {
	i := len(s.companies)
	s.companies = append(s.companies, s.a.Add(Companies, Entity{
		Name: fmt.Sprintf("ООО «Образец %d»", i+1),
		Fields: map[int64][]string{CompanyPhone: {phone(495_000_00_00 + i)}, CompanyEmail: {fmt.Sprintf("office%d@example.test", i)},
			CompanyLegal: {strconv.Itoa(7700000000 + i)}},
	}))
}

func (s *sample) contact(int) {
	i := len(s.contacts)
	e := Entity{
		Name: fmt.Sprintf("Клиент %d", i+1), FirstName: "Клиент", LastName: strconv.Itoa(i + 1),
		Fields: map[int64][]string{ContactPhone: {phone(999_000_00_00 + i)}, ContactEmail: {fmt.Sprintf("client%d@example.test", i)}},
	}
	if len(s.companies) > 0 && i%4 == 0 {
		e.CompanyID = s.companies[i%len(s.companies)]
	}
	s.contacts = append(s.contacts, s.a.Add(Contacts, e))
}

func phone(n int) string { return "+7" + strconv.Itoa(n) }

func (s *sample) lead(int) {
	i := len(s.leads)
	e := Entity{
		Name: fmt.Sprintf("Заявка %d", i+1), Price: strconv.Itoa(1000 + 250*(i%40)),
		Responsible: []int64{UserAdmin, UserManager}[i%2],
		Fields: map[int64][]string{
			LeadUTMSource: {[]string{"yandex", "google", "vk"}[i%3]}, LeadUTMMedium: {"cpc"},
			LeadUTMCampaign: {strconv.Itoa(100 + i%7)}, LeadYMUID: {strconv.Itoa(1700000000000000000 + i)},
		},
		Tags: []string{"сайт"},
	}
	if len(s.contacts) > 0 {
		e.ContactIDs = []int64{s.contacts[i%len(s.contacts)]}
	}
	s.leads = append(s.leads, s.a.Add(Leads, e))
}

// change spreads over all entities; a prime step keeps neighbours apart.
func (s *sample) change(int) {
	i := s.changes
	s.changes++
	switch {
	case i%50 == 49 && len(s.leads) > 0:
		id := s.leads[i*7%len(s.leads)]
		if !s.a.Delete(Leads, id) {
			s.a.Restore(Leads, id)
		}
	case i%5 == 4 && len(s.contacts) > 0:
		s.a.Change(Contacts, s.contacts[i*13%len(s.contacts)], func(e *Entity) {
			e.Fields[ContactPosition] = []string{"Должность " + strconv.Itoa(i)}
		})
	case len(s.leads) > 0:
		s.a.Change(Leads, s.leads[i*31%len(s.leads)], func(e *Entity) {
			if i%3 == 0 {
				e.Price = strconv.Itoa(1000 + i)
				return
			}
			e.PipelineID, e.StatusID = MainPipeline, []int64{StatusNew, StatusWork, StatusWon, StatusLost}[i/3%4]
		})
	}
}
