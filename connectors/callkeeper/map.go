package callkeeper

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// Goals that are usual for calls (§5.5), in the field "goal".
const (
	goalCallback = "call"
	goalTracking = "calltracking_call_order"
)

// What a call is to the list (§3.2).
const (
	serviceCallback = "callback"
	serviceTracking = "calltracking"
)

// Values of the field "status", as the list writes them; it is worked out where
// the source tells only codes.
const (
	statusSuccess = "success"
	statusFail    = "fail"
)

// refused makes the error of a call that cannot be used.
func refused(cause model.Cause, format string, args ...any) *model.Error {
	return model.Errorf(model.ClassPermanent, cause, format, args...)
}

// leftOut are facts of the list that are not the call's: its place in the list,
// and where hooks went, which holds secrets.
var leftOut = []string{"page", "hooks"}

// listed makes a call of a row of the list (§3.2). It is nil when the call is
// not over and such are not wanted.
func (c *Connector) listed(raw json.RawMessage) (*model.Call, error) {
	var object map[string]json.RawMessage
	if err := loosejson.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	for _, name := range leftOut {
		delete(object, name)
	}
	f := factsOf(object)
	callback := f.text("serviceType") == serviceCallback
	f.dropForeign(callback)
	id := f.text("universalId")
	if call := f.text("cbCallId"); callback && c.cfg.CallbackID == byCall && call != "" {
		id = callbackID(call)
	}
	if !plain(id) {
		return nil, refused(model.CauseBadPayload, "a call of the list has no usable universalId")
	}
	call := c.call(f, id)
	call.StartedAt = parseMoment(f.text("callTime"), c.cfg.zone)
	call.CreatedAt = call.StartedAt
	call.Phone = c.phone(f.text("clientNumber"))
	call.TalkDuration = seconds(f.text("duration"))
	call.Campaign = f.text("ctCampaignName")
	call.PageURL = f.text("callPage")
	call.RecordURLs = f.list("recordUrl")
	call.First = f.text("unique") == "true"
	call.Source = f.text("serviceType")
	if callback {
		call.Source = f.text("cbEventSource", "serviceType")
	}
	call.GAClientID = f.text("gaClid")
	call.Roistat = f.text("roistatClid")
	call.UTM = f.utm("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term")
	c.setClientID(call, f.text("yaClid"))
	f.setKind(call, callback, f.text("serviceType") == serviceTracking)
	if !f.setStatus(call, pair(f.text("statusFirst"), f.text("statusSecond")), f.text("status")) && c.cfg.Unfinished == skip {
		return nil, nil
	}
	return call, nil
}

// dropForeign leaves out what the list says with 0 and "" about the other
// service (§3.2: no value is ever null).
func (f facts) dropForeign(callback bool) {
	for name, value := range f {
		foreign := strings.HasPrefix(name, "cb")
		if callback {
			foreign = strings.HasPrefix(name, "ct")
		}
		if text, ok := value.(string); ok && foreign && (text == "0" || text == "false") {
			delete(f, name)
		}
	}
}

// hooked makes a call of a hook about a call-back (§1.5, §2.1). over says whether
// the hook tells the end.
func (c *Connector) hooked(f facts, over bool) (*model.Call, error) {
	id := f.text("id")
	if !plain(id) {
		return nil, refused(model.CauseBadPayload, "the hook of a call-back has no usable id")
	}
	call := c.call(f, callbackID(id))
	// date is UTC and the same as date_timestamp (§2.1).
	call.StartedAt = parseMoment(f.text("date_timestamp", "date"), time.UTC)
	if call.StartedAt.IsZero() {
		call.StartedAt = parseMoment(f.text("date"), time.UTC)
	}
	call.CreatedAt = call.StartedAt
	call.Phone = c.phone(f.text("phone2"))
	call.TalkDuration = seconds(f.text("duration2_sec"))
	call.PageURL = f.text("visit_info.session.cpg", "visit_info.cpg")
	call.RecordURLs = f.list("record_url")
	call.Source = f.text("event_source")
	call.GAClientID = f.text("ga_clientid", "ga_clid")
	call.Roistat = f.text("roistat_visit")
	call.UTM = f.visitUTM("visit_info.current.")
	c.setClientID(call, f.text("ya_clientid"))
	f.setKind(call, true, false)
	ended := f.setStatus(call, pair(f.text("status_code"), f.text("status2_code")), "")
	switch {
	case !over: // the first hook's codes are those of a call that goes on
		call.Missed = false
		delete(call.Fields, "status")
	case !ended:
		call.Missed = true
		call.Fields["status"] = statusFail
	}
	call.UpdatedAt = versionOf(call.StartedAt, over)
	return call, nil
}

