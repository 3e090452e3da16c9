package jobs

import (
	"context"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// followLimit is how long an upload's fate is asked for.
const followLimit = 26 * time.Hour

// followUp asks a flow's destination what became of uploads that it took.
func (e *Engine) followUp(ctx context.Context, f *Flow) error {
	follower, ok := f.To.Connector.(connectors.Follower)
	if !ok {
		return nil
	}
	if until, _, err := e.blocked(ctx, f.To); err != nil || !until.IsZero() {
		return err
	}
	due, err := e.store.UploadsToFollow(ctx, e.now())
	if err != nil {
		return err
	}
	for _, u := range due {
		if u.Project != f.Project.ID || u.Flow != f.Spec.ID {
			continue
		}
		if err := e.followOne(ctx, f, follower, u); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) followOne(ctx context.Context, f *Flow, follower connectors.Follower, u store.Upload) error {
	now := e.now().UTC()
	outcome, err := follower.Follow(ctx, remoteUpload(f, u))
	switch {
	case err != nil:
		if ctx.Err() != nil {
			return nil
		}
		u.FollowAt = retryAt(err, 3, now)
		e.failed(ctx, f.To, err, u.FollowAt)
	case outcome.State == connectors.UploadProcessing:
		u.Details = outcome.Details
		u.FollowAt = followAfter(u.StartedAt, now)
	case outcome.State == connectors.UploadRejected:
		// The rows stay sent. They were taken as they are; what the fate of the whole
		// says (LINKAGE_FAILURE: nobody of the site's visitors was found in them, which
		// is the usual end of static calls, yandex-metrica §7, §11) is not mended by
		// sending the same again. The upload shows it, and who has mended the cause
		// sends its rows again by hand.
		u.Status, u.Details, u.FinishedAt, u.FollowAt = store.UploadRejected, outcome.Details, now, time.Time{}
		u.Cause, u.Error = model.CauseUploadRejected, strings.Join(outcome.Reasons, "; ")
	default:
		u.Status, u.Details, u.FinishedAt, u.FollowAt = store.UploadAccepted, outcome.Details, now, time.Time{}
		u.Cause, u.Error = "", ""
	}
	if u.Status == store.UploadProcessing && now.Sub(u.StartedAt) > followLimit {
		u.Status, u.FollowAt = store.UploadAccepted, time.Time{}
		u.Cause, u.Error = model.CauseInDoubt, "the destination took the upload and did not say within 26 hours what became of it"
	}
	return e.store.SaveUpload(ctx, u)
}
