package jobs

import (
	"testing"
	"time"
)

// The day border is the project's, also when its clocks change.
func TestNextDaily(t *testing.T) {
	t.Parallel()
	moscow, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, daily, now, want string
		zone                   *time.Location
	}{
		{"later today", "03:00", "2026-05-01T01:00:00+03:00", "2026-05-01T03:00:00+03:00", moscow},
		{"tomorrow", "03:00", "2026-05-01T03:00:00+03:00", "2026-05-02T03:00:00+03:00", moscow},
		{"today in the project, tomorrow in UTC", "02:00", "2026-04-30T22:30:00Z", "2026-05-01T02:00:00+03:00", moscow},
		{"clocks go forward", "09:00", "2026-03-28T10:00:00+01:00", "2026-03-29T09:00:00+02:00", berlin},
		{"clocks go back", "09:00", "2026-10-24T10:00:00+02:00", "2026-10-25T09:00:00+01:00", berlin},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now, _ := time.Parse(time.RFC3339, c.now)
			want, _ := time.Parse(time.RFC3339, c.want)
			if got := nextDaily(c.daily, now, c.zone); !got.Equal(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Waits grow, spread, and end at a bound.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts := range 100 {
		d := backoff(attempts)
		if d < 800*time.Millisecond || d > 12*time.Minute {
			t.Errorf("attempt %d waits %s", attempts, d)
		}
	}
}

// The fate of an upload is asked for after 1, 5, 15, 30 and 60 minutes, then
// hourly.
func TestFollowAfter(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	now := started
	for _, want := range []time.Duration{1, 5, 15, 30, 60, 120, 180} {
		now = followAfter(started, now)
		if got := now.Sub(started); got != want*time.Minute {
			t.Errorf("asked after %s, want %d minutes", got, want)
		}
	}
}
