package sandbox

import (
	"io"
	"net/http"
	"strings"
)

// Fault spoils calls. The zero value of everything but Method does nothing.
type Fault struct {
	Method string // lower case; "*" for any
	Times  int    // how many calls; 0 means all
	// Status and Code make an error answer without the call being carried out;
	// Code may be empty (§5.2).
	Status int
	Code   string
	Text   string
	// HTML answers with an overload page instead of JSON.
	HTML bool
	// DropBefore and DropAfter cut the connection, before or after the call was
	// carried out.
	DropBefore, DropAfter bool
	// NoTime and NoOperating leave parts of the answer out, as boxes do.
	NoTime, NoOperating bool
	// BadDates answers {} instead of dates (§2.3).
	BadDates bool
	// Missing makes the method unknown, in batches too.
	Missing bool
}

// Inject adds a fault.
func (p *Portal) Inject(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.Method = strings.ToLower(f.Method)
	p.faults = append(p.faults, &f)
}

// Heal takes all faults away.
func (p *Portal) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

func (p *Portal) takeFault(method string) *Fault {
	for i, f := range p.faults {
		if f.Missing || (f.Method != "*" && f.Method != method) {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

func (p *Portal) disabled(method string) bool {
	for _, f := range p.faults {
		if f.Missing && f.Method == method {
			return true
		}
	}
	return false
}

func (p *Portal) badDates() bool {
	for _, f := range p.faults {
		if f.BadDates {
			return true
		}
	}
	return false
}

const overloadPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"

// before answers instead of the portal; it reports whether it did.
func (f *Fault) before(w http.ResponseWriter) bool {
	switch {
	case f.DropBefore:
		hangUp(w)
	case f.HTML:
		status := f.Status
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, overloadPage)
	case f.Status != 0:
		writeJSON(w, f.Status, map[string]any{"error": f.Code, "error_description": f.Text})
	default:
		return false
	}
	return true
}

func (f *Fault) after(w http.ResponseWriter) bool {
	if f.DropAfter {
		hangUp(w)
	}
	return f.DropAfter
}

// hangUp cuts the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
