package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Statuses of a connection.
const (
	statusOK          = "ok"
	statusFailing     = "failing"
	statusNeedsReauth = "needs_reauth"
	statusPaused      = "paused" // the other system asked us to wait
)

// backoff is the wait before try number attempts+1: it doubles from a second to
// ten minutes, give or take a fifth, so that many workers do not come back at
// once.
func backoff(attempts int) time.Duration {
	const most = 10 * time.Minute
	d := most
	if attempts < 10 {
		d = min(most, time.Second<<max(attempts, 0))
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// retryAt is when work that met err is worth another try: when the system said
// so, else by backoff.
func retryAt(err error, attempts int, now time.Time) time.Time {
	var e *model.Error
	if errors.As(err, &e) && e.RetryAt.After(now) {
		return e.RetryAt
	}
	switch model.ClassOf(err) {
	case model.ClassPermanent, model.ClassReauth:
		// A person has to act first; look again now and then.
		return now.Add(max(5*time.Minute, backoff(attempts)))
	case model.ClassQuota:
		return now.Add(max(5*time.Second, backoff(attempts)))
	}
	return now.Add(backoff(attempts))
}

// blocked says until when a connection is not to be used, and why.
func (e *Engine) blocked(ctx context.Context, c *Connection) (until time.Time, why string, err error) {
	st, err := e.store.ConnectionState(ctx, c.Project, c.ID)
	if err != nil {
		return time.Time{}, "", err
	}
	now := e.now()
	switch {
	case st.Status == statusNeedsReauth:
		// Nothing is tried until the operator has acted, which resets the status.
		return now.Add(time.Hour), st.Error, nil
	case st.Status != statusOK && st.Status != "" && st.RetryAt.After(now):
		return st.RetryAt, st.Error, nil
	}
	return time.Time{}, "", nil
}

// worked notes that the connection answered.
func (e *Engine) worked(ctx context.Context, c *Connection) {
	changed, err := e.store.SetConnectionStatus(ctx, c.Project, c.ID, statusOK, "", "", time.Time{})
	if err != nil {
		e.log.Warn("connection status not saved", zap.String("connection", c.ID), zap.Error(err))
	}
	if changed {
		e.log.Info("connection works", zap.String("project", c.Project), zap.String("connection", c.ID))
	}
	e.metrics.ConnectionOK.WithLabelValues(c.Project, c.ID).Set(1)
}

// failed notes what an error means for the connection as a whole. An error that
// is about one request only leaves the connection as it is.
func (e *Engine) failed(ctx context.Context, c *Connection, err error, next time.Time) {
	if ctx.Err() != nil {
		return // we are being stopped; that says nothing about the other side
	}
	status := ""
	switch model.ClassOf(err) {
	case model.ClassReauth:
		status = statusNeedsReauth
	case model.ClassQuota:
		status = statusPaused
	case model.ClassTemporary, model.ClassUnknown:
		status = statusFailing
	case model.ClassPermanent:
		if cause := model.CauseOf(err); cause != model.CauseForbidden && cause != model.CauseAddressForbidden {
			return
		}
		status = statusFailing
	}
	changed, saveErr := e.store.SetConnectionStatus(ctx, c.Project, c.ID, status, model.CauseOf(err), err.Error(), next)
	if saveErr != nil {
		e.log.Warn("connection status not saved", zap.String("connection", c.ID), zap.Error(saveErr))
	}
	if changed {
		e.log.Warn("connection does not work", zap.String("project", c.Project), zap.String("connection", c.ID),
			zap.String("status", status), zap.Error(err))
	}
	e.metrics.ConnectionOK.WithLabelValues(c.Project, c.ID).Set(0)
}

// Reset lets connections that waited for a person try again: the hub was
// started anew, or an account was authorised.
func Reset(ctx context.Context, db *store.DB, project, connection string) error {
	_, err := db.SetConnectionStatus(ctx, project, connection, statusOK, "", "", time.Time{})
	return err
}
