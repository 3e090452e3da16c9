package jobs

import (
	"bytes"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// candidate is a row that is to be sent.
type candidate struct {
	row    model.Row
	number int64 // of its delivery
	hash   []byte
}

func (c *candidate) verdict(state store.DeliveryState, cause model.Cause, text string) store.Verdict {
	return store.Verdict{Number: c.number, Connection: c.row.Record.Connection, ID: c.row.Record.ID, RowKey: c.row.Key,
		Seq: c.row.Seq, State: state, Cause: cause, Error: text}
}

// evaluated is what came out for one due row: a candidate or a verdict.
type evaluated struct {
	candidate
	settled *store.Verdict
}

// evaluate turns a page of due deliveries into rows to send and verdicts on the
// others, both in the page's order.
func (r *run) evaluate(ctx context.Context, p page, catalogue flow.Catalogue) ([]store.Verdict, []candidate, error) {
	results := make([]evaluated, len(p.due))
	now := r.engine.now()
	inShares(len(p.due), func(i int) { results[i] = r.judge(&p.due[i], p.relations[i], catalogue, now) })
	var verdicts []store.Verdict
	rows := make([]candidate, 0, len(results))
	for i := range results {
		if v := results[i].settled; v != nil {
			verdicts = append(verdicts, *v)
			r.settled(*v)
			continue
		}
		rows = append(rows, results[i].candidate)
	}
	rows, waiting, err := r.holdBack(ctx, rows)
	return append(verdicts, waiting...), rows, err
}

// inShares calls fn for 0…n-1 on all processors; it is for work that takes
// microseconds each.
func inShares(n int, fn func(i int)) {
	const share = 64
	var next atomic.Int64
	work := func() {
		for {
			to := int(next.Add(share))
			if to-share >= n {
				return
			}
			for i := to - share; i < min(to, n); i++ {
				fn(i)
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0)-1, n/share) {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

// judge decides about one due row.
func (r *run) judge(d *store.Due, relations flow.Relations, catalogue flow.Catalogue, now time.Time) evaluated {
	row, verdict := r.flow.Compiled.Row(d.Record, relations, catalogue)
	// The change that the delivery waits for may be a relation's.
	row.Seq = d.WantedSeq
	c := candidate{row: row, number: d.Number}
	settle := func(state store.DeliveryState, cause model.Cause, text string) evaluated {
		v := c.verdict(state, cause, text)
		v.Connection, v.ID = d.Connection, d.ID
		return evaluated{settled: &v}
	}
	switch verdict.Outcome {
	case flow.Skip:
		return settle(store.DeliverySkipped, "", verdict.Message)
	case flow.Refuse:
		return settle(store.DeliveryRefused, verdict.Cause, verdict.Message)
	}
	c.hash = flow.Hash(row)
	if bytes.Equal(d.Hash, c.hash) {
		return settle(store.DeliverySent, "", "")
	}
	hold := r.hold(d, now)
	switch {
	case hold.Never:
		return settle(store.DeliverySent, "", "changed after the last day on which changes are sent; send it by hand if it matters")
	case !hold.Until.IsZero():
		held := settle(d.State, "", "")
		held.settled.HoldUntil = hold.Until
		return held
	}
	return evaluated{candidate: c}
}

// hold applies the day law of the flow's schedule to a row that would be sent.
// What an operator asks for goes at once.
func (r *run) hold(d *store.Due, now time.Time) flow.Hold {
	schedule := r.flow.Spec.Schedule
	if d.Asked || !lawful(schedule) {
		return flow.Hold{}
	}
	sent := d.SentAt
	if len(d.Hash) == 0 {
		sent = time.Time{} // what was sent was another row
	}
	return flow.HoldBack(schedule, recordTime(d.Record), d.Record.Meta().UpdatedAt, sent, now, r.flow.Project.Zone)
}

// lawful reports whether a schedule has a day law.
func lawful(s model.Schedule) bool { return s.PreviousDay || len(s.Again) > 0 }

// recordTime is when what the record tells of happened.
func recordTime(rec model.Record) time.Time {
	if call, ok := rec.(*model.Call); ok && !call.StartedAt.IsZero() {
		return call.StartedAt
	}
	return rec.Meta().CreatedAt
}
