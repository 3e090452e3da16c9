package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const intakeBatch = 500

// intake turns a connection's new journal entries into records and references.
// The entries are settled last: after a crash between the two they are parsed
// again, which changes nothing.
func (e *Engine) intake(ctx context.Context, c *Connection) error {
	receiver, ok := c.Connector.(connectors.Receiver)
	if !ok {
		return nil
	}
	for start := e.now(); ; {
		entries, err := e.store.NextJournal(ctx, c.Project, c.ID, intakeBatch)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		if err := e.takeIn(ctx, c, receiver, entries); err != nil {
			return err
		}
		if len(entries) < intakeBatch {
			// What came meanwhile has asked for this work anew.
			return nil
		}
		if e.spent(start) {
			e.wake(Work{Kind: WorkIntake, Project: c.Project, Subject: c.ID})
			return nil
		}
	}
}

func (e *Engine) takeIn(ctx context.Context, c *Connection, receiver connectors.Receiver, entries []store.Entry) error {
	var records []model.Record
	var refs []model.Ref
	settlements := make([]store.Settlement, 0, len(entries))
	for i := range entries {
		in, settlement := parse(receiver, &entries[i])
		stamp(c, in.Records, entries[i].ReceivedAt)
		records = append(records, in.Records...)
		refs = append(refs, in.Refs...)
		settlements = append(settlements, settlement)
		e.metrics.EntriesSettled.WithLabelValues(c.Project, c.ID, stateName(settlement.State), string(settlement.Cause)).Inc()
	}
	if len(records) > 0 {
		applied, err := e.store.ApplyRecords(ctx, c.Project, records)
		if err != nil {
			return err
		}
		e.count(c, applied)
	}
	if len(refs) > 0 {
		if err := e.store.RequestRefs(ctx, c.Project, c.ID, refs); err != nil {
			return err
		}
	}
	if err := e.store.SettleJournal(ctx, c.Project, settlements); err != nil {
		return err
	}
	if err := e.store.TouchConnection(ctx, c.Project, c.ID, entries[len(entries)-1].ReceivedAt, time.Time{}); err != nil {
		return err
	}
	if len(records) > 0 {
		e.feed(c)
	}
	if len(refs) > 0 {
		e.wake(Work{Kind: WorkFetch, Project: c.Project, Subject: c.ID})
	}
	return nil
}

// parse asks the connector what one entry says. A connector that panics on it
// loses that entry only, and the operator sees it.
func parse(receiver connectors.Receiver, entry *store.Entry) (in connectors.Intake, s store.Settlement) {
	s = store.Settlement{ID: entry.ID, State: store.EntryDone}
	defer func() {
		if r := recover(); r != nil {
			in = connectors.Intake{}
			s = store.Settlement{ID: entry.ID, State: store.EntryRefused, Cause: model.CauseInternal,
				Error: fmt.Sprintf("our parser failed on this delivery (%.200v); please report it and take it in again after an update", r)}
		}
	}()
	in, err := receiver.Receive(journal.Delivery(entry))
	s.Note = in.Note
	switch {
	case err != nil:
		s.State, s.Cause, s.Error = store.EntryRefused, model.CauseOf(err), err.Error()
		in = connectors.Intake{}
	case len(in.Refused) > 0:
		s.State, s.Cause, s.Error = store.EntryPartly, in.Refused[0].Cause, in.Refused[0].Message
		if len(in.Refused) > 1 {
			s.Error = fmt.Sprintf("%s (and %d more)", s.Error, len(in.Refused)-1)
		}
		if len(in.Records)+len(in.Refs) == 0 {
			s.State = store.EntryRefused
		}
	}
	return in, s
}

func stateName(s store.EntryState) string {
	switch s {
	case store.EntryNew:
		return "new"
	case store.EntryDone:
		return "done"
	case store.EntryRefused:
		return "refused"
	case store.EntryPartly:
		return "partly"
	}
	return "unknown"
}
