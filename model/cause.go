package model

import "slices"

// Cause is a closed list of reasons why something was refused, failed or is
// waiting. It is the label of metrics, the group in the console and a heading
// of docs/causes.md.
type Cause string

// Causes of refused or failed hooks.
const (
	CauseBadEncoding      Cause = "bad_encoding"      // the body is not valid text of its declared kind
	CauseBadPayload       Cause = "bad_payload"       // well-formed, but not what this sender sends
	CauseDuplicate        Cause = "duplicate"         // the same delivery was taken before
	CauseForeignAccount   Cause = "foreign_account"   // the event names another account
	CauseTooLarge         Cause = "too_large"         // over the limit of size, depth or number of fields
	CauseUnknownEvent     Cause = "unknown_event"     // an event that we have no use for
	CauseWrongToken       Cause = "wrong_token"       // the sender's token does not match
	CauseUnmapped         Cause = "unmapped"          // no mapping of this connection matches the payload
	CauseBadValue         Cause = "bad_value"         // a value cannot be read as what it should be
	CauseCurrency         Cause = "currency"          // not an ISO 4217 code
	CauseMissingRequired  Cause = "missing_required"  // a required parameter is empty
	CauseNoIdentifier     Cause = "no_identifier"     // nothing that links the row to a visitor
	CauseExpression       Cause = "expression"        // an expression of the flow failed on this record
	CauseStatusUnmapped   Cause = "status_unmapped"   // the record's status has no pair in the status scheme
	CauseWaitsForContact  Cause = "waits_for_contact" // the client must be uploaded first
	CauseContactNotSent   Cause = "contact_not_sent"  // the client was refused or filtered out
	CauseRefusedByRemote  Cause = "refused_by_remote" // the destination refused this row
	CauseUploadRejected   Cause = "upload_rejected"   // the destination refused the whole upload
	CauseInDoubt          Cause = "in_doubt"          // the outcome of an upload is not known yet
	CauseAuth             Cause = "auth"              // credentials refused
	CauseForbidden        Cause = "forbidden"         // credentials lack a right
	CauseQuota            Cause = "quota"             // the system asks to wait
	CauseNetwork          Cause = "network"           // no connection, reset, time-out
	CauseRemoteFailure    Cause = "remote_failure"    // 5xx or an answer that is no answer
	CauseNotFound         Cause = "not_found"         // the thing is not there
	CauseRequestRejected  Cause = "request_rejected"  // 4xx: the request itself is wrong
	CauseAddressForbidden Cause = "address_forbidden" // the address guard refused to dial
	CauseIncomplete       Cause = "incomplete"        // the data is not known to be complete
	CauseSharpDrop        Cause = "sharp_drop"        // far fewer records than last time
	CauseInternal         Cause = "internal"          // our own fault
)

var causes = []Cause{
	CauseAddressForbidden, CauseAuth, CauseBadEncoding, CauseBadPayload, CauseBadValue, CauseContactNotSent,
	CauseCurrency, CauseDuplicate, CauseExpression, CauseForbidden, CauseForeignAccount, CauseInDoubt,
	CauseIncomplete, CauseInternal, CauseMissingRequired, CauseNetwork, CauseNoIdentifier, CauseNotFound,
	CauseQuota, CauseRefusedByRemote, CauseRemoteFailure, CauseRequestRejected, CauseSharpDrop,
	CauseStatusUnmapped, CauseTooLarge, CauseUnknownEvent, CauseUnmapped, CauseUploadRejected,
	CauseWaitsForContact, CauseWrongToken,
}

// Causes lists every cause in alphabetical order.
func Causes() []Cause { return slices.Clone(causes) }
