package console

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed catalogue/*.json
var catalogueFiles embed.FS

// language is one language of the console.
type language struct {
	Code     string
	messages map[string]string
	// dateTime and thousands are how the language writes times and long numbers.
	dateTime  string
	thousands string
}

type languages []*language // the first is the default

// loadLanguages reads the embedded catalogues; a test reads them too, so a
// mistake in one does not get here.
func loadLanguages() languages {
	return languages{
		{Code: "ru", messages: loadMessages("ru"), dateTime: "02.01.2006 15:04:05", thousands: "\u00a0"},
		{Code: "en", messages: loadMessages("en"), dateTime: "2006-01-02 15:04:05", thousands: ","},
	}
}

func loadMessages(code string) map[string]string {
	data, err := catalogueFiles.ReadFile("catalogue/" + code + ".json")
	if err != nil {
		panic(fmt.Sprintf("the catalogue %s is not embedded: %v", code, err))
	}
	var messages map[string]string
	if err := json.Unmarshal(data, &messages); err != nil {
		panic(fmt.Sprintf("the catalogue %s is broken: %v", code, err))
	}
	return messages
}

const languageCookie = "svod_language"

// choose takes the language that was chosen, or the first known one that the
// browser prefers.
func (l languages) choose(r *http.Request) *language {
	if cookie, err := r.Cookie(languageCookie); err == nil {
		if found := l.find(cookie.Value); found != nil {
			return found
		}
	}
	for wish := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(wish), ";")
		code, _, _ := strings.Cut(tag, "-")
		if found := l.find(strings.ToLower(code)); found != nil {
			return found
		}
	}
	return l[0]
}

func (l languages) find(code string) *language {
	for _, known := range l {
		if known.Code == code {
			return known
		}
	}
	return nil
}

// setLanguage remembers the choice and goes back to where it was made.
func (c *Console) setLanguage(r *request) error {
	if found := c.languages.find(r.Param("language")); found != nil {
		r.SetCookie(&http.Cookie{
			Name: languageCookie, Value: found.Code, Path: "/console", MaxAge: int((365 * 24 * time.Hour).Seconds()),
			HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
		})
	}
	return r.Redirect(http.StatusSeeOther, localPath(r.QueryParam("back")))
}

// text gives a message with {0}, {1}… replaced. A key without a message shows
// itself, so that a page is never lost for a word.
func (l *language) text(key string, args ...any) string {
	message, ok := l.messages[key]
	if !ok {
		return key
	}
	for i, arg := range args {
		message = strings.ReplaceAll(message, "{"+strconv.Itoa(i)+"}", l.argument(arg))
	}
	return message
}

func (l *language) has(key string) bool {
	_, ok := l.messages[key]
	return ok
}

func (l *language) argument(arg any) string {
	switch v := arg.(type) {
	case int:
		return l.number(int64(v))
	case int64:
		return l.number(v)
	}
	return fmt.Sprint(arg)
}

// number groups digits by thousands.
func (l *language) number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), l.thousands)
}

// moment is what counts as now.
const moment = 5 * time.Second

// ago says how far a time is from now, in either direction.
func (l *language) ago(t, now time.Time) string {
	distance, key := now.Sub(t), "time.ago"
	if distance < 0 {
		distance, key = -distance, "time.in"
	}
	if distance < moment {
		return l.text("time.now")
	}
	return l.text(key, l.span(distance))
}

// span writes a length of time.
func (l *language) span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return l.text("time.seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return l.text("time.minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return l.text("time.hours", int(d.Hours()))
	}
	return l.text("time.days", int(d.Hours()/24))
}

// size writes a number of bytes.
func (l *language) size(n int64) string {
	switch {
	case n < 1<<10:
		return l.text("size.bytes", n)
	case n < 1<<20:
		return l.text("size.kib", n>>10)
	}
	return l.text("size.mib", n>>20)
}
