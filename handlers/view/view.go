// Package view builds what operators are shown of a hub: how its projects,
// connections and flows stand. The console, the admin API and `svod status`
// show the same view. It only reads, and holds no secret and no personal data.
package view

import (
	"context"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Project is a project as the configuration has it.
type Project struct {
	ID          string
	Name        string
	Zone        *time.Location // nil: UTC
	Connections []Connection
	Flows       []Flow
}

// Connection is a connection as the configuration has it.
type Connection struct {
	ID    string
	Kind  string
	Title connectors.Text // of the kind
	// HookURL and PullURL are the full addresses to paste into the other system,
	// secret included; "" when the kind has none. Only the console's page of the
	// connection shows them.
	HookURL string
	PullURL string
}

// Flow is a flow as the configuration has it.
type Flow struct {
	ID          string
	Record      model.Kind
	As          string
	From        []string
	To          string
	Paused      bool
	HasStatuses bool // it has a status scheme that can be registered
}

// Connection finds a connection of the project.
func (p *Project) Connection(id string) (Connection, bool) {
	for _, c := range p.Connections {
		if c.ID == id {
			return c, true
		}
	}
	return Connection{}, false
}

// Flow finds a flow of the project.
func (p *Project) Flow(id string) (Flow, bool) {
	for _, f := range p.Flows {
		if f.ID == id {
			return f, true
		}
	}
	return Flow{}, false
}

// FlowIDs lists the ids of the project's flows.
func (p *Project) FlowIDs() []string {
	ids := make([]string, 0, len(p.Flows))
	for _, f := range p.Flows {
		ids = append(ids, f.ID)
	}
	return ids
}

// ZoneOrUTC gives the project's zone.
func (p *Project) ZoneOrUTC() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// Store is what the view reads. *store.DB has it.
type Store interface {
	ConnectionStates(ctx context.Context, project string) ([]store.ConnectionState, error)
	CountRecords(ctx context.Context, project string) ([]store.RecordCount, error)
	FlowCounts(ctx context.Context, project, flow string) (store.FlowCounts, error)
	FlowStates(ctx context.Context, project string) ([]store.FlowState, error)
	Journal(ctx context.Context, f store.JournalFilter) ([]store.Entry, error)
	JournalBacklogs(ctx context.Context) ([]store.Backlog, error)
	PollStates(ctx context.Context, project string) ([]store.PollState, error)
	OldestBehind(ctx context.Context, project string, cursor int64) (time.Time, error)
	OldestDue(ctx context.Context, project, flow string) (time.Time, error)
	RefBacklogs(ctx context.Context) ([]store.Backlog, error)
	Switches(ctx context.Context) (store.Switches, error)
	Uploads(ctx context.Context, f store.UploadFilter) ([]store.Upload, error)
}

// Status is how the hub stands.
type Status struct {
	At       time.Time       `json:"at"`
	Healthy  bool            `json:"healthy"` // nothing of severity "error" needs attention
	Projects []ProjectStatus `json:"projects"`
}

// ProjectStatus is how one project stands.
type ProjectStatus struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Timezone    string             `json:"timezone"`
	Attention   []Attention        `json:"attention"`
	Connections []ConnectionStatus `json:"connections"`
	Flows       []FlowStatus       `json:"flows"`
	Errors      []RecentError      `json:"errors"` // newest first
}

// Severity says how soon a person should act.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // something stands still
	SeverityWarning Severity = "warning" // something was left aside
)

// Attention is one thing that needs a person.
type Attention struct {
	Severity Severity    `json:"severity"`
	Reason   Reason      `json:"reason"`
	Subject  string      `json:"subject"` // "connection" or "flow"
	ID       string      `json:"id"`
	Cause    model.Cause `json:"cause,omitempty"`
	Error    string      `json:"error,omitempty"`
	Count    int         `json:"count,omitempty"`
}

// Reason says why something needs attention.
type Reason string

// The reasons.
const (
	ReasonBacklogOld        Reason = "backlog_old"        // journal entries wait for too long
	ReasonConnectionFailing Reason = "connection_failing" // calls to the system fail
	ReasonFlowFailing       Reason = "flow_failing"       // the flow's runs fail
	ReasonGuardRaised       Reason = "guard_raised"       // a pull is held back after a sharp drop
	ReasonNeedsReauth       Reason = "needs_reauth"       // credentials are refused
	ReasonRefsOld           Reason = "refs_old"           // references wait to be re-read for long
	ReasonRowsRefused       Reason = "rows_refused"       // rows were set aside
	ReasonUploadInDoubt     Reason = "upload_in_doubt"    // the outcome of an upload is not known
)

// Statuses of connections. The first is what a connection has before anything
// happened.
const (
	ConnectionIdle        = "idle"
	ConnectionOK          = "ok"
	ConnectionNeedsReauth = "needs_reauth"
	ConnectionPaused      = "paused"
	ConnectionFailing     = "failing"
)

