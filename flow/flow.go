// Package flow turns records into rows: it compiles a flow's filter, map and
// status scheme once and applies them to record after record.
//
// It is pure: no I/O, no clock, no state but what Compile made. What a flow's
// author wrote wrongly is a Problem of Compile; what a record lacks is a Verdict
// of Row. Neither panics.
package flow

import (
	"time"

	"github.com/svod-hub/svod/model"
)

// Project is what a flow must know of its project.
type Project struct {
	ID       string
	Zone     *time.Location // nil: UTC
	Currency string         // ISO 4217
	Region   string         // ISO 3166; of phones without a country code; "": RU
	// Flows are all flows of the project, as far as known. They tell whether the
	// rows that this flow's rows need (Schema.NeedsAs) carry prefixed keys.
	Flows []model.FlowSpec
}

// Severity tells whether a flow with a Problem can run.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is a mistake in a flow's settings.
type Problem struct {
	Key      string // map.revenue, when, statuses[2].metrica
	Severity Severity
	Message  string // what is wrong and what to do
}

// Relations are the records that a record is tied to; nil when there is none.
type Relations struct {
	Company  *model.Company
	Contact  *model.Contact
	Deal     *model.Deal
	Employee *model.Reference
	Lead     *model.Deal
	Visit    *model.Visit
}

// Outcome says what is to become of a row.
type Outcome string

// The outcomes.
const (
	Send   Outcome = "send"
	Skip   Outcome = "skip"   // the flow does not want the record
	Refuse Outcome = "refuse" // the record cannot be sent as it is
)

// Verdict is Row's decision. Message holds no personal data.
type Verdict struct {
	Outcome Outcome
	Cause   model.Cause
	Message string
}

// Reason says why a row is sent or not.
type Reason string

// The reasons.
const (
	ReasonAsked     Reason = "asked"     // an operator wants it sent again
	ReasonChanged   Reason = "changed"   // it differs from what the destination has
	ReasonNew       Reason = "new"       // the destination never had it
	ReasonUnchanged Reason = "unchanged" // the destination has exactly this
)

// Send reports whether the reason is one to send.
func (r Reason) Send() bool { return r != ReasonUnchanged }

// PreviousRow is what is remembered of a row's last sending.
type PreviousRow struct {
	Hash []byte // of the row that the destination has; empty: it has none
}
