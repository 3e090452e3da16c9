package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// restError is an error as §5.2 lists them.
type restError struct {
	status int
	code   string
	text   string
	extra  map[string]any
}

func fail(status int, code, format string, args ...any) *restError {
	return &restError{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

// result is what a method answers.
type result struct {
	value any
	total *int
	next  *int
}

// caller is who asks.
type caller struct {
	app     bool
	scopes  []string
	inBatch bool
}

// bucket and its leak are §5.1's.
const (
	bucketSize  = 50
	leakPerSec  = 2
	operatingS  = 480
	operatingIn = 10 // minutes, in baskets of one
)

// baskets add up operating time by the minute.
type baskets struct{ used map[int64]float64 }

func (b *baskets) sum(minute int64) (total float64, oldest int64) {
	oldest = minute
	for m, v := range b.used {
		if m <= minute-operatingIn {
			delete(b.used, m)
			continue
		}
		total += v
		oldest = min(oldest, m)
	}
	return total, oldest
}

func (p *Portal) serveREST(w http.ResponseWriter, r *http.Request) {
	start := p.now()
	if p.https && r.TLS == nil {
		p.refuse(w, fail(400, "INVALID_REQUEST", "Https required."))
		return
	}
	user, secret, method, ok := splitPath(r.URL.Path)
	if !ok {
		p.refuse(w, fail(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"))
		return
	}
	if p.redirect(w, r) {
		return
	}
	args, err := readArgs(r)
	if err != nil {
		p.refuse(w, fail(400, "INVALID_REQUEST", "%v", err))
		return
	}

	p.mu.Lock()
	p.calls[method]++
	fault := p.takeFault(method)
	if fault != nil && fault.before(w) {
		p.mu.Unlock()
		return
	}
	var out result
	who, bad := p.authenticate(user, secret, args, r)
	if bad == nil {
		bad = p.pour()
	}
	if bad == nil {
		out, bad = p.run(who, method, args)
	}
	p.mu.Unlock()

	if fault != nil && fault.after(w) {
		return
	}
	if bad != nil {
		p.refuse(w, bad)
		return
	}
	p.answer(w, method, out, start, fault)
}

// splitPath takes /rest/{user}/{secret}/{method} and /rest/{method} apart.
func splitPath(path string) (user, secret, method string, ok bool) {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(path, "/rest/"), "/"), "/")
	method = strings.ToLower(strings.TrimSuffix(parts[len(parts)-1], ".json"))
	switch len(parts) {
	case 1:
		return "", "", method, method != ""
	case 3:
		return parts[0], parts[1], method, true
	}
	return "", "", "", false
}

// redirect sends callers of an old address to the new one; a GET that arrives at
// the new one after it was a POST lost its body on the way (§2.4, §12.9).
func (p *Portal) redirect(w http.ResponseWriter, r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.host == "" || r.Host == p.host {
		if r.Method == http.MethodGet && p.redirected[r.URL.Path] {
			p.violate("followed the redirect of a renamed portal with GET and lost the body")
		}
		return false
	}
	if r.Method == http.MethodPost {
		p.redirected[r.URL.Path] = true
	}
	scheme := "https"
	if r.TLS == nil && !p.https {
		scheme = "http"
	}
	w.Header().Set("Location", scheme+"://"+p.host+r.URL.RequestURI())
	w.WriteHeader(http.StatusFound)
	return true
}

func readArgs(r *http.Request) (map[string]any, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	args, err := parseForm(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return args, nil
	}
	var more map[string]any
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		more, err = parseJSON(body)
	} else {
		more, err = parseForm(string(body))
	}
	for k, v := range more {
		args[k] = v
	}
	return args, err
}

func (p *Portal) authenticate(user, secret string, args map[string]any, r *http.Request) (caller, *restError) {
	if secret != "" {
		if secret != Secret || user != "1" || p.app {
			return caller{}, fail(401, "NO_AUTH_FOUND", "Wrong authorization data")
		}
		return caller{scopes: p.rights}, nil
	}
	token := text(args["auth"])
	if token == "" {
		p.violate("called a method without a credential")
	}
	if r.Method == http.MethodPost && r.URL.Query().Get("auth") != "" {
		p.violate("sent the access token in the address of a POST")
	}
	if bad := p.oauth.verify(token, p.now()); bad != nil {
		return caller{}, bad
	}
	return caller{app: true, scopes: p.rights}, nil
}

// pour adds a call to the leaky bucket (§5.1).
func (p *Portal) pour() *restError {
	if p.scale <= 0 {
		return nil
	}
	now := p.now()
	if !p.leaked.IsZero() {
		p.level = max(0, p.level-now.Sub(p.leaked).Seconds()*leakPerSec*p.scale)
	}
	p.leaked = now
	if p.level+1 > bucketSize*max(1, p.scale) {
		return fail(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")
	}
	p.level++
	return nil
}

// charge adds one command's operating time and refuses over the limit.
func (p *Portal) charge(method string, seconds float64) *restError {
	b := p.operating[method]
	if b == nil {
		b = &baskets{used: map[int64]float64{}}
		p.operating[method] = b
	}
	minute := p.now().Unix() / 60
	total, oldest := b.sum(minute)
	if total >= operatingS {
		e := fail(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
		e.extra = map[string]any{"operating_reset_at": (oldest + operatingIn) * 60}
		return e
	}
	b.used[minute] += seconds
	return nil
}

// Burn adds operating seconds to a method, as heavy use by others would.
func (p *Portal) Burn(method string, seconds float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.charge(strings.ToLower(method), seconds)
}

// FillBucket leaves room for n more calls, as other users of the portal from the
// same address would.
func (p *Portal) FillBucket(room int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level, p.leaked = bucketSize*max(1, p.scale)-float64(room), p.now()
}

// run carries out one command.
func (p *Portal) run(who caller, method string, args map[string]any) (result, *restError) {
	if method == "batch" {
		if who.inBatch {
			return result{}, fail(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
		}
		return p.batch(who, args)
	}
	m, ok := methods[method]
	if !ok {
		return result{}, fail(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
	}
	if m.scope != "" && !slices.Contains(who.scopes, m.scope) {
		return result{}, fail(403, "insufficient_scope", "The request requires higher privileges than provided by the access token")
	}
	if m.app && !who.app {
		return result{}, fail(403, "WRONG_AUTH_TYPE", "Current authorization type is denied for this method")
	}
	if p.disabled(method) {
		return result{}, fail(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
	}
	p.inner[method]++
	if bad := p.charge(method, p.cost); bad != nil {
		return result{}, bad
	}
	return m.do(p, args)
}

func (p *Portal) refuse(w http.ResponseWriter, e *restError) {
	body := map[string]any{"error": e.code, "error_description": e.text}
	for k, v := range e.extra {
		body[k] = v
	}
	writeJSON(w, e.status, body)
}

func (p *Portal) answer(w http.ResponseWriter, method string, out result, start time.Time, fault *Fault) {
	body := map[string]any{"result": out.value}
	if out.total != nil {
		body["total"] = *out.total
	}
	if out.next != nil {
		body["next"] = *out.next
	}
	if fault == nil || !fault.NoTime {
		body["time"] = p.timing(method, start, fault)
	}
	writeJSON(w, http.StatusOK, body)
}

func (p *Portal) timing(method string, start time.Time, fault *Fault) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.now()
	seconds := func(t time.Time) float64 { return math.Round(float64(t.UnixMicro())) / 1e6 }
	out := map[string]any{
		"start": seconds(start), "finish": seconds(end), "duration": end.Sub(start).Seconds(), "processing": 0.01,
		"date_start": p.date(start), "date_finish": p.date(end),
	}
	if fault == nil || !fault.NoOperating {
		out["operating"], out["operating_reset_at"] = 0.0, end.Add(10*time.Minute).Unix()
		if b := p.operating[method]; b != nil {
			total, oldest := b.sum(end.Unix() / 60)
			out["operating"], out["operating_reset_at"] = total, (oldest+operatingIn)*60
		}
	}
	return out
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
