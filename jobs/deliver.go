package jobs

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// deliver brings a flow up to date: it settles what an earlier run left open,
// takes in what changed, and uploads what is due.
func (e *Engine) deliver(ctx context.Context, f *Flow) error {
	r, err := e.startRun(ctx, f)
	if err != nil || r == nil {
		return err
	}
	// One upload in flight per destination and kind, over all flows
	// (yandex-metrica §14.5).
	held, err := e.alone(ctx, "send/"+f.To.Project+"/"+f.To.ID+"/"+f.Spec.As, r.run)
	if err != nil && ctx.Err() == nil && !isClassified(err) {
		return err
	}
	if held.busy {
		r.next = e.now().Add(time.Second)
		r.busy = true
		err = nil
	}
	return e.finishRun(context.WithoutCancel(ctx), r, err)
}

func isClassified(err error) bool {
	var classified *model.Error
	return errors.As(err, &classified)
}

// run is one pass over a flow.
type run struct {
	engine   *Engine
	flow     *Flow
	uploader connectors.Uploader
	started  time.Time
	asked    bool
	state    store.FlowState
	plan     connectors.UploadPlan
	grouping connectors.Upload // what Group is asked with
	lease    store.Lease       // of the destination; uploads are sent under it

	busy     bool      // another flow has the destination
	next     time.Time // not before
	left     bool      // due rows remain
	uploaded int64     // the last upload
	splits   int       // uploads made by bisection in this run
}

