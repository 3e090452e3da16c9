package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

//go:embed templates
var templateFiles embed.FS

// pages are the parsed templates by the name of their page.
type pages map[string]*template.Template

func loadPages(a assets) pages {
	funcs := template.FuncMap{
		"in":    in,
		"asset": a.path,
		"pairs": pairs,
		"shown": func(id string, more projectMore) shownProject { return shownProject{ID: id, More: more} },
		"lines": func(id string, lines []waitLine) shownLines { return shownLines{Project: id, Lines: lines} },
	}
	base := template.Must(template.New("layout.html").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/parts/*.html"))
	names, err := fs.Glob(templateFiles, "templates/pages/*.html")
	if err != nil {
		panic(err) // the pattern is constant
	}
	all := pages{}
	for _, name := range names {
		page := template.Must(template.Must(base.Clone()).ParseFS(templateFiles, name))
		all[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return all
}

// Page is what every template sees; Data is the page's own part.
type Page struct {
	Name     string
	Lang     string
	Title    string
	User     string
	CSRF     string
	Project  *view.Project // nil outside of projects
	Projects []view.Project
	Queues   bool
	Notice   string
	Here     string // address of this page
	Data     any

	language *language
	causes   causeTexts
	now      time.Time
}

// part is a piece of a page: the page with a value of its own.
type part struct {
	*Page
	V any
}

// in hands a value to a part of the page.
func in(page any, value any) (part, error) {
	switch p := page.(type) {
	case *Page:
		return part{Page: p, V: value}, nil
	case part:
		return part{Page: p.Page, V: value}, nil
	}
	return part{}, fmt.Errorf("%T is no page", page)
}

// shownProject and shownLines carry a project's id along into a part.
type (
	shownProject struct {
		ID   string
		More projectMore
	}
	shownLines struct {
		Project string
		Lines   []waitLine
	}
)

type pair struct{ Name, Value string }

// pairs turns name, value, name, value… into hidden fields of a form.
func pairs(values ...any) []pair {
	var list []pair
	for i := 0; i+1 < len(values); i += 2 {
		if value := fmt.Sprint(values[i+1]); value != "" {
			list = append(list, pair{Name: fmt.Sprint(values[i]), Value: value})
		}
	}
	return list
}

// render answers with a page. It is built whole first, so that a mistake in a
// template never leaves half a page.
func (r *request) render(status int, name, title string, data any) error {
	p := &Page{
		Name: name, Lang: r.language.Code, Title: r.language.text(title), User: r.session.User, CSRF: r.session.CSRF,
		Project: r.project, Projects: r.console.opts.Projects, Queues: r.console.opts.Queues != nil,
		Notice: r.notice(), Here: r.Request().URL.RequestURI(), Data: data,
		language: r.language, causes: r.console.causes, now: r.console.opts.Now(),
	}
	if r.Request().Method != http.MethodGet {
		p.Here = "/console/"
	}
	var out bytes.Buffer
	if err := r.console.pages[name].ExecuteTemplate(&out, "layout.html", p); err != nil {
		return fmt.Errorf("render the page %s: %w", name, err)
	}
	return r.HTMLBlob(status, out.Bytes())
}

// notice says what the post before this page did. Only known notices and
// numbers or ids of ours get through.
func (r *request) notice() string {
	key := "done." + r.QueryParam("done")
	if !r.language.has(key) {
		return ""
	}
	var args []any
	for _, n := range r.QueryParams()["n"] {
		if number, err := strconv.Atoi(n); err == nil {
			args = append(args, number)
		}
	}
	return r.language.text(key, args...)
}

// T gives a message of the catalogue.
func (p *Page) T(key string, args ...any) string { return p.language.text(key, args...) }

// Has reports whether the catalogue has the message.
func (p *Page) Has(key string) bool { return p.language.has(key) }

// N writes a number.
func (p *Page) N(n any) string { return p.language.argument(n) }

// Size writes a number of bytes.
func (p *Page) Size(n any) string {
	switch v := n.(type) {
	case int:
		return p.language.size(int64(v))
	case int64:
		return p.language.size(v)
	}
	return fmt.Sprint(n)
}

// Clock writes a time in the project's zone.
func (p *Page) Clock(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	zone := time.UTC
	if p.Project != nil {
		zone = p.Project.ZoneOrUTC()
	}
	return t.In(zone).Format(p.language.dateTime)
}

// ZoneName names the zone that times are shown in.
func (p *Page) ZoneName() string {
	if p.Project == nil {
		return "UTC"
	}
	return p.Project.ZoneOrUTC().String()
}

// Ago says how long ago a time was, or how soon it comes.
func (p *Page) Ago(t time.Time) string { return p.language.ago(t, p.now) }

// Span writes a length of time.
func (p *Page) Span(d time.Duration) string { return p.language.span(d) }

// SinceSpan writes how long ago a time was, as a length.
func (p *Page) SinceSpan(t time.Time) string { return p.language.span(max(0, p.now.Sub(t))) }

// Idle reports whether a flow has nothing to do until something changes.
func (p *Page) Idle(f view.FlowStatus) bool { return f.Idle(p.now) }

// Past reports whether a time has come, or comes within a moment.
func (p *Page) Past(t time.Time) bool { return !t.IsZero() && !t.After(p.now.Add(moment)) }

// Machine writes a time for the datetime attribute.
func (p *Page) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Text gives a connector's title in the page's language.
func (p *Page) Text(t connectors.Text) string {
	if p.Lang == "ru" && t.RU != "" {
		return t.RU
	}
	return t.EN
}

// At gives an address inside the page's project, with a query of names and
// values; empty values are left out.
func (p *Page) At(path string, query ...any) string { return p.To(p.Project.ID, path, query...) }

// To gives an address inside a project.
func (p *Page) To(project, path string, query ...any) string {
	q := url.Values{}
	for _, f := range pairs(query...) {
		q.Add(f.Name, f.Value)
	}
	address := "/console/p/" + url.PathEscape(project) + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	return address
}

// rooms tells which part of the project a page belongs to.
var rooms = map[string]string{
	"connection": "overview", "entry": "journal", "errand": "errands", "flow": "overview", "record": "records", "upload": "uploads",
}

// Room names the part of the project that the page belongs to.
func (p *Page) Room() string {
	if room, ok := rooms[p.Name]; ok {
		return room
	}
	return p.Name
}

// Current tells a part's own page from those below it, for aria-current.
func (p *Page) Current() string {
	if p.Room() == p.Name {
		return "page"
	}
	return "true"
}

// LanguageLink switches the language and comes back here.
func (p *Page) LanguageLink(code string) string {
	return "/console/language/" + code + "?" + url.Values{"back": {p.Here}}.Encode()
}

// Causes lists the causes that a filter offers.
func (p *Page) Causes() []model.Cause { return model.Causes() }

// Kinds lists the kinds of records that a filter offers.
func (p *Page) Kinds() []model.Kind { return model.Kinds() }

// Mood is the colour behind a status: good, busy, calm, warn or bad. The text
// says the same.
func (p *Page) Mood(status any) string {
	switch s := status.(type) {
	case store.UploadStatus:
		return uploadMoods[s]
	case store.EntryState:
		return [...]string{"busy", "good", "bad", "warn"}[min(max(int(s), 0), 3)]
	case store.DeliveryState:
		return [...]string{"busy", "good", "busy", "calm", "bad", "warn"}[min(max(int(s), 0), 5)]
	case view.Severity:
		if s == view.SeverityError {
			return "bad"
		}
		return "warn"
	case store.ErrandStatus:
		return errandMoods[s]
	case string:
		return connectionMoods[s]
	}
	return "calm"
}

var errandMoods = map[store.ErrandStatus]string{
	store.ErrandDone: "good", store.ErrandFailed: "bad", store.ErrandRunning: "busy", store.ErrandStopped: "warn",
}

// Marks lists what may be said about a group of errors beside what is said; ""
// takes it back.
func (p *Page) Marks(now string) []string {
	if now != "" {
		return []string{""}
	}
	return []string{markAcknowledged, markResolved, markIgnored}
}

var uploadMoods = map[store.UploadStatus]string{
	store.UploadAccepted: "good", store.UploadBuilding: "busy", store.UploadFailed: "bad", store.UploadInDoubt: "warn",
	store.UploadProcessing: "busy", store.UploadRejected: "bad", store.UploadSending: "busy", store.UploadSplit: "warn",
}

var connectionMoods = map[string]string{
	view.ConnectionFailing: "bad", view.ConnectionIdle: "calm", view.ConnectionNeedsReauth: "bad",
	view.ConnectionOK: "good", view.ConnectionPaused: "warn",
}

// EntryState, DeliveryState: names of states, as in filters and the catalogue.
func (p *Page) EntryState(s store.EntryState) string       { return view.EntryState(s) }
func (p *Page) DeliveryState(s store.DeliveryState) string { return view.DeliveryState(s) }

// EntryStates and DeliveryStates list the states that filters offer.
func (p *Page) EntryStates() []string { return []string{"new", "done", "partly", "refused"} }
func (p *Page) DeliveryStates() []string {
	return []string{"refused", "waiting", "new", "sending", "sent", "skipped", stateMissing}
}

// UploadStatuses lists the statuses that a filter offers.
func (p *Page) UploadStatuses() []store.UploadStatus {
	return []store.UploadStatus{
		store.UploadAccepted, store.UploadProcessing, store.UploadSending, store.UploadBuilding,
		store.UploadInDoubt, store.UploadRejected, store.UploadSplit, store.UploadFailed,
	}
}
