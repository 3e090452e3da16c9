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

// buildPage is how many due rows are looked at in one step.
const buildPage = 1000

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
	db, f := r.engine.store, r.flow
	catalogue, err := r.engine.catalogue(ctx, f.Project.ID)
	if err != nil {
		return err
	}
	limit := r.rowLimit()
	total := 0
	r.left = false
	for after := int64(-1); total < limit && !r.left; {
		due, err := db.DueDeliveries(ctx, f.Project.ID, f.Spec.ID, f.Spec.Record, after, min(buildPage, limit-total))
		if err != nil || len(due) == 0 {
			return err
		}
		after = due[len(due)-1].WantedSeq
		verdicts, rows, err := r.evaluate(ctx, due, catalogue)
		if err != nil {
			return err
		}
		for _, row := range rows {
			verdict, err := r.put(ctx, row, batches, order)
			if err != nil {
				return err
			}
			if verdict != nil {
				verdicts = append(verdicts, *verdict)
			}
		}
		if err := r.remember(ctx, verdicts, *order); err != nil {
			return err
		}
		total += len(rows)
	}
	r.left = r.left || total >= limit
	return nil
}

func (r *run) rowLimit() int {
	limit := r.uploader.Plan(r.flow.Spec.As).MaxRows
	if limit <= 0 {
		limit = 100_000
	}
	if own := r.flow.Spec.Schedule.MaxRows; own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// evaluate turns due deliveries into rows to send and verdicts on the others.
func (r *run) evaluate(ctx context.Context, due []store.Due, catalogue flow.Catalogue) ([]store.Verdict, []model.Row, error) {
	relations, err := r.relations(ctx, due)
	if err != nil {
		return nil, nil, err
	}
	var verdicts []store.Verdict
	var rows []model.Row
	for i := range due {
		d := &due[i]
		row, verdict := r.flow.Compiled.Row(d.Record, relations[i], catalogue)
		v := store.Verdict{Connection: d.Connection, ID: d.ID, RowKey: row.Key, Seq: d.WantedSeq}
		switch {
		case verdict.Outcome == flow.Skip:
			v.State, v.Error = store.DeliverySkipped, verdict.Message
		case verdict.Outcome == flow.Refuse:
			v.State, v.Cause, v.Error = store.DeliveryRefused, verdict.Cause, verdict.Message
		case !flow.NeedsSending(flow.PreviousRow{Hash: d.Hash}, row, false).Send():
			v.State = store.DeliverySent
		default:
			// The change that the delivery waits for may be a relation's.
			row.Seq = d.WantedSeq
			rows = append(rows, row)
			continue
		}
		verdicts = append(verdicts, v)
		r.settled(v)
	}
	rows, waiting, err := r.holdBack(ctx, rows)
	return append(verdicts, waiting...), rows, err
}

// holdBack keeps rows whose client the destination does not have yet.
func (r *run) holdBack(ctx context.Context, rows []model.Row) (ready []model.Row, waiting []store.Verdict, err error) {
	f := r.flow
	if f.Schema.NeedsAs == "" || f.Schema.NeedsParameter == "" {
		return rows, nil, nil
	}
	providers := f.Project.into(f.To, f.Schema.NeedsAs)
	if len(providers) == 0 {
		return rows, nil, nil // nobody of ours uploads clients; the operator does it otherwise
	}
	var needs []string
	for _, row := range rows {
		if row.Needs != "" {
			needs = append(needs, row.Needs)
		}
	}
	if len(needs) == 0 {
		return rows, nil, nil
	}
	states, err := r.engine.store.RowStates(ctx, f.Project.ID, flowIDs(providers), needs)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		state, known := states[row.Needs]
		if row.Needs == "" || state.Accepted {
			ready = append(ready, row)
			continue
		}
		v := store.Verdict{Connection: row.Record.Connection, ID: row.Record.ID, RowKey: row.Key, Seq: row.Seq,
			State: store.DeliveryWaiting, Needs: row.Needs, Cause: model.CauseWaitsForContact,
			Error: fmt.Sprintf("waits until %s %s is accepted by the destination", singular(f.Schema.NeedsAs), row.Needs)}
		if known && (state.State == store.DeliveryRefused || state.State == store.DeliverySkipped) {
			v.Cause = model.CauseContactNotSent
			v.Error = fmt.Sprintf("%s %s was refused or filtered out, so the destination does not know it; mend it and this row goes by itself", singular(f.Schema.NeedsAs), row.Needs)
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
func (r *run) put(ctx context.Context, row model.Row, batches map[string]*batch, order *[]*batch) (*store.Verdict, error) {
	group := r.uploader.Group(r.remoteUpload(store.Upload{}), &row)
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
	err := b.writer.Write(&row)
	var refused *model.Error
	if errors.As(err, &refused) && refused.Class == model.ClassPermanent {
		v := store.Verdict{Connection: row.Record.Connection, ID: row.Record.ID, RowKey: row.Key, Seq: row.Seq,
			State: store.DeliveryRefused, Cause: refused.Cause, Error: refused.Message}
		r.settled(v)
		return &v, nil
	}
	if err != nil {
		return nil, err
	}
	b.fresh = append(b.fresh, store.Sending{Connection: row.Record.Connection, ID: row.Record.ID, RowKey: row.Key,
		Seq: row.Seq, Hash: flow.Hash(row), Position: b.upload.Rows})
	b.upload.Rows++
	plan := r.uploader.Plan(r.flow.Spec.As)
	b.full = plan.MaxRows > 0 && b.upload.Rows >= plan.MaxRows || plan.MaxBytes > 0 && b.spool.Size() >= plan.MaxBytes
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

func (r *run) remoteUpload(u store.Upload) connectors.Upload {
	f := r.flow
	return connectors.Upload{
		ID: u.ID, As: f.Spec.As, Mode: f.Compiled.Mode(), ClientType: f.Spec.ClientType, Columns: f.Compiled.Columns(),
		Group: u.Group, Rows: u.Rows, Bytes: u.Bytes, StartedAt: u.StartedAt, RemoteID: u.RemoteID, Options: f.Spec.Options,
	}
}

// remember writes down what became of a page of due rows: one transaction for
// the verdicts, one for each upload's rows.
func (r *run) remember(ctx context.Context, verdicts []store.Verdict, order []*batch) error {
	db, f := r.engine.store, r.flow
	if len(verdicts) > 0 {
		if err := db.SettleDue(ctx, f.Project.ID, f.Spec.ID, verdicts); err != nil {
			return err
		}
		if err := r.releaseAtOnce(ctx, verdicts); err != nil {
			return err
		}
	}
	for _, b := range order {
		if len(b.fresh) == 0 {
			continue
		}
		if err := db.FillUpload(ctx, b.upload.ID, b.fresh); err != nil {
			return err
		}
		b.fresh = b.fresh[:0]
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

func (r *run) settled(v store.Verdict) {
	result := map[store.DeliveryState]string{
		store.DeliverySent: "unchanged", store.DeliverySkipped: "skipped",
		store.DeliveryRefused: "refused", store.DeliveryWaiting: "waiting",
	}[v.State]
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
		b.fresh = append(b.fresh, store.Sending{Connection: d.Connection, ID: d.ID, RowKey: row.Key,
			Seq: row.Seq, Hash: flow.Hash(row), Position: d.Position})
		b.upload.Rows++
	}
	return r.remember(ctx, nil, []*batch{b})
}