// startRun decides whether the flow is to run now; nil means no.
func (e *Engine) startRun(ctx context.Context, f *Flow) (*run, error) {
	uploader, ok := f.To.Connector.(connectors.Uploader)
	if !ok || f.Spec.Paused {
		return nil, nil
	}
	st, err := e.store.FlowState(ctx, f.Project.ID, f.Spec.ID)
	if err != nil {
		return nil, err
	}
	st.Project, st.Flow = f.Project.ID, f.Spec.ID
	now := e.now()
	if !st.Asked && st.NextRun.After(now) {
		return nil, nil
	}
	if until, why, err := e.blocked(ctx, f.To); err != nil {
		return nil, err
	} else if !until.IsZero() {
		if st.Error != why {
			st.Error, st.Cause = why, model.CauseAuth
			return nil, e.store.SaveFlowState(ctx, st)
		}
		return nil, nil
	}
	r := &run{engine: e, flow: f, uploader: uploader, started: now, asked: st.Asked, state: st,
		plan: uploader.Plan(f.Spec.As), grouping: remoteUpload(f, store.Upload{})}
	if st.Asked {
		// Cleared at the start: who asks during the run is heard after it.
		r.state.Asked = false
		if err := e.store.SaveFlowState(ctx, r.state); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *run) run(ctx context.Context, lease store.Lease) error {
	r.lease = lease
	if err := r.resume(ctx); err != nil {
		return err
	}
	if err := r.releaseHeld(ctx); err != nil {
		return err
	}
	if err := r.takeChanges(ctx); err != nil {
		return err
	}
	if err := r.register(ctx); err != nil {
		return err
	}
	for {
		uploads, err := r.build(ctx)
		if err != nil {
			return err
		}
		for i, b := range uploads {
			if err := r.send(ctx, b); err != nil {
				r.dropUnsent(ctx, uploads[i+1:], err)
				return err
			}
		}
		if len(uploads) == 0 {
			return nil
		}
		if r.engine.spent(r.started) || r.flow.Spec.Schedule.MaxRows > 0 {
			r.left = true
			return nil
		}
	}
}

// releaseHeld lets rows be looked at whose day has come: all of them when the
// schedule has no day law any more.
func (r *run) releaseHeld(ctx context.Context) error {
	now := r.engine.now()
	if !lawful(r.flow.Spec.Schedule) {
		now = time.Time{}
	}
	_, err := r.engine.store.ReleaseHeld(ctx, r.flow.Project.ID, r.flow.Spec.ID, now)
	return err
}

// takeChanges moves the flow's cursor to the end of the feed; every row that a
// change concerns becomes due.
func (r *run) takeChanges(ctx context.Context) error {
	db, f := r.engine.store, r.flow
	if print := f.Compiled.Fingerprint(); r.state.Fingerprint != print {
		// The flow means something else now (or is new): look at every record again.
		// Rows that come out as before are not sent.
		if err := db.RestartFlow(ctx, f.Project.ID, f.Spec.ID, print); err != nil {
			return err
		}
		r.state.Fingerprint, r.state.Cursor = print, 0
	}
	end, err := db.FeedEnd(ctx, f.Project.ID)
	if err != nil || end == r.state.Cursor {
		return err
	}
	fan := store.FanOut{Project: f.Project.ID, Flow: f.Spec.ID, Connections: f.Spec.From, Kind: f.Spec.Record}
	for _, kind := range f.Compiled.Related() {
		if link, ok := links[kind]; ok {
			fan.Related = append(fan.Related, store.Relation{Kind: kind, Link: link})
		}
	}
	// In steps: on SQLite nobody else writes during one.
	for r.state.Cursor < end {
		fan.To = min(end, r.state.Cursor+fanStep)
		if _, err := db.FanOut(ctx, fan); err != nil {
			return err
		}
		r.state.Cursor = fan.To
	}
	return nil
}

// fanStep is how many changes are taken in at a time.
const fanStep = 2000

// links are the columns by which a record names its relations.
var links = map[model.Kind]string{
	model.KindCompany:  "company_id",
	model.KindContact:  "contact_id",
	model.KindDeal:     "deal_id",
	model.KindEmployee: "employee_id",
	model.KindLead:     "lead_id",
}

// finishRun remembers how the run ended and when the next one may begin.
func (e *Engine) finishRun(ctx context.Context, r *run, runErr error) error {
	// What happened to the state meanwhile (somebody asked, the cursor moved) stays.
	st, err := e.store.FlowState(ctx, r.flow.Project.ID, r.flow.Spec.ID)
	if err != nil {
		return err
	}
	st.Project, st.Flow = r.flow.Project.ID, r.flow.Spec.ID
	now := e.now()
	switch {
	case r.busy:
		st.NextRun = r.next
		st.Asked = st.Asked || r.asked
	case runErr != nil:
		st.Failures++
		st.Error, st.Cause = runErr.Error(), model.CauseOf(runErr)
		st.LastRun = now
		st.NextRun = retryAt(runErr, st.Failures, now)
		// A run that was stopped, or lost its lease, says nothing about the destination.
		if !errors.Is(runErr, context.Canceled) {
			e.failed(ctx, r.flow.To, runErr, st.NextRun)
		}
		e.log.Warn("flow did not finish", zap.String("project", st.Project), zap.String("flow", st.Flow),
			zap.Time("retry_at", st.NextRun), zap.Error(runErr))
	default:
		st.Failures, st.Error, st.Cause = 0, "", ""
		st.LastRun, st.LastSuccess = now, now
		st.Statuses = r.state.Statuses
		st.NextRun = r.nextRun(now)
	}
	if r.uploaded != 0 {
		st.LastUpload = r.uploaded
	}
	if err := e.store.SaveFlowState(ctx, st); err != nil {
		return err
	}
	e.observeFlow(ctx, r.flow)
	return nil
}

// nextRun applies the flow's schedule and the destination's least gap.
func (r *run) nextRun(now time.Time) time.Time {
	gap := r.plan.MinGap
	if r.uploaded == 0 && !r.left {
		gap = 0 // nothing was sent, so the next change need not wait
	}
	schedule := r.flow.Spec.Schedule
	switch {
	case r.left && schedule.Daily != "":
		return now.Add(gap) // the rest of today's rows
	case schedule.Daily != "":
		return nextDaily(schedule.Daily, now, r.flow.Project.Zone)
	case schedule.Every > gap:
		return now.Add(schedule.Every)
	}
	return now.Add(gap)
}

// nextDaily is the next time of day, given as "15:04", after now in the zone.
func nextDaily(daily string, now time.Time, zone *time.Location) time.Time {
	at, err := time.Parse("15:04", daily)
	if err != nil { // checked when the configuration was read
		return now.Add(24 * time.Hour)
	}
	local := now.In(zone)
	next := time.Date(local.Year(), local.Month(), local.Day(), at.Hour(), at.Minute(), 0, 0, zone)
	if !next.After(now) {
		next = time.Date(local.Year(), local.Month(), local.Day()+1, at.Hour(), at.Minute(), 0, 0, zone)
	}
	return next
}

func (e *Engine) observeFlow(ctx context.Context, f *Flow) {
	counts, err := e.store.FlowCounts(ctx, f.Project.ID, f.Spec.ID)
	if err != nil {
		return
	}
	e.metrics.FlowBehind.WithLabelValues(f.Project.ID, f.Spec.ID).Set(float64(counts.Behind))
	e.metrics.FlowDue.WithLabelValues(f.Project.ID, f.Spec.ID).Set(float64(counts.Due))
}
