package console_test

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/handlers/view/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	operator = "operator"
	password = "correct horse battery"
)

// passwordHash is made once: hashing is slow on purpose.
var passwordHash = sync.OnceValue(func() string { return credentials.HashPassword(password) })

// site is a console on a server of its own.
type site struct {
	*viewtest.Hub
	actions *viewtest.Actions
	server  *httptest.Server
	clock   *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newSite(t *testing.T, change ...func(*console.Options)) *site {
	t.Helper()
	hub := viewtest.New(t)
	if err := hub.DB.SaveUser(t.Context(), operator, passwordHash()); err != nil {
		t.Fatal(err)
	}
	s := &site{Hub: hub, actions: &viewtest.Actions{DB: hub.DB}, clock: &clock{now: viewtest.Now}}
	opts := console.Options{
		Store: hub.DB, Actions: s.actions, Projects: hub.Projects, PublicURL: "http://hub.example.ru", Now: s.clock.Now,
		Queues: http.HandlerFunc(queuePage),
	}
	for _, c := range change {
		c(&opts)
	}
	e := echo.New()
	console.New(opts).Register(e)
	s.server = httptest.NewServer(e)
	t.Cleanup(s.server.Close)
	return s
}

// browser keeps cookies and does not follow redirects by itself.
type browser struct {
	t      *testing.T
	site   *site
	client *http.Client
	lang   string
	header http.Header
}

func (s *site) browser(t *testing.T, lang string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Jar: jar, Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(client.CloseIdleConnections)
	return &browser{t: t, site: s, client: client, lang: lang, header: http.Header{}}
}

// in is the same browser in a subtest.
func (b *browser) in(t *testing.T) *browser {
	same := *b
	same.t = t
	return &same
}

type answer struct {
	status   int
	header   http.Header
	body     string
	location string
}

func (b *browser) do(method, path string, form url.Values) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.site.server.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, values := range b.header {
		req.Header[name] = values
	}
	req.Header.Set("Accept-Language", b.lang)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text), location: resp.Header.Get("Location")}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

// page gets a page that must be there.
func (b *browser) page(path string) string {
	b.t.Helper()
	got := b.get(path)
	if got.status != http.StatusOK {
		b.t.Fatalf("GET %s answered %d:\n%s", path, got.status, got.body)
	}
	return got.body
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func tokenOf(t *testing.T, page string) string {
	t.Helper()
	m := csrfField.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no csrf field in:\n%s", page)
	}
	return m[1]
}

// post posts a form with the token of a page.
func (b *browser) post(from, path string, form url.Values) answer {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("csrf", tokenOf(b.t, b.page(from)))
	return b.do(http.MethodPost, path, form)
}

func (b *browser) tryToSignIn(name, word string) answer {
	b.t.Helper()
	return b.post("/console/sign-in", "/console/sign-in", url.Values{"name": {name}, "password": {word}, "next": {"/console/"}})
}

func (s *site) signedIn(t *testing.T, lang string) *browser {
	t.Helper()
	b := s.browser(t, lang)
	if got := b.tryToSignIn(operator, password); got.status != http.StatusSeeOther || got.location != "/console/" {
		t.Fatalf("sign-in answered %d %q:\n%s", got.status, got.location, got.body)
	}
	return b
}

func contains(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, text := range wanted {
		if !strings.Contains(page, text) && !strings.Contains(page, html.EscapeString(text)) {
			_, main, _ := strings.Cut(page, "<main")
			t.Errorf("%q is not on the page:\n%s", text, main)
		}
	}
}

func lacks(t *testing.T, page string, bad ...string) {
	t.Helper()
	for _, text := range bad {
		if strings.Contains(page, text) {
			t.Errorf("%q is on the page", text)
		}
	}
}

func queuePage(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/console/queues/static/main.css":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "body{}")
	case "/console/queues/api/queues":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"method":"`+r.Method+`"}`)
	default:
		_, _ = io.WriteString(w, `<!doctype html><link rel="stylesheet" href="https://fonts.example/x.css"><script>window.A=1</script>`)
		_, _ = io.WriteString(w, `<script src="/console/queues/static/main.js"></script>`)
	}
}
