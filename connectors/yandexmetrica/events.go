package yandexmetrica

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

const (
	// One request per event at 8 a second: a batch takes a minute at most.
	maxEvents     = 400
	maxEventBytes = 32 << 10
	eventTimeout  = 30 * time.Second
	// eventWindow is how old an event may be (yandex-metrica §13).
	eventWindow = 12 * time.Hour
)

// eventsSchema is §13. Names are those of the protocol.
func eventsSchema() model.Schema {
	s := model.Schema{
		As: asEvents, Key: keyParameter, AnyOf: [][]string{{"cid"}},
		Parameters: []model.Parameter{
			keyOf(),
			{Name: "cid", Type: model.TypeClientIDs, Required: true, Doc: "The visitor's Metrica ClientID. Of several the first is sent."},
			{Name: "t", Type: model.TypeText, Doc: "event or pageview. Left out, the flow's option type, or else event."},
			{Name: "et", Type: model.TypeTime, Doc: "When it happened; at most 12 hours ago."},
			{Name: "dl", Type: model.TypeText, Doc: "Address of the page; required for a pageview."},
			{Name: "dr", Type: model.TypeText, Doc: "Address of the page before."},
			{Name: "dt", Type: model.TypeText, Doc: "Title of the page; a pageview without one takes its address."},
			{Name: "ea", Type: model.TypeText, Doc: "Identifier of the goal of an event. Left empty, the flow's option target."},
			{Name: "ev", Type: model.TypeDecimal, Doc: "What the goal is worth."},
			{Name: "cu", Type: model.TypeCurrency, Doc: "ISO 4217 code of the worth. Left empty, the project's."},
			{Name: "params", Type: model.TypeText, Doc: "Parameters of the visit, as a JSON object."},
			{Name: "ti", Type: model.TypeText, Doc: "Id of a purchase."},
			{Name: "tr", Type: model.TypeDecimal, Doc: "Total of a purchase."},
		},
		Defaults: map[model.Kind]map[string]string{},
	}
	for _, kind := range []model.Kind{model.KindCall, model.KindChat, model.KindContact, model.KindDeal, model.KindGoal, model.KindLead, model.KindRequest, model.KindVisit} {
		s.Defaults[kind] = eventMap(string(kind))
	}
	for _, kind := range []model.Kind{model.KindChat, model.KindGoal, model.KindRequest} {
		s.Defaults[kind]["ea"] = string(kind) + ".target"
	}
	for _, kind := range []model.Kind{model.KindCall, model.KindChat, model.KindGoal, model.KindRequest, model.KindVisit} {
		s.Defaults[kind]["dl"] = string(kind) + ".page_url"
	}
	for _, kind := range []model.Kind{model.KindDeal, model.KindLead} {
		s.Defaults[kind]["ev"] = string(kind) + ".amount"
		s.Defaults[kind]["cu"] = string(kind) + ".currency"
	}
	s.Defaults[model.KindCall]["et"] = "coalesce(call.started_at, call.created_at)"
	s.Defaults[model.KindContact]["cid"] = "coalesce(contact.client_id, first(contact.client_ids))"
	s.Defaults[model.KindVisit]["t"] = `"pageview"`
	s.Defaults[model.KindVisit]["dr"] = "visit.referrer"
	return s
}

func eventMap(record string) map[string]string {
	return map[string]string{
		"id":  record + ".id",
		"cid": "coalesce(" + record + ".client_id, contact.client_id, first(contact.client_ids))",
		"et":  record + ".created_at",
	}
}

var errNoMS = errors.New("to: events need the token of the Measurement Protocol; set ms of the connection")

// encodeEvents writes one line for each event: the row's key, and the request's
// body without counter and token.
func (c *Connector) encodeEvents(u connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	options, errs := readOptions(u.As, u.Options)
	if c.MS == "" {
		errs = append(errs, errNoMS)
	}
	if len(errs) > 0 {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "flow: %w", errs[0])
	}
	columns, err := sheetColumns(u, []string{"t", "ea", "cu", "dt"})
	if err != nil {
		return nil, err
	}
	ew := &eventWriter{sheetWriter{output: newOutput(u.As, w), columns: columns, cell: sheetCell{now: c.now()}}}
	ew.cells = cells{at: map[string]int{}, values: make([]any, len(columns))}
	for i, col := range columns {
		ew.cells.at[col.name] = i
	}
	ew.rules.finish = func(row *cells) *model.Error { return c.finishEvent(row, options) }
	return ew, nil
}

