package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/phpform"
)

// Rules of delivery (§9.2; the specification's §3.2).
const (
	answerWithin = 2 * time.Second
	badWindow    = 2 * time.Hour
	badMost      = 100
	hookWorkers  = 8
)

// hooks sends webhooks. Its workers live only while there is something to send.
type hooks struct {
	client *http.Client
	scale  float64 // divides waits; 0: waits end only by RetryDue

	// The rest is guarded by the account's lock.
	url      string
	settings []string
	disabled bool
	queue    []*delivery
	waiting  []*delivery // for their next try
	working  int
	sending  sync.WaitGroup
	idle     chan struct{} // closed when nothing is queued or on its way
	serial   int
	last     []byte
	sent     int
	bad      []time.Time
	lastBad  bool
	worst    time.Duration
	timers   map[*time.Timer]struct{}
	closed   bool
	together *[]part
}

// delivery is one webhook and its tries.
type delivery struct {
	url   string
	id    string
	body  []byte
	tries int
	due   time.Time
	once  bool // digital-pipeline webhooks are not tried again (§9.4)
}

func (h *hooks) configure(a *Account, opts connectors.SandboxOptions) error {
	h.url, h.timers = opts.HookURL, map[*time.Timer]struct{}{}
	h.client = &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: hookWorkers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if text := opts.Options["time_scale"]; text != "" {
		scale, err := strconv.ParseFloat(text, 64)
		if err != nil || scale <= 0 {
			return fmt.Errorf("option time_scale: %q is not a positive number", text)
		}
		h.scale = scale
	}
	return nil
}

// SetHookURL says where webhooks go; a new address is not disabled.
func (a *Account) SetHookURL(address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks.url, a.hooks.disabled, a.hooks.bad = address, false, nil
}

// part is one element of a webhook.
type part struct {
	entity, action string
	fields         []phpform.Field
}

// Together makes one webhook of all that f changes (§9.1). f must not use other
// goroutines.
func (a *Account) Together(f func()) {
	var parts []part
	a.mu.Lock()
	a.hooks.together = &parts
	a.mu.Unlock()
	f()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks.together = nil
	if len(parts) > 0 {
		a.post(parts)
	}
}

// fire tells about a change. The lock is held.
func (a *Account) fire(kind, action string, e, before Entity) {
	if a.hooks.url == "" || a.hooks.disabled || e.hidden {
		return
	}
	entity := kind
	if kind == Companies {
		entity = Contacts // told apart by their type (the specification's §3.3)
	}
	p := part{entity: entity, action: action, fields: a.hookFields(kind, action, e, before)}
	if a.hooks.together != nil {
		*a.hooks.together = append(*a.hooks.together, p)
		return
	}
	a.post([]part{p})
}

// hookFields writes an entity in the old names of webhooks.
func (a *Account) hookFields(kind, action string, e, before Entity) []phpform.Field {
	f := func(name string, value any) phpform.Field { return phpform.Field{Name: name, Value: value} }
	if action == "delete" {
		if kind == Leads {
			return []phpform.Field{f("id", e.ID), f("status_id", e.StatusID), f("pipeline_id", e.PipelineID)}
		}
		return []phpform.Field{f("id", e.ID), f("type", singular[kind])}
	}
	out := []phpform.Field{f("id", e.ID), f("name", e.Name)}
	if kind == Leads {
		out = append(out, f("status_id", e.StatusID), f("pipeline_id", e.PipelineID))
		if before.StatusID != 0 && before.StatusID != e.StatusID {
			out = append(out, f("old_status_id", before.StatusID))
		}
		if a.options["price"] != "hidden" {
			price := e.Price
			if price == "" {
				price = "0"
			}
			out = append(out, f("price", price))
		}
	}
	out = append(out, f("responsible_user_id", e.Responsible))
	if before.Responsible != 0 && before.Responsible != e.Responsible {
		out = append(out, f("old_responsible_user_id", before.Responsible))
	}
	out = append(out, f("date_create", e.CreatedAt), f("last_modified", e.UpdatedAt), f("modified_user_id", 0), f("created_user_id", e.CreatedBy), f("account_id", AccountID))
	if custom := a.tables[kind].hookValues(&e); len(custom) > 0 {
		out = append(out, f("custom_fields", custom))
	}
	if a.options["hooks"] != "2016" {
		out = append(out, f("created_at", e.CreatedAt), f("updated_at", e.UpdatedAt))
	}
	if kind != Leads {
		out = append(out, f("type", singular[kind]))
	}
	return out
}

