package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The faults that can be injected.
const (
	Fault503           = "503"            // backend_error
	Fault504           = "504"            // timeout; nothing is stored
	Fault504Stored     = "504_stored"     // timeout although the file was stored
	FaultFailed        = "failed"         // 200 with FAILED
	FaultFewer         = "fewer"          // PASSED with fewer elements
	FaultHTML502       = "html502"        // a gateway's page
	FaultInvalid       = "invalid"        // 400 invalid_uploading
	FaultNonsense      = "nonsense"       // 200 with something that is no JSON
	FaultQuota         = "quota:"         // and the quota's name behind it
	FaultResetAfter    = "reset_after"    // reset after the body, nothing stored
	FaultResetBefore   = "reset_before"   // reset before the body is read
	FaultResetDuring   = "reset_during"   // reset in the middle of the body
	FaultResetStored   = "reset_stored"   // reset after the body was stored
	FaultSlow          = "slow"           // answers after Delay
	FaultTruncated     = "truncated"      // stored, the server hangs up in the middle of the answer
	FaultResetAnswer   = "reset_answer"   // stored, reset in the middle of the answer
	FaultHTMLStored    = "html502_stored" // a gateway's page although the file was stored
	FaultUnauthorized  = "401"            // unauthorized
	FaultForbidden     = "403"            // access_denied
	FaultConflict      = "409"            // conflict
	FaultInvalidParam  = "400"            // invalid_parameter
	defaultSlowAnswers = 100 * time.Millisecond
)

// Fault is something that goes wrong with the next requests.
type Fault struct {
	Name  string `json:"name"`
	Path  string `json:"path"`  // part of the path; empty: any
	Times int    `json:"times"` // defaults to 1; -1: for good
	// Delay is how long slow ones wait, in nanoseconds, and how long an upload that is
	// stored in spite of the fault stays out of the lists, by the sandbox's clock.
	Delay time.Duration `json:"delay"`
	// At is the byte of the body (reset_during) or of the answer (truncated,
	// reset_answer) at which the connection ends. Defaults to the middle.
	At int64 `json:"at"`
	// Status is the one of a quota: 420 or 429. Defaults to the rules'.
	Status int `json:"status"`
}

func faultNames() []string {
	return []string{
		Fault503, Fault504, Fault504Stored, FaultFailed, FaultFewer, FaultHTML502, FaultHTMLStored, FaultInvalid, FaultNonsense,
		FaultQuota + "quota_requests_by_uid", FaultResetAfter, FaultResetAnswer, FaultResetBefore, FaultResetDuring, FaultResetStored,
		FaultSlow, FaultTruncated, FaultUnauthorized, FaultForbidden, FaultConflict, FaultInvalidParam,
	}
}

func (f Fault) known() bool {
	return strings.HasPrefix(f.Name, FaultQuota) || slices.Contains(faultNames(), f.Name)
}

// Faults lists the faults that wait.
func (s *Sandbox) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Fault
	for _, f := range s.faults {
		out = append(out, *f)
	}
	return out
}

// Inject queues a fault.
func (s *Sandbox) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, &f)
}

// ClearFaults forgets all faults.
func (s *Sandbox) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Poison makes every upload that holds the row fail as a whole, without naming
// the row.
func (s *Sandbox) Poison(counter string, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.counters[counter]; ok {
		for _, id := range ids {
			c.poison[id] = true
		}
	}
}

func (s *Sandbox) takeFault(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

// faultBefore plays the faults that come before any work; it reports whether the
// request is done with.
func (s *Sandbox) faultBefore(w http.ResponseWriter, r *http.Request, f *Fault) bool {
	if quota, ok := strings.CutPrefix(f.Name, FaultQuota); ok {
		drain(r)
		s.mu.Lock()
		status := s.rules.QuotaStatus
		s.mu.Unlock()
		refuse(w, cmp.Or(f.Status, status), quota, "quota exceeded")
		return true
	}
	switch f.Name {
	case FaultResetBefore:
		reset(w)
	case FaultResetDuring:
		_, _ = io.CopyN(io.Discard, r.Body, cmp.Or(f.At, max(1, r.ContentLength/2)))
		reset(w)
	case FaultResetAfter:
		drain(r)
		reset(w)
	case FaultSlow:
		wait := f.Delay
		if wait == 0 {
			wait = defaultSlowAnswers
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		return false
	case Fault503:
		drain(r)
		refuse(w, http.StatusServiceUnavailable, "backend_error", "Backend error")
	case Fault504:
		drain(r)
		refuse(w, http.StatusGatewayTimeout, "timeout", "Timeout")
	case FaultUnauthorized:
		drain(r)
		refuse(w, http.StatusUnauthorized, "unauthorized", "no valid token")
	case FaultForbidden:
		drain(r)
		refuse(w, http.StatusForbidden, "access_denied", "Access is denied")
	case FaultConflict:
		drain(r)
		refuse(w, http.StatusConflict, "conflict", "Conflict")
	case FaultInvalidParam:
		drain(r)
		refuse(w, http.StatusBadRequest, "invalid_parameter", "Invalid parameter")
	case FaultInvalid:
		drain(r)
		refuse(w, http.StatusBadRequest, "invalid_uploading", "line 2: invalid value")
	case FaultHTML502:
		drain(r)
		gatewayPage(w)
	default:
		return false
	}
	return true
}

func gatewayPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "<html><body><h1>502 Bad Gateway</h1></body></html>")
}

// reply answers what was done, unless a fault comes after it.
func (s *Sandbox) reply(w http.ResponseWriter, f *Fault, body any) {
	if f == nil {
		answer(w, http.StatusOK, body)
		return
	}
	switch f.Name {
	case FaultResetStored:
		reset(w)
	case Fault504Stored:
		refuse(w, http.StatusGatewayTimeout, "timeout", "Timeout")
	case FaultHTMLStored:
		gatewayPage(w)
	case FaultTruncated, FaultResetAnswer:
		text, _ := json.Marshal(body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(http.StatusOK)
		cut := min(cmp.Or(int(f.At), len(text)/2), len(text)-1)
		_, _ = w.Write(text[:cut]) // the server hangs up, as more was promised
		if f.Name == FaultResetAnswer {
			_ = http.NewResponseController(w).Flush()
			reset(w)
		}
	case FaultNonsense:
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "OK")
	default:
		answer(w, http.StatusOK, body)
	}
}

func drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// reset breaks the connection the hard way.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
