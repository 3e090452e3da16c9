package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// maxSplits bounds the uploads that one run spends on finding bad rows by
// bisection: about ten bad rows among a quarter of a million.
const maxSplits = 256

// send gives an encoded upload to the destination and concludes it.
func (r *run) send(ctx context.Context, b *batch) error {
	defer b.discard()
	e := r.engine
	b.upload.Status = store.UploadSending
	b.upload.StartedAt = e.now().UTC()
	b.upload.Attempts++
	if err := e.store.BeginSending(ctx, b.upload, r.lease); err != nil {
		if !errors.Is(err, store.ErrNotOurs) {
			r.giveBack(ctx, b.upload, err)
		}
		return err
	}
	b.remote.StartedAt = b.upload.StartedAt
	outcome, err := r.uploader.Send(ctx, b.remote, b.spool)
	e.metrics.UploadSeconds.WithLabelValues(r.flow.Spec.As).Observe(metrics.Since(e.now, b.upload.StartedAt))
	// From here on the destination may have the rows: what we know of it is
	// written down even when we are being stopped.
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		e.worked(ctx, r.flow.To)
		return r.conclude(ctx, b.upload, outcome, b.dropped)
	}
	// An error without a class tells nothing about what the destination got.
	if isClassified(err) && model.ClassOf(err) != model.ClassUnknown {
		r.giveBack(ctx, b.upload, err)
		return err
	}
	b.upload.Status, b.upload.Cause, b.upload.Error = store.UploadInDoubt, model.CauseInDoubt, err.Error()
	if err := e.store.SaveUpload(ctx, b.upload); err != nil {
		return err
	}
	e.log.Warn("upload in doubt", zap.String("flow", r.flow.Spec.ID), zap.Int64("upload", b.upload.ID), zap.Error(err))
	return r.settle(ctx, b.upload)
}

// conclude acts on the destination's answer.
func (r *run) conclude(ctx context.Context, u store.Upload, o connectors.Outcome, dropped []store.RowRefusal) error {
	e := r.engine
	u.RemoteID, u.Details = o.RemoteID, o.Details
	u.Accepted, u.Refused = o.Accepted, len(o.Refused)
	u.Cause, u.Error = "", ""
	r.uploaded = u.ID
	if o.State == connectors.UploadRejected {
		return r.rejected(ctx, u, o)
	}
	u.FinishedAt = e.now().UTC()
	u.Status = store.UploadAccepted
	if o.State == connectors.UploadProcessing {
		u.Status = store.UploadProcessing
		u.FollowAt = followAfter(u.StartedAt, u.FinishedAt)
	}
	refused := dropped
	for _, row := range o.Refused {
		refused = append(refused, store.RowRefusal{RowKey: row.Key, Cause: row.Err.Cause, Error: row.Err.Message})
	}
	if err := e.store.AcceptUpload(ctx, u, refused, o.Created); err != nil {
		return fmt.Errorf("remember that upload %d was accepted: %w", u.ID, err)
	}
	r.note(u, len(o.Refused))
	return r.release(ctx, u)
}

func (r *run) note(u store.Upload, refused int) {
	m, f := r.engine.metrics, r.flow
	m.Uploads.WithLabelValues(f.Project.ID, f.Spec.ID, string(u.Status)).Inc()
	m.RowsSettled.WithLabelValues(f.Project.ID, f.Spec.ID, "sent", "").Add(float64(u.Rows - refused))
	if refused > 0 {
		m.RowsSettled.WithLabelValues(f.Project.ID, f.Spec.ID, "refused", string(model.CauseRefusedByRemote)).Add(float64(refused))
	}
	r.engine.log.Info("upload accepted", zap.String("project", f.Project.ID), zap.String("flow", f.Spec.ID),
		zap.Int64("upload", u.ID), zap.Int("rows", u.Rows), zap.Int("refused", refused))
}

// release lets rows go that waited for rows of this upload.
func (r *run) release(ctx context.Context, u store.Upload) error {
	waiting := r.flow.Project.waitingOn(r.flow)
	if len(waiting) == 0 {
		return nil
	}
	if _, err := r.engine.store.ReleaseWaitingFor(ctx, u.ID, flowIDs(waiting)); err != nil {
		return err
	}
	for _, f := range waiting {
		r.engine.wake(Work{Kind: WorkDeliver, Project: f.Project.ID, Subject: f.Spec.ID})
	}
	return nil
}

