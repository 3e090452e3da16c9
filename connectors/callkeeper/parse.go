package callkeeper

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// maxHooks bounds what one delivery may hold; the real ones hold one call.
const maxHooks = 1000

// Receive implements connectors.Receiver. It takes the hook of a call-back
// (§2.1), the hook of a tracking call in any notation (§2.2), and a form that a
// site forwards (§1.8). Any 2xx will do as the answer.
func (c *Connector) Receive(d connectors.Delivery) (connectors.Intake, error) {
	all, err := readHooks(d)
	if err != nil {
		return connectors.Intake{}, err
	}
	var in connectors.Intake
	var notes []string
	for _, f := range all {
		rec, note, err := c.take(f, d)
		if err != nil {
			in.Refused = append(in.Refused, err)
			continue
		}
		if rec != nil {
			in.Records = append(in.Records, rec)
		}
		if len(notes) < 5 {
			notes = append(notes, note)
		}
	}
	if len(notes) == 0 && len(in.Refused) > 0 {
		return connectors.Intake{}, in.Refused[0]
	}
	in.Note = strings.Join(notes, ", ")
	if len(all) > 1 {
		in.Note = fmt.Sprintf("%d calls: %s", len(all), in.Note)
	}
	return in, nil
}

// take tells the shapes apart.
func (c *Connector) take(f facts, d connectors.Delivery) (model.Record, string, *model.Error) {
	switch {
	case f.text("id") != "" && f.text("hook_event", "phone2", "status_code") != "":
		return c.takeCallback(f)
	case f.text("cookiesBasket", "widgetHash") != "":
		return c.takeForm(f, d)
	}
	if low := f.lower(); low.text("client_number", "calltracking_number", "time_start") != "" {
		return c.takeTracking(low)
	}
	return nil, "", refused(model.CauseBadPayload, "the delivery is no hook of CallKeeper: a call-back has id and hook_event, a tracking call client_number and time_start, a form cookiesBasket or widgetHash")
}

func (c *Connector) takeCallback(f facts) (model.Record, string, *model.Error) {
	over := false
	switch strings.ToLower(f.text("hook_event")) { // already without the blank that one spelling has
	case "call is over":
		over = true
	case "call is processing":
	default: // another scenario of hooks (§2.1): the codes tell
		codes := pair(f.text("status_code"), f.text("status2_code"))
		over = codes != "1/0" && codes != "2/0"
	}
	call, err := c.hooked(f, over)
	if err != nil {
		return nil, "", asRefusal(err)
	}
	switch {
	case over:
		return call, "call-back " + call.ID + " is over, " + call.StatusID, nil
	case c.cfg.Unfinished == keep:
		return call, "call-back " + call.ID + " has begun", nil
	}
	return nil, "call-back " + call.ID + " has begun; it becomes a record when it is over", nil
}

func asRefusal(err error) *model.Error {
	if e, ok := err.(*model.Error); ok {
		return e
	}
	return refused(model.CauseBadPayload, "the call cannot be read")
}

// lower gives the facts under names in lower case and with underscores: names
// of these hooks are typed by people.
func (f facts) lower() facts {
	out := make(facts, len(f))
	for name, value := range f {
		low := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
		if _, exact := f[low]; low == name || !exact {
			out[low] = value
		}
	}
	return out
}

