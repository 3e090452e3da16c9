package bitrix24

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/phpform"
)

// The portal's limits, with some room left for its other users (bitrix24 §5.1).
var (
	portalLimit = connectors.Limit{Rate: 2, Period: time.Second, Burst: 40}
	// methodLimit is never reached; a method's key exists to be paused.
	methodLimit = connectors.Limit{Rate: 1000, Period: time.Second, Burst: 1000}
)

const (
	maxBatch  = 50               // commands in a batch
	minBatch  = 5                // to which batches shrink when calls are cut
	pageSize  = 50               // rows of a list
	callTime  = 65 * time.Second // the cloud cuts a call after 60 s
	busyAfter = 400              // operating seconds of 480 after which a method rests
	busyRest  = time.Minute
)

// intent says whether an outcome that nobody knows matters.
type intent bool

const (
	reading intent = false
	writing intent = true
)

// answer is what a method returned.
type answer struct {
	Result json.RawMessage `json:"result"`
	Total  loosejson.Int   `json:"total"`
	Next   loosejson.Int   `json:"next"`
	Time   timing          `json:"time"`
}

// timing may lack any of its parts (bitrix24 §2.3).
type timing struct {
	Start     loosejson.Time    `json:"date_start"`
	Operating loosejson.Decimal `json:"operating"`
	ResetAt   loosejson.Time    `json:"operating_reset_at"`
}

// endpoint is where and as whom calls go.
type endpoint struct {
	base string // ends in /rest/ or /rest/1/code/
	auth model.Secret
}

func (e endpoint) host() string {
	u, err := url.Parse(e.base)
	if err != nil {
		return ""
	}
	return u.Host
}

// endpoint finds the portal's address: as configured, or as the tokens say, and
// since then renamed perhaps.
func (c *Connector) endpoint(ctx context.Context) (endpoint, error) {
	out := endpoint{base: c.cfg.URL}
	if c.cfg.OAuth != nil {
		t, err := c.deps.Tokens.Load(ctx)
		if err != nil {
			return out, err
		}
		out.base, out.auth = t.Extra[extraEndpoint], t.Access
		if t.Access == "" || out.base == "" {
			return out, model.Errorf(model.ClassReauth, model.CauseAuth, "the portal has not been authorised yet: open the connection's page and grant access")
		}
	}
	moved, err := c.deps.Memory.Recall(ctx, memoryMoved)
	if err != nil {
		return out, err
	}
	if from, to, ok := strings.Cut(moved, " "); ok && from == out.host() {
		out.base = replaceHost(out.base, to)
	}
	return out, nil
}

// memoryMoved keeps "old-host new-host" of a renamed portal. The address itself
// holds the webhook's secret and is not kept.
const memoryMoved = "moved"

func replaceHost(base, host string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	u.Host = host
	return u.String()
}

// call carries out one method. methods are those inside, when it is a batch.
func (c *Connector) call(ctx context.Context, method string, params map[string]any, in intent, methods ...string) (answer, error) {
	at, err := c.endpoint(ctx)
	if err != nil {
		return answer{}, err
	}
	if len(methods) == 0 {
		methods = []string{method}
	}
	if err := c.waitForMethods(ctx, at, methods); err != nil {
		return answer{}, err
	}
	resp, at, err := c.post(ctx, at, method, params)
	if err != nil {
		return answer{}, softened(err, in)
	}
	f, bad := readFault(resp)
	if bad && f.code == "expired_token" && c.cfg.OAuth != nil {
		if at.auth, err = c.refresh(ctx, at.auth); err != nil {
			return answer{}, err
		}
		if resp, at, err = c.post(ctx, at, method, params); err != nil {
			return answer{}, softened(err, in)
		}
		f, bad = readFault(resp)
	}
	if bad {
		return answer{}, c.settleFault(ctx, at, method, f, in)
	}
	c.strikes.Store(0)
	var out answer
	if err := loosejson.Unmarshal(resp.Body, &out); err != nil || out.Result == nil {
		class := model.ClassTemporary
		if in == writing {
			class = model.ClassUnknown
		}
		return answer{}, model.Errorf(class, model.CauseRemoteFailure, "%s: the portal's answer has no result", method)
	}
	c.restIfBusy(ctx, at, method, out.Time)
	return out, nil
}

func (c *Connector) portalKey(at endpoint) string { return Kind + ":" + at.host() }

