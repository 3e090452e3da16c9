package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/handlers/view/viewtest"
	"github.com/svod-hub/svod/model"
)

// pagesOf lists every page of the shop.
func pagesOf(s *site) map[string]string {
	shop := func(path string, args ...any) string { return "/console/p/shop" + fmt.Sprintf(path, args...) }
	return map[string]string{
		"overview":           "/console/",
		"audit":              "/console/audit",
		"project":            shop("/"),
		"source":             shop("/connections/b24"),
		"guarded":            shop("/connections/roistat"),
		"flow":               shop("/flows/orders"),
		"paused flow":        shop("/flows/clients"),
		"journal":            shop("/journal"),
		"journal, filtered":  shop("/journal?connection=b24&state=refused&cause=foreign_account&since=2026-03-01T00:00&until=2026-03-02T00:00&text=unirock"),
		"journal, none":      shop("/journal?text=nothing-like-this"),
		"journal, bad":       shop("/journal?since=yesterday&before=x&state=odd"),
		"entry":              shop("/journal/%d", s.Done),
		"refused entry":      shop("/journal/%d", s.Refused),
		"evil entry":         shop("/journal/%d", s.Evil),
		"records":            shop("/records"),
		"contacts":           shop("/records?kind=contact&connection=b24&text=77&live=1"),
		"no records":         shop("/records?kind=visit"),
		"record":             shop("/record?connection=b24&kind=contact&id=77"),
		"record, revealed":   shop("/record?connection=b24&kind=contact&id=77&reveal=1"),
		"record, delivered":  shop("/record?connection=b24&kind=deal&id=001"),
		"uploads":            shop("/uploads"),
		"uploads, filtered":  shop("/uploads?flow=orders&status=accepted"),
		"upload":             shop("/uploads/%d", s.Accepted),
		"split upload":       shop("/uploads/%d", s.Split),
		"refused rows":       shop("/deliveries"),
		"waiting rows":       shop("/deliveries?state=waiting&flow=orders"),
		"all rows":           shop("/deliveries?state="),
		"rows of an upload":  shop("/deliveries?upload=%d", s.Accepted),
		"search":             shop("/search?q=001"),
		"search, all":        shop("/search?q=001&connection=b24&flow=orders&cause=bad_value&state=missing&since=2026-03-01T00:00"),
		"errors":             shop("/errors"),
		"errands":            shop("/errands"),
		"no rows of a cause": shop("/deliveries?state=refused&cause=currency"),
	}
}

func TestEveryPageInBothLanguages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, lang := range []string{"ru", "en"} {
		b := s.signedIn(t, lang)
		for name, path := range pagesOf(s) {
			t.Run(lang+" "+name, func(t *testing.T) {
				page := b.in(t).page(path)
				wellFormed(t, page)
				contains(t, page, `<html lang="`+lang+`">`)
				if name != "overview" && name != "audit" {
					lacks(t, page, viewtest.Marker)
				}
				lacks(t, page, "<script>alert", "<img src=x", "<b>Петров", "<i>X</i>", "very-secret", "query-secret", "answer-secret",
					"s6p6eclrvim6da22ft9ch94ekreb52lv", "ZgotmplZ", "<no value>", "%!")
			})
		}
	}
}

