// Package journal makes webhooks durable before they are answered. Requests
// that arrive while a commit runs share the next one, so the cost of a durable
// write is divided among all that wait for it (group commit). Nothing here asks
// Redis.
package journal

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// ErrFull says that more webhooks wait for a commit than the journal's bounds
// allow: the sender is to come back later.
var ErrFull = errors.New("the journal is full")

// ErrStopped says that the journal takes no more.
var ErrStopped = errors.New("the journal is stopped")

// Options configure a Journal.
type Options struct {
	// Append commits entries in one transaction.
	Append func(context.Context, []*store.Entry) error
	// Wake tells that a connection has new entries. It must not block.
	Wake func(project, connection string)
	// MaxEntries and MaxBytes bound what waits for a commit. Default to 8192
	// entries and 64 MiB.
	MaxEntries int
	MaxBytes   int64
	// MaxBatch bounds one commit. Defaults to 1000 entries.
	MaxBatch int
	// CommitTimeout bounds one commit. Defaults to 15 s.
	CommitTimeout time.Duration
	Metrics       *metrics.Set
}

// Journal is the group committer. Start it before Append, Stop it after the
// last request.
type Journal struct {
	opts     Options
	incoming chan *waiting
	stopped  chan struct{}
	done     chan struct{}
	once     sync.Once

	bytes atomic.Int64
	spare sync.Pool // of *waiting
}

type waiting struct {
	entry *store.Entry
	size  int64
	done  chan error
}

// New makes a Journal.
func New(opts Options) *Journal {
	if opts.MaxEntries == 0 {
		opts.MaxEntries = 8192
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 64 << 20
	}
	if opts.MaxBatch == 0 {
		opts.MaxBatch = 1000
	}
	if opts.CommitTimeout == 0 {
		opts.CommitTimeout = 15 * time.Second
	}
	return &Journal{
		opts:     opts,
		incoming: make(chan *waiting, opts.MaxEntries),
		stopped:  make(chan struct{}),
		done:     make(chan struct{}),
		spare:    sync.Pool{New: func() any { return &waiting{done: make(chan error, 1)} }},
	}
}

// Start runs the committer until Stop.
func (j *Journal) Start() {
	go func() {
		defer close(j.done)
		for {
			select {
			case first := <-j.incoming:
				j.commit(j.drain(first))
			case <-j.stopped:
				j.finish()
				return
			}
		}
	}()
}

// Stop commits what waits and returns when the committer has ended.
func (j *Journal) Stop() {
	j.once.Do(func() { close(j.stopped) })
	<-j.done
}

// Append returns when the entry is durable, or says why it is not: ErrFull,
// ErrStopped, or the database's error.
func (j *Journal) Append(entry *store.Entry) error {
	size := int64(len(entry.Body) + len(entry.Header) + len(entry.Query) + 256)
	if !j.reserve(size) {
		return ErrFull
	}
	w := j.spare.Get().(*waiting)
	w.entry, w.size = entry, size
	select {
	case <-j.stopped:
		j.release(w.size)
		return ErrStopped
	default:
	}
	select {
	case j.incoming <- w:
	default:
		j.release(w.size)
		return ErrFull
	}
	if j.opts.Metrics != nil {
		j.opts.Metrics.JournalQueue.Inc()
		defer j.opts.Metrics.JournalQueue.Dec()
	}
	select {
	case err := <-w.done:
		// Nobody else holds it now. In all other cases it is left to the collector.
		w.entry = nil
		j.spare.Put(w)
		return err
	case <-j.done:
		// The committer ended between our look at stopped and the send; it may still
		// have taken the entry.
		select {
		case err := <-w.done:
			return err
		default:
			return ErrStopped
		}
	}
}

func (j *Journal) reserve(size int64) bool {
	if j.bytes.Add(size) > j.opts.MaxBytes {
		j.release(size)
		return false
	}
	return true
}

func (j *Journal) release(size int64) { j.bytes.Add(-size) }

// drain takes what is there, without waiting for more.
func (j *Journal) drain(first *waiting) []*waiting {
	batch := []*waiting{first}
	for len(batch) < j.opts.MaxBatch {
		select {
		case next := <-j.incoming:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (j *Journal) finish() {
	for {
		select {
		case first := <-j.incoming:
			j.commit(j.drain(first))
		default:
			return
		}
	}
}

func (j *Journal) commit(batch []*waiting) {
	err := j.append(batch)
	if err != nil && len(batch) > 1 && model.ClassOf(err) == model.ClassPermanent {
		// One entry that the database can't hold must not refuse its neighbours.
		for _, w := range batch {
			j.answer([]*waiting{w}, j.append([]*waiting{w}))
		}
		return
	}
	j.answer(batch, err)
}

func (j *Journal) append(batch []*waiting) error {
	// The requests' own contexts do not count here: a sender that hangs up must not
	// undo the commit of the others.
	ctx, cancel := context.WithTimeoutCause(context.Background(), j.opts.CommitTimeout, errors.New("the database did not commit in time"))
	defer cancel()
	entries := make([]*store.Entry, len(batch))
	for i, w := range batch {
		entries[i] = w.entry
	}
	return j.opts.Append(ctx, entries)
}

func (j *Journal) answer(batch []*waiting, err error) {
	if j.opts.Metrics != nil {
		j.opts.Metrics.JournalBatch.Observe(float64(len(batch)))
	}
	type target struct{ project, connection string }
	woken := map[target]bool{}
	for _, w := range batch {
		j.release(w.size)
		// Entries that were refused at the door need no intake.
		if err == nil && w.entry.State == store.EntryNew {
			woken[target{w.entry.Project, w.entry.Connection}] = true
		}
		w.done <- err
	}
	for t := range woken {
		j.opts.Wake(t.project, t.connection)
	}
}
