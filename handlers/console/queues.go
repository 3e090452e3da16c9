package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// queues shows the dashboard of the queue. Its page has scripts inside itself
// and styles made by script, so it gets a policy of its own: exactly these
// scripts, no foreign addresses.
func (c *Console) queues(r *request) error {
	w := &queuePage{ResponseWriter: r.Response(), header: r.Response().Header(), file: r.Request().URL.Path}
	c.opts.Queues.ServeHTTP(w, r.Request())
	return w.finish()
}

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	foreignLink  = regexp.MustCompile(`<link[^>]*href="https?://[^>]*>`)
)

// queuePage holds an HTML page back until it is whole; everything else passes.
type queuePage struct {
	http.ResponseWriter
	header  http.Header
	file    string
	status  int
	page    *bytes.Buffer
	decided bool
}

// WriteHeader implements http.ResponseWriter.
func (w *queuePage) WriteHeader(status int) {
	if w.decided {
		return
	}
	w.status = status
	w.decide(nil)
}

// Write implements http.ResponseWriter.
func (w *queuePage) Write(data []byte) (int, error) {
	if !w.decided {
		w.status = http.StatusOK
		w.decide(data)
	}
	if w.page != nil {
		return w.page.Write(data)
	}
	return w.ResponseWriter.Write(data)
}

func (w *queuePage) decide(first []byte) {
	w.decided = true
	// The dashboard guesses types by content, which does not know style sheets; with
	// "nosniff" a browser would refuse them.
	switch path.Ext(w.file) {
	case ".css":
		w.header.Set("Content-Type", "text/css; charset=utf-8")
	case ".svg":
		w.header.Set("Content-Type", "image/svg+xml")
	}
	kind := w.header.Get("Content-Type")
	if kind == "" && len(first) > 0 {
		kind = http.DetectContentType(first)
		w.header.Set("Content-Type", kind)
	}
	if strings.HasPrefix(kind, "text/html") {
		w.page = &bytes.Buffer{}
		return
	}
	w.ResponseWriter.WriteHeader(w.status)
}

func (w *queuePage) finish() error {
	if w.page == nil {
		return nil
	}
	page := foreignLink.ReplaceAll(w.page.Bytes(), nil)
	var scripts strings.Builder
	for _, m := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		scripts.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	w.header.Del("Content-Length")
	w.header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'"+scripts.String()+
		"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "+
		"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	w.ResponseWriter.WriteHeader(w.status)
	_, err := w.ResponseWriter.Write(page)
	return err
}
