package yandexmetrica

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const (
	// Metrica's clock and ours may differ by so much.
	clockSkew = 2 * time.Minute
	// A file whose answer was lost may still be worked on: absence proves nothing
	// so soon.
	settleGrace = 15 * time.Second

	listPage  = 1000 // the most that one call gives (yandex-metrica §5.8)
	listPages = 20
)

// Settle implements connectors.Settler. For the CRM data there is no call for one
// upload: it is looked for in the list of recent ones, by time, kind and number of rows (§15).
func (c *Connector) Settle(ctx context.Context, u connectors.Upload) (connectors.Outcome, bool, error) {
	if s, ok := sheetOf(u.As); ok {
		return c.settleSheet(ctx, s, u)
	}
	if u.As == asEvents {
		return c.settleEvents(ctx, u)
	}
	since := u.StartedAt.Add(-clockSkew)
	zone, err := c.location(ctx)
	if err != nil {
		return connectors.Outcome{}, false, err
	}
	list, covered, err := c.uploadingsSince(ctx, since, zone)
	if err != nil {
		return connectors.Outcome{}, false, err
	}
	answered := c.answered(ctx, u.As)
	var found []uploading
	for _, got := range list {
		if !fits(got, u) || !within(got, since, c.now().Add(clockSkew), zone) {
			continue
		}
		switch ours, taken := answered[string(got.ID)]; {
		case !taken:
			found = append(found, got)
		case ours == strconv.FormatInt(u.ID, 10):
			return judge(got, u.Rows, warnings{}), true, nil
		}
	}
	if got, ok := choose(found, u.As); ok {
		c.noteAnswered(ctx, u, string(got.ID))
		return judge(got, u.Rows, warnings{}), true, nil
	}
	if !covered {
		return connectors.Outcome{}, false, model.Errorf(model.ClassTemporary, model.CauseInDoubt,
			"settle upload %d: Metrica's list of uploads does not reach back to %s", u.ID, since.UTC().Format(time.RFC3339))
	}
	if ready := u.StartedAt.Add(settleGrace); c.now().Before(ready) {
		return connectors.Outcome{}, false, &model.Error{
			Class: model.ClassTemporary, Cause: model.CauseInDoubt, RetryAt: ready,
			Message: "settle upload " + strconv.FormatInt(u.ID, 10) + ": not in Metrica's list yet; asking again",
		}
	}
	return connectors.Outcome{}, false, nil
}

// fits compares what both sides know. elements_count of a failed upload may be
// anything.
func fits(got uploading, u connectors.Upload) bool {
	if got.Format != "" && !strings.EqualFold(got.Format, "CSV") || got.Source != "" && !strings.EqualFold(got.Source, "API") {
		return false
	}
	if got.Status == "PASSED" && (got.Elements == nil || int(*got.Elements) != u.Rows) {
		return false
	}
	kind := kindOf(got)
	return kind == "" || kind == u.As
}

// kindOf reads the kind of upload off entity_type and entity_subtype, whose
// values are not documented beyond doubt (§5.8, §19.3). "" means that they do
// not tell.
func kindOf(got uploading) string {
	for _, name := range []string{got.Subtype, got.Type} {
		name = strings.ToUpper(name)
		switch {
		case strings.Contains(name, "SIMPLE"):
			return asSimpleOrders
		case strings.Contains(name, "ORDER"):
			return asOrders
		case strings.Contains(name, "CONTACT"):
			return asContacts
		case strings.Contains(name, "LIST") || strings.Contains(name, "PRODUCT"):
			return "other"
		}
	}
	return ""
}

// choose picks the upload. One that is surely of the kind wins. Among those that
// do not tell their kind a single one counts: taking a wrong one for ours would
// lose rows, sending again only repeats them.
func choose(found []uploading, as string) (uploading, bool) {
	var sure, vague []uploading
	for _, got := range found {
		if kindOf(got) == as {
			sure = append(sure, got)
		} else {
			vague = append(vague, got)
		}
	}
	passedFirst := func(a, b uploading) int {
		return strings.Compare(b.Status, a.Status) // PASSED before FAILED
	}
	if len(sure) > 0 {
		slices.SortStableFunc(sure, passedFirst)
		return sure[0], true
	}
	if len(vague) == 1 {
		return vague[0], true
	}
	return uploading{}, false
}

