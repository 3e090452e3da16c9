package yandexmetrica

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

const (
	// With a burst at its beginning no window holds more than 190 of the 200 reports
	// that the quota allows (yandex-metrica §3.2).
	reportsPerWindow = 150
	reportsBurst     = 40
	reportsWindow    = 5 * time.Minute
	maxMetrics       = 20 // of one report (§12)
	reportsPath      = "/stat/v1/data"
)

func (c *Connector) reportsKey() string { return "metrica:reports:" + c.login }

// report is an answer of stat/v1/data (§12).
type report struct {
	Data []struct {
		Dimensions []struct {
			Name text `json:"name"`
			ID   text `json:"id"`
		} `json:"dimensions"`
		Metrics []*float64 `json:"metrics"`
	} `json:"data"`
	Totals  []*float64 `json:"totals"`
	Sampled text       `json:"sampled"`
	Query   struct {
		Date1 text `json:"date1"`
		Date2 text `json:"date2"`
	} `json:"query"`
}

func (r report) sampled() bool { return r.Sampled == "true" || r.Sampled == "1" }

// number gives metric i, of which Metrica says null when there is none.
func number(metrics []*float64, i int) int64 {
	if i >= len(metrics) || metrics[i] == nil {
		return 0
	}
	return int64(*metrics[i] + 0.5)
}

// readReport reads a table. All days of a query are the counter's.
func (c *Connector) readReport(ctx context.Context, what string, metrics []string, dimension, from, to string) (report, error) {
	if len(metrics) > maxMetrics {
		return report{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "%s: %d metrics are more than one report holds", what, len(metrics))
	}
	if c.limiter != nil {
		limit := connectors.Limit{Rate: reportsPerWindow, Period: reportsWindow, Burst: reportsBurst}
		if err := c.limiter.Wait(ctx, c.reportsKey(), limit); err != nil {
			return report{}, err
		}
	}
	c.usage.report(c.now())
	q := url.Values{"ids": {c.Counter}, "metrics": {strings.Join(metrics, ",")}, "date1": {from}, "date2": {to}, "accuracy": {"full"}}
	if dimension != "" {
		q.Set("dimensions", dimension)
		q.Set("limit", strconv.Itoa(100_000))
	}
	var got report
	err := c.get(ctx, what, reportsPath, q, &got)
	return got, err
}

// pauseReports holds back reports only. How their quota is called is not
// documented: under the name of the day's it would stop the uploads too.
func (c *Connector) pauseReports(ctx context.Context, resp outbound.Response, e *model.Error) error {
	if retryAfter(resp.Header, c.now()).IsZero() {
		e.RetryAt = c.now().Add(reportsWindow)
	}
	if c.limiter != nil {
		if err := c.limiter.Pause(ctx, c.reportsKey(), e.RetryAt); err != nil {
			return err
		}
	}
	return e
}
