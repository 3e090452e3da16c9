package sandbox

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// slow is how long a receiver may take (§12.14).
const slow = time.Second

const senders = 16

// event is one delivery to come.
type event struct {
	name    string
	id      int
	extra   map[string]string
	appOnly bool
	raw     url.Values // a whole body instead, for forged ones
	at      time.Time
}

// binding is one event.bind.
type binding struct{ event, handler string }

// events sends what happened: at most once, in any order, by a few senders that
// live while there is something to send.
type events struct {
	portal *Portal
	client *http.Client

	mu     sync.Mutex
	url    string
	queue  []event
	active int
	idle   chan struct{} // closed when everything was sent
	sent   int
	failed int
	worst  time.Duration
}

func (s *events) prepare(p *Portal, hookURL string) {
	s.portal, s.url = p, hookURL
	s.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: senders},
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.idle = make(chan struct{})
	close(s.idle)
}

// SetHookURL says where events go from now on; "" sends none.
func (p *Portal) SetHookURL(address string) {
	p.events.mu.Lock()
	defer p.events.mu.Unlock()
	p.events.url = address
}

// Flush waits until every event was sent and answered, or has failed.
func (p *Portal) Flush(ctx context.Context) error {
	p.events.mu.Lock()
	idle := p.events.idle
	p.events.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the senders and gives their connections up.
func (p *Portal) Close() error {
	err := p.Flush(context.Background())
	p.events.client.CloseIdleConnections()
	return err
}

// Events counts the deliveries that were answered and that failed on the way,
// and gives the longest time an answer took.
func (p *Portal) Events() (sent, failed int, worst time.Duration) {
	p.events.mu.Lock()
	defer p.events.mu.Unlock()
	return p.events.sent, p.events.failed, p.events.worst
}

// fire queues an event; the caller holds the portal's lock. Updates are
// repeated now and then (§12.13).
func (p *Portal) fire(e event) {
	if e.appOnly && !p.app {
		return
	}
	e.at = p.now()
	targets := []string{p.events.address()}
	if p.app {
		targets = nil
		for _, b := range p.bound {
			if strings.EqualFold(b.event, e.name) {
				targets = append(targets, b.handler)
			}
		}
	}
	times := 1
	if strings.HasSuffix(e.name, "UPDATE") && p.rand.IntN(20) == 0 {
		times = 2
	}
	for _, target := range targets {
		if target == "" {
			continue
		}
		for range times {
			p.events.push(target, e, p.app)
		}
	}
}

func (s *events) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

func (s *events) push(target string, e event, app bool) {
	if e.raw == nil {
		e.raw = s.portal.body(e, app)
	}
	e.raw.Set("\x00target", target)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.idle:
		s.idle = make(chan struct{})
	default:
	}
	s.queue = append(s.queue, e)
	if s.active < senders {
		s.active++
		go s.run()
	}
}

// body has exactly the auth keys of its sender (§4.2).
func (p *Portal) body(e event, app bool) url.Values {
	host := p.host
	if host == "" {
		host = "sandbox.bitrix24.ru"
	}
	v := url.Values{
		"event": {e.name}, "event_handler_id": {"185"}, "data[FIELDS][ID]": {strconv.Itoa(e.id)},
		"ts": {strconv.FormatInt(e.at.Unix(), 10)}, "auth[domain]": {host},
		"auth[client_endpoint]": {"https://" + host + "/rest/"}, "auth[server_endpoint]": {"https://oauth.bitrix.info/rest/"},
		"auth[member_id]": {MemberID}, "auth[application_token]": {ApplicationToken},
	}
	for key, value := range e.extra {
		v.Set(key, value)
	}
	if app {
		for key, value := range map[string]string{
			"access_token": "actingusertoken", "expires": strconv.FormatInt(e.at.Add(time.Hour).Unix(), 10),
			"expires_in": "3600", "scope": "crm", "status": "L", "user_id": "1",
		} {
			v.Set("auth["+key+"]", value)
		}
	}
	return v
}

