package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

var (
	sendingRows = newBatch("connection text, id text, row_key text, seq bigint, hash bytea, position bigint")
	refusalRows = newBatch("row_key text, cause text, error text")
	createdRows = newBatch("row_key text, remote_id text")
)

const (
	uploadColumns = "project, flow, connection, kind, mode, rows_group, parent, status, remote_id, row_count, accepted, refused, bytes," +
		" attempts, cause, error, details, created_at, started_at, finished_at, follow_at"
	// The condition of the index uploads_open, word for word.
	uploadOpen = "status IN ('building', 'sending', 'in_doubt', 'processing')"
)

func (u *Upload) values() []any {
	return []any{u.Project, u.Flow, u.Connection, u.As, u.Mode, u.Group, u.Parent, u.Status, u.RemoteID, u.Rows, u.Accepted, u.Refused, u.Bytes,
		u.Attempts, u.Cause, u.Error, u.Details, u.CreatedAt, u.StartedAt, u.FinishedAt, u.FollowAt}
}

func scanUpload(rows *sql.Rows, u *Upload) error {
	return rows.Scan(&u.ID, &u.Project, &u.Flow, &u.Connection, &u.As, &u.Mode, &u.Group, &u.Parent, &u.Status, &u.RemoteID, &u.Rows,
		&u.Accepted, &u.Refused, &u.Bytes, &u.Attempts, &u.Cause, &u.Error, &u.Details, timeAt{&u.CreatedAt}, timeAt{&u.StartedAt},
		timeAt{&u.FinishedAt}, timeAt{&u.FollowAt})
}

// CreateUpload begins an upload: it gets an ID, the status building and, unless
// it has one, the time of its creation.
func (db *DB) CreateUpload(ctx context.Context, u *Upload) error {
	return db.write(ctx, "create an upload of flow "+u.Flow, func(s *session) error { return s.createUpload(ctx, u) })
}

func (s *session) createUpload(ctx context.Context, u *Upload) error {
	u.Status = UploadBuilding
	if u.CreatedAt.IsZero() {
		u.CreatedAt = moment(s.now)
	}
	return s.get(ctx, []any{&u.ID}, "INSERT INTO uploads ("+uploadColumns+") VALUES (?"+strings.Repeat(", ?", 20)+") RETURNING id", u.values()...)
}

// FillUpload makes rows part of an open upload. Doing it again with the same
// rows renews what is noted of them. A row that another open upload holds is an
// error, and nothing is changed. Index: primary key.
func (db *DB) FillUpload(ctx context.Context, uploadID int64, sent []Sending) error {
	if len(sent) == 0 {
		return nil
	}
	r := sendingRows.rows(len(sent))
	for _, x := range sent {
		r.add(x.Connection, x.ID, x.RowKey, x.Seq, x.Hash, x.Position)
	}
	return db.write(ctx, fmt.Sprintf("fill upload %d", uploadID), func(s *session) error {
		var project, flow string
		err := s.get(ctx, []any{&project, &flow}, "SELECT project, flow FROM uploads WHERE id = ? AND "+uploadOpen+" FOR UPDATE", uploadID)
		if err != nil {
			return err
		}
		n, err := s.execEach(ctx, r, `UPDATE deliveries SET state = 2, upload_id = ?, row_key = v.row_key, position = v.position,
			pending_seq = v.seq, pending_hash = v.hash, needs = '', updated_at = ?,
			attempts = CASE WHEN deliveries.state = 2 THEN deliveries.attempts ELSE deliveries.attempts + 1 END
			FROM v WHERE deliveries.project = ? AND deliveries.flow = ? AND deliveries.connection = v.connection AND deliveries.id = v.id
			AND (deliveries.state <> 2 OR deliveries.upload_id = ?)`, uploadID, s.now, project, flow, uploadID)
		if err == nil && n != len(sent) {
			return model.Errorf(model.ClassTemporary, model.CauseInternal,
				"%d of %d rows are in another open upload or not there at all; the flow may be running twice", len(sent)-n, len(sent))
		}
		return err
	})
}

// SaveUpload stores the upload as given. Its rows are not touched.
func (db *DB) SaveUpload(ctx context.Context, u Upload) error {
	return db.write(ctx, fmt.Sprintf("save upload %d", u.ID), func(s *session) error { return s.saveUpload(ctx, u) })
}