// takeTracking makes a call of a hook that has neither an id nor a ClientID
// (§2.2): when the list is read, it brings the same call with both.
func (c *Connector) takeTracking(f facts) (model.Record, string, *model.Error) {
	start := parseMoment(f.text("time_start"), c.cfg.zone)
	if start.IsZero() {
		return nil, "", refused(model.CauseMissingRequired, "the hook of a tracking call has no usable time_start: add this parameter to it")
	}
	// The parts cannot be told to be one call by anything else.
	id := "hook-" + digest(digitsOf(f.text("client_number")), digitsOf(f.text("calltracking_number")), f.text("time_start"))
	over := trackingOver(f)
	switch {
	case c.cfg.notesTracking():
		return nil, "tracking call " + id + "; the list brings it", nil
	case !over && c.cfg.Unfinished == skip:
		return nil, "tracking call " + id + " has begun; it becomes a record when it is over", nil
	}
	call := c.call(f, id)
	call.StartedAt, call.CreatedAt = start, start
	call.UpdatedAt = versionOf(start, over)
	call.Phone = c.phone(f.text("client_number"))
	call.VirtualNumber = c.phone(f.text("calltracking_number"))
	call.TalkDuration = seconds(f.text("duration"))
	call.RecordURLs = f.list("record_url")
	call.Source = f.text("source_type")
	call.GAClientID = f.text("ga_clid")
	call.UTM = f.utm("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
	c.setClientID(call, f.text("ya_clid", "ya_clientid", "yaclid"))
	kind := strings.ToLower(f.text("call_type"))
	f.setKind(call, strings.Contains(kind, "callback") || strings.Contains(kind, "обратн"), true)
	if !over {
		return call, "tracking call " + id + " has begun", nil
	}
	f.setTrackingStatus(call)
	return call, "tracking call " + id + " is over", nil
}

// trackingOver tells the hook of the end from that of the beginning: by the
// literal parameter event, which our instructions ask for, or by the duration,
// which does not exist at the beginning (§2.2).
func trackingOver(f facts) bool {
	switch event := strings.ToLower(f.text("event", "hook_event", "hookeventname")); {
	case strings.Contains(event, "start"), strings.Contains(event, "begin"):
		return false
	case strings.Contains(event, "end"), strings.Contains(event, "finish"), strings.Contains(event, "over"):
		return true
	}
	return f.text("duration") != ""
}

// setTrackingStatus reads call_status, whose values are not documented: a pair,
// a word, or else a call of some duration took place.
func (f facts) setTrackingStatus(call *model.Call) {
	word, codes := strings.ToLower(f.text("call_status")), ""
	switch {
	case strings.HasPrefix(word, "success"), strings.HasPrefix(word, "успеш"), word == "answered":
		word = statusSuccess
	case strings.HasPrefix(word, "fail"), strings.HasPrefix(word, "неуспеш"), strings.HasPrefix(word, "missed"), strings.HasPrefix(word, "пропущ"):
		word = statusFail
	case strings.Count(word, "/") == 1 && strings.Trim(word, "0123456789/") == "":
		codes, word = word, ""
	case call.TalkDuration > 0:
		word = statusSuccess
	default:
		word = statusFail
	}
	f.setStatus(call, codes, word)
}

// takeForm makes a request of a form that was forwarded (§1.8). It has no id: the
// same form with the same content is one request on one day.
func (c *Connector) takeForm(f facts, d connectors.Delivery) (model.Record, string, *model.Error) {
	parseBasket(f.text("cookiesBasket"), f)
	phone := c.phone(f.text("phone", "tel", "telephone", "number", "phone_number"))
	email, _ := identity.Email(f.text("email", "mail"))
	if phone == "" && email == "" {
		return nil, "", refused(model.CauseMissingRequired, "the form has no usable phone: it is expected in phone, tel, telephone, number or phone_number")
	}
	form := f.text("form_name", "form_title")
	r := &model.Event{Base: model.Base{Kind: model.KindRequest, Connection: c.deps.Connection}, Phone: phone, Email: email}
	r.ID = "form-" + digest(d.ReceivedAt.UTC().Format("2006-01-02"), phone, email, form, f.text("widgetHash"), f.text("cookiesBasket"))
	r.CreatedAt, r.UpdatedAt = d.ReceivedAt.UTC(), d.ReceivedAt.UTC()
	r.Name = f.text("name", "fio", "client_name")
	if r.Name == "" {
		r.Name = form
	}
	r.Text = f.text("message", "comment", "text")
	r.Source = form
	r.PageURL = f.text("session.cpg")
	r.UTM = f.visitUTM("current.")
	if r.UTM.Source == "" {
		r.UTM = f.utm("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
	}
	r.YCLID, r.GCLID = f.clickID("yclid"), f.clickID("gclid")
	delete(f, "cookiesBasket")
	r.Fields = model.Fields(f)
	return r, "request " + r.ID, nil
}

// parseBasket reads the visit out of cookiesBasket: sections end with ^#^#, a
// section is name:::key=value with pairs joined by three bars (§1.8).
func parseBasket(text string, into facts) {
	for _, section := range strings.Split(text, "^#^#") {
		name, pairs, ok := strings.Cut(section, ":::")
		if !ok {
			continue
		}
		for _, pair := range strings.Split(pairs, "|||") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				into.set(strings.TrimSpace(name)+"."+strings.TrimSpace(key), value)
			}
		}
	}
}

