package jobs

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// catalogueStream is the poll state under which reference data is kept.
const catalogueStream = "catalogue"

// catalogueEvery is how often reference data is read anew.
const catalogueEvery = 30 * time.Minute

// polledStreams lists a connection's polls in their order: reference data
// first, because it names what the others bring.
func polledStreams(c *Connection) []string {
	var streams []string
	if _, ok := c.Connector.(connectors.Cataloguer); ok {
		streams = append(streams, catalogueStream)
	}
	if p, ok := c.Connector.(connectors.Poller); ok {
		streams = append(streams, p.Streams()...)
	}
	return streams
}

// pollDue reports whether a stream is to be polled now.
func pollDue(c *Connection, st store.PollState, now time.Time) bool {
	if st.NextRun.After(now) {
		return false
	}
	imported := st.Cursor != "" && !st.Importing
	return !imported || c.Poll > 0
}

// poll reads what changed in each list that is due.
func (e *Engine) poll(ctx context.Context, c *Connection) error {
	start := e.now()
	for _, stream := range polledStreams(c) {
		st, err := e.store.PollState(ctx, c.Project, c.ID, stream)
		if err != nil {
			return err
		}
		st.Project, st.Connection, st.Stream = c.Project, c.ID, stream
		for pollDue(c, st, e.now()) {
			if until, _, err := e.blocked(ctx, c); err != nil || !until.IsZero() {
				return err
			}
			if st, err = e.pollOnce(ctx, c, st); err != nil || ctx.Err() != nil {
				return err
			}
			if e.spent(start) {
				e.wake(Work{Kind: WorkPoll, Project: c.Project, Subject: c.ID})
				return nil
			}
		}
	}
	return nil
}

// pollOnce does one step of one stream and says where it stands. NextRun in the
// past means that there is more at once.
func (e *Engine) pollOnce(ctx context.Context, c *Connection, st store.PollState) (store.PollState, error) {
	readAt := e.now().UTC()
	var err error
	if st.Stream == catalogueStream {
		err = e.readCatalogue(ctx, c, readAt)
		if err == nil {
			st.Cursor, st.Error, st.Failures, st.LastRun = readAt.Format(time.RFC3339), "", 0, readAt
			st.NextRun = readAt.Add(catalogueEvery)
			e.worked(ctx, c)
			return st, e.store.SavePollState(ctx, st)
		}
	} else {
		var next store.PollState
		next, err = e.readPage(ctx, c, st, readAt)
		if err == nil {
			return next, nil
		}
	}
	if ctx.Err() != nil {
		return st, nil
	}
	st.Failures++
	st.Error = err.Error()
	st.NextRun = retryAt(err, st.Failures, e.now())
	e.failed(ctx, c, err, st.NextRun)
	e.log.Warn("poll failed", zap.String("project", c.Project), zap.String("connection", c.ID),
		zap.String("stream", st.Stream), zap.Time("retry_at", st.NextRun), zap.Error(err))
	return st, e.store.SavePollState(ctx, st)
}

func (e *Engine) readPage(ctx context.Context, c *Connection, st store.PollState, readAt time.Time) (store.PollState, error) {
	page, err := c.Connector.(connectors.Poller).Poll(ctx, st.Stream, st.Cursor)
	if err != nil {
		return st, err
	}
	stamp(c, page.Records, readAt)
	st.Cursor, st.Importing, st.Done, st.Total = page.Cursor, page.Importing, page.Done, page.Total
	st.Error, st.Failures, st.LastRun = "", 0, readAt
	st.NextRun = readAt
	if !page.More {
		st.NextRun = readAt.Add(max(c.Poll, time.Second))
	}
	applied, err := e.store.ApplyPage(ctx, st, page.Records, page.Refs, page.Missing, readAt)
	if err != nil {
		return st, err
	}
	e.count(c, applied)
	e.worked(ctx, c)
	if err := e.store.TouchConnection(ctx, c.Project, c.ID, time.Time{}, readAt); err != nil {
		return st, err
	}
	if applied.Inserted+applied.Changed > 0 {
		e.feed(c)
	}
	if len(page.Refs) > 0 {
		e.wake(Work{Kind: WorkFetch, Project: c.Project, Subject: c.ID})
	}
	return st, nil
}

// readCatalogue stores a source's reference data and marks what is not in it
// any more as deleted.
func (e *Engine) readCatalogue(ctx context.Context, c *Connection, readAt time.Time) error {
	records, err := c.Connector.(connectors.Cataloguer).Catalogue(ctx)
	if err != nil {
		return err
	}
	stamp(c, records, readAt)
	listed := map[model.Kind]map[string]bool{}
	for _, r := range records {
		b := r.Meta()
		if listed[b.Kind] == nil {
			listed[b.Kind] = map[string]bool{}
		}
		listed[b.Kind][b.ID] = true
	}
	applied, err := e.store.ApplyRecords(ctx, c.Project, records)
	if err != nil {
		return err
	}
	e.count(c, applied)
	var gone []model.Ref
	for kind, ids := range listed {
		known, err := e.store.LiveIDs(ctx, c.Project, c.ID, kind)
		if err != nil {
			return err
		}
		for _, id := range known {
			if !ids[id] {
				gone = append(gone, model.Ref{Kind: kind, ID: id})
			}
		}
	}
	if len(gone) > 0 {
		if _, err := e.store.MarkMissing(ctx, c.Project, c.ID, gone, readAt); err != nil {
			return err
		}
	}
	e.catalogues.forget(c.Project)
	return nil
}