// uploadingsSince reads the list backwards. covered says that it reaches back
// beyond since.
func (c *Connector) uploadingsSince(ctx context.Context, since time.Time, zone *time.Location) (list []uploading, covered bool, err error) {
	before := ""
	for range listPages {
		page, err := c.uploadingsPage(ctx, before, zone)
		if err != nil {
			return nil, false, err
		}
		list = append(list, page...)
		if len(page) < listPage {
			return list, true, nil
		}
		oldest := page[0]
		for _, got := range page {
			if at, ok := latest(got, zone); ok && at.Before(since) {
				return list, true, nil
			}
			if got.Datetime < oldest.Datetime {
				oldest = got
			}
		}
		if string(oldest.Datetime) == before {
			return list, false, nil
		}
		before = string(oldest.Datetime)
	}
	return list, false, nil
}

// uploadingsPage reads one page. The documents show two forms of
// datetime_offset: the ISO form is tried first (§5.8).
func (c *Connector) uploadingsPage(ctx context.Context, before string, zone *time.Location) ([]uploading, error) {
	q := url.Values{"limit": {strconv.Itoa(listPage)}, "source": {"API"}}
	forms := []string{""}
	if at, ok := moment(before, zone); ok {
		forms = []string{at.UTC().Format("2006-01-02T15:04:05.000Z"), at.In(zone).Format(time.DateTime)}
	}
	var err error
	for _, form := range forms {
		if form != "" {
			q.Set("datetime_offset", form)
		}
		var got struct {
			Uploadings []uploading `json:"uploadings"`
		}
		if err = c.get(ctx, "list uploads", c.cdpPath("/last_uploadings"), q, &got); err == nil {
			return got.Uploadings, nil
		}
		if model.CauseOf(err) != model.CauseRequestRejected {
			return nil, err
		}
	}
	return nil, err
}

// moment reads a time of the list. Without a zone it is taken for the counter's.
func moment(s string, zone *time.Location) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", time.DateTime, "2006-01-02T15:04:05Z0700"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// latest is the latest moment that the time of an upload may mean: without a
// zone it may be the counter's or UTC.
func latest(got uploading, zone *time.Location) (time.Time, bool) {
	a, ok := moment(string(got.Datetime), zone)
	if !ok {
		return time.Time{}, false
	}
	if b, _ := moment(string(got.Datetime), time.UTC); b.After(a) {
		return b, true
	}
	return a, true
}

func within(got uploading, since, until time.Time, zone *time.Location) bool {
	for _, z := range []*time.Location{zone, time.UTC} {
		if at, ok := moment(string(got.Datetime), z); ok && !at.Before(since) && !at.After(until) {
			return true
		}
	}
	return false
}

// answeredKept is how many answered uploads are remembered per kind. An upload in
// doubt is never another one that was answered; but it may itself have been
// answered just before its worker died.
const answeredKept = 20

func answeredKey(as string) string { return "answered:" + as }

// answered gives our numbers of answered uploads by Metrica's ids.
func (c *Connector) answered(ctx context.Context, as string) map[string]string {
	out := map[string]string{}
	for _, pair := range c.recallAnswered(ctx, as) {
		ours, theirs, _ := strings.Cut(pair, "=")
		out[theirs] = ours
	}
	return out
}

func (c *Connector) recallAnswered(ctx context.Context, as string) []string {
	if c.memory == nil {
		return nil
	}
	kept, err := c.memory.Recall(ctx, answeredKey(as))
	if err != nil {
		c.log.Warn("the ids of earlier uploads are not known", zap.Error(err))
	}
	return strings.Fields(kept)
}

func (c *Connector) noteAnswered(ctx context.Context, u connectors.Upload, id string) {
	if c.memory == nil || id == "" || len(id) > 200 || strings.ContainsAny(id, " \t\r\n") {
		return
	}
	kept := append(c.recallAnswered(ctx, u.As), strconv.FormatInt(u.ID, 10)+"="+id)
	kept = kept[max(0, len(kept)-answeredKept):]
	if err := c.memory.Remember(ctx, answeredKey(u.As), strings.Join(kept, " ")); err != nil {
		c.log.Warn("the id of an upload is not remembered", zap.Error(err))
	}
}
