package yandexmetrica

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const (
	// A comment is unique; the time only keeps a hub that was set up anew from
	// taking an upload of an earlier life for its own.
	commentSkew = time.Hour
	// A file whose answer was lost may still be worked on. Conversions that are
	// sent twice are worse than those that are sent some minutes later.
	sheetGrace = 5 * time.Minute
	// sheetPages bounds one search. Offsets go on from there only with a time that
	// ends it.
	sheetPages = 50
)

// isOurs compares the comment, and that the upload is not of long before.
// Removals of expenses carry a comment of their own.
func (c *Connector) isOurs(got fate, u connectors.Upload) bool {
	if string(got.Comment) != c.tokenOf(u) {
		return false
	}
	at, ok := latestMoment(string(got.Created))
	return !ok || u.StartedAt.IsZero() || !at.Before(u.StartedAt.Add(-commentSkew))
}

// settleSheet looks for an upload by its comment (yandex-metrica §15). It says
// "not there" only when the list was read to its end, or back beyond the time of
// the upload, and the file cannot be on its way any more.
func (c *Connector) settleSheet(ctx context.Context, s sheet, u connectors.Upload) (connectors.Outcome, bool, error) {
	got, found, covered, err := c.search(ctx, s, u)
	if err != nil {
		return connectors.Outcome{}, false, err
	}
	if found {
		if u.As == asUserParams {
			if got.got, err = c.confirm(ctx, s, got.got, got.raw); err != nil {
				return connectors.Outcome{}, false, repeatable(err)
			}
		}
		return taken(judgeFate(u.As, got.got, u.Rows, c.recallFacts(ctx, u))), true, nil
	}
	if !covered {
		return connectors.Outcome{}, false, model.Errorf(model.ClassTemporary, model.CauseInDoubt,
			"settle upload %d: Metrica's list of uploads does not reach back to %s", u.ID, u.StartedAt.UTC().Format(time.RFC3339))
	}
	if ready := u.StartedAt.Add(sheetGrace); c.now().Before(ready) {
		return connectors.Outcome{}, false, &model.Error{
			Class: model.ClassTemporary, Cause: model.CauseInDoubt, RetryAt: ready,
			Message: "settle upload " + strconv.FormatInt(u.ID, 10) + ": not in Metrica's list yet; asking again",
		}
	}
	return connectors.Outcome{}, false, nil
}

// search reads the list page by page. Its order is not documented: only when it
// is surely from new to old does a page from before the upload end it early.
// Uploads that are added meanwhile move others to later pages, never past us.
func (c *Connector) search(ctx context.Context, s sheet, u connectors.Upload) (found listed, ok, covered bool, err error) {
	since := u.StartedAt.Add(-clockSkew)
	descending, previous, firstID := true, time.Time{}, text("")
	for offset, page := 0, 0; page < sheetPages; page++ {
		list, err := c.uploadsPage(ctx, s, offset)
		if err != nil {
			return listed{}, false, false, err
		}
		// Only a page without anything is surely the end: a server may give fewer
		// than were asked for. One that ignores offsets proves nothing.
		if len(list) == 0 {
			return listed{}, false, true, nil
		}
		if page > 0 && list[0].got.ID == firstID {
			return listed{}, false, false, nil
		}
		firstID, offset = list[0].got.ID, offset+len(list)
		before := false
		for _, l := range list {
			if c.isOurs(l.got, u) && !strings.EqualFold(string(l.got.Type), "REMOVES") {
				return l, true, true, nil
			}
			at, dated := latestMoment(string(l.got.Created))
			if !dated || !previous.IsZero() && at.After(previous) {
				descending = false
			}
			previous, before = at, dated && at.Before(since)
		}
		if descending && before {
			return listed{}, false, true, nil
		}
	}
	return listed{}, false, false, nil
}

// latestMoment reads a time of a list. Without a zone it may be that of any
// counter: then the latest that it may mean counts.
func latestMoment(s string) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at, true
	}
	at, ok := moment(s, time.UTC)
	return at.Add(12 * time.Hour), ok
}