// readHooks reads a delivery of any notation: JSON, a form, or a query alone.
func readHooks(d connectors.Delivery) ([]facts, error) {
	query, err := formFacts([]byte(d.Query))
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(bytes.TrimPrefix(d.Body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return []facts{query}, nil
	}
	kind, _, err := mime.ParseMediaType(d.Header.Get("Content-Type"))
	if err == nil && strings.HasPrefix(kind, "multipart/") {
		return nil, refused(model.CauseBadEncoding, "the hook came as %s: choose application/json or application/x-www-form-urlencoded in its settings", kind)
	}
	var all []facts
	if body[0] == '{' || body[0] == '[' || strings.HasSuffix(kind, "json") {
		all, err = jsonFacts(body)
	} else {
		var one facts
		one, err = formFacts(body)
		all = []facts{one}
	}
	if err != nil {
		return nil, err
	}
	for _, f := range all { // parameters of the address stand in for what the body lacks
		for name, value := range query {
			if _, there := f[name]; !there {
				f[name] = value
			}
		}
	}
	return all, nil
}

func jsonFacts(body []byte) ([]facts, error) {
	raws := []json.RawMessage{body}
	if body[0] == '[' {
		raws = nil
		if err := loosejson.Unmarshal(body, &raws); err != nil {
			return nil, err
		}
	}
	if len(raws) == 0 || len(raws) > maxHooks {
		return nil, refused(model.CauseBadPayload, "the delivery holds %d calls; a hook holds one", len(raws))
	}
	var all []facts
	for _, raw := range raws {
		var object map[string]json.RawMessage
		if err := loosejson.Unmarshal(raw, &object); err != nil && len(raws) == 1 {
			return nil, err
		}
		all = append(all, factsOf(object)) // of what is no object: none, which is refused by itself
	}
	return all, nil
}

// formFacts reads a form as the JSON of the same content: a[b]=c is a.b.
func formFacts(data []byte) (facts, error) {
	form, err := phpform.Parse(data, phpform.Limits{Windows1251: true})
	if err != nil {
		return nil, err
	}
	f := facts{}
	for _, pair := range form.Children() {
		f.addNode(pair.Key, pair.Node)
	}
	return f, nil
}

func (f facts) addNode(name string, n phpform.Node) {
	children := n.Children()
	if len(children) == 0 {
		f.set(name, n.Text())
		return
	}
	var values []string
	for _, child := range children {
		if strings.Trim(child.Key, "0123456789") == "" && len(child.Node.Children()) == 0 {
			if value := strings.TrimSpace(child.Node.Text()); value != "" && len(value) <= maxValue {
				values = append(values, value)
			}
			continue
		}
		f.addNode(name+"."+child.Key, child.Node)
	}
	if len(values) > 0 && len(f) < maxFacts {
		f[name] = values
	}
}

// digest names what has no id of its own.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func digitsOf(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
}