func (c *Connector) finishEvent(row *cells, o flowOptions) *model.Error {
	if !row.has("t") {
		row.set("t", o.eventType)
	}
	dropBadAddress(row, "dl", "dr")
	switch row.text("t") {
	case "pageview":
		if !row.has("dl") {
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "parameter dl is empty; or no address; a pageview needs the page's")
		}
		if !row.has("dt") {
			row.set("dt", row.get("dl"))
		}
	case "event":
		if !row.has("ea") {
			row.set("ea", o.target)
		}
		if ea := row.text("ea"); !targetLike(ea) {
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired,
				"parameter ea is not the identifier of a goal and the flow has no option target")
		}
	default:
		return model.Errorf(model.ClassPermanent, model.CauseBadValue, "parameter t is neither event nor pageview")
	}
	if at, ok := row.get("et").(time.Time); ok && !at.IsZero() && c.now().Sub(at) > eventWindow {
		return tooOld()
	}
	if p := row.text("params"); p != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(p), &object) != nil {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue, "parameter params is not a JSON object")
		}
	}
	if row.has("ev") && !row.has("cu") && c.currency != "" {
		row.set("cu", c.currency)
	}
	return nil
}

func tooOld() *model.Error {
	return model.Errorf(model.ClassPermanent, model.CauseBadValue,
		"parameter et is more than 12 hours ago, which Metrica drops without a word; send the record as a conversion")
}

// eventWriter encodes events.
type eventWriter struct{ sheetWriter }

// Write implements connectors.RowWriter.
func (w *eventWriter) Write(row *model.Row) error {
	if w.failed != nil {
		return w.failed
	}
	if err := w.fill(row); err != nil {
		return err
	}
	form := url.Values{}
	for i := range w.columns {
		cell, err := w.cell.plain(&w.columns[i], w.cells.values[i])
		if err != nil {
			return err
		}
		if cell != "" {
			form.Set(w.columns[i].name, cell)
		}
	}
	line := url.QueryEscape(row.Key) + " " + form.Encode() + "\n"
	if len(line) > maxEventBytes {
		return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "the event has more than %d bytes; shorten its texts", maxEventBytes)
	}
	mark := len(w.buf)
	w.buf = append(w.buf, line...)
	return w.keep(mark)
}

// plain writes a value outside of a CSV file.
func (c sheetCell) plain(col *column, v any) (string, error) {
	if s, ok := v.(string); ok && col.typ == model.TypeText {
		return strings.TrimSpace(s), nil
	}
	cell, err := c.append(nil, col, v)
	return string(cell), err
}

// event is one line of an encoded batch.
type event struct {
	key  string
	form url.Values
	line string
}

func readEvents(body connectors.Body) ([]event, error) {
	var out []event
	lines := bufio.NewScanner(io.NewSectionReader(body, 0, body.Size()))
	lines.Buffer(make([]byte, 4096), maxEventBytes+1)
	for lines.Scan() {
		key, rest, ok := strings.Cut(lines.Text(), " ")
		form, err := url.ParseQuery(rest)
		key, keyErr := url.QueryUnescape(key)
		if !ok || err != nil || keyErr != nil {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "the encoded events cannot be read again")
		}
		out = append(out, event{key, form, lines.Text()})
	}
	return out, lines.Err()
}

// sendEvents sends one request for each event. Nobody can be asked whether an
// event arrived, and a repeated one counts twice: what was sent is remembered
// before the next one goes, so that a batch that breaks off goes on from there.
func (c *Connector) sendEvents(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	options, errs := readOptions(u.As, u.Options)
	if len(errs) > 0 {
		return connectors.Outcome{}, model.Errorf(model.ClassPermanent, model.CauseBadValue, "flow: %w", errs[0])
	}
	events, err := readEvents(body)
	if err != nil {
		return connectors.Outcome{}, err
	}
	sent := c.recallSent(ctx)
	if sent.done {
		sent.marks = nil
	}
	sent.upload, sent.done = u.ID, false
	out := connectors.Outcome{State: connectors.UploadAccepted}
	for _, e := range events {
		mark := markOf(e)
		if slices.Contains(sent.marks, mark) {
			out.Accepted++
			continue
		}
		refused, err := c.sendEvent(ctx, e, options)
		if err != nil {
			return connectors.Outcome{}, err // the events before it are remembered
		}
		if refused != nil {
			out.Refused = append(out.Refused, connectors.RowError{Key: e.key, Err: refused})
			if refused.Cause != model.CauseInDoubt {
				continue
			}
		} else {
			out.Accepted++
		}
		sent.marks = append(sent.marks, mark)
		c.noteSent(ctx, sent)
	}
	sent.done = true
	c.noteSent(ctx, sent)
	out.Details, _ = json.Marshal(map[string]int{"sent": out.Accepted, "refused": len(out.Refused)})
	return out, nil
}

