package flow

import (
	"time"

	"github.com/svod-hub/svod/model"
)

// Hold says whether a row must wait, by the day law of its schedule.
type Hold struct {
	Until time.Time // not before; zero: it may go now
	Never bool      // changes to it are not sent any more
}

// HoldBack applies a schedule's day law (the seed's call law: a day's calls go
// once that day is over in the project; calls that changed afterwards go again
// on days 2, 7, 14 and 20). created is the record's own time, sent when a
// version of the row was accepted last, zero when none was. changed is when the
// newest version came up, zero when that is not known. Days are those of the
// zone; the hour of a day is the schedule's Daily, or its beginning.
func HoldBack(s model.Schedule, created, changed, sent, now time.Time, zone *time.Location) Hold {
	if created.IsZero() || !s.PreviousDay && len(s.Again) == 0 {
		return Hold{}
	}
	day := func(n int) time.Time { return dayAt(created, n, s.Daily, zone) }
	if sent.IsZero() {
		if first := day(1); s.PreviousDay && first.After(now) {
			return Hold{Until: first}
		}
		return Hold{}
	}
	if len(s.Again) == 0 {
		return Hold{}
	}
	for _, n := range s.Again {
		// The run of a day takes what changed before it, and the row once. A run
		// that was missed because the hub was off is made up for.
		at := day(n)
		if !at.After(sent) || changed.After(at) {
			continue
		}
		if at.After(now) {
			return Hold{Until: at}
		}
		return Hold{}
	}
	return Hold{Never: true}
}

// dayAt is the hour of the nth day after the one on which t lies in the zone.
func dayAt(t time.Time, n int, hour string, zone *time.Location) time.Time {
	h, m := 0, 0
	if at, err := time.Parse("15:04", hour); err == nil {
		h, m = at.Hour(), at.Minute()
	}
	local := t.In(zone)
	return time.Date(local.Year(), local.Month(), local.Day()+n, h, m, 0, 0, zone)
}
