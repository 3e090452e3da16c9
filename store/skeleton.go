package store

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

// ErrNotFound is what a function returns that was asked for something by name
// that is not there.
var ErrNotFound = errors.New("not found")

// Options configure Open.
type Options struct {
	Log *zap.Logger      // defaults to none
	Now func() time.Time // defaults to time.Now
}

// DB is the database.
type DB struct{}

// Open opens the database at url: "sqlite:PATH" or "postgres://…".
func Open(ctx context.Context, url string, opts Options) (*DB, error) { panic("not written yet") }

func (db *DB) Dialect() string { panic("not written yet") }
func (db *DB) Ping(ctx context.Context) error { panic("not written yet") }
func (db *DB) Close() error { panic("not written yet") }
func (db *DB) Migrate(ctx context.Context) error { panic("not written yet") }
func (db *DB) PendingMigrations(ctx context.Context) (int, error) { panic("not written yet") }
func (db *DB) AppendJournal(ctx context.Context, entries []*Entry) error { panic("not written yet") }
func (db *DB) JournalBacklogs(ctx context.Context) ([]Backlog, error) { panic("not written yet") }
func (db *DB) NextJournal(ctx context.Context, project, connection string, limit int) ([]Entry, error) { panic("not written yet") }
func (db *DB) SettleJournal(ctx context.Context, project string, settlements []Settlement) error { panic("not written yet") }
func (db *DB) Journal(ctx context.Context, f JournalFilter) ([]Entry, error) { panic("not written yet") }
func (db *DB) JournalEntry(ctx context.Context, project string, id int64) (Entry, error) { panic("not written yet") }
func (db *DB) JournalStats(ctx context.Context, project string, since time.Time) ([]JournalStat, error) { panic("not written yet") }
func (db *DB) ReplayJournal(ctx context.Context, f JournalFilter, dryRun bool) (int, error) { panic("not written yet") }
func (db *DB) PruneJournal(ctx context.Context, before time.Time, limit int) (int, error) { panic("not written yet") }
func (db *DB) ApplyRecords(ctx context.Context, project string, records []model.Record) (Applied, error) { panic("not written yet") }
func (db *DB) MarkMissing(ctx context.Context, project, connection string, refs []model.Ref, readAt time.Time) (Applied, error) { panic("not written yet") }
func (db *DB) Record(ctx context.Context, project string, key model.Key) (model.Record, error) { panic("not written yet") }
func (db *DB) RecordsByKeys(ctx context.Context, project string, keys []model.Key) (map[model.Key]model.Record, error) { panic("not written yet") }
func (db *DB) Records(ctx context.Context, f RecordFilter) ([]model.Record, error) { panic("not written yet") }
func (db *DB) LiveIDs(ctx context.Context, project, connection string, kind model.Kind) ([]string, error) { panic("not written yet") }
func (db *DB) CountRecords(ctx context.Context, project string) ([]RecordCount, error) { panic("not written yet") }
func (db *DB) ChangedKeys(ctx context.Context, project string, connections []string, kind model.Kind, since time.Time) ([]model.Key, error) { panic("not written yet") }
func (db *DB) FeedEnd(ctx context.Context, project string) (int64, error) { panic("not written yet") }
func (db *DB) RequestRefs(ctx context.Context, project, connection string, refs []model.Ref) error { panic("not written yet") }
func (db *DB) PendingRefs(ctx context.Context, project, connection string, limit int) ([]PendingRef, error) { panic("not written yet") }
func (db *DB) SettleRefs(ctx context.Context, project, connection string, refs []PendingRef) error { panic("not written yet") }
func (db *DB) PostponeRefs(ctx context.Context, project, connection string, refs []PendingRef, until time.Time, errText string) error { panic("not written yet") }
func (db *DB) RefBacklogs(ctx context.Context) ([]Backlog, error) { panic("not written yet") }
func (db *DB) PollState(ctx context.Context, project, connection, stream string) (PollState, error) { panic("not written yet") }
func (db *DB) PollStates(ctx context.Context, project string) ([]PollState, error) { panic("not written yet") }
func (db *DB) ApplyPage(ctx context.Context, state PollState, records []model.Record, refs, missing []model.Ref, readAt time.Time) (Applied, error) { panic("not written yet") }
func (db *DB) SavePollState(ctx context.Context, state PollState) error { panic("not written yet") }
func (db *DB) FlowState(ctx context.Context, project, flow string) (FlowState, error) { panic("not written yet") }
func (db *DB) FlowStates(ctx context.Context, project string) ([]FlowState, error) { panic("not written yet") }
func (db *DB) SaveFlowState(ctx context.Context, state FlowState) error { panic("not written yet") }
func (db *DB) AskFlow(ctx context.Context, project, flow string) error { panic("not written yet") }
func (db *DB) FanOut(ctx context.Context, f FanOut) (due int, err error) { panic("not written yet") }
func (db *DB) RestartFlow(ctx context.Context, project, flow, fingerprint string) error { panic("not written yet") }
func (db *DB) DueDeliveries(ctx context.Context, project, flow string, kind model.Kind, after int64, limit int) ([]Due, error) { panic("not written yet") }
func (db *DB) SettleDue(ctx context.Context, project, flow string, verdicts []Verdict) error { panic("not written yet") }
func (db *DB) FlowCounts(ctx context.Context, project, flow string) (FlowCounts, error) { panic("not written yet") }
func (db *DB) Deliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) { panic("not written yet") }
func (db *DB) RowStates(ctx context.Context, project string, flows, rowKeys []string) (map[string]RowState, error) { panic("not written yet") }
func (db *DB) ReleaseWaiting(ctx context.Context, project string, flows, rowKeys []string) (int, error) { panic("not written yet") }
func (db *DB) ReleaseWaitingFor(ctx context.Context, uploadID int64, flows []string) (int, error) { panic("not written yet") }
func (db *DB) Resend(ctx context.Context, f DeliveryFilter, forget, dryRun bool) (int, error) { panic("not written yet") }
func (db *DB) CreateUpload(ctx context.Context, u *Upload) error { panic("not written yet") }
func (db *DB) FillUpload(ctx context.Context, uploadID int64, rows []Sending) error { panic("not written yet") }
func (db *DB) SaveUpload(ctx context.Context, u Upload) error { panic("not written yet") }
func (db *DB) Upload(ctx context.Context, project string, id int64) (Upload, error) { panic("not written yet") }
func (db *DB) Uploads(ctx context.Context, f UploadFilter) ([]Upload, error) { panic("not written yet") }
func (db *DB) OpenUploads(ctx context.Context) ([]Upload, error) { panic("not written yet") }
func (db *DB) UploadsToFollow(ctx context.Context, now time.Time) ([]Upload, error) { panic("not written yet") }
func (db *DB) UploadRows(ctx context.Context, project string, uploadID int64, afterPosition, limit int) ([]Due, error) { panic("not written yet") }
func (db *DB) AcceptUpload(ctx context.Context, u Upload, refused []RowRefusal, created map[string]string) error { panic("not written yet") }
func (db *DB) ReturnUpload(ctx context.Context, u Upload) error { panic("not written yet") }
func (db *DB) RefuseUpload(ctx context.Context, u Upload, cause model.Cause, errText string) error { panic("not written yet") }
func (db *DB) SplitUpload(ctx context.Context, u Upload) ([2]Upload, error) { panic("not written yet") }
func (db *DB) PruneUploads(ctx context.Context, before time.Time, limit int) (int, error) { panic("not written yet") }
func (db *DB) TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, bool, error) { panic("not written yet") }
func (db *DB) RenewLease(ctx context.Context, l Lease, ttl time.Duration) (bool, error) { panic("not written yet") }
func (db *DB) ReleaseLease(ctx context.Context, l Lease) (wanted bool, err error) { panic("not written yet") }
func (db *DB) LeaseEpoch(ctx context.Context, name string) (int64, error) { panic("not written yet") }
func (db *DB) DeadLeases(ctx context.Context, now time.Time) ([]Lease, error) { panic("not written yet") }
func (db *DB) ConnectionState(ctx context.Context, project, connection string) (ConnectionState, error) { panic("not written yet") }
func (db *DB) ConnectionStates(ctx context.Context, project string) ([]ConnectionState, error) { panic("not written yet") }
func (db *DB) SetConnectionStatus(ctx context.Context, project, connection, status string, cause model.Cause, errText string, retryAt time.Time) (changed bool, err error) { panic("not written yet") }
func (db *DB) TouchConnection(ctx context.Context, project, connection string, eventAt, readAt time.Time) error { panic("not written yet") }
func (db *DB) Recall(ctx context.Context, project, connection, name string) (string, error) { panic("not written yet") }
func (db *DB) Remember(ctx context.Context, project, connection, name, value string) error { panic("not written yet") }
func (db *DB) HookSecret(ctx context.Context, project, connection string, make func() string) (string, error) { panic("not written yet") }
func (db *DB) SaveSnapshot(ctx context.Context, project, connection, name string, data []byte, expires time.Time) error { panic("not written yet") }
func (db *DB) Snapshot(ctx context.Context, project, connection, name string) (data []byte, createdAt time.Time, err error) { panic("not written yet") }
func (db *DB) PruneSnapshots(ctx context.Context, now time.Time) (int, error) { panic("not written yet") }
func (db *DB) Promise(ctx context.Context, project, connection, dedupKey string, expires time.Time) (orderID string, fresh bool, err error) { panic("not written yet") }
func (db *DB) LinkPromise(ctx context.Context, project, connection, orderID string, key model.Key) error { panic("not written yet") }
func (db *DB) Promises(ctx context.Context, project, connection string) (map[model.Key]string, error) { panic("not written yet") }
func (db *DB) AddUsage(ctx context.Context, name, day string, n int) (total int, err error) { panic("not written yet") }
func (db *DB) Usage(ctx context.Context, name, day string) (int, error) { panic("not written yet") }
func (db *DB) SaveUser(ctx context.Context, name, passwordHash string) error { panic("not written yet") }
func (db *DB) UserHash(ctx context.Context, name string) (string, error) { panic("not written yet") }
func (db *DB) Users(ctx context.Context) ([]string, error) { panic("not written yet") }
func (db *DB) SaveSession(ctx context.Context, s Session) error { panic("not written yet") }
func (db *DB) Session(ctx context.Context, idHash string) (Session, error) { panic("not written yet") }
func (db *DB) DeleteSession(ctx context.Context, idHash string) error { panic("not written yet") }
func (db *DB) PruneSessions(ctx context.Context, now time.Time) (int, error) { panic("not written yet") }
func (db *DB) AppendAudit(ctx context.Context, a Audit) error { panic("not written yet") }
func (db *DB) AuditLog(ctx context.Context, limit int) ([]Audit, error) { panic("not written yet") }
