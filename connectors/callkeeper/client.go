package callkeeper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// listLimit is our own: none is documented (§7.5).
var listLimit = connectors.Limit{Rate: 1, Period: time.Second, Burst: 5}

// limitKey names the account by a hash: keys of limits are shown.
func (c *Connector) limitKey() string {
	sum := sha256.Sum256([]byte(c.cfg.URL + " " + c.cfg.Key.Reveal()))
	return Kind + ":" + hex.EncodeToString(sum[:6])
}

// list reads one page of the calls that began between from and to. end says that
// there is nothing on this page nor behind it: a list that ends tells so by an
// error (§3.2).
func (c *Connector) list(ctx context.Context, page int, from, to time.Time) (rows []json.RawMessage, end bool, err error) {
	if err := c.deps.Limiter.Wait(ctx, c.limitKey(), listLimit); err != nil {
		return nil, false, err
	}
	resp, err := c.deps.HTTP.Do(ctx, outbound.Request{
		// What looks like a path is the query (§3.1). Days have no zone, so moments
		// are asked for.
		URL: fmt.Sprintf("%s/api/?json/v3/%s/call/%s/%d/%d/%d", c.cfg.URL, c.cfg.Key.Reveal(), c.cfg.Method,
			page, from.Unix(), to.Unix()),
		Header: http.Header{"Accept": {"application/json"}},
	})
	if err != nil {
		return nil, false, err
	}
	rows, end, err = readList(resp, c.deps.Now())
	if e, ok := err.(*model.Error); ok && e.Class == model.ClassQuota && !e.RetryAt.IsZero() {
		if perr := c.deps.Limiter.Pause(ctx, c.limitKey(), e.RetryAt); perr != nil {
			return nil, false, perr
		}
	}
	return rows, end, err
}

// readList tells rows from errors: a list is success, an object is failure,
// whatever the status (§3.3, §7.5).
func readList(resp outbound.Response, now time.Time) (rows []json.RawMessage, end bool, err error) {
	body := bytes.TrimSpace(bytes.TrimPrefix(resp.Body, []byte("\xef\xbb\xbf")))
	if len(body) > 0 && body[0] == '[' && resp.Status/100 == 2 {
		if err := loosejson.Unmarshal(body, &rows); err != nil {
			return nil, false, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "list of calls: the answer is no whole list: %w", err)
		}
		return rows, len(rows) == 0, nil
	}
	var envelope struct {
		Inbound loosejson.Map[json.RawMessage]  `json:"inbound"`
		Payload loosejson.List[json.RawMessage] `json:"payload"`
	}
	if len(body) > 0 && body[0] == '{' && loosejson.Unmarshal(body, &envelope) == nil {
		var text loosejson.Text
		if raw, ok := envelope.Inbound["error"]; ok && loosejson.Unmarshal(raw, &text) == nil && text != "" {
			return readFault(text.String())
		}
		if resp.Status/100 == 2 && len(envelope.Payload) > 0 { // the envelope of version 1 (§3.4)
			return envelope.Payload, false, nil
		}
	}
	if e := outbound.Classify(resp, now); e != nil {
		e.Message = "list of calls: " + e.Message
		return nil, false, e
	}
	return nil, false, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "list of calls: the answer is neither a list nor a known error")
}

// faults are the texts of §3.3, in lower case.
var faults = []struct {
	text  string
	end   bool // not an error: there is nothing (more)
	class model.Class
	cause model.Cause
	do    string
}{
	{text: "no rows found", end: true},
	{text: "incorrect page is set", end: true},
	{text: "user is not recognized", class: model.ClassReauth, cause: model.CauseAuth,
		do: "take the key from the tab “Integrations” of ckct.ru, or for getByRole the one given for the role"},
	{text: "method does not exist", class: model.ClassPermanent, cause: model.CauseRequestRejected, do: "check the setting method"},
	{text: "entity does not exist", class: model.ClassPermanent, cause: model.CauseRequestRejected},
	{text: "type to return is not available", class: model.ClassPermanent, cause: model.CauseRequestRejected},
	{text: "it is wrong api version", class: model.ClassPermanent, cause: model.CauseRequestRejected,
		do: "the account has no version 3 of the list"},
	{text: "start date has wrong type", class: model.ClassPermanent, cause: model.CauseRequestRejected},
}

func readFault(text string) ([]json.RawMessage, bool, error) {
	low := strings.ToLower(text)
	for _, f := range faults {
		if !strings.Contains(low, f.text) {
			continue
		}
		if f.end {
			return nil, true, nil
		}
		message := "list of calls: “" + f.text + "”"
		if f.do != "" {
			message += "; " + f.do
		}
		return nil, false, &model.Error{Class: f.class, Cause: f.cause, Message: message}
	}
	// A text that nobody knows may repeat what was asked, the key too: it is not shown.
	return nil, false, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "list of calls: the answer is an error that is not documented")
}
