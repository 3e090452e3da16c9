package jobs

import (
	"context"
	"sync"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/store"
)

// Building an upload has three stages that work at the same time on neighbouring
// pages: due rows and their relations are read; rows are evaluated and encoded;
// what became of them is written down. Pages pass them in order, one at a time,
// so memory does not grow with the number of rows.

// buildPage is how many due rows are looked at in one step.
const buildPage = 2000

// page is one step's due rows.
type page struct {
	due       []store.Due
	relations []flow.Relations
	err       error
}

// read hands out the flow's due rows page by page until there are none or the
// context ends.
func (r *run) read(ctx context.Context) <-chan page {
	pages := make(chan page)
	go func() {
		defer close(pages)
		for after := int64(-1); ; {
			p := r.readPage(ctx, after)
			if p.err == nil && len(p.due) == 0 {
				return
			}
			select {
			case pages <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
			after = p.due[len(p.due)-1].WantedSeq
		}
	}()
	return pages
}

func (r *run) readPage(ctx context.Context, after int64) (p page) {
	f := r.flow
	p.due, p.err = r.engine.store.DueDeliveries(ctx, f.Project.ID, f.Spec.ID, f.Spec.Record, after, buildPage)
	if p.err == nil && len(p.due) > 0 {
		p.relations, p.err = r.relations(ctx, p.due)
	}
	return p
}

// notes writes down what became of pages, one behind the one that is encoded.
type notes struct {
	queue  chan note
	done   chan struct{}
	once   sync.Once
	failed context.CancelCauseFunc // ends the other stages
	err    error
}

// note is what became of one page.
type note struct {
	verdicts []store.Verdict
	filled   []filling
}

// filling is rows that were written into an upload.
type filling struct {
	upload int64
	rows   []store.Sending
}

func (r *run) takeNotes(ctx context.Context, failed context.CancelCauseFunc) *notes {
	n := &notes{queue: make(chan note), done: make(chan struct{}), failed: failed}
	go func() {
		defer close(n.done)
		for x := range n.queue {
			if n.err == nil {
				n.err = r.remember(ctx, x)
			}
			if n.err != nil {
				n.failed(n.err)
			}
		}
	}()
	return n
}

func (n *notes) add(x note) { n.queue <- x }

// finish returns when everything is written down.
func (n *notes) finish() error {
	n.once.Do(func() { close(n.queue) })
	<-n.done
	return n.err
}
