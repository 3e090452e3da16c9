//go:build browser

package browser

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is a page of the browser, in which nobody is signed in. All tests share the
// browser and its cookies, so they run one after another.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a tab. What the browser complains about
// (scripts that fail, what the policy forbids) fails the test.
func open(t *testing.T) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(chromium)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(func() { cancel(); closeTab() })
	var mu sync.Mutex
	var complaints []string
	chromedp.ListenTarget(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			if e.Entry.Level == cdplog.LevelError && !strings.Contains(e.Entry.Text, "status of 401") { // a wrong password
				complaints = append(complaints, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	})
	x := &tab{t: t, ctx: ctx}
	x.do(network.ClearBrowserCookies(), cdplog.Enable(), chromedp.EmulateViewport(1280, 900))
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if len(complaints) > 0 {
			t.Errorf("the browser complains: %s", strings.Join(complaints, "\n"))
		}
	})
	return x
}

func (x *tab) do(actions ...chromedp.Action) {
	x.t.Helper()
	if err := chromedp.Run(x.ctx, actions...); err != nil {
		var page string
		_ = chromedp.Run(x.ctx, chromedp.Text("body", &page, chromedp.ByQuery))
		x.t.Fatalf("%v; the page says:\n%s", err, page)
	}
}

// to goes to a page of the console.
func (x *tab) to(path string) {
	x.t.Helper()
	x.do(chromedp.Navigate(demo.base+path), chromedp.WaitVisible("main", chromedp.ByQuery))
}

// press clicks what leads to another page, and waits for that.
func (x *tab) press(selector string) {
	x.t.Helper()
	if _, err := chromedp.RunResponse(x.ctx, chromedp.Click(selector, chromedp.BySearch)); err != nil {
		x.t.Fatalf("click %s: %v", selector, err)
	}
}

func (x *tab) text(selector string) string {
	x.t.Helper()
	var text string
	x.do(chromedp.Text(selector, &text, chromedp.ByQuery))
	return text
}

func (x *tab) shows(wanted ...string) {
	x.t.Helper()
	page := x.text("body")
	for _, text := range wanted {
		if !strings.Contains(page, text) {
			x.t.Errorf("%q is not on the page:\n%s", text, page)
		}
	}
}

// until reloads a page until it shows a text: the hub works meanwhile.
func (x *tab) until(path, wanted string) {
	x.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		x.to(path)
		if strings.Contains(x.text("main"), wanted) {
			return
		}
		select {
		case <-x.ctx.Done():
			x.t.Fatalf("%s does not show %q", path, wanted)
		case <-tick.C:
		}
	}
}

