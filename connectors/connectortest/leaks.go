package connectortest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
)

// leaks demands that nothing that people see holds a secret, a phone or an
// e-mail, even when the system repeats the whole request in its answer, or the
// connection breaks in the middle.
func leaks(t *testing.T, c Case) {
	r := newRig(t, c)
	all := r.roles(t)
	if exchange := r.exchange(t); exchange != nil {
		all = append(all, *exchange)
	}
	for _, role := range all {
		t.Run(role.name, func(t *testing.T) {
			for name, answer := range misfortunes() {
				for after := range 2 {
					r.meet(answer, after)
					r.mayLeak(t, t.Context(), fmt.Sprintf("%s at call %d", name, after+1), role)
				}
			}
			r.meet(nil, 0)
			r.mayLeak(t, t.Context(), "success", role)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.meet(func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				cancel()
				panic(http.ErrAbortHandler)
			}, 0)
			err := r.mayLeak(t, ctx, "the caller gives up", role)
			if _, met := r.progress(); met && err == nil {
				t.Error("a call that was given up is taken as a success")
			}
		})
	}
}

// exchange is the role of an application's authorisation.
func (r *rig) exchange(t *testing.T) *role {
	authorizer, ok := r.connect(t, r.given()).Connector.(connectors.Authorizer)
	if !ok {
		return nil
	}
	if _, err := authorizer.AuthorizeURL("s"); err != nil {
		return nil // a pasted token, not an application
	}
	return &role{name: "Exchange", perform: func(ctx context.Context, u *unit) (any, error) {
		return nil, u.Connector.(connectors.Authorizer).Exchange(ctx, browser(oauthCode))
	}}
}

// oauthCode is a secret, too: it is worth a pair of tokens for some minutes.
const oauthCode = "code-of-the-authorisation-page"

// mayLeak performs a role and looks at all that it leaves behind.
func (r *rig) mayLeak(t *testing.T, ctx context.Context, when string, role role) error {
	t.Helper()
	u := r.connect(t, r.given())
	forbidden := append(u.secrets(r.Type.Settings), oauthCode, rowPhone, rowPhone[1:], rowEmail)
	result, err := role.perform(ctx, u)
	forbidden = append(forbidden, u.secrets(nil)...)
	said := map[string]string{}
	if err != nil {
		said["the error"] = err.Error()
	}
	if text, ok := result.(string); ok {
		said["the result"] = text
	}
	if out, ok := result.(connectors.Outcome); ok {
		said["Details"] = string(out.Details)
		said["Reasons"] = strings.Join(out.Reasons, "\n")
		for _, refused := range out.Refused {
			said["Refused"] += refused.Err.Error() + "\n"
		}
	}
	for i, entry := range u.logs.All() {
		fields, _ := json.Marshal(entry.ContextMap())
		said[fmt.Sprintf("line %d of the log", i+1)] = entry.Message + " " + string(fields)
	}
	for name, value := range u.memory.Facts() {
		said["the fact "+name] = value
	}
	said["the limiter's keys"] = u.limiter.keys()
	for where, text := range said {
		for _, one := range forbidden {
			if holds(text, one) {
				t.Errorf("%s: %s holds %q:\n%s", when, where, one, text)
			}
		}
	}
	if n := u.limiter.Slots(); n != 0 {
		t.Errorf("%s: %d slots of the limiter were not returned", when, n)
	}
	return err
}

// holds looks for a text as it is and as it stands in addresses and in JSON.
func holds(text, forbidden string) bool {
	quoted, _ := json.Marshal(forbidden)
	for _, form := range []string{forbidden, url.QueryEscape(forbidden), url.PathEscape(forbidden), strings.Trim(string(quoted), `"`)} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// misfortunes are answers that say too much, and those that never come.
func misfortunes() map[string]http.HandlerFunc {
	out := map[string]http.HandlerFunc{
		"reset before the body": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"reset after the body": func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			panic(http.ErrAbortHandler)
		},
		"garbage": func(w http.ResponseWriter, req *http.Request) {
			request, _ := httputil.DumpRequest(req, true)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			defer conn.Close()
			_, _ = conn.Write(append([]byte("no protocol at all: "), request...))
		},
	}
	for _, status := range []int{200, 301, 400, 401, 403, 404, 409, 422, 429, 500, 503} {
		out[fmt.Sprintf("echo with %d", status)] = echo(status)
	}
	return out
}

// echo repeats the whole request wherever a protocol has room for words.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		dump, _ := httputil.DumpRequest(req, true)
		decoded, _ := url.QueryUnescape(string(dump))
		said := req.URL.String() + " " + string(dump) + " " + decoded
		short := "refused: " + req.Header.Get("Authorization") + " " + req.URL.RequestURI() + " " + rowPhone + " " + rowEmail
		body, _ := json.Marshal(map[string]any{
			"error": said, "error_description": short, "message": short, "title": short, "detail": said, "hint": said,
			"status": status, "code": status, "error_code": short, "result": map[string]any{"result_error": map[string]any{"0": map[string]any{"error": short, "error_description": said}}},
			"errors":            []any{map[string]any{"error_type": short, "message": short, "location": said, "code": short, "detail": short}},
			"validation-errors": []any{map[string]any{"request_id": "0", "errors": []any{map[string]any{"code": short, "path": short, "detail": said}}}},
			"inbound":           map[string]any{"error": short},
		})
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "https://elsewhere.example"+req.URL.RequestURI())
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}
