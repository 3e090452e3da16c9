package store

import (
	"time"

	"github.com/svod-hub/svod/model"
)

// Entry is one raw delivery in the journal.
type Entry struct {
	ID         int64
	Project    string
	Connection string
	ReceivedAt time.Time
	Method     string
	Query      string // raw; secrets already masked
	Header     []byte // JSON object of the headers that are kept
	Body       []byte
	Remote     string // address of the sender
	State      EntryState
	Cause      model.Cause
	Error      string // for people
	Note       string // one line: what the delivery said
	SettledAt  time.Time
}

// EntryState is what became of a journal entry.
type EntryState int16

// The states of journal entries.
const (
	EntryNew     EntryState = 0 // waits for intake
	EntryDone    EntryState = 1 // parsed; its records and references are stored
	EntryRefused EntryState = 2 // not usable; Cause says why
	EntryPartly  EntryState = 3 // parsed, but parts of it were refused
)

// Settlement is intake's verdict on one entry.
type Settlement struct {
	ID    int64
	State EntryState
	Cause model.Cause
	Error string
	Note  string
}

// Backlog counts what waits for one connection.
type Backlog struct {
	Project    string
	Connection string
	Count      int
	Oldest     time.Time
}

// JournalFilter selects entries; empty fields do not filter.
type JournalFilter struct {
	Project    string
	Connection string
	IDs        []int64
	States     []EntryState
	Cause      model.Cause
	Since      time.Time // received at or after
	Until      time.Time // received before
	Text       string    // substring of body, note or error
	BeforeID   int64     // for paging, newest first
	Limit      int       // default 50, at most 1000
	WithBody   bool      // lists leave bodies and headers out otherwise
}

// Applied says what a write of records changed.
type Applied struct {
	Inserted  int
	Changed   int
	Unchanged int   // the same content, or an older version
	LastSeq   int64 // the project's latest change number
	// Refused are records that cannot be stored at all; the others were.
	Refused []RefusedRecord
}

// RefusedRecord is a record that cannot be stored.
type RefusedRecord struct {
	Key model.Key
	Err error // a *model.Error
}

// RecordFilter selects records; empty fields do not filter.
type RecordFilter struct {
	Project     string
	Connections []string
	Kind        model.Kind
	IDs         []string
	Text        string    // substring of id or data
	ChangedFrom time.Time // updated or created at or after (source's times)
	Live        bool      // leave deleted ones out
	AfterKey    model.Key // for paging by (connection, id)
	Limit       int       // default 50
}

// Reference to fetch, with the counter that tells a new request from the one
// that is being worked on.
type PendingRef struct {
	model.Ref
	Version  int64
	Since    time.Time // first asked for
	Attempts int
}

// Delivery is the memory of one row of one flow.
type Delivery struct {
	Number     int64 // its own; uploads name rows by it
	Project    string
	Flow       string
	Connection string // of the record
	Kind       model.Kind
	ID         string // of the record
	RowKey     string // the row's key at the destination
	WantedSeq  int64  // newest change that concerns the row
	DoneSeq    int64  // change that was settled last; the row is due while it is less than WantedSeq
	State      DeliveryState
	Hash       []byte    // of the row that the destination has
	Needs      string    // row key that it waits for
	HoldUntil  time.Time // due, but by the day law of its schedule not before then
	Asked      bool      // an operator wants it sent, whatever the day law says
	UploadID   int64     // the last one that settled it
	RemoteID   string    // id that the destination gave the row, if it gives any
	Cause      model.Cause
	Error      string
	Attempts   int
	SentAt     time.Time
	UpdatedAt  time.Time
}

// DeliveryState is what became of a row.
type DeliveryState int16

// The states of deliveries. Whether a row is due is told by its change numbers,
// not by its state.
const (
	DeliveryNew     DeliveryState = 0
	DeliverySent    DeliveryState = 1 // the destination has it
	DeliverySending DeliveryState = 2 // part of an open upload; not stored, told by the upload
	DeliverySkipped DeliveryState = 3 // filtered out, or deleted before it was ever sent
	DeliveryRefused DeliveryState = 4 // set aside; Cause and Error say why
	DeliveryWaiting DeliveryState = 5 // waits for the row Needs
)

// Sending is a row that was put into an upload.
type Sending struct {
	Number     int64 // the delivery's; 0: it is found by Connection and ID
	Connection string
	ID         string
	RowKey     string
	Seq        int64 // the change that the row shows
	Hash       []byte
	Position   int // in the upload, from 0
}

// Verdict settles a due delivery without sending it.
type Verdict struct {
	Number     int64 // the delivery's; 0: it is found by Connection and ID
	Connection string
	ID         string
	RowKey     string
	Seq        int64
	State      DeliveryState // Sent (unchanged), Skipped, Refused or Waiting
	Needs      string
	Cause      model.Cause
	Error      string
	// HoldUntil keeps the row due, but not to be looked at before then. State is
	// not looked at.
	HoldUntil time.Time
}

// Due is a delivery to work on, with its record.
type Due struct {
	Delivery
	Record model.Record
	// Position and the pending members are set by UploadRows: the row's place in
	// its open upload, and what FillUpload noted of it. DueDeliveries leaves out of
	// the Delivery what only people look at.
	Position    int
	PendingSeq  int64
	PendingHash []byte
}

// UploadStatus is where an upload stands.
type UploadStatus string

