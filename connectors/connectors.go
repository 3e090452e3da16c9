// Package connectors says what a connector is: the roles that it may play, as
// small interfaces, and what the hub gives it to work with.
//
// A connector knows one system's wire format, limits and quirks, and nothing of
// the hub: no database, no queue, no other connector. It implements the roles
// that its system has; the hub finds them by type assertion. Each connector
// lives in a folder of its own and is made known by one line in registry.
package connectors

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// Type describes one kind of connection: what it is called, which settings it
// takes and how to make one.
type Type struct {
	Kind     string    // as in svod.yaml: "bitrix24"
	Title    Text      // as people call it
	Settings []Setting // besides the common ones: id, kind, hook_secret, poll
	// Records are the kinds it can bring in, Schemas the uploads it takes.
	Records []model.Kind
	Schemas []model.Schema
	// Receives, Pulls: it calls us with hooks; it reads from us.
	Receives bool
	Pulls    bool
	// New makes a connector from a connection's settings. It checks them without
	// any I/O; every mistake is reported, joined by errors.Join, each naming its
	// key.
	New func(Settings, Deps) (Connector, error)
	// Sandbox makes the strict fake of the system.
	Sandbox func(SandboxOptions) (Sandbox, error)
}

// Text is a text in the console's languages.
type Text struct {
	EN string
	RU string
}

// Setting describes one key of a connection in svod.yaml.
type Setting struct {
	Key      string
	Title    Text
	Help     Text // where to find it in the other system
	Required bool
	Secret   bool
	Default  string
	// Keys are the members of a nested setting (oauth: {client_id: …}).
	Keys []Setting
}

// Settings is a connection's part of svod.yaml. Decode fills a struct with yaml
// tags; unknown keys are errors with their place in the file.
type Settings interface {
	Decode(into any) error
}

// Deps is what the hub lends to a connector.
type Deps struct {
	Project    string
	Connection string
	Zone       *time.Location // the project's
	Currency   string         // the project's, ISO 4217
	Region     string         // the project's, ISO 3166: of phones without a country code
	HookURL    string         // the full address that the system posts to, "" when not known
	OAuthURL   string         // where an authorisation page sends the browser back to

	HTTP    *outbound.Client
	Limiter Limiter
	Memory  Memory
	Tokens  TokenStore
	Log     *zap.Logger
	Now     func() time.Time
}

// Connector is one account in an external system.
type Connector interface {
	// Check tries the credentials in the cheapest way and says in one line whose
	// they are. Errors are classified: model.ClassReauth when they are refused.
	Check(ctx context.Context) (string, error)
}

// Limiter keeps limits that all workers share.
type Limiter interface {
	// Wait blocks until key may act once more under the limit. When that would
	// take longer than the caller's deadline or a minute, it returns an error of
	// model.ClassQuota with RetryAt.
	Wait(ctx context.Context, key string, limit Limit) error
	// Pause makes every Wait on key answer ClassQuota until then.
	Pause(ctx context.Context, key string, until time.Time) error
	// Acquire takes one of n slots of key, waiting for it as Wait does. The slot is
	// returned by release, or by itself some minutes after its holder died.
	Acquire(ctx context.Context, key string, n int) (release func(), err error)
}

// Limit allows Rate actions per Period with bursts of Burst.
type Limit struct {
	Rate   int
	Period time.Duration
	Burst  int
}

// Memory keeps small durable facts of one connection (a renamed portal's new
// address, a counter's time zone). Not for secrets.
type Memory interface {
	// Recall gives "" for what was never remembered.
	Recall(ctx context.Context, name string) (string, error)
	Remember(ctx context.Context, name, value string) error
}

// Token is an OAuth pair and what came with it.
type Token struct {
	Access  model.Secret
	Refresh model.Secret
	Expires time.Time         // zero: does not expire or not known
	Extra   map[string]string // client_endpoint, server_endpoint, member_id…
}

// TokenStore keeps a connection's tokens encrypted.
type TokenStore interface {
	// Load gives the zero Token when there is none.
	Load(ctx context.Context) (Token, error)
	// Renew runs fn alone among all workers. fn gets the pair as stored now,
	// which may already be newer than the one the caller found wanting: then it
	// returns it unchanged. What fn returns is stored before Renew returns.
	Renew(ctx context.Context, fn func(context.Context, Token) (Token, error)) (Token, error)
}

// Delivery is one webhook as it was journalled.
type Delivery struct {
	ID         int64
	ReceivedAt time.Time
	Method     string
	Query      string      // raw, without the leading "?"
	Header     http.Header // those that matter; credentials left out
	Body       []byte
}

