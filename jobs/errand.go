package jobs

import (
	"context"
	"errors"
	"strconv"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/store"
)

// An errand goes in steps, and no further ahead of the flows than this, so that
// stopping it leaves most of a large one undone, and what changes meanwhile does
// not wait behind it.
const (
	errandStep  = 500
	errandAhead = 5000
)

// sweepErrands hands out what operators asked for.
func (e *Engine) sweepErrands(ctx context.Context, wake func(Work)) error {
	running, err := e.store.RunningErrands(ctx)
	if err != nil {
		return err
	}
	for _, x := range running {
		wake(Work{Kind: WorkErrand, Project: x.Project, Subject: strconv.FormatInt(x.ID, 10)})
	}
	return nil
}

// errand goes on with one errand until it is done, stopped, or far enough ahead;
// the sweeper comes back to it.
func (e *Engine) errand(ctx context.Context, w Work) error {
	id, err := strconv.ParseInt(w.Subject, 10, 64)
	if err != nil {
		return nil // no task of ours
	}
	x, err := e.store.Errand(ctx, w.Project, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for start := e.now(); x.Status == store.ErrandRunning && ctx.Err() == nil && !e.spent(start); {
		ahead, err := e.ahead(ctx, x)
		if err != nil || ahead {
			return err
		}
		step := e.resendStep
		if x.Action == store.ErrandReplay {
			step = e.replayStep
		}
		if err := step(ctx, &x); err != nil {
			if ctx.Err() == nil {
				e.log.Warn("errand did not go on", zap.Int64("errand", x.ID), zap.Error(err))
			}
			return err
		}
		running, err := e.store.SaveErrand(ctx, x)
		if err != nil || !running {
			return err
		}
	}
	return nil
}

// ahead reports whether enough waits already.
func (e *Engine) ahead(ctx context.Context, x store.Errand) (bool, error) {
	waiting := 0
	if x.Action == store.ErrandReplay {
		backlogs, err := e.store.JournalBacklogs(ctx)
		for _, b := range backlogs {
			if b.Project == x.Project {
				waiting += b.Count
			}
		}
		return waiting >= errandAhead, err
	}
	for _, f := range e.flowsOf(x) {
		counts, err := e.store.FlowCounts(ctx, x.Project, f.Spec.ID)
		if err != nil {
			return false, err
		}
		waiting += counts.Due
	}
	return waiting >= errandAhead, nil
}

func (e *Engine) flowsOf(x store.Errand) []*Flow {
	if x.Flow != "" {
		if f := e.setup.Flow(x.Project, x.Flow); f != nil {
			return []*Flow{f}
		}
		return nil
	}
	if p := e.setup.Project(x.Project); p != nil {
		return p.Flows
	}
	return nil
}

// resendStep makes the next rows due.
func (e *Engine) resendStep(ctx context.Context, x *store.Errand) error {
	f := x.Rows
	f.AfterFlow, f.Limit = x.Position.Flow, errandStep
	f.AfterID.Connection, f.AfterID.ID = x.Position.Connection, x.Position.ID
	rows, err := e.store.Deliveries(ctx, f)
	if err != nil {
		return err
	}
	byFlow := map[string][]string{}
	for _, d := range rows {
		byFlow[d.Flow] = append(byFlow[d.Flow], d.ID)
	}
	for flow, ids := range byFlow {
		these := x.Rows
		these.Flow, these.IDs = flow, ids
		if _, err := e.store.Resend(ctx, these, true, false); err != nil {
			return err
		}
		e.wake(Work{Kind: WorkDeliver, Project: x.Project, Subject: flow})
	}
	if len(rows) > 0 {
		last := rows[len(rows)-1]
		x.Position = store.ErrandPosition{Flow: last.Flow, Connection: last.Connection, ID: last.ID}
		x.Done += len(rows)
	}
	if len(rows) < errandStep {
		x.Status = store.ErrandDone
	}
	return nil
}

// replayStep takes the next journal entries in again, the newest first.
func (e *Engine) replayStep(ctx context.Context, x *store.Errand) error {
	n, last, err := e.store.ReplaySome(ctx, x.Entries, x.Position.Entry, errandStep)
	if err != nil {
		return err
	}
	x.Done += n
	if n > 0 {
		x.Position.Entry = last
	}
	if n < errandStep {
		x.Status = store.ErrandDone
	}
	return nil // the sweeper wakes intake for what waits
}
