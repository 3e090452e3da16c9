package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Options configure an Engine.
type Options struct {
	Store *store.DB
	Setup *Setup
	// Wake hands work out; it is the Dispatcher's.
	Wake func(Work)
	// Holder names this process in leases; unique among all processes.
	Holder string
	// SpoolDir is where uploads that do not fit into memory are written.
	SpoolDir string
	// KeepJournal, KeepUploads and KeepRows say how long settled entries, finished
	// uploads and the lists of their rows stay. Default to 30, 180 and 7 days.
	KeepJournal time.Duration
	KeepUploads time.Duration
	KeepRows    time.Duration
	Log         *zap.Logger
	Metrics     *metrics.Set
	Now         func() time.Time
}

// Engine does the work.
type Engine struct {
	store   *store.DB
	setup   *Setup
	wake    func(Work)
	holder  string
	opts    Options
	log     *zap.Logger
	metrics *metrics.Set
	now     func() time.Time

	catalogues catalogues
	stopping   atomic.Bool
	takings    atomic.Uint64
}

// The lease of a piece of work: a killed worker's work goes on when its lease
// has run out, so it is short, and renewed often.
const (
	leaseTTL   = 6 * time.Second
	leaseRenew = 2 * time.Second
)

// budget is how long one piece of work goes on before it makes room for others
// and asks to be continued.
const budget = 20 * time.Second

// Finish asks work that is under way to end at the next good moment. What is
// left is found again in the database.
func (e *Engine) Finish() { e.stopping.Store(true) }

// spent reports whether work that began at start is to make room.
func (e *Engine) spent(start time.Time) bool {
	return e.stopping.Load() || e.now().Sub(start) > budget
}

// New makes an Engine.
func New(opts Options) *Engine {
	if opts.KeepJournal == 0 {
		opts.KeepJournal = 30 * 24 * time.Hour
	}
	if opts.KeepUploads == 0 {
		opts.KeepUploads = 180 * 24 * time.Hour
	}
	if opts.KeepRows == 0 {
		opts.KeepRows = 7 * 24 * time.Hour
	}
	return &Engine{
		store: opts.Store, setup: opts.Setup, wake: opts.Wake, holder: opts.Holder, opts: opts,
		log: opts.Log.Named("jobs"), metrics: opts.Metrics, now: opts.Now,
	}
}

// ProcessTask implements asynq.Handler.
func (e *Engine) ProcessTask(ctx context.Context, task *asynq.Task) error {
	w, err := workOf(task)
	if err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	return e.Do(ctx, w)
}

// Do does one piece of work, alone among all workers. When another worker is at
// it, that one will look again before it ends. An error means that the work
// could not even be tried properly (the database is away): it is worth a retry.
func (e *Engine) Do(ctx context.Context, w Work) error {
	start := e.now()
	result := "done"
	defer func() {
		e.metrics.WorkDone.WithLabelValues(string(w.Kind), result).Inc()
		e.metrics.WorkSeconds.WithLabelValues(string(w.Kind)).Observe(metrics.Since(e.now, start))
	}()
	if off, err := e.paused(ctx, w); err != nil || off {
		result = "paused"
		return err
	}
	held, err := e.alone(ctx, w.Name(), func(ctx context.Context, _ store.Lease) error { return e.perform(ctx, w) })
	switch {
	case err != nil:
		result = "failed"
		if ctx.Err() == nil {
			e.log.Warn("work failed", zap.String("work", w.Name()), zap.Error(err))
		}
		return err
	case held.busy:
		result = "busy"
	case held.wanted:
		e.wake(w)
	}
	return nil
}

func (e *Engine) perform(ctx context.Context, w Work) error {
	if w.Kind == WorkHousekeeping {
		return e.housekeep(ctx)
	}
	if w.Kind == WorkErrand {
		return e.errand(ctx, w)
	}
	if w.Kind == WorkDeliver || w.Kind == WorkFollowUp {
		f := e.setup.Flow(w.Project, w.Subject)
		if f == nil {
			return nil // left the configuration; its task is stale
		}
		if w.Kind == WorkFollowUp {
			return e.followUp(ctx, f)
		}
		return e.deliver(ctx, f)
	}
	c := e.setup.Connection(w.Project, w.Subject)
	if c == nil {
		return nil
	}
	switch w.Kind {
	case WorkIntake:
		return e.intake(ctx, c)
	case WorkFetch:
		return e.fetch(ctx, c)
	case WorkPoll:
		return e.poll(ctx, c)
	}
	return fmt.Errorf("unknown work %q: %w", w.Kind, asynq.SkipRetry)
}

type holding struct {
	busy   bool // somebody else has it
	wanted bool // somebody asked for it meanwhile
}

var errLeaseLost = errors.New("the lease was lost to another worker")

// alone runs fn under the lease of that name, which is kept alive meanwhile.
// When it is lost, fn's context ends.
func (e *Engine) alone(ctx context.Context, name string, fn func(context.Context, store.Lease) error) (holding, error) {
	// A name of its own for each taking: two workers of one process exclude each
	// other too.
	holder := e.holder + "/" + strconv.FormatUint(e.takings.Add(1), 10)
	lease, ok, err := e.store.TakeLease(ctx, name, holder, leaseTTL)
	if err != nil {
		return holding{}, fmt.Errorf("take lease %s: %w", name, err)
	}
	if !ok {
		return holding{busy: true}, nil
	}
	inner, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.keepLease(inner, lease, cancel)
	}()
	err = fn(inner, lease)
	cancel(nil)
	<-stopped
	// The lease is given back even when we are being stopped.
	wanted, releaseErr := e.store.ReleaseLease(context.WithoutCancel(ctx), lease)
	if err == nil && releaseErr != nil {
		err = fmt.Errorf("release lease %s: %w", name, releaseErr)
	}
	return holding{wanted: wanted}, err
}

func (e *Engine) keepLease(ctx context.Context, lease store.Lease, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(leaseRenew)
	defer ticker.Stop()
	deadline := time.Now().Add(leaseTTL)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ok, err := e.store.RenewLease(ctx, lease, leaseTTL)
		switch {
		case err == nil && ok:
			deadline = time.Now().Add(leaseTTL)
		case err == nil, time.Now().After(deadline):
			lost(errLeaseLost)
			return
		}
	}
}

// feed wakes the flows that a change to a connection's records may concern.
func (e *Engine) feed(c *Connection) {
	for _, f := range e.setup.Project(c.Project).fedBy(c.ID) {
		e.wake(Work{Kind: WorkDeliver, Project: c.Project, Subject: f.Spec.ID})
	}
}

// count adds what a write of records changed to the metrics.
func (e *Engine) count(c *Connection, a store.Applied) {
	for result, n := range map[string]int{"inserted": a.Inserted, "changed": a.Changed, "unchanged": a.Unchanged} {
		if n > 0 {
			e.metrics.RecordsApplied.WithLabelValues(c.Project, c.ID, result).Add(float64(n))
		}
	}
}

// stamp fills in what a connector leaves to us.
func stamp(c *Connection, records []model.Record, readAt time.Time) {
	for _, r := range records {
		b := r.Meta()
		b.Connection = c.ID
		if b.ReadAt.IsZero() {
			b.ReadAt = readAt
		}
	}
}