func (t *table) hookValues(e *Entity) []any {
	var out []any
	for _, id := range t.sortedFields(e) {
		field := t.field(id)
		if field == nil {
			continue
		}
		var values []any
		for _, v := range e.Fields[id] {
			switch field.Type {
			case "birthday", "date":
				values = append(values, v) // without [value] (the specification's §3.5)
			case "multitext":
				values = append(values, []phpform.Field{{Name: "value", Value: v}, {Name: "enum", Value: field.Enums[0].ID}})
			default:
				values = append(values, []phpform.Field{{Name: "value", Value: v}})
			}
		}
		one := []phpform.Field{{Name: "id", Value: id}, {Name: "name", Value: field.Name}}
		if len(values) > 0 {
			one = append(one, phpform.Field{Name: "values", Value: values})
		}
		if field.Code != "" {
			one = append(one, phpform.Field{Name: "code", Value: field.Code})
		}
		out = append(out, one)
	}
	return out
}

// accountBlock stands first in today's bodies and last, without an id, in those
// of 2016.
func (a *Account) accountBlock() phpform.Field {
	name, _, _ := strings.Cut(a.host, ".")
	block := []phpform.Field{{Name: "subdomain", Value: name}}
	if a.options["hooks"] != "2016" {
		block = append(block, phpform.Field{Name: "id", Value: AccountID},
			phpform.Field{Name: "_links", Value: []phpform.Field{{Name: "self", Value: a.scheme + "://" + a.host}}})
	}
	return phpform.Field{Name: "account", Value: block}
}

func (a *Account) post(parts []part) {
	var form []phpform.Field
	if a.options["hooks"] != "2016" {
		form = append(form, a.accountBlock())
	}
	counts := map[string]int{}
	for _, p := range parts {
		place := p.entity + " " + p.action
		form = append(form, phpform.Field{Name: p.entity, Value: []phpform.Field{{Name: p.action,
			Value: []phpform.Field{{Name: strconv.Itoa(counts[place]), Value: p.fields}}}}})
		counts[place]++
	}
	if a.options["hooks"] == "2016" {
		form = append(form, a.accountBlock())
	}
	a.enqueue(phpform.Encode(form), false)
}

// Trigger sends the webhook of a digital pipeline for a lead: the bare ids, and
// never a second try (§9.4).
func (a *Account) Trigger(leadID int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.tables[Leads].rows[leadID]
	if e == nil || a.hooks.url == "" {
		return
	}
	fields := []phpform.Field{{Name: "id", Value: e.ID}, {Name: "status_id", Value: e.StatusID}, {Name: "pipeline_id", Value: e.PipelineID}}
	a.enqueue(phpform.Encode([]phpform.Field{
		{Name: "leads", Value: []phpform.Field{{Name: "status", Value: []any{fields}}}},
		{Name: "account", Value: []phpform.Field{{Name: "id", Value: AccountID}, {Name: "subdomain", Value: "sandbox"}}},
	}), true)
}

// Post sends any body, for what a hub must survive (§9.3).
func (a *Account) Post(body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enqueue(body, false)
}

// Repeat sends the last body again.
func (a *Account) Repeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hooks.last != nil {
		a.enqueue(a.hooks.last, false)
	}
}

// Forge sends what must be answered and not acted upon (§9.3): another account's
// event, broken percent-encoding, and 500 KB of text about a lead that is not there.
func (a *Account) Forge() int {
	a.Post([]byte("account[id]=1&account[subdomain]=other&leads[add][0][id]=1"))
	a.Post([]byte("leads[add][0][id]=%ZZ&leads%5"))
	a.Post([]byte("account[id]=" + strconv.Itoa(AccountID) + "&leads[update][0][id]=1&leads[update][0][name]=" + strings.Repeat("x", 500<<10)))
	return 3
}

func (a *Account) enqueue(body []byte, once bool) {
	h := &a.hooks
	if h.url == "" || h.disabled || h.closed {
		return
	}
	h.serial++
	h.last = body
	a.start(&delivery{url: h.url, id: fmt.Sprintf("471e2579-9a4a-4ce1-8af8-%012x", h.serial), body: body, once: once})
}

func (a *Account) start(d *delivery) {
	h := &a.hooks
	if h.closed {
		return
	}
	h.queue = append(h.queue, d)
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	if h.working < hookWorkers {
		h.working++
		h.sending.Add(1)
		go a.work()
	}
}

func (a *Account) work() {
	h := &a.hooks
	defer h.sending.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(h.queue) > 0 {
		d := h.queue[0]
		h.queue = h.queue[1:]
		a.mu.Unlock()
		status, took := h.try(d)
		a.mu.Lock()
		a.settle(d, status, took)
	}
	if h.working--; h.working == 0 {
		close(h.idle)
		h.idle = nil
	}
}