// Intake is what a delivery says.
type Intake struct {
	// Records are complete in themselves and go to the store as they are.
	Records []model.Record
	// Refs only point: each is re-read with Fetch.
	Refs []model.Ref
	// Refused are parts of the delivery that could not be used; the rest goes on.
	Refused []*model.Error
	// Note is one line for the journal: "ONCRMDEALUPDATE deal 7405".
	Note string
}

// Receiver takes webhooks.
type Receiver interface {
	// Receive is a pure function of the delivery and the settings. An error means
	// that nothing of it can be used; its Cause goes to the journal.
	Receive(Delivery) (Intake, error)
}

// Responder is a Receiver whose sender expects a certain answer; the others get
// an empty 200.
type Responder interface {
	// Respond is called after the durable write, before anything is parsed.
	Respond(Delivery) (status int, contentType string, body []byte)
}

// Fetched is the present state of what Fetch was asked for.
type Fetched struct {
	Records []model.Record // also related ones that came along
	Missing []model.Ref    // asked for and not there any more
}

// Fetcher re-reads records by id.
type Fetcher interface {
	// FetchLimit is how many references of one call make the best use of a
	// request.
	FetchLimit() int
	// Fetch reads records in as few requests as the system allows. On an error
	// the result holds what was read before it; what is in neither list is asked
	// for again.
	Fetch(ctx context.Context, refs []model.Ref) (Fetched, error)
}

// Page is one step of a Poll.
type Page struct {
	Records []model.Record
	Refs    []model.Ref // to be re-read
	Missing []model.Ref // known to be gone
	// Cursor continues after this page. It is opaque to the hub and stored with
	// the records in one transaction.
	Cursor string
	// More says that the next page may be asked for at once.
	More bool
	// Importing: the first pass through the whole history is not over. Done and
	// Total count its records; Total is 0 when the system does not tell.
	Importing   bool
	Done, Total int
}

// Poller lists what changed. The first poll, with an empty cursor, begins the
// import of the whole history; when that ends, later polls bring what changed
// since, by modification time with a (time, id) cursor and an overlap.
type Poller interface {
	// Streams are the lists that are polled, each with its own cursor. The hub
	// polls them in this order.
	Streams() []string
	Poll(ctx context.Context, stream, cursor string) (Page, error)
}

// Cataloguer lists reference data: all statuses, pipelines, fields, employees.
// What a list does not have any more is marked deleted by the hub.
type Cataloguer interface {
	Catalogue(ctx context.Context) ([]model.Record, error)
}

// Upload is one batch on its way to a destination.
type Upload struct {
	ID int64 // ours
	// Token names the upload beyond doubt, in Latin letters and digits. A
	// destination that keeps a comment gets it there and can be asked for it. Empty
	// where the hub gives none.
	Token      string
	As         string
	Mode       string
	ClientType string
	Columns    []model.Column
	Group      string // what Group said of its rows
	Rows       int
	Bytes      int64
	StartedAt  time.Time // before the first byte was sent
	RemoteID   string    // once known
	Options    map[string]string
}

// UploadState is what became of an upload.
type UploadState string

// The states that a connector may report.
const (
	UploadAccepted   UploadState = "accepted"   // taken for good
	UploadProcessing UploadState = "processing" // taken, its fate follows
	UploadRejected   UploadState = "rejected"   // refused as a whole because of its content
)

// Outcome is the destination's answer to an upload.
type Outcome struct {
	State    UploadState
	RemoteID string
	Accepted int        // rows that the destination says it took
	Refused  []RowError // rows that it refused one by one
	Reasons  []string   // why it refused the whole, in its words
	Details  []byte     // its answer as JSON, for the console; no secrets
	// Created maps row keys to ids given by the destination, for destinations that
	// make things (CRM leads).
	Created map[string]string
}

// RowError is one refused row.
type RowError struct {
	Key string // Row.Key
	Err *model.Error
}

// RowWriter encodes rows for one upload.
type RowWriter interface {
	// Write encodes one row. A *model.Error of ClassPermanent refuses this row and
	// leaves the batch as it was; any other error ends the batch.
	Write(*model.Row) error
	// Close finishes the encoding; it does not close the writer below.
	Close() error
}

// UploadPlan bounds the uploads of one kind.
type UploadPlan struct {
	MaxRows  int
	MaxBytes int64
	// MinGap is the least time between two uploads of one flow.
	MinGap time.Duration
}

// Body is an encoded upload that can be read more than once.
type Body interface {
	io.ReaderAt
	Size() int64
}

