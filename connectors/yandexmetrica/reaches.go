package yandexmetrica

import (
	"context"
	"strconv"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const (
	streamGoals = "goals"
	// A day is read some hours after its end: Metrica is still counting before
	// (data_lag, yandex-metrica §12).
	settledHour = 4
	// maxDays bounds what is made good after a long stop.
	maxDays       = 31
	goalsInReport = maxMetrics / 2
)

// Streams implements connectors.Poller: reaches of goals, when there are goals to
// read.
func (c *Connector) Streams() []string {
	if len(c.ImportGoals) == 0 {
		return nil
	}
	return []string{streamGoals}
}

// Poll implements connectors.Poller. The cursor is the last day that was read. It
// begins with yesterday, as goals are read once a day for the day before (§12,
// §17.3).
func (c *Connector) Poll(ctx context.Context, stream, cursor string) (connectors.Page, error) {
	if stream != streamGoals {
		return connectors.Page{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "Metrica has no stream %.40q", stream)
	}
	zone, err := c.location(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	last := lastSettledDay(c.now(), zone)
	from := last
	if cursor != "" {
		read, err := time.ParseInLocation(time.DateOnly, cursor, zone)
		if err != nil {
			return connectors.Page{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "the cursor %.40q is not a day", cursor)
		}
		if from = read.AddDate(0, 0, 1); from.After(last) {
			return connectors.Page{Cursor: cursor}, nil
		}
	}
	to, more := last, false
	if end := from.AddDate(0, 0, maxDays-1); end.Before(last) {
		to, more = end, true
	}
	wanted, err := c.resolveGoals(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	page := connectors.Page{Cursor: to.Format(time.DateOnly), More: more}
	for len(wanted) > 0 {
		n := min(goalsInReport, len(wanted))
		records, err := c.reaches(ctx, wanted[:n], from, to)
		if err != nil {
			return connectors.Page{}, err
		}
		page.Records = append(page.Records, records...)
		wanted = wanted[n:]
	}
	return page, nil
}

// lastSettledDay is the last day of the counter that is over and counted.
func lastSettledDay(now time.Time, zone *time.Location) time.Time {
	y, m, d := now.In(zone).Add(-settledHour * time.Hour).Date()
	return time.Date(y, m, d-1, 0, 0, 0, 0, zone)
}

// reaches reads one report: two metrics of each goal, by day. A day that is
// missing has none (§12).
func (c *Connector) reaches(ctx context.Context, goals []goal, from, to time.Time) ([]model.Record, error) {
	var metrics []string
	for _, g := range goals {
		metrics = append(metrics, "ym:s:goal"+string(g.ID)+"reaches", "ym:s:goal"+string(g.ID)+"visits")
	}
	got, err := c.readReport(ctx, "read reaches of goals", metrics, "ym:s:date", from.Format(time.DateOnly), to.Format(time.DateOnly))
	if err != nil {
		return nil, err
	}
	byDay := map[string][]*float64{}
	for _, row := range got.Data {
		if len(row.Dimensions) > 0 {
			byDay[string(row.Dimensions[0].Name)] = row.Metrics
		}
	}
	var out []model.Record
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		metrics := byDay[day.Format(time.DateOnly)]
		for i, g := range goals {
			out = append(out, reached(g, day, number(metrics, 2*i), number(metrics, 2*i+1), got.sampled()))
		}
	}
	return out, nil
}

// reached is the record of one goal on one day.
func reached(g goal, day time.Time, reaches, visits int64, sampled bool) model.Record {
	date := day.Format(time.DateOnly)
	fields := model.Fields{
		"date": date, "goal_id": string(g.ID),
		"reaches": strconv.FormatInt(reaches, 10), "visits": strconv.FormatInt(visits, 10),
	}
	if sampled {
		fields["sampled"] = "true" // extrapolated, though accuracy=full was asked for
	}
	return &model.Event{
		Base: model.Base{
			Kind: model.KindGoal, ID: string(g.ID) + ":" + date,
			CreatedAt: day.UTC(), UpdatedAt: day.AddDate(0, 0, 1).UTC(), Fields: fields,
		},
		Name: string(g.Name), Target: g.identifier(),
	}
}