func (s *session) saveUpload(ctx context.Context, u Upload) error {
	set := strings.ReplaceAll(uploadColumns, ",", " = ?,") + " = ?"
	n, err := s.exec(ctx, "UPDATE uploads SET "+set+" WHERE id = ?", append(u.values(), u.ID)...)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// Upload gives one upload. Index: primary key.
func (db *DB) Upload(ctx context.Context, project string, id int64) (Upload, error) {
	out, err := db.uploads(ctx, fmt.Sprintf("read upload %d", id), " WHERE id = ? AND project = ?", id, project)
	if err != nil {
		return Upload{}, err
	}
	if len(out) == 0 {
		return Upload{}, translate(fmt.Sprintf("read upload %d", id), ErrNotFound)
	}
	return out[0], nil
}

// Uploads lists uploads, newest first. Indexes: uploads_list, uploads_flow.
func (db *DB) Uploads(ctx context.Context, f UploadFilter) ([]Upload, error) {
	w := new(where)
	if f.Project != "" {
		w.and("project = ?", f.Project)
	}
	if f.Flow != "" {
		w.and("flow = ?", f.Flow)
	}
	if f.Parent > 0 {
		w.and("parent = ?", f.Parent)
	}
	if len(f.Statuses) > 0 {
		statuses := make(texts, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = string(status)
		}
		w.and("status IN LIST(?)", statuses)
	}
	if f.BeforeID > 0 {
		w.and("id < ?", f.BeforeID)
	}
	return db.uploads(ctx, "list uploads", w.String()+" ORDER BY id DESC LIMIT ?", append(w.args, unbounded(f.Limit))...)
}

// OpenUploads lists all uploads that hold rows, oldest first. Index:
// uploads_open.
func (db *DB) OpenUploads(ctx context.Context) ([]Upload, error) {
	return db.uploads(ctx, "list open uploads", " WHERE "+uploadOpen+" ORDER BY id")
}

// UploadsToFollow lists open uploads whose FollowAt has come. Index:
// uploads_open.
func (db *DB) UploadsToFollow(ctx context.Context, now time.Time) ([]Upload, error) {
	return db.uploads(ctx, "list uploads to follow", " WHERE "+uploadOpen+" AND follow_at > 0 AND follow_at <= ? ORDER BY follow_at, id", now)
}

func (db *DB) uploads(ctx context.Context, what, tail string, args ...any) ([]Upload, error) {
	var out []Upload
	err := db.read(what, func(s *session) (err error) {
		out, err = list(ctx, s, scanUpload, "SELECT id, "+uploadColumns+" FROM uploads"+tail, args...)
		return err
	})
	return out, err
}

// UploadRows gives the rows of an open upload with their records as they are
// now, by position, beginning behind afterPosition: -1 gives the first ones.
// Index: deliveries_upload.
func (db *DB) UploadRows(ctx context.Context, project string, uploadID int64, afterPosition, limit int) ([]Due, error) {
	var out dues
	err := db.read(fmt.Sprintf("read the rows of upload %d", uploadID), func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			return out.scan(rows, func(d *Due) []any { return []any{&d.Position, &d.PendingSeq, &d.PendingHash} })
		}, "SELECT "+deliveryColumns+dueRecord+`, d.position, d.pending_seq, d.pending_hash FROM deliveries d CROSS JOIN records r
			WHERE d.upload_id = ? AND d.upload_id > 0 AND d.position > ? AND d.state = 2 AND d.project = ?
			AND r.project = d.project AND r.kind = d.kind AND r.connection = d.connection AND r.id = d.id
			ORDER BY d.position LIMIT ?`, uploadID, afterPosition, project, limit)
	})
	return out.decode(db.log), err
}