// Uploader sends rows to a destination. The hub keeps one upload in flight per
// connection and kind.
type Uploader interface {
	Plan(as string) UploadPlan
	// Group tells which rows may share an upload: those with equal groups.
	Group(u Upload, row *model.Row) string
	// Encode starts the encoding of an upload. It may ask the destination for
	// what it must know first (a time zone).
	Encode(ctx context.Context, u Upload, w io.Writer) (RowWriter, error)
	// Send sends an encoded batch. An error of model.ClassUnknown means that the
	// destination may or may not have it; it is settled before anything is sent
	// again.
	Send(ctx context.Context, u Upload, body Body) (Outcome, error)
}

// Settler finds out about an upload whose outcome is unknown.
type Settler interface {
	// Settle asks the destination. found=false means that it surely does not have
	// the upload.
	Settle(ctx context.Context, u Upload) (outcome Outcome, found bool, err error)
}

// Follower reads the fate of uploads in state processing.
type Follower interface {
	Follow(ctx context.Context, u Upload) (Outcome, error)
}

// Status is one pair of a flow's status scheme.
type Status struct {
	ID   string // what rows carry
	Name string // for people
	Type string // the destination's type: PAID…
}

// StatusKeeper registers status schemes.
type StatusKeeper interface {
	// PutStatuses makes the destination know all of these statuses.
	PutStatuses(ctx context.Context, statuses []Status) error
}

// Attribute is a custom attribute declared by a flow.
type Attribute struct {
	Name     string
	Title    string
	Type     model.ValueType
	Multiple bool
}

// SchemeDifference is what registering a scheme would change at the
// destination.
type SchemeDifference struct {
	Add    []string // not there yet
	Change []string // there with another type or name
	Extra  []string // there and not in the scheme; left alone
}

// SchemeComparer tells what PutStatuses would change, without changing it.
type SchemeComparer interface {
	CompareStatuses(ctx context.Context, statuses []Status) (SchemeDifference, error)
}

// Audience is how many came to the site on the current day of the counter.
type Audience struct {
	Visitors  int64      `json:"visitors"`
	Visits    int64      `json:"visits"`
	PageViews int64      `json:"page_views"`
	Date      model.Date `json:"date"` // in the counter's zone
	ReadAt    time.Time  `json:"read_at"`
}

// Informer tells today's audience. Many may ask at once; the connector asks its
// system no more often than the system's quota allows.
type Informer interface {
	Audience(ctx context.Context) (Audience, error)
}

// AttributeKeeper registers custom attributes.
type AttributeKeeper interface {
	PutAttributes(ctx context.Context, as string, attributes []Attribute) error
}

// AttributeComparer tells what PutAttributes would change, without changing it.
type AttributeComparer interface {
	CompareAttributes(ctx context.Context, as string, attributes []Attribute) (SchemeDifference, error)
}

// Quota is how much of one of a system's limits is used.
type Quota struct {
	Name  string `json:"name"` // for programs: "requests_per_day"
	Title Text   `json:"title"`
	Used  int    `json:"used"`
	Limit int    `json:"limit"` // what we allow ourselves of it
	// ResetAt is when Used begins at zero again.
	ResetAt time.Time `json:"reset_at"`
	// NextAt is when the next request that falls under the quota may go; zero: at
	// once.
	NextAt time.Time `json:"next_at,omitzero"`
}

// QuotaTeller tells how far a system's limits are used. It asks nobody.
type QuotaTeller interface {
	Quotas(ctx context.Context) ([]Quota, error)
}

// FlowChecker checks what only the destination knows of a flow: its options, and
// parameters that options may stand for. Each mistake begins with its key.
type FlowChecker interface {
	CheckFlow(u Upload) []error
}

// Authorizer connects an account by OAuth.
type Authorizer interface {
	// AuthorizeURL is the page that asks the user, with state carried through.
	AuthorizeURL(state string) (string, error)
	// Exchange takes the query that the browser came back with and stores the
	// tokens.
	Exchange(ctx context.Context, query url.Values) error
}

// SandboxOptions configure a sandbox.
type SandboxOptions struct {
	Now  func() time.Time
	Log  *zap.Logger
	Seed uint64
	// HookURL is where a source's sandbox posts its events; may be set later.
	HookURL string
	Options map[string]string
}

// Sandbox is the strict fake of a system. It is an HTTP handler whose own pages
// live under /__fake/.
type Sandbox interface {
	http.Handler
	// Settings are the keys of svod.yaml that connect a hub to this sandbox served
	// at base.
	Settings(base string) map[string]any
	// Violations lists what callers did against the protocol, in words.
	Violations() []string
}
