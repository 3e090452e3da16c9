package connectortest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

type body struct{ name, contentType, text string }

// bodies are what systems and the gateways before them answer with.
var bodies = []body{
	{"json", "application/json", `{"error":"SOMETHING_ODD","error_description":"Something odd","message":"Something odd",` +
		`"errors":[{"error_type":"something_odd","message":"Something odd"}],"status":0,"title":"Odd","detail":"Something odd"}`},
	{"html", "text/html; charset=utf-8", "<!doctype html><html><title>Technical works</title><p>Come back later</p></html>"},
	{"empty", "application/json", ""},
	{"truncated", "application/json", `{"result":[{"id":1},{"i`},
}

// notable are the statuses that every call of a role is tried with, with every
// body; the first call of each kind of role meets all statuses with the first
// body.
var notable = []int{101, 200, 204, 301, 304, 400, 401, 403, 404, 408, 409, 413, 420, 422, 429, 499, 500, 502, 503, 504, 599}

// mostCalls bounds how many calls of one role are tried.
const mostCalls = 3

// statuses demands that every role makes a classified error of every answer that
// is none.
func statuses(t *testing.T, c Case) {
	r := newRig(t, c)
	tried := map[string]bool{} // with every status, by what is done: Send, Poll
	for _, role := range r.roles(t) {
		t.Run(role.name, func(t *testing.T) {
			verb, _, _ := strings.Cut(role.name, " ")
			all := !c.Brief && !tried[verb]
			tried[verb] = true
			r.meet(nil, 0)
			if _, err := role.perform(t.Context(), r.connect(t, r.given())); err != nil {
				t.Fatalf("the sandbox is not content: %v", err)
			}
			calls, _ := r.progress()
			if all {
				r.tryStatuses(t, role, 0, everyStatus(), bodies[:1])
			}
			r.tryStatuses(t, role, 0, notable, bodies)
			for after := 1; after < min(calls, mostCalls) && !c.Brief; after++ {
				r.tryStatuses(t, role, after, notable, []body{bodies[0], bodies[3]})
			}
		})
	}
	for _, v := range r.sandbox.Violations() {
		t.Errorf("against the protocol: %s", v)
	}
}

func everyStatus() []int {
	all := make([]int, 0, 500)
	for status := 100; status <= 599; status++ {
		all = append(all, status)
	}
	return all
}

// tryStatuses collects mistakes, so that a hundred statuses with the same one
// make one line.
func (r *rig) tryStatuses(t *testing.T, role role, after int, list []int, bodies []body) {
	t.Helper()
	for _, body := range bodies {
		wrong := newRanges()
		for _, status := range list {
			r.meet(answering(status, body.contentType, body.text), after)
			result, err := role.perform(t.Context(), r.connect(t, r.given()))
			if _, met := r.progress(); met {
				wrong.add(status, r.judge(role, status, body.name, result, err))
			}
		}
		for _, line := range wrong.lines() {
			t.Errorf("call %d, body %s: %s", after+1, body.name, line)
		}
	}
}

func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		if status >= 200 {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
		// The server of the standard library takes these for hints only.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d Odd\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, contentType, len(body), body)
	}
}

// judge says what is wrong with how an answer was taken, or "".
func (r *rig) judge(role role, status int, body string, result any, err error) string {
	classes, success := expected(role, status, body)
	for _, e := range r.Excuses {
		if (e.Role == "" || e.Role == role.name || strings.HasPrefix(role.name, e.Role+" ")) &&
			(e.Body == "" || e.Body == body) && e.From <= status && status <= e.To {
			classes, success = append(classes, e.Classes...), success || e.Success
		}
	}
	if err == nil {
		if out, ok := result.(connectors.Outcome); ok && (out.State == connectors.UploadRejected || len(out.Refused) > 0) {
			err = model.Errorf(model.ClassPermanent, model.CauseUploadRejected, "rejected: %v", out.Reasons)
		}
	}
	if err == nil {
		if success {
			return ""
		}
		return "taken as a success"
	}
	var e *model.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("the error is not classified: %v", err)
	}
	switch {
	case !slices.Contains(classes, e.Class):
		return fmt.Sprintf("is %s (%s), should be %v", e.Class, e.Cause, classes)
	case !slices.Contains(model.Causes(), e.Cause):
		return fmt.Sprintf("has the unknown cause %q", e.Cause)
	case e.Class == model.ClassQuota && !e.RetryAt.After(r.clock.Now().Add(-1)):
		return "is quota and does not say when to come back"
	}
	return ""
}

// expected is the common table of statuses.
func expected(role role, status int, body string) (classes []model.Class, success bool) {
	switch {
	case status == http.StatusUnauthorized:
		return []model.Class{model.ClassReauth}, false
	case status == http.StatusForbidden:
		return []model.Class{model.ClassPermanent, model.ClassReauth}, false
	case status == 420: // Metrica's way of 429, and no status at all elsewhere
		return []model.Class{model.ClassQuota, model.ClassPermanent}, false
	case status == http.StatusTooManyRequests:
		return []model.Class{model.ClassQuota}, false
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500, status < 200:
		classes = []model.Class{model.ClassTemporary}
	case status < 300:
		// An answer that is none: the system or a gateway before it is ill.
		classes, success = []model.Class{model.ClassTemporary, model.ClassPermanent},
			body == "empty" || status == http.StatusNoContent || status == http.StatusResetContent
	case status == http.StatusNotModified: // nobody asked for that
		classes = []model.Class{model.ClassPermanent, model.ClassTemporary}
	default:
		return []model.Class{model.ClassPermanent}, false
	}
	if role.writes {
		classes = append(classes, model.ClassUnknown)
	}
	return classes, success
}

// ranges gathers statuses that got the same verdict.
type ranges struct {
	verdicts []string
	statuses map[string][]int
}

func newRanges() *ranges { return &ranges{statuses: map[string][]int{}} }

func (r *ranges) add(status int, verdict string) {
	if verdict == "" {
		return
	}
	if len(r.statuses[verdict]) == 0 {
		r.verdicts = append(r.verdicts, verdict)
	}
	r.statuses[verdict] = append(r.statuses[verdict], status)
}

func (r *ranges) lines() []string {
	var out []string
	for _, verdict := range r.verdicts {
		list := r.statuses[verdict]
		var parts []string
		for i := 0; i < len(list); {
			j := i
			for j+1 < len(list) && list[j+1] == list[j]+1 {
				j++
			}
			if parts = append(parts, fmt.Sprint(list[i])); j > i {
				parts[len(parts)-1] += fmt.Sprintf("-%d", list[j])
			}
			i = j + 1
		}
		out = append(out, strings.Join(parts, ", ")+": "+verdict)
	}
	return out
}
