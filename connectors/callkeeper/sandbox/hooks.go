package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// slow is how long a receiver may take (§6); the real limit is not known.
const slow = 10 * time.Second

// hook is one delivery to come.
type hook struct {
	call        *call
	event       string // in the list's words
	method      string
	contentType string
	query       string
	body        []byte
}

// sender sends hooks one after another while there are any.
type sender struct {
	service *Service
	client  *http.Client

	mu     sync.Mutex
	url    string
	queue  []hook
	active bool
	idle   chan struct{} // closed when everything was sent
	sent   int
	failed int
	worst  time.Duration
}

func (s *sender) prepare(service *Service, hookURL string) {
	s.service, s.url = service, hookURL
	s.client = &http.Client{
		Transport:     &http.Transport{},
		Timeout:       slow,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.idle = make(chan struct{})
	close(s.idle)
}

// SetHookURL says where hooks go from now on; "" sends none.
func (s *Service) SetHookURL(address string) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.url = address
}

// Flush waits until every hook was answered or has failed.
func (s *Service) Flush(ctx context.Context) error {
	s.hooks.mu.Lock()
	idle := s.hooks.idle
	s.hooks.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the hooks and gives their connections up.
func (s *Service) Close() error {
	err := s.Flush(context.Background())
	s.hooks.client.CloseIdleConnections()
	return err
}

// Hooks counts the hooks that were taken and that failed, and gives the longest
// time an answer took.
func (s *Service) Hooks() (sent, failed int, worst time.Duration) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return s.hooks.sent, s.hooks.failed, s.hooks.worst
}

// announce queues the hooks of a call; the caller holds the lock. Every body
// goes twice, and for every other call the end comes before the beginning (§6).
func (s *Service) announce(c *call, over bool) {
	if !s.sends[c.Service] {
		return
	}
	if !over {
		s.hooks.push(s.hook(c, false))
		return
	}
	first, last := s.hook(c, false), s.hook(c, true)
	if c.number%2 == 1 {
		first, last = last, first
	}
	s.hooks.push(first, first, last, last)
}

func (s *Service) announceEnd(c *call) {
	if s.sends[c.Service] {
		end := s.hook(c, true)
		s.hooks.push(end, end)
	}
}

func (s *Service) hook(c *call, over bool) hook {
	h := hook{call: c, event: "BEFORE_CALL_START", method: http.MethodPost}
	if over {
		h.event = "AFTER_CALL_FINISH"
	}
	if c.Service == Callback {
		h.contentType, h.body = "application/json", callbackBody(c, over)
		return h
	}
	values := trackingValues(c, over)
	if s.get {
		h.method, h.query = http.MethodGet, values.Encode()
		return h
	}
	h.contentType, h.body = "application/x-www-form-urlencoded", []byte(values.Encode())
	return h
}

// ringing is how many seconds pass before the talk of a call-back.
const ringing = 15

// callbackBody is the classic hook (§2.1) with its oddities: a blank in one
// spelling of the event and as "no tags", minutes as text.
func callbackBody(c *call, over bool) []byte {
	event, first, second, duration, whole := "Call is processing", 1, 0, 0, 0
	if over {
		event, first, second, duration, whole = " Call is over", c.First, c.Second, c.Duration, c.Duration+ringing
	}
	null := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	date := c.Started.UTC().Format(callTime)
	data, err := json.Marshal(map[string]any{
		"id": c.number, "hook_event": event, "event_source": c.tool(),
		"visit_info": map[string]any{
			"current": map[string]string{"typ": "utm", "src": c.Source, "mdm": c.Medium, "cmp": c.Call.Campaign, "cnt": orNone(c.Content), "trm": orNone(c.Term)},
			"session": map[string]string{"pgs": "3", "cpg": c.Page}, "udata": map[string]string{"vst": "1", "uag": "Mozilla/5.0"},
		},
		"status_code": first, "status_reason": "", "status2_code": second, "status2_reason": "",
		"ip": "127.0.0.1", "uip": "127.0.0.1", "country": "RU", "city": c.City, "region": "", "district": "", "site": "shop.example.ru",
		"ga_clientid": c.GAClientID, "ga_clid": null(c.GAClientID), "ya_clientid": null(c.ClientID), "roistat_visit": null(c.Roistat),
		"phone1": c.Manager + "()", "phone2": c.Client, "widget_hash": widgetHash, "widget_name": "Виджет",
		"date": date, "date_timestamp": c.Started.Unix(), "order_date": date,
		"duration_sec": whole, "duration_min": strconv.Itoa(duration / 60), "duration2_sec": duration, "duration2_min": strconv.Itoa(duration / 60),
		"record_url": "", "attempt": 1, "a_type": 1, "playback_tick": 0, "asr_attempts": 0, "tags": " ",
	})
	if err != nil {
		return nil // maps of texts and numbers always can be written
	}
	return data
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}

// trackingValues are the parameters of a tracking hook under the names of their
// values (§2.2); at the beginning of a call there is no duration.
func trackingValues(c *call, over bool) url.Values {
	v := url.Values{
		"event": {"start"}, "client_number": {c.Client}, "calltracking_number": {c.Number}, "manager_number": {c.Manager},
		"time_start": {c.Started.UTC().Format(callTime)}, "city": {c.City}, "country": {"Россия"}, "device": {"desktop"},
		"source_type": {"utm"}, "utm_source": {c.Source}, "utm_medium": {c.Medium}, "utm_campaign": {c.Call.Campaign},
		"utm_content": {c.Content}, "utm_term": {c.Term}, "ga_clid": {c.GAClientID}, "call_type": {"calltracking"},
	}
	if over {
		v.Set("event", "end")
		v.Set("duration", strconv.Itoa(c.Duration))
		v.Set("call_status", c.status())
	}
	return v
}

func (s *sender) push(hooks ...hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.url == "" {
		return
	}
	s.queue = append(s.queue, hooks...)
	if !s.active {
		s.active, s.idle = true, make(chan struct{})
		go s.run()
	}
}

func (s *sender) run() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.active = false
			close(s.idle)
			s.mu.Unlock()
			return
		}
		h, target := s.queue[0], s.url
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.send(h, target)
	}
}

// send makes one attempt: what is answered late or badly is lost (§6).
func (s *sender) send(h hook, target string) {
	address := target
	if h.query != "" {
		glue := "?"
		if strings.Contains(address, "?") {
			glue = "&"
		}
		address += glue + h.query
	}
	start := time.Now()
	status := 0
	req, err := http.NewRequest(h.method, address, bytes.NewReader(h.body))
	if err == nil {
		if h.contentType != "" {
			req.Header.Set("Content-Type", h.contentType)
		}
		var resp *http.Response
		if resp, err = s.client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			status = resp.StatusCode
		}
	}
	took := time.Since(start)
	good := err == nil && status/100 == 2

	s.mu.Lock()
	s.worst = max(s.worst, took)
	if good {
		s.sent++
	} else {
		s.failed++
	}
	s.mu.Unlock()
	s.service.mu.Lock()
	defer s.service.mu.Unlock()
	h.call.results = append(h.call.results, hookResult{Event: h.event, Address: target, Method: h.method, Status: status})
	if !good {
		s.service.violate("a hook %s was answered with %d after %s", h.event, status, took.Round(time.Millisecond))
	}
}