func (c *Connector) methodKey(at endpoint, method string) string {
	return c.portalKey(at) + ":" + strings.ToLower(method)
}

func (c *Connector) waitForMethods(ctx context.Context, at endpoint, methods []string) error {
	seen := map[string]bool{}
	for _, m := range methods {
		if seen[m] {
			continue
		}
		seen[m] = true
		if err := c.deps.Limiter.Wait(ctx, c.methodKey(at, m), methodLimit); err != nil {
			return err
		}
	}
	return nil
}

// post makes one exchange, and a second one when the portal has moved (§2.4).
func (c *Connector) post(ctx context.Context, at endpoint, method string, params map[string]any) (outbound.Response, endpoint, error) {
	for attempt := 0; ; attempt++ {
		if err := c.deps.Limiter.Wait(ctx, c.portalKey(at), portalLimit); err != nil {
			return outbound.Response{}, at, err
		}
		body := params
		if at.auth != "" {
			body = make(map[string]any, len(params)+1)
			for k, v := range params {
				body[k] = v
			}
			body["auth"] = at.auth.Reveal()
		}
		data, err := json.Marshal(body)
		if err != nil {
			return outbound.Response{}, at, model.Errorf(model.ClassPermanent, model.CauseInternal, "%s: encode the request: %w", method, err)
		}
		resp, err := c.do(ctx, outbound.Request{
			Method: http.MethodPost, URL: at.base + method, Body: bytes.NewReader(data), Timeout: callTime,
			Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		})
		if err != nil {
			return resp, at, err
		}
		switch resp.Status {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, at, nil
		}
		host, err := movedTo(at.base+method, resp.Header.Get("Location"))
		if err != nil {
			return resp, at, err
		}
		if attempt > 0 {
			return resp, at, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "the portal redirects in a circle")
		}
		if err := c.deps.Memory.Remember(ctx, memoryMoved, c.firstHost(ctx, at)+" "+host); err != nil {
			return resp, at, err
		}
		at.base = replaceHost(at.base, host)
	}
}

// firstHost is the host that settings or tokens name, whatever it is called now.
func (c *Connector) firstHost(ctx context.Context, at endpoint) string {
	base := c.cfg.URL
	if c.cfg.OAuth != nil {
		if t, err := c.deps.Tokens.Load(ctx); err == nil {
			base = t.Extra[extraEndpoint]
		}
	}
	return cmp.Or(endpoint{base: base}.host(), at.host())
}

