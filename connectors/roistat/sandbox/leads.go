package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Lead is what Roistat pushes (roistat §2.6).
type Lead struct {
	ID      string // may be empty: some senders leave it out
	Visit   string
	Title   string
	Text    string
	Name    string
	Phone   string
	Email   string
	Data    string // JSON, or what is left of it
	Created time.Time
	Manager string
	Post    bool // by form, in place of the sandbox's own method
}

// SampleLead is a lead as of the documentation.
func SampleLead(now time.Time) Lead {
	return Lead{
		ID: "90", Visit: "12852", Title: "Звонок от 79990001122", Text: "Первая строка\nвторая", Name: "Иван",
		Phone: "+79990001122", Data: `{"640163":"test","page":"http://site.ru"}`, Created: now, Manager: "8083396",
	}
}

// OddData are the values of data that real senders produce (roistat §2.6, §6.4).
var OddData = []string{
	"", "[]", "{}", "null", "not JSON", `["a","b"]`, `{"page":"{landingPage}","roistat":"{visit}"}`,
	`{"640163":15,"list":["a","b"],"deep":{"x":1},"none":null}`, `{"broken":`, "\u0000",
}

// The rhythm in which Roistat repeats a lead (roistat §2.6).
const (
	RepeatEvery = 30 * time.Minute
	RepeatTimes = 96
)

// pushed is a lead and what became of it.
type pushed struct {
	lead    Lead
	orderID string
	tries   int
	seen    bool // the order was exported once
}

func (l Lead) params() url.Values {
	values := url.Values{"action": {"lead"}}
	for name, value := range map[string]string{
		"id": l.ID, "visit": l.Visit, "title": l.Title, "text": l.Text, "name": l.Name, "phone": l.Phone,
		"email": l.Email, "data": l.Data, "manager_id": l.Manager,
	} {
		if value != "" || name != "id" {
			values.Set(name, value)
		}
	}
	if !l.Created.IsZero() {
		values.Set("created_date", l.Created.UTC().Format(time.DateTime))
	}
	return values
}

// PushLead sends a lead; "" means that the hub did not take it now, and Run
// repeats it.
func (s *Sandbox) PushLead(ctx context.Context, base string, l Lead) (string, error) {
	p := &pushed{lead: l}
	s.mu.Lock()
	s.leads = append(s.leads, p)
	s.mu.Unlock()
	return s.push(ctx, base, p)
}

// push sends a lead once. The second answer must name the order of the first.
func (s *Sandbox) push(ctx context.Context, base string, p *pushed) (string, error) {
	a, err := s.ask(ctx, base, s.post || p.lead.Post, p.lead.params())
	if err != nil {
		return "", err
	}
	s.pure(a, "lead")
	var got struct {
		Status  string          `json:"status"`
		OrderID json.RawMessage `json:"order_id"`
	}
	_ = json.Unmarshal(a.body, &got) // an answer that is none is not ok, and is repeated
	s.mu.Lock()
	p.tries++
	before := p.orderID
	s.mu.Unlock()
	if a.status != http.StatusOK || got.Status != "ok" {
		if a.status == http.StatusOK || a.status < http.StatusInternalServerError {
			s.violate("lead: answered with %d, status %q", a.status, got.Status)
		}
		return "", nil
	}
	id := s.text(got.OrderID, "lead: order_id")
	switch {
	case id == "":
		s.violate("lead: ok without an order_id")
	case before != "" && before != id:
		s.violate("lead: repeated, and a second order %s besides %s was made", id, before)
	}
	s.mu.Lock()
	p.orderID = id
	s.mu.Unlock()
	return id, nil
}

// RepeatAll sends every lead again as if its answer had been lost.
func (s *Sandbox) RepeatAll(ctx context.Context, base string) error {
	for _, p := range s.pushed(func(*pushed) bool { return true }) {
		if _, err := s.push(ctx, base, p); err != nil {
			return err
		}
	}
	return nil
}

// repeat sends the leads that were not acknowledged. Each exchange stands for
// one of Roistat's half-hours.
func (s *Sandbox) repeat(ctx context.Context, base string, report *Report) error {
	for _, p := range s.pushed(func(p *pushed) bool { return p.orderID == "" }) {
		if p.tries > RepeatTimes {
			s.violate("lead: given up after two days of repeating")
			continue
		}
		report.Repeated++
		id, err := s.push(ctx, base, p)
		if err != nil {
			return err
		}
		if id == "" {
			report.Waiting++
		}
	}
	return nil
}

func (s *Sandbox) pushed(which func(*pushed) bool) []*pushed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*pushed
	for _, p := range s.leads {
		if which(p) {
			list = append(list, p)
		}
	}
	return list
}

// acknowledged lists leads whose orders were promised and not seen yet.
func (s *Sandbox) acknowledged() []*pushed {
	return s.pushed(func(p *pushed) bool { return p.orderID != "" && !p.seen })
}

// checkPromised wants every promised order to be exported. After that it may go
// the way of all orders.
func (s *Sandbox) checkPromised(promised []*pushed, orders map[string]Order, since time.Time) {
	for _, p := range promised {
		_, ok := orders[p.orderID]
		if !ok && !p.lead.Created.IsZero() && p.lead.Created.Before(since) {
			continue
		}
		if !ok {
			s.violate("lead order %s was promised and is not exported", p.orderID)
		}
		s.mu.Lock()
		p.seen = true
		s.mu.Unlock()
	}
}

// Probe tries what only a careless or a hostile caller does: wrong credentials,
// an unknown action, nonsensical parameters, one-step calls, requests of nearly a
// megabyte.
func (s *Sandbox) Probe(ctx context.Context, base string) error {
	wants := func(what string, status int, params url.Values, post bool) error {
		a, err := s.ask(ctx, base, post, params)
		if err != nil {
			return err
		}
		s.pure(a, what)
		if a.status != status {
			s.violate("%s: answered with %d, not with %d", what, a.status, status)
		}
		return nil
	}
	for _, p := range []struct {
		what   string
		status int
		params url.Values
	}{
		{"wrong token", http.StatusUnauthorized, url.Values{"action": {"import_scheme"}, "token": {"00000000000000000000000000000000"}}},
		{"empty token", http.StatusUnauthorized, url.Values{"action": {"export"}, "token": {""}}},
		{"wrong user", http.StatusUnauthorized, url.Values{"action": {"export"}, "user": {s.user + "x"}}},
		{"unknown action", http.StatusBadRequest, url.Values{"action": {"delete_all"}}},
		{"date of letters", http.StatusBadRequest, url.Values{"action": {"export"}, "date": {"yesterday"}}},
		{"negative offset", http.StatusBadRequest, url.Values{"action": {"export"}, "offset": {"-1"}}},
		{"unknown action with a long value", http.StatusBadRequest, url.Values{"action": {"x"}, "text": {strings.Repeat("a", 900_000)}}},
	} {
		for _, post := range []bool{false, true} {
			if err := wants(p.what, p.status, p.params, post); err != nil {
				return err
			}
		}
	}
	for i, data := range OddData {
		l := SampleLead(s.now())
		l.ID, l.Data, l.Post = "odd-"+time.Duration(i).String(), data, i%2 == 0
		if _, err := s.PushLead(ctx, base, l); err != nil {
			return err
		}
	}
	return nil
}