// ConnectionStatus is how a connection stands.
type ConnectionStatus struct {
	ID          string         `json:"id"`
	Kind        string         `json:"kind"`
	Status      string         `json:"status"`
	Cause       model.Cause    `json:"cause,omitempty"`
	Error       string         `json:"error,omitempty"`
	Since       time.Time      `json:"since,omitzero"`
	RetryAt     time.Time      `json:"retry_at,omitzero"`
	LastEventAt time.Time      `json:"last_event_at,omitzero"`
	LastReadAt  time.Time      `json:"last_read_at,omitzero"`
	GuardRaised bool           `json:"guard_raised"`
	Waiting     Waiting        `json:"waiting"`      // journal entries
	WaitingRefs Waiting        `json:"waiting_refs"` // references to be re-read
	Polls       []PollStatus   `json:"polls"`
	Records     []RecordsCount `json:"records"`

	Title connectors.Text `json:"-"`
	Off   *store.Switch   `json:"-"` // an operator paused it
}

// Waiting counts what waits and says since when.
type Waiting struct {
	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"`
}

// PollStatus is how one polled list stands.
type PollStatus struct {
	Stream    string    `json:"stream"`
	Importing bool      `json:"importing"`
	Done      int       `json:"done"`
	Total     int       `json:"total,omitempty"` // 0: not known
	LastRun   time.Time `json:"last_run,omitzero"`
	NextRun   time.Time `json:"next_run,omitzero"`
	Failures  int       `json:"failures,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// Percent tells how much of an import is done, or -1 when that is not known.
func (p PollStatus) Percent() int {
	if p.Total <= 0 {
		return -1
	}
	return min(100, p.Done*100/p.Total)
}

// RecordsCount counts the records of one kind.
type RecordsCount struct {
	Kind    model.Kind `json:"kind"`
	Live    int        `json:"live"`
	Deleted int        `json:"deleted,omitempty"`
}

// FlowStatus is how a flow stands.
type FlowStatus struct {
	ID          string        `json:"id"`
	Record      model.Kind    `json:"record"`
	As          string        `json:"as"`
	From        []string      `json:"from"`
	To          string        `json:"to"`
	Paused      bool          `json:"paused"`
	Asked       bool          `json:"asked"` // a run was asked for and has not begun
	Lag         int64         `json:"lag"`   // changes in the feed that the flow has not taken in
	Due         int           `json:"due"`
	Sending     int           `json:"sending"`
	Sent        int           `json:"sent"`
	Waiting     int           `json:"waiting"`
	Refused     int           `json:"refused"`
	Skipped     int           `json:"skipped"`
	LastRun     time.Time     `json:"last_run,omitzero"`
	LastSuccess time.Time     `json:"last_success,omitzero"`
	NextRun     time.Time     `json:"next_run,omitzero"`
	Failures    int           `json:"failures,omitempty"`
	Cause       model.Cause   `json:"cause,omitempty"`
	Error       string        `json:"error,omitempty"`
	LastUpload  *UploadStatus `json:"last_upload,omitempty"`

	HasStatuses bool          `json:"-"`
	LagSince    time.Time     `json:"-"` // the oldest change that has not gone out; zero: none waits
	Off         *store.Switch `json:"-"` // an operator paused it; Paused alone: svod.yaml does
}

// Idle reports whether the flow has nothing to do until something changes.
func (f FlowStatus) Idle(now time.Time) bool {
	return f.Due == 0 && f.Lag == 0 && !f.Asked && !f.NextRun.After(now)
}

// UploadStatus is one upload and its fate.
type UploadStatus struct {
	ID         int64              `json:"id"`
	Flow       string             `json:"flow"`
	Connection string             `json:"connection"`
	As         string             `json:"as"`
	Mode       string             `json:"mode,omitempty"`
	Parent     int64              `json:"parent,omitempty"`
	Status     store.UploadStatus `json:"status"`
	RemoteID   string             `json:"remote_id,omitempty"`
	Rows       int                `json:"rows"`
	Accepted   int                `json:"accepted"`
	Refused    int                `json:"refused"`
	Bytes      int64              `json:"bytes"`
	Attempts   int                `json:"attempts"`
	Cause      model.Cause        `json:"cause,omitempty"`
	Error      string             `json:"error,omitempty"`
	CreatedAt  time.Time          `json:"created_at"`
	StartedAt  time.Time          `json:"started_at,omitzero"`
	FinishedAt time.Time          `json:"finished_at,omitzero"`
}

// NewUploadStatus shows an upload.
func NewUploadStatus(u store.Upload) UploadStatus {
	return UploadStatus{
		ID: u.ID, Flow: u.Flow, Connection: u.Connection, As: u.As, Mode: u.Mode, Parent: u.Parent,
		Status: u.Status, RemoteID: u.RemoteID, Rows: u.Rows, Accepted: u.Accepted, Refused: u.Refused,
		Bytes: u.Bytes, Attempts: u.Attempts, Cause: u.Cause, Error: u.Error,
		CreatedAt: u.CreatedAt, StartedAt: u.StartedAt, FinishedAt: u.FinishedAt,
	}
}

// RecentError is something that went wrong lately.
type RecentError struct {
	At      time.Time   `json:"at"`
	Subject string      `json:"subject"` // "connection", "flow", "upload" or "journal"
	ID      string      `json:"id"`      // of the connection, flow, upload or entry
	Cause   model.Cause `json:"cause,omitempty"`
	Error   string      `json:"error"`
}
