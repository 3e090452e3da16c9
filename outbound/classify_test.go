package outbound_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

var now = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

// The common table; what is not named has its hundred's meaning.
func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()
	type verdict struct {
		class model.Class
		cause model.Cause
	}
	special := map[int]verdict{
		401: {model.ClassReauth, model.CauseAuth},
		403: {model.ClassPermanent, model.CauseForbidden},
		404: {model.ClassPermanent, model.CauseNotFound},
		408: {model.ClassTemporary, model.CauseRemoteFailure},
		410: {model.ClassPermanent, model.CauseNotFound},
		420: {model.ClassQuota, model.CauseQuota},
		425: {model.ClassTemporary, model.CauseRemoteFailure},
		429: {model.ClassQuota, model.CauseQuota},
	}
	byHundred := map[int]verdict{
		1: {model.ClassTemporary, model.CauseRemoteFailure},
		3: {model.ClassPermanent, model.CauseRequestRejected},
		4: {model.ClassPermanent, model.CauseRequestRejected},
		5: {model.ClassTemporary, model.CauseRemoteFailure},
	}
	for status := 100; status <= 599; status++ {
		err := outbound.Classify(outbound.Response{Status: status}, now)
		if status/100 == 2 {
			if err != nil {
				t.Errorf("%d: %v", status, err)
			}
			continue
		}
		want, ok := special[status]
		if !ok {
			want = byHundred[status/100]
		}
		if err == nil || err.Class != want.class || err.Cause != want.cause {
			t.Errorf("%d: want %v, got %+v", status, want, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "the answer is "+http.StatusText(0)) {
			t.Errorf("%d: message %q", status, err)
		}
	}
}

func TestClassifyWaiting(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		name   string
		status int
		header []string
		class  model.Class
		wait   time.Duration // 0: no RetryAt
	}{
		{"429 without a time", 429, nil, model.ClassQuota, time.Minute},
		{"429 in seconds", 429, []string{"Retry-After", "7"}, model.ClassQuota, 7 * time.Second},
		{"429 with a fraction", 429, []string{"Retry-After", "1.5"}, model.ClassQuota, 1500 * time.Millisecond},
		{"429 with a date", 429, []string{"Retry-After", date(time.Hour)}, model.ClassQuota, time.Hour},
		{"a date by the other side's clock", 429, []string{"Retry-After", date(-time.Hour), "Date", date(-time.Hour - 30*time.Second)}, model.ClassQuota, 30 * time.Second},
		{"420 with nonsense", 420, []string{"Retry-After", "soon"}, model.ClassQuota, time.Minute},
		{"420 with NaN", 420, []string{"Retry-After", "NaN"}, model.ClassQuota, 0},
		{"a thousand years", 429, []string{"Retry-After", "1e300"}, model.ClassQuota, 24 * time.Hour},
		{"503 that asks to wait", 503, []string{"Retry-After", "120"}, model.ClassQuota, 2 * time.Minute},
		{"503 that does not", 503, nil, model.ClassTemporary, 0},
		{"500 that names a time", 500, []string{"Retry-After", "5"}, model.ClassTemporary, 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			for i := 0; i+1 < len(test.header); i += 2 {
				header.Set(test.header[i], test.header[i+1])
			}
			err := outbound.Classify(outbound.Response{Status: test.status, Header: header}, now)
			var want time.Time
			if test.wait > 0 || test.class == model.ClassQuota {
				want = now.Add(test.wait)
			}
			if err.Class != test.class || !err.RetryAt.Equal(want) {
				t.Errorf("want %s at %s, got %s at %s", test.class, want, err.Class, err.RetryAt)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("-1", "x")
	f.Add("Sun, 01 Jun 2025 12:00:00 GMT", "Sun, 01 Jun 2025 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		at, ok := outbound.RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if ok && (at.Before(now) || at.After(now.Add(24*time.Hour))) {
			t.Errorf("%q gives %s", value, at)
		}
	})
}