func (s *events) run() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			if s.active--; s.active == 0 {
				close(s.idle)
			}
			s.mu.Unlock()
			return
		}
		// Order is not kept: one of the next few goes first.
		i := int(uint(len(s.queue)*7919) % uint(min(len(s.queue), 2*senders)))
		s.queue[0], s.queue[i] = s.queue[i], s.queue[0]
		e := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.send(e)
	}
}

func (s *events) send(e event) {
	target := e.raw.Get("\x00target")
	body := make(url.Values, len(e.raw))
	for key, value := range e.raw {
		if key != "\x00target" {
			body[key] = value
		}
	}
	start := time.Now()
	resp, err := s.client.Post(target, "application/x-www-form-urlencoded", strings.NewReader(body.Encode()))
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	took := time.Since(start)

	s.mu.Lock()
	s.worst = max(s.worst, took)
	if err != nil {
		s.failed++ // logged by the real one, and never sent again (§4.4)
	} else {
		s.sent++
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	if took > slow || resp.StatusCode/100 != 2 {
		s.portal.mu.Lock()
		s.portal.violate("answered the event %s with %d after %s", body.Get("event"), resp.StatusCode, took.Round(time.Millisecond))
		s.portal.mu.Unlock()
	}
}

// Forge sends what nobody may act on: events with a wrong token, of another
// portal, without auth, and of unknown names. They name ids that nothing else
// names; a read of one of them is a violation. It returns how many were sent.
func (p *Portal) Forge() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	target := p.events.address()
	if target == "" {
		return 0
	}
	spoil := []func(url.Values){
		func(v url.Values) { v.Set("auth[application_token]", "wrong"+ApplicationToken[5:]) },
		func(v url.Values) { v.Set("auth[member_id]", strings.Repeat("f", 32)) },
		func(v url.Values) {
			for key := range v {
				if strings.HasPrefix(key, "auth") {
					v.Del(key)
				}
			}
		},
		func(v url.Values) { v.Set("event", "ONCRMNOBODYKNOWSTHIS") },
	}
	for i, f := range spoil {
		id := 900_000_000 + len(p.ghosts) + i
		p.ghosts[Deal+":"+strconv.Itoa(id)] = true
		e := event{name: "ONCRMDEALUPDATE", id: id, at: p.now()}
		e.raw = p.body(e, p.app)
		f(e.raw)
		p.events.push(target, e, p.app)
	}
	return len(spoil)
}

// MixedCase sends a true update of a deal under a name in mixed case.
func (p *Portal) MixedCase(dealID int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if target := p.events.address(); target != "" {
		p.events.push(target, event{name: "onCrmDealUpdate", id: dealID, at: p.now()}, p.app)
	}
}

func (p *Portal) doBind(args map[string]any) (result, *restError) {
	b := binding{event: strings.ToUpper(text(child(args, "event"))), handler: text(child(args, "handler"))}
	if !strings.HasPrefix(b.event, "ON") {
		return result{}, fail(400, "ERROR_EVENT_NOT_FOUND", "Event not found")
	}
	if slices.Contains(p.bound, b) {
		return result{}, fail(400, "ERROR_CORE", "Unable to set event handler: Handler already binded")
	}
	p.bound = append(p.bound, b)
	return result{value: true}, nil
}

func (p *Portal) doBound(map[string]any) (result, *restError) {
	rows := []any{}
	for _, b := range p.bound {
		rows = append(rows, map[string]any{"event": b.event, "handler": b.handler, "auth_type": "0", "offline": 0})
	}
	return result{value: rows}, nil
}

func (p *Portal) doUnbind(args map[string]any) (result, *restError) {
	b := binding{event: strings.ToUpper(text(child(args, "event"))), handler: text(child(args, "handler"))}
	before := len(p.bound)
	p.bound = slices.DeleteFunc(p.bound, func(x binding) bool { return x == b })
	return result{value: map[string]any{"count": before - len(p.bound)}}, nil
}
