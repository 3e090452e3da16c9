package flow_test

import (
	"testing"
	"time"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

// A call of May 1 goes on May 2; when it changes later it goes again on days
// 2, 7, 14 and 20, and not after that.
func TestHoldBack(t *testing.T) {
	t.Parallel()
	moscow := time.FixedZone("MSK", 3*3600)
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		v, err := time.ParseInLocation("2006-01-02 15:04", text, moscow)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	law := model.Schedule{Daily: "03:00", PreviousDay: true, Again: []int{2, 7, 14, 20}}
	for _, c := range []struct {
		name                        string
		schedule                    model.Schedule
		created, changed, sent, now string
		until                       string
		never                       bool
	}{
		{"no law", model.Schedule{}, "2026-05-01 12:00", "", "", "2026-05-01 12:01", "", false},
		{"the day is not over", law, "2026-05-01 12:00", "", "", "2026-05-01 23:59", "2026-05-02 03:00", false},
		{"before the hour", law, "2026-05-01 12:00", "", "", "2026-05-02 02:59", "2026-05-02 03:00", false},
		{"at the hour", law, "2026-05-01 12:00", "", "", "2026-05-02 03:00", "", false},
		{"a minute before midnight", law, "2026-05-01 23:59", "", "", "2026-05-02 03:00", "", false},
		{"late, never sent", law, "2026-05-01 12:00", "", "", "2026-06-30 12:00", "", false},
		{"changed on day 1, after it was sent", law, "2026-05-01 12:00", "", "2026-05-02 03:01", "2026-05-02 15:00", "2026-05-03 03:00", false},
		{"day 2 has come", law, "2026-05-01 12:00", "", "2026-05-02 03:01", "2026-05-03 03:00", "", false},
		{"changed again after day 2", law, "2026-05-01 12:00", "", "2026-05-03 03:01", "2026-05-04 10:00", "2026-05-08 03:00", false},
		{"the hub was off on day 7", law, "2026-05-01 12:00", "", "2026-05-03 03:01", "2026-05-09 10:00", "", false},
		{"after day 14", law, "2026-05-01 12:00", "", "2026-05-15 03:01", "2026-05-16 10:00", "2026-05-21 03:00", false},
		{"after day 20", law, "2026-05-01 12:00", "", "2026-05-21 03:01", "2026-05-22 10:00", "", true},
		{"the day of the zone, not of UTC", law, "2026-05-02 01:00", "", "", "2026-05-02 12:00", "2026-05-03 03:00", false},
		{"changes as they come when no days are named", model.Schedule{PreviousDay: true}, "2026-05-01 12:00", "", "2026-05-02 03:01", "2026-05-02 15:00", "", false},
		{"changed after a day on which nothing had changed", law, "2026-05-01 12:00", "2026-05-10 09:00", "2026-05-02 03:01", "2026-05-10 09:01", "2026-05-15 03:00", false},
		{"changed before day 7, and the hub was off on it", law, "2026-05-01 12:00", "2026-05-05 09:00", "2026-05-02 03:01", "2026-05-09 10:00", "", false},
		{"changed after day 20, and never before", law, "2026-05-01 12:00", "2026-05-23 09:00", "2026-05-02 03:01", "2026-05-23 09:01", "", true},
		{"without a time of its own", law, "", "", "", "2026-05-02 12:00", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := flow.HoldBack(c.schedule, at(c.created), at(c.changed), at(c.sent), at(c.now), moscow)
			if !got.Until.Equal(at(c.until)) || got.Never != c.never {
				t.Errorf("got %+v, want until %q, never %v", got, c.until, c.never)
			}
		})
	}
}
