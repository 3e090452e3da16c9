package jobs

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/store"
)

// Sweeper finds work in the database and hands it out: what is due by its time,
// and what was handed out and got lost (Redis emptied, a worker killed, a wake
// missed). Any number of processes may sweep; the same work found twice is one
// task.
type Sweeper struct {
	engine *Engine
	every  time.Duration
	cancel context.CancelFunc
	done   chan struct{}
}

// sweepEvery is how often work is looked for.
const sweepEvery = time.Second

// housekeepEvery is how often old data is removed.
const housekeepEvery = 10 * time.Minute

// The sign of life of a running hub, for the command line.
const (
	workersSeen = "workers_seen_at"
	seenEvery   = 5 * time.Second
)

// WorkersSeen reports whether a hub runs on this database.
func WorkersSeen(ctx context.Context, db *store.DB, now time.Time) (bool, error) {
	text, err := db.Recall(ctx, "", "", workersSeen)
	if err != nil || text == "" {
		return false, err
	}
	at, err := time.Parse(time.RFC3339, text)
	return err == nil && now.Sub(at) < 4*seenEvery, nil
}

// NewSweeper makes a Sweeper.
func NewSweeper(e *Engine) *Sweeper {
	return &Sweeper{engine: e, every: sweepEvery, done: make(chan struct{})}
}

// Start sweeps until Stop.
func (s *Sweeper) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		defer close(s.done)
		var kept, seen time.Time
		for ctx.Err() == nil {
			if err := s.engine.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.engine.log.Warn("sweep failed", zap.Error(err))
			}
			if now := s.engine.now(); now.Sub(seen) >= seenEvery {
				seen = now
				if err := s.engine.store.Remember(ctx, "", "", workersSeen, now.UTC().Format(time.RFC3339)); err != nil && ctx.Err() == nil {
					s.engine.log.Warn("sign of life not written", zap.Error(err))
				}
			}
			if now := s.engine.now(); now.Sub(kept) >= housekeepEvery {
				kept = now
				s.engine.wake(Work{Kind: WorkHousekeeping})
			}
			pause(ctx, s.every)
		}
	}()
}

// Stop returns when the Sweeper has ended.
func (s *Sweeper) Stop() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
}