// cloudHost matches the hosts that portals in the cloud may have.
var cloudHost = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.bitrix24\.(by|cn|co|com|com\.br|com\.tr|de|es|eu|fr|id|in|it|jp|kz|mx|net|pl|ru|tech|tr|ua|uk|vn|xyz)$`)

// movedTo accepts a redirect only from one cloud portal's host to another's, to
// the same path.
func movedTo(from, location string) (string, error) {
	refused := func() error {
		return model.Errorf(model.ClassPermanent, model.CauseRemoteFailure, "the portal redirects to an address that is not a Bitrix24 portal; check the address in the settings")
	}
	old, err := url.Parse(from)
	if err != nil {
		return "", refused()
	}
	next, err := url.Parse(location)
	if err != nil || next.Scheme != old.Scheme || next.Path != old.Path || next.Host == old.Host ||
		next.User != nil || !cloudHost.MatchString(next.Host) || !cloudHost.MatchString(old.Hostname()) {
		return "", refused()
	}
	return next.Host, nil
}

// softened makes a lost answer harmless when nothing was to be changed.
func softened(err error, in intent) error {
	var e *model.Error
	if in == reading && errors.As(err, &e) && e.Class == model.ClassUnknown {
		again := *e
		again.Class = model.ClassTemporary
		return &again
	}
	return err
}

// settleFault turns a fault into an error and keeps other workers from running
// into the same limit.
func (c *Connector) settleFault(ctx context.Context, at endpoint, method string, f fault, in intent) error {
	now := c.deps.Now()
	e := f.classify(method, now)
	switch f.code {
	case "query_limit_exceeded", "overload_limit":
		if f.code == "query_limit_exceeded" {
			e.RetryAt = now.Add(backoff(c.strikes.Add(1)))
		}
		c.pause(ctx, c.portalKey(at), e.RetryAt)
	case "operation_time_limit":
		c.pause(ctx, c.methodKey(at, method), e.RetryAt)
	}
	if in == writing && e.Class == model.ClassTemporary {
		// A large batch of creates may answer 500 although part of it was done (§6).
		e.Class = model.ClassUnknown
	}
	return e
}

func (c *Connector) pause(ctx context.Context, key string, until time.Time) {
	if err := c.deps.Limiter.Pause(ctx, key, until); err != nil {
		c.deps.Log.Warn("pause of calls not recorded", logKey(key), logError(err))
	}
}

// backoff is 1, 2, 4 … 64 seconds with jitter.
func backoff(strike int64) time.Duration {
	base := time.Second << min(max(strike-1, 0), 6)
	return base + rand.N(base/2)
}

// restIfBusy lets a method rest before the portal blocks it.
func (c *Connector) restIfBusy(ctx context.Context, at endpoint, method string, t timing) {
	if t.Operating.Set && t.Operating.IntPart() > busyAfter {
		c.pause(ctx, c.methodKey(at, method), c.deps.Now().Add(busyRest))
	}
}

// command is one call inside a batch.
type command struct {
	method string
	query  []phpform.Field
}

// reply is a command's result, or what went wrong with it.
type reply struct {
	result json.RawMessage
	total  int
	fault  *fault
}

// commandName makes names that sort in the order of the commands, because that
// is how our JSON encoder writes them and the portal carries them out.
func commandName(i int) string {
	if i < 10 {
		return "p0" + strconv.Itoa(i)
	}
	return "p" + strconv.Itoa(i)
}

// batch carries out up to 50 commands in one call (§6). The replies stand in the
// order of the commands; at is the portal's time when it began.
func (c *Connector) batch(ctx context.Context, commands []command, in intent) (replies []reply, at time.Time, err error) {
	cmd := make(map[string]string, len(commands))
	methods := make([]string, len(commands))
	for i, one := range commands {
		cmd[commandName(i)] = one.method + "?" + string(phpform.Encode(one.query))
		methods[i] = one.method
	}
	out, err := c.call(ctx, "batch", map[string]any{"halt": 0, "cmd": cmd}, in, methods...)
	c.narrow(len(commands), err)
	if err != nil {
		return nil, time.Time{}, err
	}
	var inner struct {
		Result loosejson.Map[json.RawMessage] `json:"result"`
		Error  loosejson.Map[json.RawMessage] `json:"result_error"`
		Total  loosejson.Map[loosejson.Int]   `json:"result_total"`
		Time   loosejson.Map[timing]          `json:"result_time"`
	}
	if err := loosejson.Unmarshal(out.Result, &inner); err != nil {
		return nil, time.Time{}, softened(model.Errorf(model.ClassUnknown, model.CauseRemoteFailure, "batch: the portal's answer cannot be read: %w", err), in)
	}
	replies = make([]reply, len(commands))
	where, _ := c.endpoint(ctx)
	for i, one := range commands {
		name := commandName(i)
		replies[i] = readReply(inner.Result[name], inner.Error[name])
		replies[i].total = int(inner.Total[name].Value)
		c.restIfBusy(ctx, where, one.method, inner.Time[name])
		if f := replies[i].fault; f != nil && (f.code == "operation_time_limit" || f.code == "query_limit_exceeded") {
			_ = c.settleFault(ctx, where, one.method, *f, reading)
		}
	}
	return replies, cmp.Or(out.Time.Start.Time, c.deps.Now()), nil
}

// width is how many commands a batch of reads should have at present.
func (c *Connector) width() int { return max(minBatch, maxBatch-int(c.narrowed.Load())) }

// narrow makes batches smaller when they are cut off, because a call may take no
// longer than 60 s (§5.1), and wider again as they succeed.
func (c *Connector) narrow(commands int, err error) {
	switch {
	case err == nil:
		if n := c.narrowed.Load(); n > 0 && commands >= c.width() {
			c.narrowed.CompareAndSwap(n, max(0, n-5))
		}
	case model.CauseOf(err) == model.CauseNetwork || model.CauseOf(err) == model.CauseRemoteFailure:
		if commands > minBatch {
			c.narrowed.Store(int64(maxBatch - max(minBatch, commands/2)))
		}
	}
}

func readReply(result, failure json.RawMessage) reply {
	if failure != nil {
		f, ok := decodeFault(failure)
		if !ok {
			f = fault{text: tidy(string(failure))}
		}
		return reply{fault: &f}
	}
	if result == nil {
		return reply{fault: &fault{code: "error_unexpected_answer", text: "no answer to this command"}}
	}
	return reply{result: result}
}