// wellFormed checks what a browser would silently mend: elements that are not
// closed, repeated ids, inputs without labels, styles and scripts inside the
// page, messages that are missing.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	key := regexp.MustCompile(`^(nav|word|error|confirm|done|overview|severity|attention|connection|import|flow|journal|entry|body|upload|uploads|delivery|deliveries|record|records|kind|filter|list|audit|time|size|cause|sign_in|poll|guard)(\.[a-z_]+)+$`)
	void := []string{"input", "meta", "link", "br", "img", "hr"}
	var open []string
	ids, labels, fields := map[string]bool{}, map[string]bool{}, []string{}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		switch kind {
		case html.StartTagToken:
			attributes := map[string]string{}
			for _, a := range token.Attr {
				attributes[a.Key] = a.Val
			}
			if id := attributes["id"]; id != "" {
				if ids[id] {
					t.Errorf("the id %q is there twice", id)
				}
				ids[id] = true
			}
			if token.Data == "label" {
				labels[attributes["for"]] = true
			}
			if (token.Data == "input" && attributes["type"] != "hidden") || token.Data == "select" {
				fields = append(fields, attributes["id"])
			}
			if _, ok := attributes["style"]; ok || token.Data == "style" {
				t.Errorf("the page has a style of its own, which the policy forbids: %s", token)
			}
			if token.Data == "script" && attributes["src"] == "" {
				t.Error("the page has a script of its own, which the policy forbids")
			}
			for name := range attributes {
				if strings.HasPrefix(name, "on") {
					t.Errorf("the page has a handler of its own: %s", token)
				}
			}
			if !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v", token.Data, open)
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if key.MatchString(strings.TrimSpace(token.Data)) {
				t.Errorf("the message %s is missing", strings.TrimSpace(token.Data))
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
	for _, id := range fields {
		if !labels[id] {
			t.Errorf("the field %q has no label", id)
		}
	}
}

func TestPagesSayWhatOperatorsNeed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "ru")
	pages := pagesOf(s)
	for name, wanted := range map[string][]string{
		"project": {"Магазин", "Битрикс24", "25 %", "120 из 480", "Сработала защита", "The list fell from 900 to 3 orders.", "104", "на паузе", "отклонённых строк: 4"},
		"source":  {"https://hub.example.ru/hooks/shop/b24/hook-secret", "Адрес для вебхуков", "deals"},
		"guarded": {"https://hub.example.ru/pull/shop/roistat/pull-secret", "Снять защиту", "Что делать:"},
		"flow": {"Отправить в Метрику", "Отправить статусы в Метрику", "Отправить всё заново", "Отклонено получателем",
			"Прочитайте ответ получателя", "Статус без пары", "Ждёт"},
		"paused flow":  {"paused: true", "disabled"},
		"journal":      {"ONCRMLEADADD lead 1000983", "Чужой аккаунт", "ждёт разбора", "01.03.2026 14:00:00"},
		"entry":        {`&#34;ID&#34;: &#34;1000983&#34;`, "&lt;secret&gt;", "Принять заново", "Content-Type: application/json", "192.0.2.1"},
		"evil entry":   {"&lt;script&gt;alert(1)&lt;/script&gt;"},
		"contacts":     {"7999*****22", "i***@example.ru", "Иван &lt;b&gt;Петров"},
		"record":       {"7999*****22", "i***@example.ru", "Показать"},
		"upload":       {"4242", "PROCESSED", "The client is not known.", "принята"},
		"split upload": {"Line 3: bad date.", "Части", "Загрузка отклонена"},
		"refused rows": {"Отклонено получателем", "Статус без пары", "Негодное значение", "Отправить снова: 1", "The status &lt;i&gt;X&lt;/i&gt; has no pair."},
		"waiting rows": {"ждёт 77", "Ждёт своего клиента"},
		"no records":   {"Записей этого вида ещё нет."},
		"journal, bad": {"Эти фильтры не удалось прочитать", "Состояние"},
	} {
		t.Run(name, func(t *testing.T) { contains(t, b.in(t).page(pages[name]), wanted...) })
	}
	lacks(t, b.page(pages["record"]), "79995551122", "ivan@", "555-11-22")
	contains(t, b.page(pages["record, revealed"]), "79995551122", "ivan@example.ru")
	contains(t, b.page("/console/audit"), "просмотр телефонов и почты", "b24/contact/77")
}

func TestOtherProjectsThingsAreNotThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	for _, path := range []string{
		fmt.Sprintf("/journal/%d", s.Foreign), fmt.Sprintf("/uploads/%d", s.Other), "/flows/visits", "/connections/amo",
		"/record?connection=amo&kind=deal&id=" + viewtest.Marker, "/record?connection=b24&kind=deal&id=" + viewtest.Marker,
		"/journal/x", "/uploads/x", "/nothing",
	} {
		got := b.get("/console/p/shop" + path)
		if got.status != http.StatusNotFound {
			t.Errorf("%s answered %d", path, got.status)
		}
		lacks(t, got.body, `"`+viewtest.Marker, viewtest.Marker+"<")
	}
	if got := b.get("/console/p/nobody/"); got.status != http.StatusNotFound {
		t.Errorf("an unknown project answered %d", got.status)
	}
	for _, path := range []string{"/flows/visits/send", "/flows/visits/send-all", "/flows/visits/statuses", "/flows/clients/statuses", "/connections/amo/release"} {
		if got := b.post("/console/", "/console/p/shop"+path, url.Values{"confirmed": {"1"}}); got.status != http.StatusNotFound {
			t.Errorf("POST %s answered %d", path, got.status)
		}
	}
	b.post("/console/", "/console/p/shop/journal/replay", url.Values{"id": {strconv.FormatInt(s.Foreign, 10)}})
	b.post("/console/", "/console/p/shop/deliveries/resend", url.Values{"id": {viewtest.Marker}})
	for _, call := range s.actions.Calls() {
		if !strings.HasSuffix(call, " 0") {
			t.Errorf("something of the other project was done: %s", call)
		}
	}
}

func TestPagesOfLists(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	link := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	for _, path := range []string{"/console/p/shop/records", "/console/p/shop/deliveries?state=&flow=orders", "/console/p/shop/deliveries?state="} {
		row := regexp.MustCompile(`<th scope="row"><a href="/console/p/shop/record\?[^"]*id=(\d+)`)
		seen := map[string]bool{}
		for pages := 0; path != "" && pages < 10; pages++ {
			page := b.page(path)
			for _, m := range row.FindAllStringSubmatch(page, -1) {
				if seen[m[1]] {
					t.Errorf("%s is listed twice", m[1])
				}
				seen[m[1]] = true
			}
			path = ""
			if m := link.FindStringSubmatch(page); m != nil {
				path = html.UnescapeString(m[1])
			}
		}
		if len(seen) != 120 {
			t.Errorf("%d lines, want 120", len(seen))
		}
	}
}

