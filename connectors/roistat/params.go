package roistat

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// params are the request's parameters, merged from query and body; the query
// wins on a clash (roistat §2.2).
type params map[string]string

func readParams(r connectors.PullRequest) (params, error) {
	p := params{}
	var bad error
	if len(bytes.TrimSpace(r.Body)) > 0 && !isForm(r.ContentType) {
		bad = p.addJSON(r.Body)
	}
	p.add(r.Form)
	p.add(r.Query)
	return p, bad
}

func (p params) add(values url.Values) {
	for name, all := range values {
		if len(all) > 0 {
			p[name] = strings.ToValidUTF8(all[len(all)-1], "\uFFFD")
		}
	}
}

// addJSON takes a JSON body with the same keys. It is not documented, but costs
// nothing (roistat §2.2). Values that are no scalars stay JSON.
func (p params) addJSON(body []byte) error {
	var members map[string]loosejson.Text
	if err := loosejson.Unmarshal(body, &members); err != nil {
		return refuse(http.StatusBadRequest, model.CauseBadPayload, "The body is neither a form nor a JSON object")
	}
	for name, value := range members {
		p[name] = value.String()
	}
	return nil
}

func isForm(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data")
}

// placeholder is a variable that Roistat did not know and passed through as it
// was (roistat §6.4).
var placeholder = regexp.MustCompile(`^\{[A-Za-z ]+\}$`)

// text gives a parameter without spaces around; an unresolved placeholder is no
// value.
func (p params) text(name string) string {
	text := strings.TrimSpace(p[name])
	if placeholder.MatchString(text) {
		return ""
	}
	return text
}

// whole reads a number that may be absent.
func (p params) whole(name string, absent int) (int, error) {
	text := strings.TrimSpace(p[name])
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, model.CauseBadValue, "Parameter %s must be a whole number", name)
	}
	return n, nil
}

// latestUnix bounds dates: later ones are milliseconds or nonsense.
const latestUnix = 1 << 34

// date gives the date as it was asked for, or "" for none. Pages of one list have
// it in common.
func (p params) date() string {
	if text := strings.TrimSpace(p["date"]); text != "" {
		return text
	}
	return strings.TrimSpace(p["editDate"]) // older example scripts, roistat §2.4
}

// since reads the date from which on changes are asked for. What cannot be read
// is refused: a guessed date would make Roistat delete (roistat §2.4).
func (p params) since(now time.Time, window time.Duration) (time.Time, error) {
	text := p.date()
	if text == "" {
		return now.Add(-window).Truncate(time.Second), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > latestUnix {
		return time.Time{}, refuse(http.StatusBadRequest, model.CauseBadValue, "Parameter date must be Unix seconds")
	}
	if seconds == 0 {
		return time.Time{}, nil
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// moment reads a time of Roistat, which is in UTC when it does not say
// (roistat §2.6, §2.7). What cannot be read is the zero time.
func (p params) moment(name string) time.Time {
	t, err := loosejson.ParseTime(p.text(name), time.UTC)
	if err != nil {
		return time.Time{}
	}
	return t
}

// data reads the custom fields of a lead: a JSON object inside one parameter,
// which may be empty, missing, no JSON at all or full of placeholders
// (roistat §2.6). What is no object is kept under "data".
func (p params) data() model.Fields {
	text := p.text("data")
	if text == "" {
		return nil
	}
	var members map[string]json.RawMessage
	if err := loosejson.Unmarshal([]byte(text), &members); err != nil {
		if empty := strings.Trim(text, "[]{} \n\t"); empty == "" || text == "null" || text == "false" {
			return nil
		}
		return model.Fields{"data": text}
	}
	fields := model.Fields{}
	for name, raw := range members {
		var list []loosejson.Text
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			values := make([]string, 0, len(list))
			for _, value := range list {
				values = append(values, value.String())
			}
			fields[name] = values
			continue
		}
		var value loosejson.Text
		if value.UnmarshalJSON(raw) != nil {
			continue
		}
		if text := strings.TrimSpace(value.String()); text != "" && !placeholder.MatchString(text) {
			fields[name] = text
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}