// AcceptUpload settles the rows of an upload that the destination took: what
// was sent is remembered, except of the refused rows, which are set aside.
// Created gives the ids that the destination gave rows, by row key. The upload
// is saved as given. Indexes: deliveries_row, deliveries_upload.
func (db *DB) AcceptUpload(ctx context.Context, u Upload, refused []RowRefusal, created map[string]string) error {
	refusals := refusalRows.rows(len(refused))
	for _, x := range refused {
		refusals.add(x.RowKey, x.Cause, x.Error)
	}
	ids := createdRows.rows(len(created))
	for _, key := range sortedKeys(created) {
		ids.add(key, created[key])
	}
	return db.write(ctx, fmt.Sprintf("accept upload %d", u.ID), func(s *session) error {
		// The plus signs keep SQLite from finding the row by anything but its key.
		const itsRow = ` FROM v WHERE deliveries.project = ? AND deliveries.flow = ? AND deliveries.row_key = v.row_key
			AND deliveries.row_key <> '' AND +deliveries.upload_id = ? AND +deliveries.state = 2`
		if _, err := s.execEach(ctx, ids, "UPDATE deliveries SET remote_id = v.remote_id"+itsRow, u.Project, u.Flow, u.ID); err != nil {
			return err
		}
		if _, err := s.execEach(ctx, refusals, `UPDATE deliveries SET state = 4, done_seq = pending_seq, cause = v.cause, error = v.error,
			pending_hash = NULL, updated_at = ?`+itsRow, s.now, u.Project, u.Flow, u.ID); err != nil {
			return err
		}
		if _, err := s.exec(ctx, `UPDATE deliveries SET state = 1, done_seq = pending_seq, hash = pending_hash, pending_hash = NULL,
			sent_at = ?, updated_at = ?, cause = '', error = '', attempts = 0
			WHERE upload_id = ? AND upload_id > 0 AND state = 2`, s.now, s.now, u.ID); err != nil {
			return err
		}
		return s.saveUpload(ctx, u)
	})
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// ReturnUpload makes the rows of an upload that was not sent due again. The
// upload is saved as given. Index: deliveries_upload.
func (db *DB) ReturnUpload(ctx context.Context, u Upload) error {
	return db.write(ctx, fmt.Sprintf("return the rows of upload %d", u.ID), func(s *session) error {
		if _, err := s.exec(ctx, `UPDATE deliveries SET state = CASE WHEN hash IS NULL THEN 0 ELSE 1 END, pending_hash = NULL, updated_at = ?
			WHERE upload_id = ? AND upload_id > 0 AND state = 2`, s.now, u.ID); err != nil {
			return err
		}
		return s.saveUpload(ctx, u)
	})
}

// RefuseUpload sets all rows of an upload aside. The upload is saved as given.
// Index: deliveries_upload.
func (db *DB) RefuseUpload(ctx context.Context, u Upload, cause model.Cause, errText string) error {
	return db.write(ctx, fmt.Sprintf("refuse upload %d", u.ID), func(s *session) error {
		if _, err := s.exec(ctx, `UPDATE deliveries SET state = 4, done_seq = pending_seq, pending_hash = NULL, cause = ?, error = ?, updated_at = ?
			WHERE upload_id = ? AND upload_id > 0 AND state = 2`, cause, errText, s.now, u.ID); err != nil {
			return err
		}
		return s.saveUpload(ctx, u)
	})
}

// SplitUpload divides the rows of a rejected upload between two new ones, which
// are being built, and gives the old one the status split. Positions begin from
// 0 in both. Index: deliveries_upload.
func (db *DB) SplitUpload(ctx context.Context, u Upload) ([2]Upload, error) {
	var out [2]Upload
	err := db.write(ctx, fmt.Sprintf("split upload %d", u.ID), func(s *session) error {
		var n, first int
		if err := s.get(ctx, []any{&n, &first}, `SELECT COUNT(*), COALESCE(MIN(position), 0) FROM deliveries
			WHERE upload_id = ? AND upload_id > 0 AND state = 2`, u.ID); err != nil {
			return err
		}
		if n < 2 {
			return model.Errorf(model.ClassPermanent, model.CauseInternal, "an upload of %d rows cannot be divided", n)
		}
		half := (n + 1) / 2
		var middle int
		if err := s.get(ctx, []any{&middle}, `SELECT position FROM deliveries WHERE upload_id = ? AND upload_id > 0 AND state = 2
			ORDER BY position LIMIT 1 OFFSET ?`, u.ID, half); err != nil {
			return err
		}
		begin := [2]int{first, middle}
		for i, rows := range [2]int{half, n - half} {
			out[i] = Upload{Project: u.Project, Flow: u.Flow, Connection: u.Connection, As: u.As, Mode: u.Mode, Group: u.Group, Parent: u.ID, Rows: rows}
			if err := s.createUpload(ctx, &out[i]); err != nil {
				return err
			}
		}
		for _, i := range [2]int{1, 0} { // the upper half first: then the rest is the lower one
			if _, err := s.exec(ctx, `UPDATE deliveries SET upload_id = ?, position = position - ?, updated_at = ?
				WHERE upload_id = ? AND upload_id > 0 AND state = 2 AND position >= ?`, out[i].ID, begin[i], s.now, u.ID, begin[i]); err != nil {
				return err
			}
		}
		parent := u
		parent.Status, parent.FollowAt = UploadSplit, time.Time{}
		if parent.FinishedAt.IsZero() {
			parent.FinishedAt = moment(s.now)
		}
		return s.saveUpload(ctx, parent)
	})
	return out, err
}

// PruneUploads deletes closed uploads created before then, at most limit at a
// time, and says how many. Index: uploads_created.
func (db *DB) PruneUploads(ctx context.Context, before time.Time, limit int) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune uploads", func(s *session) (err error) {
		pruned, err = s.exec(ctx, "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE created_at < ? AND NOT "+uploadOpen+
			" ORDER BY created_at LIMIT ?)", before, limit)
		return err
	})
	return pruned, err
}
