package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/metrics"
)

// Epochs tells a lease's epoch.
type Epochs interface {
	LeaseEpoch(ctx context.Context, name string) (int64, error)
}

// dispatchGap is the least time between two rounds of handing out work.
const dispatchGap = 25 * time.Millisecond

// Dispatcher puts work into the queue, outside the path of any request. While
// Redis is away it remembers what is to be done; that too may be lost, because
// the sweeper finds it again in the database.
type Dispatcher struct {
	client  *asynq.Client
	epochs  Epochs
	log     *zap.Logger
	metrics *metrics.Set
	now     func() time.Time

	mu      sync.Mutex
	waiting map[Work]bool
	signal  chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
}

// NewDispatcher makes a Dispatcher.
func NewDispatcher(client *asynq.Client, epochs Epochs, log *zap.Logger, m *metrics.Set, now func() time.Time) *Dispatcher {
	return &Dispatcher{
		client: client, epochs: epochs, log: log.Named("dispatch"), metrics: m, now: now,
		waiting: map[Work]bool{}, signal: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// Wake asks for a piece of work. It never blocks; asking twice is asking once.
func (d *Dispatcher) Wake(w Work) {
	d.mu.Lock()
	d.waiting[w] = true
	d.mu.Unlock()
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

// Start hands work out until Stop.
func (d *Dispatcher) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.signal:
			}
			if err := d.flush(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("the queue takes no work; it is handed out later", zap.Error(err))
				if d.metrics != nil {
					d.metrics.DispatchErrors.Inc()
				}
				pause(ctx, time.Second)
				d.poke()
			}
			// Under load every commit of the journal asks anew: what is asked within a
			// moment is asked once.
			pause(ctx, dispatchGap)
		}
	}()
}

// Stop returns when the Dispatcher has ended.
func (d *Dispatcher) Stop() {
	if d.cancel != nil {
		d.cancel()
		<-d.done
	}
}

func (d *Dispatcher) poke() {
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

func (d *Dispatcher) flush(ctx context.Context) error {
	d.mu.Lock()
	batch := d.waiting
	d.waiting = map[Work]bool{}
	d.mu.Unlock()
	for w := range batch {
		if err := d.enqueue(ctx, w); err != nil {
			d.mu.Lock()
			for left := range batch {
				d.waiting[left] = true
			}
			d.mu.Unlock()
			return err
		}
		delete(batch, w)
	}
	return nil
}

func (d *Dispatcher) enqueue(ctx context.Context, w Work) error {
	epoch, err := d.epochs.LeaseEpoch(ctx, w.Name())
	if err != nil {
		return err
	}
	task, options, err := w.task(epoch, d.now())
	if err != nil {
		return err
	}
	_, err = d.client.EnqueueContext(ctx, task, options...)
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // it waits already
	}
	return err
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
