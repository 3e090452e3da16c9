package console

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
)

func TestAttemptsPerNameCountOverAllAddresses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	limits := newSignInLimits(func() time.Time { return now })
	for i := range signInsPerName {
		if wait := limits.take(fmt.Sprint("host", i), "operator"); wait != 0 {
			t.Fatalf("attempt %d has to wait %s", i, wait)
		}
	}
	if wait := limits.take("another host", "operator"); wait != signInWindow {
		t.Errorf("the next attempt waits %s, want %s", wait, signInWindow)
	}
	if wait := limits.take("another host", "somebody else"); wait != 0 {
		t.Errorf("another name has to wait %s", wait)
	}
	now = now.Add(signInWindow)
	if wait := limits.take("another host", "operator"); wait != 0 {
		t.Errorf("after the window the name has to wait %s", wait)
	}
}

func TestRightPasswordClearsTheNameOnly(t *testing.T) {
	t.Parallel()
	limits := newSignInLimits(time.Now)
	for range signInsPerHost {
		limits.take("host", "operator")
	}
	limits.forget("operator")
	if limits.take("host", "operator") == 0 {
		t.Error("the address may go on guessing")
	}
	if limits.take("other", "operator") != 0 {
		t.Error("the name still has to wait")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	limits := newSignInLimits(func() time.Time { return now })
	for range signInsPerHost {
		limits.take("guesser", "x")
	}
	for i := range signInsCounted + 500 {
		limits.hosts.take(fmt.Sprint(i))
	}
	if n := len(limits.hosts.seen); n > signInsCounted {
		t.Errorf("%d addresses are kept", n)
	}
	if limits.hosts.take("guesser") == 0 {
		t.Error("a flood of addresses made the hub forget who has to wait")
	}
	now = now.Add(signInWindow)
	limits.hosts.take("new")
	if n := len(limits.hosts.seen); n != 1 {
		t.Errorf("%d addresses are kept after the window", n)
	}
}

func TestSlotWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	limits := newSignInLimits(time.Now)
	for range hashesAtOnce {
		if _, err := limits.slot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := limits.slot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRemoteNetwork(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:1234":     "192.0.2.7",
		"[fe80::1%eth0]:1":            "fe80::/64",
		"@":                           "@",
	} {
		req := httptest.NewRequest("GET", "/", nil)
		req.RemoteAddr = address
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		r := &request{Context: echo.New().NewContext(req, httptest.NewRecorder())}
		if got := r.remoteNetwork(); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestNumbersAndTimes(t *testing.T) {
	t.Parallel()
	all := loadLanguages()
	ru, en := all.find("ru"), all.find("en")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for got, want := range map[string]string{
		en.number(1234567):                    "1,234,567",
		ru.number(-1000):                      "−1\u00a0000",
		en.number(999):                        "999",
		en.ago(now.Add(-3*time.Second), now):  "just now",
		en.ago(now.Add(-90*time.Second), now): "90 s ago",
		ru.ago(now.Add(-90*time.Minute), now): "90 мин назад",
		en.ago(now.Add(5*time.Hour), now):     "in 5 h",
		ru.ago(now.Add(-72*time.Hour), now):   "3 дн. назад",
		en.size(1000):                         "1,000 B",
		en.size(5 << 20):                      "5 MiB",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
