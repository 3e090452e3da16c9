package flow

import "github.com/svod-hub/svod/model"

// Flow is a compiled flow. Its methods may be called concurrently.
type Flow struct{ spec model.FlowSpec }

// Compile checks a flow against the rows that its destination takes. The flow is
// nil when one of the problems is an error.
func Compile(spec model.FlowSpec, schema model.Schema, project Project) (*Flow, []Problem) {
	return &Flow{spec: spec}, nil
}

// Row makes the record's row.
func (f *Flow) Row(rec model.Record, rel Relations, cat Catalogue) (model.Row, Verdict) {
	return model.Row{}, Verdict{Outcome: Skip}
}

// Columns are the row's values in their order.
func (f *Flow) Columns() []model.Column { return nil }

// Related are the kinds of relations that the flow looks at.
func (f *Flow) Related() []model.Kind { return nil }

// Statuses is the flow's status scheme.
func (f *Flow) Statuses() []model.StatusPair { return nil }

// Mode is the flow's mode: the one that is set, or the destination's first.
func (f *Flow) Mode() string { return "" }

// Fingerprint changes whenever anything changes that changes rows.
func (f *Flow) Fingerprint() string { return "" }

// RowKeyFor is the key that the flow's row of the record with this id has.
func (f *Flow) RowKeyFor(connection, id string) string { return id }

// Hash is the same for rows that are the same at the destination.
func Hash(row model.Row) []byte { return nil }

// NeedsSending decides whether a row is sent.
func NeedsSending(prev PreviousRow, row model.Row, forced bool) Reason { return ReasonNew }
