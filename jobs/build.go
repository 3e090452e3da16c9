package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// maxGroups bounds the uploads that are built side by side when rows can't all
// share one; the rows of further groups wait for the next round.
const maxGroups = 8

// batch is an upload that is being built.
type batch struct {
	upload  store.Upload
	remote  connectors.Upload
	spool   *spool
	writer  connectors.RowWriter
	fresh   []store.Sending    // written, not yet remembered
	dropped []store.RowRefusal // rows of an upload built anew that did not come out again
	full    bool
}

func (b *batch) discard() {
	if b != nil && b.spool != nil {
		b.spool.Close()
	}
}

// build evaluates due rows and encodes those that are to be sent. It returns
// the finished uploads, none when nothing is due.
func (r *run) build(ctx context.Context) ([]*batch, error) {
	batches := map[string]*batch{}
	var order []*batch
	err := r.fill(ctx, batches, &order)
	var filled []*batch
	for _, b := range order {
		if err == nil {
			err = r.seal(b)
		}
		if b.upload.Rows == 0 {
			r.dropUnsent(ctx, []*batch{b}, errNoRows)
			continue
		}
		filled = append(filled, b)
	}
	if err != nil {
		r.dropUnsent(ctx, filled, err)
		return nil, err
	}
	return filled, nil
}

var errNoRows = errors.New("none of its rows could be encoded")

func (r *run) fill(ctx context.Context, batches map[string]*batch, order *[]*batch) error {
	catalogue, err := r.engine.catalogue(ctx, r.flow.Project.ID)
	if err != nil {
		return err
	}
	r.left = false
	ctx, stop := context.WithCancelCause(ctx)
	notes := r.takeNotes(ctx, stop)
	pages := r.read(ctx)
	err = r.encode(ctx, pages, notes, catalogue, batches, order)
	if err != nil {
		stop(err)
	}
	noted := notes.finish()
	stop(nil)
	for range pages { // its stage has ended when it is closed
	}
	if noted != nil {
		return noted // the other stages only failed because of it
	}
	return err
}

// encode writes pages of due rows into uploads until those are full.
func (r *run) encode(ctx context.Context, pages <-chan page, notes *notes, catalogue flow.Catalogue, batches map[string]*batch, order *[]*batch) error {
	limit := r.rowLimit()
	for p := range pages {
		if p.err != nil {
			return p.err
		}
		verdicts, rows, err := r.evaluate(ctx, p, catalogue)
		if err != nil {
			return err
		}
		if len(rows) >= limit {
			rows, r.left = rows[:limit], true
		}
		limit -= len(rows)
		for i := range rows {
			verdict, err := r.put(ctx, &rows[i], batches, order)
			if err != nil {
				return err
			}
			if verdict != nil {
				verdicts = append(verdicts, *verdict)
			}
		}
		notes.add(note{verdicts: verdicts, filled: takeFresh(*order)})
		if r.left {
			return nil
		}
	}
	return ctx.Err()
}

// takeFresh takes what was written into uploads since the last time.
func takeFresh(batches []*batch) []filling {
	var filled []filling
	for _, b := range batches {
		if len(b.fresh) > 0 {
			filled = append(filled, filling{upload: b.upload.ID, rows: b.fresh})
			b.fresh = nil
		}
	}
	return filled
}

