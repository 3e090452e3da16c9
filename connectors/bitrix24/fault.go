package bitrix24

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// fault is an error as the portal told it, before anybody decided what it means.
type fault struct {
	status  int    // of the HTTP answer; 0 for a command inside a batch
	code    string // lower case; often empty (bitrix24 §5.2)
	text    string
	resetAt time.Time // of OPERATION_TIME_LIMIT
}

// readFault finds an error in an answer of any status: the portal also puts
// errors into a 200 and HTML into anything.
func readFault(resp outbound.Response) (fault, bool) {
	if f, ok := decodeFault(resp.Body); ok {
		f.status = resp.Status
		return f, true
	}
	if resp.Status/100 == 2 && json.Valid(resp.Body) {
		return fault{}, false
	}
	return fault{status: resp.Status, code: notJSON}, true
}

// notJSON stands for an answer that is a page for people.
const notJSON = "(no JSON)"

func decodeFault(body []byte) (fault, bool) {
	var e struct {
		Error   *loosejson.Text `json:"error"`
		Text    loosejson.Text  `json:"error_description"`
		ResetAt loosejson.Time  `json:"operating_reset_at"`
	}
	if loosejson.Unmarshal(body, &e) != nil || (e.Error == nil && e.Text == "") {
		return fault{}, false
	}
	f := fault{text: tidy(e.Text.String()), resetAt: e.ResetAt.Time}
	if e.Error != nil {
		f.code = strings.ToLower(e.Error.String())
		if strings.ContainsAny(f.code, " <") { // a sentence instead of a code
			f.code, f.text = "", tidy(e.Error.String()+" "+f.text)
		}
	}
	return f, true
}

type verdict struct {
	class model.Class
	cause model.Cause
	after time.Duration // for the classes that wait
	do    string        // what the operator can do
}

// verdicts is the table of §5.2 and §3.4, by lower-case code.
var verdicts = map[string]verdict{
	"access_denied":                  {class: model.ClassPermanent, cause: model.CauseForbidden, do: "give the webhook's or application's user the right in the portal, or change the plan"},
	"bad_verification_code":          {class: model.ClassReauth, cause: model.CauseAuth, do: "authorise the connection again"},
	"error_batch_length_exceeded":    {class: model.ClassPermanent, cause: model.CauseRequestRejected},
	"error_batch_method_not_allowed": {class: model.ClassPermanent, cause: model.CauseRequestRejected},
	"error_method_not_found":         {class: model.ClassPermanent, cause: model.CauseNotFound, do: "add the right crm to the webhook or application; an old box may lack the method"},
	"error_unexpected_answer":        {class: model.ClassTemporary, cause: model.CauseRemoteFailure},
	"expired_token":                  {class: model.ClassReauth, cause: model.CauseAuth, do: "authorise the connection again"},
	"insufficient_scope":             {class: model.ClassPermanent, cause: model.CauseForbidden, do: "add the missing right to the webhook or application"},
	"internal_server_error":          {class: model.ClassTemporary, cause: model.CauseRemoteFailure},
	"invalid_client":                 {class: model.ClassReauth, cause: model.CauseAuth, do: "check client_id and client_secret"},
	"invalid_credentials":            {class: model.ClassReauth, cause: model.CauseAuth, do: "check that the user behind the webhook still works there and has rights"},
	"invalid_grant":                  {class: model.ClassReauth, cause: model.CauseAuth, do: "authorise the connection again"},
	"no_auth_found":                  {class: model.ClassReauth, cause: model.CauseAuth, do: "check the webhook's address or authorise the connection again"},
	"not_found":                      {class: model.ClassPermanent, cause: model.CauseNotFound},
	"operation_time_limit":           {class: model.ClassQuota, cause: model.CauseQuota, after: time.Minute},
	"overload_limit":                 {class: model.ClassQuota, cause: model.CauseQuota, after: 5 * time.Minute},
	"payment_required":               {class: model.ClassQuota, cause: model.CauseQuota, after: 24 * time.Hour, do: "the portal's or application's paid period is over"},
	"portal_deleted":                 {class: model.ClassReauth, cause: model.CauseAuth, do: "the portal is gone; remove the connection"},
	"query_limit_exceeded":           {class: model.ClassQuota, cause: model.CauseQuota, after: time.Second},
	"user_access_error":              {class: model.ClassReauth, cause: model.CauseForbidden, do: "give the user access to the application"},
	"wrong_auth_type":                {class: model.ClassPermanent, cause: model.CauseForbidden, do: "this method needs an application, not a webhook"},
	"wrong_client":                   {class: model.ClassReauth, cause: model.CauseAuth, do: "check client_id and client_secret"},
	notJSON:                          {},
}

