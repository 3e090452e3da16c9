package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault spoils requests to the list. Exactly one of its effects should be set.
type Fault struct {
	Times  int    // how many requests; 0 means all
	Status int    // with HTML or alone: answered with a page for people
	Text   string // an error in the envelope
	Drop   bool   // the connection is cut
	Body   string // a whole answer
	// RetryAfter is sent with Status, in seconds.
	RetryAfter string
}

// Inject adds a fault.
func (s *Service) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Heal takes all faults away.
func (s *Service) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Service) takeFault() *Fault {
	if len(s.faults) == 0 {
		return nil
	}
	f := s.faults[0]
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			s.faults = s.faults[1:]
		}
	}
	return f
}

func (f *Fault) answer(w http.ResponseWriter) {
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Text != "":
		writeFault(w, f.Text)
	case f.Body != "":
		_, _ = io.WriteString(w, f.Body)
	default:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, "<html><body><h1>"+http.StatusText(f.Status)+"</h1></body></html>")
	}
}

// The errors of §3.3.
const (
	noRows     = "No rows found"
	badType    = "Type to return is not available"
	badVersion = "It is wrong API version"
	badUser    = "User is not recognized"
	badEntity  = "Entity does not exist"
	badMethod  = "Method does not exist"
	badPage    = "Incorrect page is set"
	badDate    = "Start date has wrong type. Possible format is 'Y-m-d' or timestamp"
)

var keyForm = regexp.MustCompile(`^[0-9A-Za-z]{16}$`)

// request is a query of the list, taken apart.
type request struct {
	page     int
	from, to time.Time
}

// serveList answers the list of calls, version 3. What looks like a path is the
// whole query string (§3.1).
func (s *Service) serveList(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	fault := s.takeFault()
	if r.Method != http.MethodGet {
		s.violate("the list was asked with %s", r.Method)
	}
	var rows []row
	req, wrong := s.readRequest(r.URL.RawQuery)
	if wrong == "" && fault == nil {
		rows, wrong = s.page(req)
	}
	s.mu.Unlock()
	switch {
	case fault != nil:
		fault.answer(w)
	case wrong != "":
		writeFault(w, wrong)
	default:
		writeJSON(w, rows)
	}
}

// readRequest checks the position and form of every part; the caller holds the
// lock.
func (s *Service) readRequest(query string) (request, string) {
	if strings.ContainsAny(query, "=&%") {
		s.violate("the query has pairs or escapes; it is to look like a path")
	}
	parts := strings.Split(query, "/")
	if len(parts) < 7 || len(parts) > 8 {
		s.violate("the query has %d parts; it has 7 or 8", len(parts))
	}
	for len(parts) < 8 {
		parts = append(parts, "")
	}
	if parts[0] != "json" {
		s.violate("the list was asked for as %q", parts[0])
		return request{}, badType
	}
	if parts[1] != "v3" {
		s.violate("the list was asked in version %q", parts[1])
		return request{}, badVersion
	}
	if !keyForm.MatchString(parts[2]) {
		s.violate("the key is not one of 16 letters and digits")
		return request{}, badUser
	}
	if parts[2] != Key {
		return request{}, badUser
	}
	if parts[3] != "call" {
		s.violate("the entity is %q", parts[3])
		return request{}, badEntity
	}
	if !slices.Contains([]string{"get", "getByRole", "getWithRole"}, parts[4]) {
		s.violate("the method is %q", parts[4])
		return request{}, badMethod
	}
	page, err := strconv.Atoi(parts[5])
	if err != nil || page < 0 {
		s.violate("the page is %q", parts[5])
		return request{}, badPage
	}
	from, ok := s.readDate(parts[6], false)
	to, okTo := s.readDate(parts[7], true)
	if !ok || !okTo {
		s.violate("the period is %q to %q", parts[6], parts[7])
		return request{}, badDate
	}
	if from.After(to) {
		s.violate("the period ends before it begins")
	}
	return request{page: page, from: from, to: to}, ""
}

func (s *Service) readDate(text string, last bool) (time.Time, bool) {
	if text == "" && last {
		return s.now(), true
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return time.Unix(n, 0), true
	}
	t, err := time.Parse(time.DateOnly, text)
	if last {
		t = t.AddDate(0, 0, 1).Add(-time.Second)
	}
	return t, err == nil
}

// page cuts one page out of a period; the caller holds the lock.
func (s *Service) page(r request) ([]row, string) {
	var found []*call
	for _, c := range s.calls {
		if at := c.Started.Unix(); at >= r.from.Unix() && at <= r.to.Unix() {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil, noRows
	}
	slices.SortStableFunc(found, func(a, b *call) int {
		if s.newFirst {
			a, b = b, a
		}
		return a.Started.Compare(b.Started)
	})
	if r.page*s.pageSize >= len(found) {
		return nil, badPage
	}
	var rows []row
	for _, c := range found[r.page*s.pageSize : min((r.page+1)*s.pageSize, len(found))] {
		rows = append(rows, c.row(r.page))
	}
	return rows, ""
}

func writeFault(w http.ResponseWriter, text string) {
	get := []string{"get"}
	writeJSON(w, map[string]any{
		"inbound": map[string]any{"error": text},
		"info": map[string]any{
			"entities": map[string]any{"call": get, "callrole": get, "phone": get, "user": get, "campaign": get, "tag": get},
			"types":    []string{"json", "plain", "csv", "xml"}, "versions": []string{"v1"},
		},
		"payload": []any{},
	})
}

func writeJSON(w http.ResponseWriter, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(data)
}
