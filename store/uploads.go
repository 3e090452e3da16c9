package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

var (
	sendingRows = newBatch("upload_id bigint, position bigint, delivery bigint, seq bigint, hash bytea, row_key text")
	refusalRows = newBatch("position bigint, delivery bigint, seq bigint, row_key text, cause text, error text")
	createdRows = newBatch("delivery bigint, remote_id text")
)

const (
	uploadColumns = "project, flow, connection, kind, token, mode, rows_group, parent, status, remote_id, row_count, accepted, refused, bytes," +
		" attempts, cause, error, details, created_at, started_at, finished_at, follow_at"
	// The condition of the index uploads_open, word for word.
	uploadOpen = "status IN ('building', 'sending', 'in_doubt', 'processing')"
	// Uploads whose rows are not settled.
	uploadHolds = "status IN ('building', 'sending', 'in_doubt')"
)

func (u *Upload) values() []any {
	return []any{u.Project, u.Flow, u.Connection, u.As, u.Token, u.Mode, u.Group, u.Parent, u.Status, u.RemoteID, u.Rows, u.Accepted, u.Refused, u.Bytes,
		u.Attempts, u.Cause, u.Error, u.Details, u.CreatedAt, u.StartedAt, u.FinishedAt, u.FollowAt}
}

func scanUpload(rows *sql.Rows, u *Upload) error {
	return rows.Scan(&u.ID, &u.Project, &u.Flow, &u.Connection, &u.As, &u.Token, &u.Mode, &u.Group, &u.Parent, &u.Status, &u.RemoteID, &u.Rows,
		&u.Accepted, &u.Refused, &u.Bytes, &u.Attempts, &u.Cause, &u.Error, &u.Details, timeAt{&u.CreatedAt}, timeAt{&u.StartedAt},
		timeAt{&u.FinishedAt}, timeAt{&u.FollowAt})
}

// CreateUpload begins an upload: it gets an ID, a token, the status building and,
// unless it has one, the time of its creation.
func (db *DB) CreateUpload(ctx context.Context, u *Upload) error {
	return db.write(ctx, "create an upload of flow "+u.Flow, func(s *session) error { return s.createUpload(ctx, u) })
}

func (s *session) createUpload(ctx context.Context, u *Upload) error {
	u.Status = UploadBuilding
	if u.CreatedAt.IsZero() {
		u.CreatedAt = moment(s.now)
	}
	u.Token = "svod" + rand.Text()
	return s.get(ctx, []any{&u.ID}, "INSERT INTO uploads ("+uploadColumns+") VALUES (?"+strings.Repeat(", ?", 21)+") RETURNING id", u.values()...)
}

// FillUpload makes rows part of an upload that is being built. Doing it again
// with the same rows at the same positions renews what is noted of them. The rows
// themselves are not touched: they stay due until the upload is settled, and only
// who holds the flow's lease may build for it. Index: primary key of upload_rows.
func (db *DB) FillUpload(ctx context.Context, uploadID int64, sent []Sending) error {
	if len(sent) == 0 {
		return nil
	}
	return db.write(ctx, fmt.Sprintf("fill upload %d", uploadID), func(s *session) error {
		var project, flow string
		err := s.get(ctx, []any{&project, &flow}, "SELECT project, flow FROM uploads WHERE id = ? AND "+uploadHolds+" FOR UPDATE", uploadID)
		if err != nil {
			return err
		}
		numbers, err := s.numbers(ctx, project, flow, len(sent), func(i int) (int64, string, string) {
			return sent[i].Number, sent[i].Connection, sent[i].ID
		})
		if err != nil {
			return err
		}
		count, r := 0, sendingRows.rows(len(sent))
		for i, x := range sent {
			if numbers[i] == 0 {
				return model.Errorf(model.ClassPermanent, model.CauseInternal, "the flow has no row of record %s", x.ID)
			}
			r.add(uploadID, x.Position, numbers[i], x.Seq, x.Hash, x.RowKey)
			count = max(count, x.Position+1)
		}
		if err := s.insertEach(ctx, r, "upload_rows", ` ON CONFLICT (upload_id, position)
			DO UPDATE SET seq = excluded.seq, hash = excluded.hash, row_key = excluded.row_key`); err != nil {
			return err
		}
		_, err = s.exec(ctx, "UPDATE uploads SET row_count = GREATEST(row_count, ?) WHERE id = ?", count, uploadID)
		return err
	})
}

// ErrNotOurs is what BeginSending returns for an upload that another worker looks
// after.
var ErrNotOurs = model.Errorf(model.ClassTemporary, model.CauseInternal, "another worker looks after the upload; it was not sent from here")