func (r *run) rowLimit() int {
	limit := r.plan.MaxRows
	if limit <= 0 {
		limit = 100_000
	}
	if own := r.flow.Spec.Schedule.MaxRows; own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// holdBack keeps rows whose client the destination does not have yet.
func (r *run) holdBack(ctx context.Context, rows []candidate) (ready []candidate, waiting []store.Verdict, err error) {
	f := r.flow
	if f.Schema.NeedsAs == "" || f.Schema.NeedsParameter == "" {
		return rows, nil, nil
	}
	providers := f.Project.into(f.To, f.Schema.NeedsAs)
	if len(providers) == 0 {
		return rows, nil, nil // nobody of ours uploads clients; the operator does it otherwise
	}
	var needs []string
	for i := range rows {
		if needed := rows[i].row.Needs; needed != "" {
			needs = append(needs, needed)
		}
	}
	if len(needs) == 0 {
		return rows, nil, nil
	}
	states, err := r.engine.store.RowStates(ctx, f.Project.ID, flowIDs(providers), needs)
	if err != nil {
		return nil, nil, err
	}
	ready = rows[:0]
	for i := range rows {
		needed := rows[i].row.Needs
		state, known := states[needed]
		if needed == "" || state.Accepted {
			ready = append(ready, rows[i])
			continue
		}
		v := rows[i].verdict(store.DeliveryWaiting, model.CauseWaitsForContact,
			fmt.Sprintf("waits until %s %s is accepted by the destination", singular(f.Schema.NeedsAs), needed))
		v.Needs = needed
		if known && (state.State == store.DeliveryRefused || state.State == store.DeliverySkipped) {
			v.Cause = model.CauseContactNotSent
			v.Error = fmt.Sprintf("%s %s was refused or filtered out, so the destination does not know it; mend it and this row goes by itself", singular(f.Schema.NeedsAs), needed)
		}
		waiting = append(waiting, v)
		r.settled(v)
	}
	return ready, waiting, nil
}

func singular(as string) string {
	if as == "contacts" {
		return "contact"
	}
	return as
}

// put encodes one row into the upload of its group. The verdict is set when the
// row itself is no good.
func (r *run) put(ctx context.Context, c *candidate, batches map[string]*batch, order *[]*batch) (*store.Verdict, error) {
	group := r.uploader.Group(r.grouping, &c.row)
	b := batches[group]
	if b == nil {
		if len(*order) >= maxGroups {
			r.left = true
			return nil, nil // stays due
		}
		var err error
		if b, err = r.open(ctx, group, 0); err != nil {
			return nil, err
		}
		batches[group] = b
		*order = append(*order, b)
	}
	if b.full {
		r.left = true
		return nil, nil
	}
	err := b.writer.Write(&c.row)
	var refused *model.Error
	if errors.As(err, &refused) && refused.Class == model.ClassPermanent {
		v := c.verdict(store.DeliveryRefused, refused.Cause, refused.Message)
		r.settled(v)
		return &v, nil
	}
	if err != nil {
		return nil, err
	}
	b.fresh = append(b.fresh, store.Sending{Number: c.number, Connection: c.row.Record.Connection, ID: c.row.Record.ID, RowKey: c.row.Key,
		Seq: c.row.Seq, Hash: c.hash, Position: b.upload.Rows})
	b.upload.Rows++
	b.full = r.plan.MaxRows > 0 && b.upload.Rows >= r.plan.MaxRows || r.plan.MaxBytes > 0 && b.spool.Size() >= r.plan.MaxBytes
	return nil, nil
}

// open begins an upload; parent is the upload that it is a part of.
func (r *run) open(ctx context.Context, group string, parent int64) (*batch, error) {
	f := r.flow
	b := &batch{upload: store.Upload{
		Project: f.Project.ID, Flow: f.Spec.ID, Connection: f.To.ID, As: f.Spec.As, Mode: f.Spec.Mode,
		Group: group, Parent: parent, Status: store.UploadBuilding, CreatedAt: r.engine.now().UTC(),
	}}
	if err := r.engine.store.CreateUpload(ctx, &b.upload); err != nil {
		return nil, err
	}
	return b, r.encodeInto(ctx, b)
}

func (r *run) encodeInto(ctx context.Context, b *batch) error {
	b.spool = newSpool(r.engine.opts.SpoolDir)
	b.remote = r.remoteUpload(b.upload)
	var err error
	b.writer, err = r.uploader.Encode(ctx, b.remote, b.spool)
	return err
}

func (r *run) remoteUpload(u store.Upload) connectors.Upload { return remoteUpload(r.flow, u) }

func remoteUpload(f *Flow, u store.Upload) connectors.Upload {
	return connectors.Upload{
		ID: u.ID, Token: u.Token, As: f.Spec.As, Mode: f.Compiled.Mode(), ClientType: f.Spec.ClientType, Columns: f.Compiled.Columns(),
		Group: u.Group, Rows: u.Rows, Bytes: u.Bytes, StartedAt: u.StartedAt, RemoteID: u.RemoteID, Options: f.Spec.Options,
	}
}

// remember writes down what became of a page of due rows: one transaction for
// the verdicts, one for each upload's rows.
func (r *run) remember(ctx context.Context, x note) error {
	db, f := r.engine.store, r.flow
	if len(x.verdicts) > 0 {
		if err := db.SettleDue(ctx, f.Project.ID, f.Spec.ID, x.verdicts); err != nil {
			return err
		}
		if err := r.releaseAtOnce(ctx, x.verdicts); err != nil {
			return err
		}
	}
	for _, filled := range x.filled {
		if err := db.FillUpload(ctx, filled.upload, filled.rows); err != nil {
			return err
		}
	}
	return nil
}

// releaseAtOnce lets rows go whose client was accepted between our look at it
// and our note that they wait.
func (r *run) releaseAtOnce(ctx context.Context, verdicts []store.Verdict) error {
	var needs []string
	for _, v := range verdicts {
		if v.State == store.DeliveryWaiting {
			needs = append(needs, v.Needs)
		}
	}
	if len(needs) == 0 {
		return nil
	}
	f := r.flow
	providers := f.Project.into(f.To, f.Schema.NeedsAs)
	states, err := r.engine.store.RowStates(ctx, f.Project.ID, flowIDs(providers), needs)
	if err != nil {
		return err
	}
	var accepted []string
	for key, state := range states {
		if state.Accepted {
			accepted = append(accepted, key)
		}
	}
	if len(accepted) == 0 {
		return nil
	}
	_, err = r.engine.store.ReleaseWaiting(ctx, f.Project.ID, []string{f.Spec.ID}, accepted)
	return err
}

// seal finishes an upload's body.
func (r *run) seal(b *batch) error {
	if err := b.writer.Close(); err != nil {
		return err
	}
	if err := b.spool.Flush(); err != nil {
		return err
	}
	b.upload.Bytes = b.spool.Size()
	b.remote = r.remoteUpload(b.upload)
	return nil
}

// dropUnsent gives the rows of uploads that will not be sent back.
func (r *run) dropUnsent(ctx context.Context, batches []*batch, why error) {
	ctx = context.WithoutCancel(ctx)
	for _, b := range batches {
		if b == nil || b.upload.ID == 0 {
			continue
		}
		b.discard()
		r.giveBack(ctx, b.upload, why)
	}
}

// results are the metrics' words for verdicts.
var results = map[store.DeliveryState]string{
	store.DeliverySent: "unchanged", store.DeliverySkipped: "skipped",
	store.DeliveryRefused: "refused", store.DeliveryWaiting: "waiting",
}

func (r *run) settled(v store.Verdict) {
	result := results[v.State]
	if !v.HoldUntil.IsZero() {
		result = "held"
	}
	r.engine.metrics.RowsSettled.WithLabelValues(r.flow.Project.ID, r.flow.Spec.ID, result, string(v.Cause)).Inc()
}

// reencode writes rows of an upload that is built anew. A row that its record
// does not give any more is left out and set aside with the upload's end; if
// the record changed meanwhile, the row is due again by that.
func (r *run) reencode(ctx context.Context, b *batch, due []store.Due, catalogue flow.Catalogue) error {
	relations, err := r.relations(ctx, due)
	if err != nil {
		return err
	}
	for i := range due {
		d := &due[i]
		row, verdict := r.flow.Compiled.Row(d.Record, relations[i], catalogue)
		row.Seq = d.WantedSeq
		if verdict.Outcome == flow.Send {
			err := b.writer.Write(&row)
			var refused *model.Error
			switch {
			case errors.As(err, &refused) && refused.Class == model.ClassPermanent:
				verdict = flow.Verdict{Outcome: flow.Refuse, Cause: refused.Cause, Message: refused.Message}
			case err != nil:
				return err
			}
		}
		if verdict.Outcome != flow.Send {
			b.dropped = append(b.dropped, store.RowRefusal{RowKey: d.RowKey, Cause: verdict.Cause, Error: verdict.Message})
			continue
		}
		b.fresh = append(b.fresh, store.Sending{Number: d.Number, Connection: d.Connection, ID: d.ID, RowKey: row.Key,
			Seq: row.Seq, Hash: flow.Hash(row), Position: d.Position})
		b.upload.Rows++
	}
	return r.remember(ctx, note{filled: takeFresh([]*batch{b})})
}