// sendEvent sends one event: refused is about this one, err ends the batch.
func (c *Connector) sendEvent(ctx context.Context, e event, o flowOptions) (refused *model.Error, err error) {
	if at, err := strconv.ParseInt(e.form.Get("et"), 10, 64); err == nil && c.now().Sub(time.Unix(at, 0)) > eventWindow {
		return tooOld(), nil
	}
	if c.limiter != nil {
		if err := c.limiter.Wait(ctx, addressKey, connectors.Limit{Rate: perSecond, Period: time.Second, Burst: perSecond}); err != nil {
			return nil, err
		}
	}
	// The token goes in the body: addresses are logged on the way (§13).
	e.form.Set("tid", c.Counter)
	e.form.Set("ms", c.MS.Reveal())
	data := []byte(e.form.Encode())
	resp, err := c.http.Do(ctx, outbound.Request{
		Method: http.MethodPost, URL: c.CollectURL, Timeout: eventTimeout,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   bytes.NewReader(data), ContentLength: int64(len(data)),
	})
	if err != nil && model.ClassOf(err) == model.ClassUnknown {
		if o.repeat {
			return nil, repeatable(err)
		}
		return model.Errorf(model.ClassUnknown, model.CauseInDoubt,
			"no answer to the event, and nobody can be asked whether it arrived; send it again only if counting it twice is better than losing it"), nil
	}
	if err != nil {
		return nil, err
	}
	return c.judgeEvent(resp)
}

// judgeEvent reads an answer. 200 proves nothing more than that the request was
// taken (§13).
func (c *Connector) judgeEvent(resp outbound.Response) (refused *model.Error, err error) {
	switch s := resp.Status; {
	case s >= 200 && s < 300:
		return nil, nil
	case s == 420 || s == http.StatusTooManyRequests:
		until := retryAfter(resp.Header, c.now())
		if until.IsZero() {
			until = c.now().Add(time.Minute)
		}
		return nil, &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, RetryAt: until, Message: "send an event: Metrica asks to wait"}
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return nil, model.Errorf(model.ClassReauth, model.CauseAuth, "send an event: Metrica answered %d; check ms of the connection", s)
	case s >= 500 || s == http.StatusRequestTimeout:
		return nil, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "send an event: Metrica answered %d", s)
	case s >= 300 && s < 400:
		return nil, model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "send an event: a redirect; check collect_url of the connection")
	}
	return model.Errorf(model.ClassPermanent, model.CauseRefusedByRemote, "Metrica answered %d to the event", resp.Status), nil
}

// sentMemory keeps what of the latest batch was sent: our number of it, whether
// it came to its end, and marks of its events.
const sentMemory = "events_sent"

// sentBatch is what of a batch was sent.
type sentBatch struct {
	upload int64
	done   bool
	marks  []string
}

func (c *Connector) recallSent(ctx context.Context) sentBatch {
	if c.memory == nil {
		return sentBatch{}
	}
	kept, err := c.memory.Recall(ctx, sentMemory)
	if err != nil {
		c.log.Warn("the events sent before are not known", zap.Error(err))
	}
	parts := strings.Fields(kept)
	if len(parts) < 2 {
		return sentBatch{}
	}
	id, _ := strconv.ParseInt(parts[0], 10, 64)
	return sentBatch{id, parts[1] == "done", parts[2:]}
}

func (c *Connector) noteSent(ctx context.Context, b sentBatch) {
	if c.memory == nil {
		return
	}
	state := "open"
	if b.done {
		state, b.marks = "done", nil
	}
	text := strings.Join(append([]string{strconv.FormatInt(b.upload, 10), state}, b.marks...), " ")
	// The events are gone: that must be written down even when we are being stopped.
	if err := c.memory.Remember(context.WithoutCancel(ctx), sentMemory, text); err != nil {
		c.log.Warn("sent events are not remembered", zap.Error(err))
	}
}

// settleEvents knows the batch that came to its end before its worker noted so.
// Of another the events that were sent are remembered and not sent again.
func (c *Connector) settleEvents(ctx context.Context, u connectors.Upload) (connectors.Outcome, bool, error) {
	b := c.recallSent(ctx)
	if b.upload != u.ID || !b.done {
		return connectors.Outcome{}, false, nil
	}
	return connectors.Outcome{State: connectors.UploadAccepted, Accepted: u.Rows}, true, nil
}

// markOf names an event among the latest.
func markOf(e event) string {
	sum := sha256.Sum256([]byte(e.line))
	return hex.EncodeToString(sum[:8])
}
