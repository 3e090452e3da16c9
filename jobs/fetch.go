package jobs

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// fetch re-reads what references point to.
func (e *Engine) fetch(ctx context.Context, c *Connection) error {
	fetcher, ok := c.Connector.(connectors.Fetcher)
	if !ok {
		return nil
	}
	for start := e.now(); ; {
		if until, _, err := e.blocked(ctx, c); err != nil || !until.IsZero() {
			return err
		}
		pending, err := e.store.PendingRefs(ctx, c.Project, c.ID, fetcher.FetchLimit())
		if err != nil || len(pending) == 0 {
			return err
		}
		more, err := e.reread(ctx, c, fetcher, pending)
		if err != nil || !more {
			return err
		}
		if e.spent(start) {
			e.wake(Work{Kind: WorkFetch, Project: c.Project, Subject: c.ID})
			return nil
		}
	}
}

// reread asks the source once and stores what it said. more is false when there
// is no use in asking again now.
func (e *Engine) reread(ctx context.Context, c *Connection, fetcher connectors.Fetcher, pending []store.PendingRef) (more bool, err error) {
	refs := make([]model.Ref, len(pending))
	for i, p := range pending {
		refs[i] = p.Ref
	}
	readAt := e.now().UTC()
	got, fetchErr := fetcher.Fetch(ctx, refs)
	if ctx.Err() != nil {
		return false, nil // stopped: what was read is read again
	}
	if err := e.keepFetched(ctx, c, got, readAt); err != nil {
		return false, err
	}
	settled, rest := sortOut(pending, got)
	if err := e.store.SettleRefs(ctx, c.Project, c.ID, settled); err != nil {
		return false, err
	}
	e.metrics.RefsFetched.WithLabelValues(c.Project, c.ID, "found").Add(float64(len(settled) - len(got.Missing)))
	e.metrics.RefsFetched.WithLabelValues(c.Project, c.ID, "missing").Add(float64(len(got.Missing)))
	if fetchErr == nil {
		e.worked(ctx, c)
		if err := e.store.TouchConnection(ctx, c.Project, c.ID, time.Time{}, readAt); err != nil {
			return false, err
		}
	}
	if len(rest) == 0 {
		return fetchErr == nil, nil
	}
	if fetchErr == nil {
		fetchErr = model.Errorf(model.ClassTemporary, model.CauseIncomplete, "%s named neither the record nor its absence", c.ID)
	}
	return false, e.postpone(ctx, c, rest, fetchErr)
}

func (e *Engine) keepFetched(ctx context.Context, c *Connection, got connectors.Fetched, readAt time.Time) error {
	if len(got.Records) > 0 {
		stamp(c, got.Records, readAt)
		// In parts: on SQLite a webhook waits for its commit behind each.
		for part := range slices.Chunk(got.Records, applyStep) {
			applied, err := e.store.ApplyRecords(ctx, c.Project, part)
			if err != nil {
				return err
			}
			e.count(c, applied)
		}
		if err := e.requestUnknownRelations(ctx, c, got.Records); err != nil {
			return err
		}
	}
	if len(got.Missing) > 0 {
		applied, err := e.store.MarkMissing(ctx, c.Project, c.ID, got.Missing, readAt)
		if err != nil {
			return err
		}
		e.count(c, applied)
	}
	if len(got.Records)+len(got.Missing) > 0 {
		e.feed(c)
	}
	return nil
}

// applyStep is how many re-read records are written in one transaction.
const applyStep = 500

// requestUnknownRelations asks for contacts and companies that records name and
// that we have never seen: their own events may have been lost.
func (e *Engine) requestUnknownRelations(ctx context.Context, c *Connection, records []model.Record) error {
	named := map[model.Key]bool{}
	for _, r := range records {
		b := r.Meta()
		if b.ContactID != "" {
			named[model.Key{Connection: c.ID, Kind: model.KindContact, ID: b.ContactID}] = true
		}
		if b.CompanyID != "" {
			named[model.Key{Connection: c.ID, Kind: model.KindCompany, ID: b.CompanyID}] = true
		}
	}
	for _, r := range records {
		delete(named, r.Meta().Key())
	}
	if len(named) == 0 {
		return nil
	}
	keys := make([]model.Key, 0, len(named))
	for k := range named {
		keys = append(keys, k)
	}
	known, err := e.store.RecordsByKeys(ctx, c.Project, keys)
	if err != nil {
		return err
	}
	var unknown []model.Ref
	for _, k := range keys {
		if known[k] == nil {
			unknown = append(unknown, k.Ref())
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return e.store.RequestRefs(ctx, c.Project, c.ID, unknown)
}

// sortOut parts what was answered from what was not.
func sortOut(pending []store.PendingRef, got connectors.Fetched) (settled, rest []store.PendingRef) {
	answered := make(map[model.Ref]bool, len(got.Records)+len(got.Missing))
	for _, r := range got.Records {
		answered[r.Meta().Key().Ref()] = true
	}
	for _, ref := range got.Missing {
		answered[ref] = true
	}
	for _, p := range pending {
		if answered[p.Ref] {
			settled = append(settled, p)
		} else {
			rest = append(rest, p)
		}
	}
	return settled, rest
}

func (e *Engine) postpone(ctx context.Context, c *Connection, rest []store.PendingRef, err error) error {
	attempts := 0
	for _, p := range rest {
		attempts = max(attempts, p.Attempts)
	}
	next := retryAt(err, attempts, e.now())
	e.failed(ctx, c, err, next)
	e.metrics.RefsFetched.WithLabelValues(c.Project, c.ID, "postponed").Add(float64(len(rest)))
	e.log.Warn("references not re-read", zap.String("project", c.Project), zap.String("connection", c.ID),
		zap.Int("refs", len(rest)), zap.Time("retry_at", next), zap.Error(err))
	return e.store.PostponeRefs(ctx, c.Project, c.ID, rest, next, err.Error())
}