// signIn signs in by the keyboard alone.
func (x *tab) signIn() {
	x.t.Helper()
	x.to("/console/sign-in")
	x.do(chromedp.Focus("#name", chromedp.ByQuery), chromedp.KeyEvent("operator"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(demo.password))
	if _, err := chromedp.RunResponse(x.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		x.t.Fatal(err)
	}
	x.do(chromedp.WaitVisible("#main", chromedp.ByQuery))
}

func signedIn(t *testing.T) *tab {
	t.Helper()
	x := open(t)
	x.signIn()
	return x
}

func TestSignInAndOut(t *testing.T) {
	x := open(t)
	x.to("/console/p/shop/journal")
	x.do(chromedp.WaitVisible("#password", chromedp.ByQuery), chromedp.SendKeys("#name", "operator", chromedp.ByQuery), chromedp.SendKeys("#password", "wrong", chromedp.ByQuery))
	x.press(`//button[@class="primary"]`)
	if !strings.Contains(x.text("[role=alert]"), "wrong") {
		t.Error("a wrong password is not told")
	}
	x.signIn()
	x.shows("Connections", "Flows", "Webhooks a minute")
	x.press(`//button[text()="Sign out"]`)
	x.do(chromedp.WaitVisible("#password", chromedp.ByQuery))
}

func TestKeyboardSkipsToTheContent(t *testing.T) {
	x := signedIn(t)
	x.to("/console/p/shop/")
	var first, then string
	x.do(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.className`, &first),
		chromedp.KeyEvent(kb.Enter), chromedp.Evaluate(`document.activeElement.id`, &then))
	if first != "skip" || then != "main" {
		t.Errorf("the first stop of the keyboard is %q and leads to %q", first, then)
	}
}

func TestSearchLeadsToTheStory(t *testing.T) {
	x := signedIn(t)
	x.until("/console/p/shop/deliveries?state=sent&flow=orders", "Send the chosen ones again")
	var id string
	x.do(chromedp.Text(`tbody th a`, &id, chromedp.ByQuery))
	x.to("/console/p/shop/")
	x.do(chromedp.SendKeys("#find", id, chromedp.ByQuery))
	if _, err := chromedp.RunResponse(x.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		t.Fatal(err)
	}
	x.shows("found by its id", "Deal "+id)
	var address string
	x.do(chromedp.Location(&address))
	if !strings.Contains(address, "/search?q="+id) {
		t.Errorf("the address of the search is %s", address)
	}
	x.press(`//ul[@class="found"]//a[text()="Deal ` + id + `"]`)
	x.shows("The story", "The row was sent.", "Change number")
	x.do(chromedp.WaitVisible(".story .event", chromedp.ByQuery))
}

func TestRefusedRowIsSentAgain(t *testing.T) {
	x := signedIn(t)
	x.until("/console/p/shop/errors", "Status without a pair")
	x.shows("Add the CRM status to statuses of the flow")
	x.press(`//li[contains(., "Status without a pair")]//button[text()="Send all again"]`)
	x.shows("Rows that will be sent again: 1")
	x.press(`//button[text()="Yes, do it"]`)
	x.shows("Rows that are due again: 1.")
	// It is refused anew, for the same reason: nobody mended it.
	x.until("/console/p/shop/deliveries?state=refused&cause=status_unmapped", "APOLOGY")
}

func TestPickedRowsAreSentAgain(t *testing.T) {
	x := signedIn(t)
	x.until("/console/p/shop/deliveries?state=sent&flow=orders", "Send the chosen ones again")
	x.do(chromedp.Click("#pick-0", chromedp.ByQuery))
	x.press(`//button[text()="Send the chosen ones again"]`)
	x.shows("Rows that will be sent again: 1")
	x.press(`//button[text()="Yes, do it"]`)
	x.shows("Rows that are due again: 1.")
}

func TestFlowIsPausedAndGoesOn(t *testing.T) {
	x := signedIn(t)
	x.to("/console/p/shop/flows/clients")
	x.press(`//main//button[text()="Pause"]`)
	x.shows("Paused. What arrives meanwhile is kept.", "Paused by operator")
	x.to("/console/")
	x.shows("paused by hand", "clients was paused by operator")
	x.to("/console/p/shop/flows/clients")
	x.press(`//main//button[text()="Go on"]`)
	x.shows("It goes on.")
}

func TestStatusesAreSent(t *testing.T) {
	x := signedIn(t)
	x.to("/console/p/shop/flows/orders")
	x.press(`//button[text()="Send statuses to Metrica"]`)
	if strings.Contains(x.text("main"), "One more question") {
		x.shows("Will be added")
		x.press(`//button[text()="Yes, do it"]`)
	}
	x.shows("The statuses were sent.")
}

func TestLanguageIsSwitched(t *testing.T) {
	x := signedIn(t)
	x.to("/console/p/shop/journal")
	x.press(`//a[@lang="ru"]`)
	x.shows("Журнал", "Выйти")
	x.press(`//a[@lang="en"]`)
	x.shows("Journal", "Sign out")
}

func TestOverviewRefreshesInPlace(t *testing.T) {
	x := signedIn(t)
	x.to("/console/")
	// The page's own clock is turned on, so that nobody waits for it.
	var same bool
	x.do(chromedp.Evaluate(`window.kept = 1; document.querySelector("[data-refresh]").dataset.refresh`, nil),
		chromedp.Poll(`document.querySelector("[data-refresh]").dataset.seen !== "1" && window.kept === 1`, nil, chromedp.WithPollingTimeout(5*time.Second)),
		chromedp.Evaluate(`document.querySelector("[data-refresh]").dataset.seen = "1"; true`, nil),
		chromedp.Poll(`document.querySelector("[data-refresh]").dataset.seen !== "1"`, &same, chromedp.WithPollingTimeout(40*time.Second)))
	var kept int
	x.do(chromedp.Evaluate(`window.kept`, &kept))
	if !same || kept != 1 {
		t.Error("the overview was loaded anew and not refreshed in place")
	}
}

// tooWide names what makes a page wider than its window, "" when nothing does.
// What scrolls by itself may be wider.
func (x *tab) tooWide() string {
	x.t.Helper()
	var parts string
	x.do(chromedp.Evaluate(`(() => {
		const width = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= width) return "";
		return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, .rooms, pre, .unseen"))
			.slice(0, 5).map((e) => e.tagName + "." + e.className).join(" ") || "something";
	})()`, &parts))
	return parts
}

// pictures are what docs/images shows.
var pictures = []struct {
	name, lang, path string
	height           int64
}{
	{"console", "en", "/console/", 1250},
	{"console.ru", "ru", "/console/", 1250},
	{"story", "en", "", 1250},
	{"story.ru", "ru", "", 1250},
	{"errors", "en", "/console/p/shop/errors", 1000},
	{"errors.ru", "ru", "/console/p/shop/errors", 1000},
	{"flow", "en", "/console/p/shop/flows/orders", 1000},
}

func TestPictures(t *testing.T) {
	x := signedIn(t)
	x.until("/console/p/shop/deliveries?state=sent&flow=orders", "Send the chosen ones again")
	var story string
	var ok bool
	x.do(chromedp.AttributeValue(`tbody th a`, "href", &story, &ok, chromedp.ByQuery))
	for _, p := range pictures {
		path := p.path
		if path == "" {
			path = story
		}
		x.to("/console/language/" + p.lang + "?back=/console/")
		x.do(chromedp.EmulateViewport(1280, p.height))
		x.to(path)
		var picture []byte
		x.do(chromedp.CaptureScreenshot(&picture))
		if len(picture) < 10_000 {
			t.Errorf("the picture of %s has %d bytes", p.name, len(picture))
		}
		if parts := x.tooWide(); parts != "" {
			t.Errorf("%s is wider than its window: %s", p.name, parts)
		}
		if *update {
			if err := os.WriteFile(filepath.Join(root, "docs", "images", p.name+".png"), picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A telephone is narrower.
	x.do(chromedp.EmulateViewport(390, 800))
	for _, path := range []string{"/console/", "/console/p/shop/errors", story, "/console/p/shop/search?q=1"} {
		x.to(path)
		if parts := x.tooWide(); parts != "" {
			t.Errorf("%s is wider than a telephone: %s", path, parts)
		}
	}
}
