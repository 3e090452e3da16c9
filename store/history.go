package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

// RecordVersion is what a record was before it changed.
type RecordVersion struct {
	Record     model.Record
	ReplacedAt time.Time // when the next version was read
}

// RecordVersions lists what a record was, newest first; what it is now is not
// among them. Versions are kept by who changes records: no more than 30 of a
// record, and no longer than PruneVersions lets them. Index:
// record_versions_record.
func (db *DB) RecordVersions(ctx context.Context, project string, key model.Key) ([]RecordVersion, error) {
	var out []RecordVersion
	err := db.read("read the history of "+key.String(), func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			r := stored{key: key}
			var replaced time.Time
			if err := rows.Scan(&r.seq, timeAt{&r.read}, timeAt{&replaced}, &r.deleted, &r.data); err != nil {
				return err
			}
			rec, err := r.decode()
			if err != nil {
				db.log.Error("stored version cannot be read", zap.Stringer("record", key), zap.Int64("seq", r.seq), zap.Error(err))
				return nil
			}
			out = append(out, RecordVersion{Record: rec, ReplacedAt: replaced})
			return nil
		}, `SELECT seq, read_at, replaced_at, deleted, data FROM record_versions
			WHERE project = ? AND kind = ? AND connection = ? AND id = ? ORDER BY seq DESC LIMIT ?`,
			project, key.Kind, key.Connection, key.ID, maxVersions)
	})
	return out, err
}

const maxVersions = 30

// PruneVersions deletes versions that were replaced before then, looking at the
// limit oldest ones only, and says how many. Versions are numbered in the order
// in which they were replaced, nearly, so no index of times is needed. Index:
// primary key.
func (db *DB) PruneVersions(ctx context.Context, before time.Time, limit int) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune the history of records", func(s *session) (err error) {
		pruned, err = s.exec(ctx, `DELETE FROM record_versions WHERE n IN (
			SELECT n FROM (SELECT n, replaced_at FROM record_versions ORDER BY n LIMIT ?) AS oldest WHERE replaced_at < ?)`, limit, before)
		return err
	})
	return pruned, err
}

// RelatedIDs names the live records of a kind that hold the record's id as a
// link ("contact_id"…), a few. Indexes: records_contact and its like.
func (db *DB) RelatedIDs(ctx context.Context, project, connection string, kind model.Kind, link, id string) ([]string, error) {
	switch link {
	case "company_id", "contact_id", "deal_id", "employee_id", "lead_id":
	default:
		return nil, fmt.Errorf("records have no link %q", link)
	}
	const few = 20
	var out []string
	err := db.read("read related records", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, id *string) error { return rows.Scan(id) },
			"SELECT id FROM records WHERE project = ? AND connection = ? AND "+link+" = ? AND "+link+" <> '' AND kind = ? LIMIT ?",
			project, connection, id, kind, few)
		return err
	})
	return out, err
}

// Waits is a record that waits to be re-read.
type Waits struct {
	Since    time.Time // first asked for
	DueAt    time.Time // not before
	Attempts int
	Error    string // of the last attempt
}

// WaitingRef gives how a record waits to be re-read; a zero Since when it does
// not. Index: primary key.
func (db *DB) WaitingRef(ctx context.Context, project, connection string, ref model.Ref) (Waits, error) {
	var out Waits
	err := db.read("look whether a record waits to be re-read", func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			return rows.Scan(timeAt{&out.Since}, timeAt{&out.DueAt}, &out.Attempts, &out.Error)
		}, "SELECT since, due_at, attempts, error FROM refs WHERE project = ? AND connection = ? AND kind = ? AND id = ?",
			project, connection, ref.Kind, ref.ID)
	})
	return out, err
}

// SentRow is a row's part in one upload.
type SentRow struct {
	UploadID int64
	Seq      int64 // the change that the row showed
	Refused  bool
}

// SentRows lists the uploads of a flow that a row was in, oldest first, among the
// flow's last uploads: the rows of an upload are not indexed by delivery, so each
// of these uploads is read through. Bound it in time. Indexes: uploads_flow,
// primary key of upload_rows.
func (db *DB) SentRows(ctx context.Context, project, flow, connection, id string) ([]SentRow, error) {
	const uploads = 50
	var out []SentRow
	err := db.read("list the uploads of a row", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, x *SentRow) error { return rows.Scan(&x.UploadID, &x.Seq, &x.Refused) },
			`SELECT u.upload_id, u.seq, u.refused FROM upload_rows u
			WHERE u.upload_id IN (SELECT id FROM uploads WHERE project = ? AND flow = ? ORDER BY id DESC LIMIT ?)
			AND u.delivery = (SELECT number FROM deliveries WHERE project = ? AND flow = ? AND connection = ? AND id = ?)
			ORDER BY u.upload_id`, project, flow, uploads, project, flow, connection, id)
		return err
	})
	return out, err
}