// The statuses of uploads.
const (
	UploadBuilding   UploadStatus = "building"   // rows are being collected and encoded
	UploadSending    UploadStatus = "sending"    // the request is, or was when we died, on its way
	UploadInDoubt    UploadStatus = "in_doubt"   // sent, outcome unknown
	UploadProcessing UploadStatus = "processing" // taken, its fate follows
	UploadAccepted   UploadStatus = "accepted"   // confirmed by the destination
	UploadRejected   UploadStatus = "rejected"   // refused because of its content
	UploadSplit      UploadStatus = "split"      // refused and divided into children
	UploadFailed     UploadStatus = "failed"     // not sent; its rows went back
)

// Open reports whether the upload's fate is not settled.
func (s UploadStatus) Open() bool {
	switch s {
	case UploadBuilding, UploadSending, UploadInDoubt, UploadProcessing:
		return true
	}
	return false
}

// Upload is one batch and its fate.
type Upload struct {
	ID         int64
	Project    string
	Flow       string
	Connection string // the destination
	As         string
	Token      string // names it at the destination; made by CreateUpload
	Mode       string
	Group      string // rows that share an upload have it in common
	Parent     int64  // the rejected upload that this is a part of
	Status     UploadStatus
	RemoteID   string
	Rows       int
	Accepted   int
	Refused    int
	Bytes      int64
	Attempts   int
	Cause      model.Cause
	Error      string
	Details    []byte // the destination's answer as JSON
	CreatedAt  time.Time
	StartedAt  time.Time // the first byte of the last attempt
	FinishedAt time.Time
	FollowAt   time.Time // when to ask about it next
}

// UploadFilter selects uploads, newest first; empty fields do not filter.
type UploadFilter struct {
	Project  string
	Flow     string
	Parent   int64 // the parts of this upload
	Statuses []UploadStatus
	BeforeID int64
	Limit    int // default 50
}

// DeliveryFilter selects deliveries; empty fields do not filter.
type DeliveryFilter struct {
	Project string
	Flow    string
	States  []DeliveryState
	Cause   model.Cause
	Text    string // substring of record id, row key or error
	Since   time.Time
	Until   time.Time
	// AfterID and, where Flow is empty, AfterFlow are for paging by (flow,
	// connection, id).
	AfterID   model.Key
	AfterFlow string
	Limit     int // default 50
	IDs       []string
	RowKeys   []string
	UploadID  int64
}

// FlowState is a flow's memory.
type FlowState struct {
	Project     string
	Flow        string
	Cursor      int64  // change number up to which the feed was taken in
	Fingerprint string // of the flow's settings when the cursor began
	Statuses    string // fingerprint of the status scheme as registered
	LastRun     time.Time
	LastSuccess time.Time // last accepted upload, or run with nothing to send
	LastUpload  int64
	NextRun     time.Time // not before
	Asked       bool      // an operator asked for a run now
	Error       string
	Cause       model.Cause
	Failures    int // in a row

	asks int64 // counts AskFlow, so that SaveFlowState keeps what it has not seen
}

// FlowCounts are what the console shows of a flow.
type FlowCounts struct {
	Behind  int64 // change numbers between cursor and the feed's end
	Due     int
	Sent    int
	Refused int
	Waiting int
	Skipped int
	Sending int
	Held    int // by the day law of the schedule; not among Due
}

// ConnectionState is a connection's memory.
type ConnectionState struct {
	Project     string
	Connection  string
	Status      string // ok, needs_reauth, paused, failing
	Error       string
	Cause       model.Cause
	Since       time.Time // of the status
	RetryAt     time.Time // paused until
	LastEventAt time.Time
	LastReadAt  time.Time
	HookSecret  string
}

// Lease is the right to do one piece of work alone.
type Lease struct {
	Name  string
	Epoch int64
	Until time.Time
}

// PollState is the memory of one polled list.
type PollState struct {
	Project    string
	Connection string
	Stream     string
	Cursor     string
	Importing  bool
	Done       int
	Total      int
	LastRun    time.Time
	NextRun    time.Time
	Failures   int
	Error      string
}

// JournalStat counts the entries of one connection with one fate.
type JournalStat struct {
	Connection string
	State      EntryState
	Cause      model.Cause
	Count      int
}

// RecordCount counts the records of one connection and kind.
type RecordCount struct {
	Connection string
	Kind       model.Kind
	Live       int
	Deleted    int
}

// FanOut names the changes that a flow takes in.
type FanOut struct {
	Project     string
	Flow        string
	Connections []string
	Kind        model.Kind
	Related     []Relation
	To          int64 // change number up to which changes are taken in; see FeedEnd
}

// Relation makes rows due when a record that they show something of changes.
type Relation struct {
	Kind model.Kind // of the related record
	// Link is the member of the flow's records that holds the related record's id:
	// company_id, contact_id, deal_id, employee_id or lead_id.
	Link string
}

// RowState is what is known of a row at its destination.
type RowState struct {
	State    DeliveryState
	Accepted bool // a version of it was accepted once
}

// RowRefusal is a row of an accepted upload that the destination did not take.
type RowRefusal struct {
	RowKey string
	Cause  model.Cause
	Error  string
}

// Session is an operator's signed-in browser.
type Session struct {
	IDHash    string
	User      string
	ExpiresAt time.Time
	CSRF      string
}

// Audit is one thing that an operator did.
type Audit struct {
	At      time.Time
	User    string
	Action  string
	Project string
	Subject string
	Remote  string
}