// classify decides what a fault means for the work that met it. The code goes
// first, then the text that classic methods tell cases apart by, then the
// status; texts may be in the portal's language, so the status has to do for
// those that nobody knows.
func (f fault) classify(doing string, now time.Time) *model.Error {
	v, known := verdicts[f.code]
	if !known || f.code == notJSON {
		v = f.byTextOrStatus()
	}
	message := doing + ": the portal answered "
	switch {
	case f.code == notJSON:
		message += "with a page instead of JSON" + statusText(f.status)
	case f.code != "":
		message += strings.ToUpper(tidy(f.code)) + statusText(f.status)
	default:
		message += "with an error" + statusText(f.status)
	}
	if f.text != "" {
		message += ", “" + f.text + "”"
	}
	if v.do != "" {
		message += "; " + v.do
	}
	e := &model.Error{Class: v.class, Cause: v.cause, Message: message}
	if v.after > 0 {
		e.RetryAt = now.Add(v.after)
	}
	if f.resetAt.After(now) {
		e.RetryAt = f.resetAt
	}
	return e
}

func statusText(status int) string {
	if status == 0 || status == http.StatusOK {
		return ""
	}
	return " (" + http.StatusText(status) + ")"
}

func (f fault) byTextOrStatus() verdict {
	text := strings.ToLower(f.text)
	switch {
	case f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable:
		return verdict{class: model.ClassQuota, cause: model.CauseQuota, after: 10 * time.Second}
	case f.status >= 500 || (f.code == notJSON && f.status < 400):
		return verdict{class: model.ClassTemporary, cause: model.CauseRemoteFailure}
	case f.gone():
		return verdict{class: model.ClassPermanent, cause: model.CauseNotFound}
	case f.status == http.StatusUnauthorized:
		return verdicts["no_auth_found"]
	case f.status == http.StatusForbidden || strings.HasPrefix(text, "access denied"):
		return verdicts["access_denied"]
	case f.status == http.StatusNotFound:
		return verdict{class: model.ClassPermanent, cause: model.CauseNotFound}
	case f.status == http.StatusRequestTimeout || f.status == http.StatusTooEarly:
		return verdict{class: model.ClassTemporary, cause: model.CauseRemoteFailure}
	}
	return verdict{class: model.ClassPermanent, cause: model.CauseRequestRejected}
}

// gone reports whether the object that was asked for is not there.
func (f fault) gone() bool {
	text := strings.ToLower(f.text)
	return f.code == "not_found" || (f.code == "" && (strings.HasPrefix(text, "not found") || strings.HasSuffix(strings.TrimSuffix(text, "."), "is not found")))
}

func (f fault) methodMissing() bool { return f.code == "error_method_not_found" }

// denied reports whether the portal keeps something from this webhook or user.
func (f fault) denied() bool {
	switch f.code {
	case "access_denied", "insufficient_scope":
		return true
	}
	return strings.HasPrefix(strings.ToLower(f.text), "access denied")
}

var (
	tags      = regexp.MustCompile(`<[^<>]*>`)
	mails     = regexp.MustCompile(`[^\s"'<>:,;]+@[^\s"'<>:,;]+`)
	longDigit = regexp.MustCompile(`\+?\d[\d \-()]{5,}\d`)
	codes     = regexp.MustCompile(`[0-9A-Za-z-]{16,}`)
)

// tidy makes a foreign text fit for an error message: without tags, e-mails,
// phones and whatever may be a token, and not long.
func tidy(text string) string {
	text = tags.ReplaceAllString(text, " ")
	text = mails.ReplaceAllString(text, "…")
	text = codes.ReplaceAllString(text, "…")
	text = longDigit.ReplaceAllString(text, "…")
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return strings.ToValidUTF8(text, "")
}