func TestButtons(t *testing.T) {
	t.Parallel()
	confirmed := func(pairs ...string) url.Values {
		form := url.Values{"confirmed": {"1"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	for _, tt := range []struct {
		name, path string
		form       url.Values
		call       string
		notice     string
		action     string
	}{
		{"send to Metrica", "/flows/orders/send", nil, "send shop/orders", "The flow was asked to send now.", "sent a flow"},
		{"send everything", "/flows/orders/send-all", confirmed(), "send all shop/orders", "begins again", "from the beginning"},
		{"send statuses", "/flows/orders/statuses", nil, "statuses shop/orders", "The statuses were sent.", "sent statuses"},
		{"release the guard", "/connections/roistat/release", nil, "release shop/roistat", "answered in full", "released a guard"},
		{"take one entry in again", "/journal/replay", url.Values{"id": {"1"}}, "replay shop 1", "put back to work: 1", "took in again"},
		{"take all in again", "/journal/replay", confirmed(), "replay shop 2", "put back to work: 2", "took in again"},
		{"take refused ones in again", "/journal/replay", confirmed("state", "refused"), "replay shop 1", "put back to work: 1", "state=refused"},
		{"send one row again", "/deliveries/resend", url.Values{"flow": {"orders"}, "id": {"001"}, "row_key": {"001"}}, "resend shop 1", "due again: 1", "sent rows again"},
		{"send rows of a cause again", "/deliveries/resend", confirmed("state", "refused", "cause", "bad_value"), "resend shop 2", "due again: 2", "cause=bad_value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			b := s.signedIn(t, "en")
			got := b.post("/console/", "/console/p/shop"+tt.path, tt.form)
			if got.status != http.StatusSeeOther {
				t.Fatalf("answered %d:\n%s", got.status, got.body)
			}
			if calls := s.actions.Calls(); !slices.Equal(calls, []string{tt.call}) {
				t.Errorf("asked for %q, want %q", calls, tt.call)
			}
			contains(t, b.page(got.location), tt.notice)
			contains(t, b.page("/console/audit"), tt.action, operator, "127.0.0.1")
		})
	}
}

func TestLargeThingsAreAskedTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	for name, tt := range map[string]struct {
		path string
		form url.Values
		want string
	}{
		"everything":   {"/flows/orders/send-all", nil, "Send everything of the flow orders again"},
		"the journal":  {"/journal/replay", url.Values{"state": {"refused"}}, "taken in again: 1"},
		"refused rows": {"/deliveries/resend", url.Values{"state": {"refused"}}, "sent again: 4"},
		"nothing":      {"/deliveries/resend", url.Values{"state": {"refused"}, "cause": {"currency"}}, "there is nothing to do"},
	} {
		got := b.post("/console/", "/console/p/shop"+tt.path, tt.form)
		if got.status != http.StatusOK {
			t.Errorf("%s answered %d", name, got.status)
		}
		contains(t, got.body, tt.want)
		wellFormed(t, got.body)
		for field := range tt.form {
			if name != "nothing" && field != "csrf" {
				contains(t, got.body, `name="`+field+`" value="`+tt.form.Get(field)+`"`)
			}
		}
	}
	if calls := s.actions.Calls(); len(calls) > 0 {
		t.Errorf("something was done: %v", calls)
	}
	for _, bad := range []url.Values{{"state": {"odd"}}, {"since": {"yesterday"}}} {
		bad.Set("confirmed", "1")
		if got := b.post("/console/", "/console/p/shop/journal/replay", bad); got.status != http.StatusBadRequest {
			t.Errorf("a filter that cannot be read answered %d", got.status)
		}
	}
	if got := b.post("/console/", "/console/p/shop/deliveries/resend", url.Values{"confirmed": {"1"}}); got.status != http.StatusBadRequest {
		t.Errorf("an empty filter answered %d", got.status)
	}
}

func TestFailureOfAnAction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.actions.Err = model.Errorf(model.ClassReauth, model.CauseAuth, "Metrica refuses the token of metrica")
	b := s.signedIn(t, "en")
	got := b.post("/console/", "/console/p/shop/flows/orders/statuses", nil)
	if got.status != http.StatusBadGateway {
		t.Errorf("answered %d", got.status)
	}
	contains(t, got.body, "Metrica refuses the token of metrica", "Put a valid token")
	s.actions.Err = fmt.Errorf("dial postgres://user:secret@db")
	got = b.post("/console/", "/console/p/shop/flows/orders/send", nil)
	if got.status != http.StatusInternalServerError {
		t.Errorf("answered %d", got.status)
	}
	lacks(t, got.body, "secret@db")
}

func TestLanguageSwitch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "de, en;q=0.8")
	contains(t, b.page("/console/"), "Sign out")
	got := b.get("/console/language/ru?back=" + url.QueryEscape("/console/p/shop/journal?state=new"))
	if got.location != "/console/p/shop/journal?state=new" {
		t.Errorf("led to %q", got.location)
	}
	contains(t, b.page(got.location), "Выйти", `<html lang="ru">`)
	b.get("/console/language/xx?back=/console/")
	contains(t, b.page("/console/"), "Выйти")
	contains(t, s.browser(t, "").page("/console/sign-in"), "Вход")
	contains(t, s.browser(t, "en").page("/console/sign-in"), "Sign in")
}

func TestAHubWithoutProjects(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *console.Options) { o.Projects, o.Queues = nil, nil })
	b := s.signedIn(t, "en")
	page := b.page("/console/")
	wellFormed(t, page)
	contains(t, page, "No project is set up yet")
	lacks(t, page, "/console/queues/")
}

func TestAssets(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t, "en")
	page := b.page("/console/sign-in")
	for _, name := range []string{"console.css", "console.js", "icon.svg"} {
		m := regexp.MustCompile(`/console/static/[0-9a-f]+/` + regexp.QuoteMeta(name)).FindString(page)
		got := b.get(m)
		if m == "" || got.status != http.StatusOK || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s at %q answered %d, %q", name, m, got.status, got.header.Get("Cache-Control"))
		}
	}
	for _, path := range []string{"/console/static/x/nothing.css", "/console/static/x/..%2fconsole.go"} {
		if got := b.get(path); got.status != http.StatusNotFound {
			t.Errorf("%s answered %d", path, got.status)
		}
	}
}