// rejected isolates the rows because of which the destination refused an upload
// as a whole: halves are sent until single rows remain (yandex-metrica §14.4).
func (r *run) rejected(ctx context.Context, u store.Upload, o connectors.Outcome) error {
	e := r.engine
	reason := strings.Join(o.Reasons, "; ")
	if reason == "" {
		reason = "the destination gave no reason"
	}
	u.Cause, u.Error, u.FinishedAt = model.CauseUploadRejected, reason, e.now().UTC()
	if u.Rows <= 1 {
		u.Status = store.UploadRejected
		e.metrics.Uploads.WithLabelValues(u.Project, u.Flow, string(u.Status)).Inc()
		e.metrics.RowsSettled.WithLabelValues(u.Project, u.Flow, "refused", string(model.CauseUploadRejected)).Inc()
		return e.store.RefuseUpload(ctx, u, model.CauseUploadRejected, reason)
	}
	if r.splits >= maxSplits {
		err := model.Errorf(model.ClassPermanent, model.CauseUploadRejected,
			"the destination refuses upload after upload (%s); look at the map of the flow, the rows are kept", reason)
		r.giveBack(ctx, u, err)
		return err
	}
	r.splits += 2
	u.Status = store.UploadSplit
	halves, err := e.store.SplitUpload(ctx, u)
	if err != nil {
		return err
	}
	e.log.Info("upload rejected, sending its halves", zap.String("flow", u.Flow), zap.Int64("upload", u.ID), zap.String("reason", reason))
	for i, half := range halves {
		if err := r.rebuild(ctx, half); err != nil {
			if i == 0 {
				r.giveBack(ctx, halves[1], err)
			}
			return err
		}
	}
	return nil
}

// rebuild encodes the rows of an upload anew, as their records are now, and
// sends it.
func (r *run) rebuild(ctx context.Context, u store.Upload) error {
	db, f := r.engine.store, r.flow
	catalogue, err := r.engine.catalogue(ctx, f.Project.ID)
	if err != nil {
		r.giveBack(ctx, u, err)
		return err
	}
	b := &batch{upload: u}
	if err := r.encodeInto(ctx, b); err != nil {
		r.dropUnsent(ctx, []*batch{b}, err)
		return err
	}
	b.upload.Rows = 0
	for after := -1; ; {
		due, err := db.UploadRows(ctx, f.Project.ID, u.ID, after, buildPage)
		if err == nil && len(due) == 0 {
			break
		}
		if err == nil {
			after = due[len(due)-1].Position
			err = r.reencode(ctx, b, due, catalogue)
		}
		if err != nil {
			r.dropUnsent(ctx, []*batch{b}, err)
			return err
		}
	}
	if b.upload.Rows == 0 {
		r.dropUnsent(ctx, []*batch{b}, errNoRows)
		return nil
	}
	if err := r.seal(b); err != nil {
		r.dropUnsent(ctx, []*batch{b}, err)
		return err
	}
	return r.send(ctx, b)
}

// settle asks the destination about an upload whose outcome is unknown.
func (r *run) settle(ctx context.Context, u store.Upload) error {
	settler, ok := r.uploader.(connectors.Settler)
	if !ok {
		// Keys make a repetition safe, or the connector would be a Settler.
		r.giveBack(ctx, u, model.Errorf(model.ClassUnknown, model.CauseInDoubt, "the outcome of the upload is unknown and the destination can't be asked; its rows go again"))
		return nil
	}
	outcome, found, err := settler.Settle(ctx, r.remoteUpload(u))
	switch {
	case err != nil:
		return err // it stays in doubt and is asked about again
	case found:
		return r.conclude(ctx, u, outcome, nil)
	}
	r.giveBack(ctx, u, model.Errorf(model.ClassTemporary, model.CauseInDoubt, "the destination did not get the upload; its rows go again"))
	return nil
}

// resume looks after uploads that an earlier run left open.
func (r *run) resume(ctx context.Context) error {
	f := r.flow
	open, err := r.engine.store.Uploads(ctx, store.UploadFilter{
		Project: f.Project.ID, Flow: f.Spec.ID, Limit: 1000,
		Statuses: []store.UploadStatus{store.UploadBuilding, store.UploadSending, store.UploadInDoubt},
	})
	if err != nil {
		return err
	}
	for _, u := range open {
		switch {
		case u.Status == store.UploadBuilding && u.Parent != 0:
			err = r.rebuild(ctx, u)
		case u.Status == store.UploadBuilding:
			r.giveBack(ctx, u, model.Errorf(model.ClassTemporary, model.CauseInternal, "the hub was stopped while it built the upload; nothing was sent"))
		default:
			// We died while the request was on its way, or did not learn its outcome.
			u.Status = store.UploadInDoubt
			err = r.settle(ctx, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// giveBack makes the rows of an upload due again.
func (r *run) giveBack(ctx context.Context, u store.Upload, why error) {
	u.Status, u.Cause, u.Error = store.UploadFailed, model.CauseOf(why), why.Error()
	u.FinishedAt = r.engine.now().UTC()
	r.engine.metrics.Uploads.WithLabelValues(u.Project, u.Flow, string(u.Status)).Inc()
	if err := r.engine.store.ReturnUpload(context.WithoutCancel(ctx), u); err != nil {
		// The next run finds the upload open and gives its rows back then.
		r.engine.log.Error("rows not given back yet", zap.Int64("upload", u.ID), zap.Error(err))
	}
}

// followAfter is when to look at an upload's fate next: after 1, 5, 15, 30 and
// 60 minutes, then hourly (yandex-metrica §11).
func followAfter(started, now time.Time) time.Time {
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour} {
		if at := started.Add(step); at.After(now) {
			return at
		}
	}
	return now.Add(time.Hour)
}