// Sweep looks once.
func (e *Engine) Sweep(ctx context.Context) error {
	off, err := e.store.Switches(ctx)
	if err != nil {
		return err
	}
	wake := func(w Work) {
		if !pausedBy(off, w) {
			e.wake(w)
		}
	}
	steps := []func(context.Context, func(Work)) error{e.sweepJournal, e.sweepRefs, e.sweepPolls, e.sweepFlows, e.sweepErrands}
	for _, step := range steps {
		if err := step(ctx, wake); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) sweepJournal(ctx context.Context, wake func(Work)) error {
	backlogs, err := e.store.JournalBacklogs(ctx)
	if err != nil {
		return err
	}
	e.showBacklogs("journal", backlogs)
	for _, b := range backlogs {
		if e.setup.Connection(b.Project, b.Connection) != nil {
			wake(Work{Kind: WorkIntake, Project: b.Project, Subject: b.Connection})
		}
	}
	return nil
}

func (e *Engine) sweepRefs(ctx context.Context, wake func(Work)) error {
	backlogs, err := e.store.RefBacklogs(ctx)
	if err != nil {
		return err
	}
	e.showBacklogs("refs", backlogs)
	for _, b := range backlogs {
		c := e.setup.Connection(b.Project, b.Connection)
		if c == nil {
			continue
		}
		if until, _, err := e.blocked(ctx, c); err != nil {
			return err
		} else if until.IsZero() {
			wake(Work{Kind: WorkFetch, Project: b.Project, Subject: b.Connection})
		}
	}
	return nil
}

func (e *Engine) showBacklogs(what string, backlogs []store.Backlog) {
	counts := map[[2]string]int{}
	for _, b := range backlogs {
		counts[[2]string{b.Project, b.Connection}] = b.Count
	}
	for _, p := range e.setup.Projects {
		for _, c := range p.Connections {
			e.metrics.Backlog.WithLabelValues(p.ID, c.ID, what).Set(float64(counts[[2]string{p.ID, c.ID}]))
		}
	}
}

func (e *Engine) sweepPolls(ctx context.Context, wake func(Work)) error {
	states, err := e.store.PollStates(ctx, "")
	if err != nil {
		return err
	}
	known := map[[3]string]store.PollState{}
	for _, st := range states {
		known[[3]string{st.Project, st.Connection, st.Stream}] = st
	}
	now := e.now()
	for _, p := range e.setup.Projects {
		for _, c := range p.Connections {
			due := false
			for _, stream := range polledStreams(c) {
				due = due || pollDue(c, known[[3]string{p.ID, c.ID, stream}], now)
			}
			if !due {
				continue
			}
			if until, _, err := e.blocked(ctx, c); err != nil {
				return err
			} else if until.IsZero() {
				wake(Work{Kind: WorkPoll, Project: p.ID, Subject: c.ID})
			}
		}
	}
	return nil
}

func (e *Engine) sweepFlows(ctx context.Context, wake func(Work)) error {
	now := e.now()
	follow, err := e.store.UploadsToFollow(ctx, now)
	if err != nil {
		return err
	}
	for _, u := range follow {
		wake(Work{Kind: WorkFollowUp, Project: u.Project, Subject: u.Flow})
	}
	for _, p := range e.setup.Projects {
		states, err := e.store.FlowStates(ctx, p.ID)
		if err != nil {
			return err
		}
		known := map[string]store.FlowState{}
		for _, st := range states {
			known[st.Flow] = st
		}
		end, err := e.store.FeedEnd(ctx, p.ID)
		if err != nil {
			return err
		}
		for _, f := range p.Flows {
			needed, err := e.flowNeeded(ctx, f, known[f.Spec.ID], end, now)
			if err != nil {
				return err
			}
			if needed {
				wake(Work{Kind: WorkDeliver, Project: p.ID, Subject: f.Spec.ID})
			}
		}
	}
	return nil
}

// flowNeeded reports whether a flow has something to do now.
func (e *Engine) flowNeeded(ctx context.Context, f *Flow, st store.FlowState, end int64, now time.Time) (bool, error) {
	if f.Spec.Paused {
		return false, nil
	}
	if _, ok := f.To.Connector.(connectors.Uploader); !ok {
		return false, nil
	}
	if until, _, err := e.blocked(ctx, f.To); err != nil || !until.IsZero() {
		return false, err
	}
	if st.Asked {
		return true, nil
	}
	if st.NextRun.After(now) {
		return false, nil
	}
	if end > st.Cursor || st.Fingerprint != f.Compiled.Fingerprint() || st.Failures > 0 {
		return true, nil
	}
	// Rows that were released or given back, and uploads that were left open.
	due, err := e.store.HasDue(ctx, f.Project.ID, f.Spec.ID, now)
	if err != nil || due {
		return due, err
	}
	open, err := e.store.Uploads(ctx, store.UploadFilter{Project: f.Project.ID, Flow: f.Spec.ID, Limit: 1,
		Statuses: []store.UploadStatus{store.UploadBuilding, store.UploadSending, store.UploadInDoubt}})
	return len(open) > 0, err
}

// housekeep removes what is older than its retention, in small steps, so that
// nothing else waits for it.
func (e *Engine) housekeep(ctx context.Context) error {
	now := e.now()
	const step = 5000
	for _, prune := range []func() (int, error){
		func() (int, error) { return e.store.PruneJournal(ctx, now.Add(-e.opts.KeepJournal), step) },
		func() (int, error) { return e.store.PruneVersions(ctx, now.Add(-e.opts.KeepJournal), step) },
		func() (int, error) { return e.store.PruneErrands(ctx, now.Add(-e.opts.KeepJournal)) },
		func() (int, error) { return e.store.PruneUploadRows(ctx, now.Add(-e.opts.KeepRows), step) },
		func() (int, error) { return e.store.PruneUploads(ctx, now.Add(-e.opts.KeepUploads), step) },
		func() (int, error) { return e.store.PruneSessions(ctx, now) },
		func() (int, error) { return e.store.PruneSnapshots(ctx, now) },
	} {
		for ctx.Err() == nil {
			n, err := prune()
			if err != nil {
				return err
			}
			if n < step {
				break
			}
		}
	}
	return nil
}