// callbackID names a call-back by its id in CallKeeper, apart from the ids of
// the other service.
func callbackID(id string) string { return "cb-" + id }

// versionOf is a time for what a hook tells: the call's beginning for the first
// hook and a second later for the last, so that neither order nor repetition
// matters (§2.1). The list's versions are later than both; an end by the call's
// duration and the sender's clock might lie before us.
func versionOf(start time.Time, over bool) time.Time {
	if start.IsZero() || !over {
		return start
	}
	return start.Add(time.Second)
}

// call makes a call with what all sources have.
func (c *Connector) call(f facts, id string) *model.Call {
	call := &model.Call{Base: model.Base{Kind: model.KindCall, Connection: c.deps.Connection, ID: id}}
	call.Tags = f.list("tags")
	call.YCLID = f.clickID("yclid")
	call.GCLID = f.clickID("gclid")
	call.Fields = model.Fields(f)
	return call
}

func (c *Connector) setClientID(call *model.Call, text string) {
	if id, ok := identity.ClientID(text); ok {
		call.ClientID = id
	}
}

// setKind tells call-backs from calls to numbers; a call without a ClientID or a
// click Metrica can link to no visit, so it counts as one to a static number
// (§5.4). For calls of unknown origin (imported ones) the direction is not known.
func (f facts) setKind(call *model.Call, callback, tracking bool) {
	switch {
	case callback:
		call.Direction, call.CallKind = "out", "callback"
		call.Fields["goal"] = goalCallback
		return
	case tracking:
		call.Direction = "in"
	}
	call.CallKind = "static"
	if call.ClientID != "" || call.YCLID != "" {
		call.CallKind = "dynamic"
	}
	call.Fields["goal"] = goalTracking
}

// setStatus fills in the pair of codes and whether the call took place: only
// 200/200 did (§1.6), unless the source says it in a word. It reports whether
// the call is over.
func (f facts) setStatus(call *model.Call, codes, word string) (over bool) {
	call.StatusID = codes
	if codes == "1/0" || codes == "2/0" {
		delete(call.Fields, "status")
		return false
	}
	switch strings.ToLower(word) {
	case statusSuccess:
		word = statusSuccess
	case statusFail:
		word = statusFail
	default:
		word = statusFail
		if codes == "200/200" {
			word = statusSuccess
		}
	}
	call.Missed = word == statusFail
	call.Fields["status"] = word
	return true
}

func pair(first, second string) string {
	if first == "" && second == "" {
		return ""
	}
	if second == "" {
		second = "0"
	}
	return first + "/" + second
}

func (c *Connector) phone(text string) string {
	digits, ok := identity.Phone(text, c.cfg.PhoneRegion)
	if !ok {
		return ""
	}
	return digits
}

// utm reads the five tags from their names in the usual order.
func (f facts) utm(source, medium, campaign, content, term string) model.UTM {
	return model.UTM{
		Source: f.named(source), Medium: f.named(medium), Campaign: f.named(campaign),
		Content: f.named(content), Term: f.named(term),
	}
}

// visitUTM reads the tags of a visit under either of the names that they may
// have: the short ones of the cookies (§1.8) or the usual ones.
func (f facts) visitUTM(prefix string) model.UTM {
	tag := func(short, long string) string { return f.named(prefix+short, prefix+"utm_"+long, prefix+long) }
	return model.UTM{
		Source: tag("src", "source"), Medium: tag("mdm", "medium"), Campaign: tag("cmp", "campaign"),
		Content: tag("cnt", "content"), Term: tag("trm", "term"),
	}
}

// seconds reads a duration that is not negative; a day is more than any call.
func seconds(text string) int {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return int(min(n, 86400))
}

// parseMoment reads a time or gives none; the text stays in the fields.
func parseMoment(text string, zone *time.Location) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := loosejson.ParseTime(text, zone)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return time.Time{}
	}
	return t.UTC()
}
