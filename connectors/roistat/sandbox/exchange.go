package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxPages ends a reader that would never end.
const maxPages = 100000

// Order is what Roistat keeps of an order.
type Order struct {
	Status  string `json:"status"`
	Price   string `json:"price"`
	Roistat string `json:"roistat"`
	Client  string `json:"client"`
	Created int64  `json:"created"`
	Updated int64  `json:"updated"`
}

// answer is one answer of the hub.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask calls the address as Roistat does: its parameters are appended, even to an
// address that has a query of its own (roistat §2.2).
func (s *Sandbox) ask(ctx context.Context, base string, post bool, params url.Values) (answer, error) {
	values := url.Values{"user": {s.user}, "token": {s.token()}}
	for name, v := range params {
		values[name] = v
	}
	address, method, body := base, http.MethodGet, io.Reader(nil)
	if post {
		method, body = http.MethodPost, strings.NewReader(values.Encode())
	} else {
		separator := "?"
		if strings.Contains(base, "?") {
			separator = "&"
		}
		address += separator + values.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	if post {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return answer{}, fmt.Errorf("ask for %s: %w", params.Get("action"), err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer to %s: %w", params.Get("action"), err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: text}, nil
}

// tell decodes an answer strictly. ok is false when the hub refused; then the
// refusal is in the report.
func (s *Sandbox) tell(a answer, what string, into any, report *Report) (ok bool) {
	s.pure(a, what)
	if a.status != http.StatusOK {
		var e struct{ Status, Message string }
		if json.Unmarshal(a.body, &e) != nil || e.Status != "error" || e.Message == "" {
			s.violate("%s: status %d without an error in Roistat's shape", what, a.status)
		}
		if a.status != http.StatusServiceUnavailable {
			s.violate("%s: refused with %d: %s", what, a.status, e.Message)
		}
		report.Refused = fmt.Sprintf("%d %s", a.status, e.Message)
		return false
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		s.violate("%s: %v", what, err)
		report.Refused = what + " cannot be read"
		return false
	}
	return true
}

// pure wants JSON and nothing else: no BOM, no prefix, nothing behind.
func (s *Sandbox) pure(a answer, what string) {
	if got := a.header.Get("Content-Type"); !strings.EqualFold(strings.ReplaceAll(got, " ", ""), "application/json;charset=utf-8") {
		s.violate("%s: content type %q", what, got)
	}
	if !bytes.HasPrefix(a.body, []byte("{")) || !json.Valid(a.body) || !utf8.Valid(a.body) {
		s.violate("%s: the body is not pure JSON in UTF-8", what)
	}
}

type named struct {
	ID   json.RawMessage `json:"id"`
	Name json.RawMessage `json:"name"`
}

// scheme reads the statuses and checks the three lists (roistat §2.3).
func (s *Sandbox) scheme(ctx context.Context, base string, report *Report) (map[string]bool, error) {
	a, err := s.ask(ctx, base, s.post, url.Values{"action": {"import_scheme"}})
	if err != nil {
		return nil, err
	}
	var lists map[string][]named
	if !s.tell(a, "import_scheme", &lists, report) {
		return nil, nil
	}
	statuses := map[string]bool{}
	for _, list := range []string{"statuses", "fields", "managers"} {
		if lists[list] == nil {
			s.violate("import_scheme: no list %s", list)
		}
		seen := map[string]bool{}
		for _, one := range lists[list] {
			id := s.text(one.ID, "import_scheme: id in "+list)
			if s.text(one.Name, "import_scheme: name in "+list) == "" || id == "" {
				s.violate("import_scheme: an empty id or name in %s", list)
			}
			if seen[id] {
				s.violate("import_scheme: id %s twice in %s", id, list)
			}
			seen[id] = true
		}
		if list == "statuses" {
			statuses = seen
		}
	}
	if len(statuses) == 0 {
		s.violate("import_scheme: no statuses: step 4 stays empty")
	}
	return statuses, nil
}

// text wants a JSON string: ids that are numbers today and texts tomorrow make
// two orders of one.
func (s *Sandbox) text(raw json.RawMessage, what string) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		s.violate("%s is not a text: %.40s", what, raw)
		return strings.Trim(string(raw), `"`)
	}
	return text
}

type pagination struct {
	TotalCount *int `json:"total_count"`
	Limit      *int `json:"limit"`
}

// pages follows a list by the limit that the hub answers with.
func (s *Sandbox) pages(ctx context.Context, base, action string, since time.Time, report *Report, take func(json.RawMessage) (rows int, p pagination)) error {
	total, rows := -1, 0
	for offset, n := 0, 0; n < maxPages; n++ {
		params := url.Values{"action": {action}, "date": {strconv.FormatInt(since.Unix(), 10)}, "offset": {strconv.Itoa(offset)}}
		if s.limit != "none" {
			params.Set("limit", s.limit)
		}
		a, err := s.ask(ctx, base, s.post, params)
		if err != nil {
			return err
		}
		var body json.RawMessage
		if !s.tell(a, action, &body, report) {
			return nil
		}
		report.Pages++
		got, p := take(body)
		if p.TotalCount == nil || p.Limit == nil || *p.Limit < 1 {
			s.violate("%s: no usable pagination", action)
			return nil
		}
		if total >= 0 && *p.TotalCount != total {
			s.violate("%s: total_count changed from %d to %d between pages", action, total, *p.TotalCount)
		}
		total = *p.TotalCount
		if got > *p.Limit {
			s.violate("%s: %d rows on a page of %d", action, got, *p.Limit)
		}
		rows += got
		if offset += *p.Limit; offset >= total {
			break
		}
	}
	if rows != total {
		s.violate("%s: %d rows in all, total_count is %d", action, rows, total)
	}
	return nil
}

func (s *Sandbox) readOrders(ctx context.Context, base string, since time.Time, report *Report) (map[string]Order, error) {
	orders := map[string]Order{}
	err := s.pages(ctx, base, "export", since, report, func(body json.RawMessage) (int, pagination) {
		var page struct {
			Orders     []map[string]json.RawMessage `json:"orders"`
			Pagination pagination                   `json:"pagination"`
		}
		if json.Unmarshal(body, &page) != nil || page.Orders == nil {
			s.violate("export: no list of orders")
		}
		for _, one := range page.Orders {
			id, o := s.order(one)
			if _, twice := orders[id]; twice {
				s.violate("export: order %s twice", id)
			}
			orders[id] = o
		}
		return len(page.Orders), page.Pagination
	})
	return orders, err
}

// order checks one order (roistat §2.4).
func (s *Sandbox) order(one map[string]json.RawMessage) (string, Order) {
	id := s.text(one["id"], "export: id")
	what := "export: order " + id + ": "
	if id == "" {
		s.violate("export: an order without an id")
	}
	o := Order{Status: s.text(one["status"], what+"status"), Created: s.date(one["date_create"], what+"date_create")}
	if o.Status == "" {
		s.violate("%sno status", what)
	}
	if one["date_update"] != nil {
		o.Updated = s.date(one["date_update"], what+"date_update")
	}
	for name, into := range map[string]*string{"roistat": &o.Roistat, "client_id": &o.Client, "manager_id": new(string)} {
		if one[name] != nil {
			*into = s.text(one[name], what+name)
		}
	}
	for _, name := range []string{"price", "cost"} {
		if raw := strings.Trim(string(one[name]), `"`); raw != "" {
			if _, err := strconv.ParseFloat(raw, 64); err != nil {
				s.violate("%s%s is not a number", what, name)
			}
			if name == "price" {
				o.Price = raw
			}
		}
	}
	if fields := bytes.TrimSpace(one["fields"]); len(fields) > 0 && fields[0] != '{' && string(fields) != "[]" {
		s.violate("%sfields is a list", what)
	}
	if badVisit.MatchString(o.Roistat) {
		s.violate("%sroistat is a placeholder or has spaces", what)
	}
	return id, o
}

// badVisit is what Roistat makes a nonsensical source of (roistat §6).
var badVisit = regexp.MustCompile(`\s|^\{[A-Za-z ]+\}$`)

// date takes Unix seconds, as number or text, or the one text form that Roistat
// reads (roistat §2.4).
func (s *Sandbox) date(raw json.RawMessage, what string) int64 {
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < 1<<34 {
		return n
	}
	if t, err := time.Parse("2006-01-02 15:04", text); err == nil {
		return t.Unix()
	}
	s.violate("%s is neither Unix seconds nor YYYY-MM-DD HH:MM: %.40s", what, raw)
	return 0
}

// digits of a phone, country code first (roistat §2.5).
var digits = regexp.MustCompile(`^\d*$`)

func (s *Sandbox) readClients(ctx context.Context, base string, since time.Time, report *Report) (map[string]bool, error) {
	clients := map[string]bool{}
	err := s.pages(ctx, base, "export_clients", since, report, func(body json.RawMessage) (int, pagination) {
		var page struct {
			Clients    []map[string]json.RawMessage `json:"clients"`
			Pagination pagination                   `json:"pagination"`
		}
		if json.Unmarshal(body, &page) != nil || page.Clients == nil {
			s.violate("export_clients: no list of clients")
		}
		for _, one := range page.Clients {
			id := s.text(one["id"], "export_clients: id")
			for _, name := range []string{"name", "phone", "email"} {
				text := s.text(one[name], "export_clients: "+name+" of "+id)
				if name == "phone" && !digits.MatchString(text) {
					s.violate("export_clients: the phone of %s is not one number of digits", id)
				}
			}
			if one["birth_date"] != nil {
				if _, err := time.Parse(time.DateOnly, s.text(one["birth_date"], "birth_date of "+id)); err != nil {
					s.violate("export_clients: the birth date of %s is no date", id)
				}
			}
			if id == "" || clients[id] {
				s.violate("export_clients: client %q twice or without an id", id)
			}
			clients[id] = true
		}
		return len(page.Clients), page.Pagination
	})
	return clients, err
}

// checkLinks wants every status in the scheme and every client in the list of
// clients (roistat §9). Data may have changed since the first reading, so both
// are read again before the hub is blamed.
func (s *Sandbox) checkLinks(ctx context.Context, base string, since time.Time, scheme map[string]bool, orders map[string]Order, clients map[string]bool) error {
	var again Report
	for id, o := range orders {
		if !scheme[o.Status] {
			fresh, err := s.scheme(ctx, base, &again)
			if err != nil {
				return err
			}
			if scheme = fresh; !scheme[o.Status] {
				s.violate("export: status %s of order %s is not in the scheme", o.Status, id)
			}
		}
		if o.Client != "" && !clients[o.Client] {
			fresh, err := s.readClients(ctx, base, since, &again)
			if err != nil {
				return err
			}
			if clients = fresh; !clients[o.Client] {
				s.violate("export: client %s of order %s is not exported", o.Client, id)
			}
		}
	}
	return nil
}