// try posts once; status 0 is no answer in time.
func (h *hooks) try(d *delivery) (status int, took time.Duration) {
	req, err := http.NewRequest(http.MethodPost, d.url, bytes.NewReader(d.body))
	if err != nil {
		return 0, 0
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "amoCRM-Webhooks/3.0")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("X-Amocrm-Requestid", d.id)
	began := time.Now() // the two seconds are real
	resp, err := h.client.Do(req)
	took = time.Since(began)
	if err != nil {
		return 0, took
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	return resp.StatusCode, took
}

// nextTry is the schedule of the specification's §3.2.
func nextTry(tries, status int) (time.Duration, bool) {
	server := status == 499 || status >= 500 && status <= 599
	switch {
	case tries == 1:
		return 5 * time.Minute, true
	case tries == 2:
		return 15 * time.Minute, true
	case tries == 3 && server:
		return 15 * time.Minute, true
	case tries == 4 && server:
		return time.Hour, true
	}
	return 0, false
}

func (a *Account) settle(d *delivery, status int, took time.Duration) {
	h, now := &a.hooks, a.now()
	d.tries++
	h.worst = max(h.worst, took)
	if status >= 100 && status <= 299 {
		h.sent++
		h.lastBad = false
		return
	}
	h.bad = slices.DeleteFunc(append(h.bad, now), func(at time.Time) bool { return now.Sub(at) > badWindow })
	h.lastBad = true
	if len(h.bad) > badMost {
		h.disabled = true
		h.queue, h.waiting = nil, nil
		return
	}
	wait, again := nextTry(d.tries, status)
	if d.once || !again {
		return
	}
	d.due = now.Add(wait)
	h.waiting = append(h.waiting, d)
	if h.scale > 0 {
		var t *time.Timer
		t = time.AfterFunc(time.Duration(float64(wait)/h.scale), func() { a.retry(t, d) })
		h.timers[t] = struct{}{}
	}
}

func (a *Account) retry(t *time.Timer, d *delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.hooks.timers, t)
	a.again(func(one *delivery) bool { return one == d })
}

// RetryDue sends the webhooks whose next try is due by the account's clock.
func (a *Account) RetryDue() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	return a.again(func(d *delivery) bool { return !d.due.After(now) })
}

func (a *Account) again(due func(*delivery) bool) int {
	h := &a.hooks
	var left, ready []*delivery
	for _, d := range h.waiting {
		if due(d) {
			ready = append(ready, d)
		} else {
			left = append(left, d)
		}
	}
	h.waiting = left
	for _, d := range ready {
		if !h.disabled {
			a.start(d)
		}
	}
	return len(ready)
}

// Flush waits until nothing is queued; tries that are due later do not count.
func (a *Account) Flush(ctx context.Context) error {
	for {
		a.mu.Lock()
		idle := a.hooks.idle
		a.mu.Unlock()
		if idle == nil {
			return ctx.Err()
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stops sending and waits for what is on its way.
func (a *Account) Close() error {
	a.mu.Lock()
	h := &a.hooks
	h.closed, h.queue, h.waiting = true, nil, nil
	for t := range h.timers {
		t.Stop()
	}
	a.mu.Unlock()
	h.sending.Wait()
	h.client.CloseIdleConnections()
	return nil
}

// HookReport is what became of webhooks.
type HookReport struct {
	Sent     int           `json:"sent"`
	Bad      int           `json:"bad"` // within the last two hours
	Waiting  int           `json:"waiting"`
	Disabled bool          `json:"disabled"`
	Worst    time.Duration `json:"worst"` // the longest answer
}

// Hooks tells what became of webhooks.
func (a *Account) Hooks() HookReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hooks.report()
}

func (h *hooks) report() HookReport {
	return HookReport{Sent: h.sent, Bad: len(h.bad), Waiting: len(h.waiting), Disabled: h.disabled, Worst: h.worst}
}

func (a *Account) readHooks(q url.Values) reply {
	h := &a.hooks
	if want := q.Get("filter[destination]"); h.url == "" || want != "" && want != h.url {
		return none()
	}
	return a.page(url.Values{}, "webhooks", 250, []any{a.renderHook()})
}

func (a *Account) renderHook() map[string]any {
	h := &a.hooks
	return map[string]any{
		"id": 1, "destination": h.url, "created_by": UserAdmin, "created_at": a.now().Unix(), "updated_at": a.now().Unix(),
		"account_id": AccountID, "sort": 10, "disabled": h.disabled, "settings": h.settings,
	}
}

func (a *Account) writeHook(method string, body []byte) reply {
	var in struct {
		Destination string   `json:"destination"`
		Settings    []string `json:"settings"`
	}
	if json.Unmarshal(body, &in) != nil || in.Destination == "" {
		return problem(http.StatusBadRequest, "Bad Request", "destination")
	}
	h := &a.hooks
	if method == http.MethodDelete {
		if h.url == in.Destination {
			h.url = ""
		}
		return none()
	}
	h.url, h.settings, h.disabled, h.bad = in.Destination, in.Settings, false, nil
	return reply{status: http.StatusCreated, body: a.renderHook()}
}
