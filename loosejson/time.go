package loosejson

import (
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// Time takes a moment: RFC 3339 with its offset, or unix seconds as number or
// text (milliseconds from twelve digits on). null, "", 0, {}, [], false and
// 0000-00-00 are the zero time. The result is in UTC.
//
// A time without an offset is not guessed but kept in Raw: decode it as Text and
// use ParseTime with the account's zone.
type Time struct {
	time.Time
	Raw string // what was not a moment
}

// Err tells that the value could not be read.
func (t Time) Err() error { return unreadable(t.Raw, "a time with its offset") }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(data []byte) error {
	*t = Time{}
	text, form := scalar(data)
	if form == absent || form == literal && text == "false" {
		return nil
	}
	v, err := ParseTime(text, nil)
	if err != nil || form == composite {
		t.Raw = text
		return nil
	}
	t.Time = v
	return nil
}

// Layouts that carry an offset, and those that need a zone. A fraction of a
// second is accepted in all that have seconds.
var (
	offsetLayouts = [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700"}
	localLayouts  = [...]string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
		"02.01.2006 15:04:05", "02.01.2006 15:04", time.DateOnly, "02.01.2006"}
)

// ParseTime reads a moment as Time does, and with a zone also local times: dates
// with or without a time, YYYY-MM-DD or DD.MM.YYYY. The error does not show the
// text.
func ParseTime(text string, zone *time.Location) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "0" || strings.HasPrefix(text, "0000-00-00") {
		return time.Time{}, nil
	}
	if t, ok := parseUnix(text); ok {
		return t, nil
	}
	if len(text) <= 40 {
		for _, layout := range offsetLayouts {
			// An offset can move a time out of the years that can be written.
			if t, err := time.Parse(layout, text); err == nil && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 {
				return t.UTC(), nil
			}
		}
		for _, layout := range localLayouts {
			if zone == nil {
				break
			}
			if t, err := time.ParseInLocation(layout, text, zone); err == nil {
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, model.Errorf(model.ClassPermanent, model.CauseBadValue, "the text is not a time")
}

// parseUnix reads seconds, or milliseconds from twelve digits on. Dates before
// 1970, birthdays mostly, are negative.
func parseUnix(text string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimPrefix(whole, "-")
	if len(digits) == 0 || len(digits) > 14 || strings.Trim(digits+fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	switch {
	case err != nil:
		return time.Time{}, false
	case n == 0:
		return time.Time{}, true
	case len(digits) >= 12:
		return time.UnixMilli(n).UTC(), true
	}
	return time.Unix(n, 0).UTC(), true
}