// BeginSending saves an upload that is about to be sent. It fails, and nothing
// must be sent, when the lease was lost or somebody else has settled the upload
// meanwhile: a worker that was away for long cannot send what another one sends
// too.
func (db *DB) BeginSending(ctx context.Context, u Upload, by Lease) error {
	return db.write(ctx, fmt.Sprintf("begin to send upload %d", u.ID), func(s *session) error {
		var found int64
		err := s.get(ctx, []any{&found}, "SELECT epoch FROM leases WHERE name = ? AND epoch = ? AND holder <> '' FOR UPDATE", by.Name, by.Epoch)
		if err == nil {
			err = s.get(ctx, []any{&found}, "SELECT id FROM uploads WHERE id = ? AND status = 'building' FOR UPDATE", u.ID)
		}
		if errors.Is(err, ErrNotFound) {
			return ErrNotOurs
		}
		if err != nil {
			return err
		}
		return s.saveUpload(ctx, u)
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
// Index: primary key of upload_rows.
func (db *DB) UploadRows(ctx context.Context, project string, uploadID int64, afterPosition, limit int) ([]Due, error) {
	out := dues{project: project}
	err := db.read(fmt.Sprintf("read the rows of upload %d", uploadID), func(s *session) error {
		u, err := list(ctx, s, scanUpload, "SELECT id, "+uploadColumns+" FROM uploads WHERE id = ? AND project = ? AND "+uploadHolds, uploadID, project)
		if err != nil || len(u) == 0 {
			return err
		}
		out.flow = u[0].Flow
		return s.query(ctx, func(rows *sql.Rows) error {
			return out.scan(rows, "", func(d *Due) []any {
				return []any{&d.Kind, &d.RowKey, &d.Position, &d.PendingSeq, &d.PendingHash}
			})
		}, "SELECT "+dueColumns+`, d.kind, u.row_key, u.position, u.seq, u.hash FROM upload_rows u CROSS JOIN deliveries d CROSS JOIN records r
			WHERE u.upload_id = ? AND u.position > ? AND d.number = u.delivery
			AND r.project = d.project AND r.kind = d.kind AND r.connection = d.connection AND r.id = d.id
			ORDER BY u.position LIMIT ?`, uploadID, afterPosition, limit)
	})
	for i := range out.due {
		out.due[i].State = DeliverySending
	}
	return out.decode(db.log), err
}

// holds tells whether an upload's rows are not settled, and keeps others from
// settling them.
func (s *session) holds(ctx context.Context, id int64) (bool, error) {
	var found int64
	err := s.get(ctx, []any{&found}, "SELECT id FROM uploads WHERE id = ? AND "+uploadHolds+" FOR UPDATE", id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// settle runs fn for an upload that still holds its rows, and saves the upload.
// Of one that was settled before only the upload is saved.
func (db *DB) settle(ctx context.Context, what string, u Upload, fn func(*session) error) error {
	return db.write(ctx, fmt.Sprintf("%s upload %d", what, u.ID), func(s *session) error {
		held, err := s.holds(ctx, u.ID)
		if err == nil && held {
			err = fn(s)
		}
		if err != nil {
			return err
		}
		return s.saveUpload(ctx, u)
	})
}

// settleStep is how many rows of an upload are settled in one transaction: on
// SQLite nobody else writes meanwhile.
const settleStep = 10000

// AcceptUpload settles the rows of an upload that the destination took: what
// was sent is remembered, except of the refused rows, which are set aside.
// Created gives the ids that the destination gave rows, by row key. The upload
// is saved as given, after its last row: until then it is open, and settling its
// rows again changes nothing. Indexes: primary keys.
func (db *DB) AcceptUpload(ctx context.Context, u Upload, refused []RowRefusal, created map[string]string) error {
	for from := 0; ; from += settleStep {
		done := false
		err := db.write(ctx, fmt.Sprintf("accept upload %d", u.ID), func(s *session) error {
			last := -1
			held, err := s.holds(ctx, u.ID)
			if err == nil && held && from == 0 {
				err = s.settleNamed(ctx, u, refused, created)
			}
			if err == nil && held {
				last, err = s.acceptRows(ctx, u.ID, from)
			}
			if done = last < from+settleStep; err != nil || !done {
				return err
			}
			return s.saveUpload(ctx, u)
		})
		if err != nil || done {
			return err
		}
	}
}

// acceptRows settles the rows of one step, and gives the upload's last position.
// Who asked for a row after the upload was made wants it once more.
func (s *session) acceptRows(ctx context.Context, uploadID int64, from int) (last int, err error) {
	err = s.get(ctx, []any{&last}, "SELECT COALESCE(MAX(position), -1) FROM upload_rows WHERE upload_id = ?", uploadID)
	if err != nil {
		return 0, err
	}
	_, err = s.exec(ctx, `UPDATE deliveries SET state = CASE WHEN asked > u.upload_id AND deliveries.hash IS NULL THEN 0 ELSE 1 END,
		done_seq = CASE WHEN asked > u.upload_id THEN done_seq ELSE u.seq END,
		hash = CASE WHEN asked > u.upload_id THEN deliveries.hash ELSE u.hash END,
		asked = CASE WHEN asked > u.upload_id THEN asked ELSE 0 END,
		row_key = u.row_key, upload_id = u.upload_id, sent_at = ?, updated_at = ?, needs = '', cause = '', error = '', attempts = 0
		FROM upload_rows u WHERE u.upload_id = ? AND u.position >= ? AND u.position < ? AND u.refused = 0 AND deliveries.number = u.delivery`,
		s.now, s.now, uploadID, from, from+settleStep)
	return last, err
}

// settleNamed settles the rows of an upload that the destination named: those
// that it refused and those that it gave an id.
func (s *session) settleNamed(ctx context.Context, u Upload, refused []RowRefusal, created map[string]string) error {
	if len(refused) == 0 && len(created) == 0 {
		return nil
	}
	why := make(map[string]RowRefusal, len(refused))
	for _, x := range refused {
		why[clean(x.RowKey)] = x
	}
	delete(why, "")
	refusals, ids := refusalRows.rows(len(why)), createdRows.rows(len(created))
	if err := s.query(ctx, func(rows *sql.Rows) error {
		var position, delivery, seq int64
		var key string
		if err := rows.Scan(&position, &delivery, &seq, &key); err != nil {
			return err
		}
		if x, ok := why[key]; ok {
			refusals.add(position, delivery, seq, key, x.Cause, x.Error)
		}
		if id, ok := created[key]; ok && key != "" {
			ids.add(delivery, id)
		}
		return nil
	}, "SELECT position, delivery, seq, row_key FROM upload_rows WHERE upload_id = ?", u.ID); err != nil {
		return err
	}
	if _, err := s.execEach(ctx, ids, "UPDATE deliveries SET remote_id = v.remote_id FROM v WHERE deliveries.number = v.delivery"); err != nil {
		return err
	}
	if _, err := s.execEach(ctx, refusals, "UPDATE upload_rows SET refused = 1 FROM v WHERE upload_rows.upload_id = ? AND upload_rows.position = v.position", u.ID); err != nil {
		return err
	}
	_, err := s.execEach(ctx, refusals, `UPDATE deliveries SET state = 4, done_seq = CASE WHEN asked > ? THEN done_seq ELSE v.seq END,
		asked = CASE WHEN asked > ? THEN asked ELSE 0 END, row_key = v.row_key, upload_id = ?, cause = v.cause, error = v.error, needs = '',
		attempts = deliveries.attempts + 1, updated_at = ? FROM v WHERE deliveries.number = v.delivery`, u.ID, u.ID, u.ID, s.now)
	return err
}

// ReturnUpload forgets which rows were in an upload that was not sent; they are
// due as before. The upload is saved as given. Indexes: primary keys.
func (db *DB) ReturnUpload(ctx context.Context, u Upload) error {
	return db.settle(ctx, "return the rows of", u, func(s *session) error {
		if u.Attempts > 0 {
			if _, err := s.exec(ctx, `UPDATE deliveries SET attempts = attempts + 1, updated_at = ?
				WHERE number IN (SELECT delivery FROM upload_rows WHERE upload_id = ?)`, s.now, u.ID); err != nil {
				return err
			}
		}
		_, err := s.exec(ctx, "DELETE FROM upload_rows WHERE upload_id = ?", u.ID)
		return err
	})
}

// RefuseUpload sets all rows of an upload aside. The upload is saved as given.
// Indexes: primary keys.
func (db *DB) RefuseUpload(ctx context.Context, u Upload, cause model.Cause, errText string) error {
	return db.settle(ctx, "refuse", u, func(s *session) error {
		if _, err := s.exec(ctx, `UPDATE deliveries SET state = 4, done_seq = CASE WHEN asked > u.upload_id THEN done_seq ELSE u.seq END,
			asked = CASE WHEN asked > u.upload_id THEN asked ELSE 0 END, row_key = u.row_key, upload_id = u.upload_id, cause = ?, error = ?,
			needs = '', attempts = deliveries.attempts + 1, updated_at = ?
			FROM upload_rows u WHERE u.upload_id = ? AND deliveries.number = u.delivery`, cause, errText, s.now, u.ID); err != nil {
			return err
		}
		_, err := s.exec(ctx, "UPDATE upload_rows SET refused = 1 WHERE upload_id = ?", u.ID)
		return err
	})
}

// SplitUpload divides the rows of a rejected upload between two new ones, which
// are being built, and gives the old one the status split. Positions begin from
// 0 in both. Index: primary key of upload_rows.
func (db *DB) SplitUpload(ctx context.Context, u Upload) ([2]Upload, error) {
	var out [2]Upload
	err := db.write(ctx, fmt.Sprintf("split upload %d", u.ID), func(s *session) error {
		var n, first int
		if err := s.get(ctx, []any{&n, &first}, "SELECT COUNT(*), COALESCE(MIN(position), 0) FROM upload_rows WHERE upload_id = ?", u.ID); err != nil {
			return err
		}
		if n < 2 {
			return model.Errorf(model.ClassPermanent, model.CauseInternal, "an upload of %d rows cannot be divided", n)
		}
		half := (n + 1) / 2
		var middle int
		if err := s.get(ctx, []any{&middle}, "SELECT position FROM upload_rows WHERE upload_id = ? ORDER BY position LIMIT 1 OFFSET ?", u.ID, half); err != nil {
			return err
		}
		begin, end := [2]int{first, middle}, [2]int{middle, math.MaxInt32}
		for i, rows := range [2]int{half, n - half} {
			out[i] = Upload{Project: u.Project, Flow: u.Flow, Connection: u.Connection, As: u.As, Mode: u.Mode, Group: u.Group, Parent: u.ID, Rows: rows}
			if err := s.createUpload(ctx, &out[i]); err != nil {
				return err
			}
			if _, err := s.exec(ctx, `INSERT INTO upload_rows (upload_id, position, delivery, seq, hash, row_key)
				SELECT CAST(? AS BIGINT), position - CAST(? AS BIGINT), delivery, seq, hash, row_key FROM upload_rows
				WHERE upload_id = ? AND position >= ? AND position < ?`, out[i].ID, begin[i], u.ID, begin[i], end[i]); err != nil {
				return err
			}
		}
		if _, err := s.exec(ctx, "DELETE FROM upload_rows WHERE upload_id = ?", u.ID); err != nil {
			return err
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

// PruneUploadRows forgets which rows were in closed uploads created before then,
// at most limit rows at a time beginning with the oldest upload, and says how
// many. Index: primary key of upload_rows.
func (db *DB) PruneUploadRows(ctx context.Context, before time.Time, limit int) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune the rows of uploads", func(s *session) error {
		pruned = 0
		for id := int64(0); pruned < limit; {
			err := s.get(ctx, []any{&id}, "SELECT upload_id FROM upload_rows WHERE upload_id > ? ORDER BY upload_id LIMIT 1", id)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			var open, young bool
			if err := s.get(ctx, []any{&open, &young}, "SELECT COALESCE(MAX(CASE WHEN "+uploadOpen+` THEN 1 ELSE 0 END), 0),
				COALESCE(MAX(CASE WHEN created_at >= ? THEN 1 ELSE 0 END), 0) FROM uploads WHERE id = ?`, before, id); err != nil {
				return err
			}
			if young {
				return nil
			}
			if open {
				continue
			}
			n, err := s.exec(ctx, `DELETE FROM upload_rows WHERE upload_id = ? AND position IN (
				SELECT position FROM upload_rows WHERE upload_id = ? ORDER BY position LIMIT ?)`, id, id, limit-pruned)
			if err != nil {
				return err
			}
			pruned += n
		}
		return nil
	})
	return pruned, err
}

// PruneUploads deletes closed uploads created before then, at most limit at a
// time, and says how many. Those that still have rows stay; see PruneUploadRows.
// Index: uploads_created.
func (db *DB) PruneUploads(ctx context.Context, before time.Time, limit int) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune uploads", func(s *session) (err error) {
		pruned, err = s.exec(ctx, "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE created_at < ? AND NOT "+uploadOpen+
			" AND NOT EXISTS (SELECT 1 FROM upload_rows u WHERE u.upload_id = uploads.id) ORDER BY created_at LIMIT ?)", before, limit)
		return err
	})
	return pruned, err
}
