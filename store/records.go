package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

const recordColumns = "r.connection, r.kind, r.id, r.seq, r.read_at, r.deleted, r.data"

// stored is a record as it comes out of the database.
type stored struct {
	key     model.Key
	seq     int64
	read    time.Time
	deleted bool
	data    []byte
}

func (r *stored) dest() []any {
	return []any{&r.key.Connection, &r.key.Kind, &r.key.ID, &r.seq, timeAt{&r.read}, &r.deleted, &r.data}
}

func (r *stored) decode() (model.Record, error) {
	rec, err := model.Decode(r.key.Kind, r.data)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", r.key, err)
	}
	b := rec.Meta()
	b.Kind, b.Connection, b.ID = r.key.Kind, r.key.Connection, r.key.ID
	b.ReadAt, b.Seq, b.Deleted = r.read, r.seq, r.deleted
	return rec, nil
}

// scanRecord decodes a record; one that cannot be read is logged and left out,
// so that it does not take the others with it.
func (db *DB) scanRecord(rows *sql.Rows, take func(model.Record)) error {
	var r stored
	if err := rows.Scan(r.dest()...); err != nil {
		return err
	}
	rec, err := r.decode()
	if err != nil {
		db.log.Error("stored record cannot be read", zap.Stringer("record", r.key), zap.Error(err))
		return nil
	}
	take(rec)
	return nil
}

// Record gives one record, tombstones too. Index: primary key.
func (db *DB) Record(ctx context.Context, project string, key model.Key) (model.Record, error) {
	var r stored
	err := db.read("read record "+key.String(), func(s *session) error {
		return s.get(ctx, r.dest(), "SELECT "+recordColumns+
			" FROM records r WHERE project = ? AND kind = ? AND connection = ? AND id = ?", project, key.Kind, key.Connection, key.ID)
	})
	if err != nil {
		return nil, err
	}
	return r.decode()
}

// RecordsByKeys gives those of the records that are there, tombstones too.
// Index: primary key.
func (db *DB) RecordsByKeys(ctx context.Context, project string, keys []model.Key) (map[model.Key]model.Record, error) {
	out := make(map[model.Key]model.Record, len(keys))
	r := keyRows.rows(len(keys))
	for _, key := range keys {
		r.add(key.Kind, key.Connection, key.ID)
	}
	err := db.read(fmt.Sprintf("read %d records", len(keys)), func(s *session) error {
		return s.queryEach(ctx, r, func(rows *sql.Rows) error {
			return db.scanRecord(rows, func(rec model.Record) { out[rec.Meta().Key()] = rec })
		}, "SELECT "+recordColumns+` FROM v CROSS JOIN records r
			WHERE r.project = ? AND r.kind = v.kind AND r.connection = v.connection AND r.id = v.id`, project)
	})
	return out, err
}

// Records lists records by (kind, connection, id). Index: primary key;
// ChangedFrom reads through the kind.
func (db *DB) Records(ctx context.Context, f RecordFilter) ([]model.Record, error) {
	w := new(where)
	w.and("r.project = ?", f.Project)
	if f.Kind != "" {
		w.and("r.kind = ?", f.Kind)
		f.AfterKey.Kind = f.Kind
	}
	if len(f.Connections) > 0 {
		w.and("r.connection IN LIST(?)", texts(f.Connections))
	}
	if len(f.IDs) > 0 {
		w.and("r.id IN LIST(?)", texts(f.IDs))
	}
	if f.Text != "" {
		w.and("(HAS(r.id, ?) OR HAS(r.data, ?))", f.Text, f.Text)
	}
	if !f.ChangedFrom.IsZero() {
		w.and("(r.updated_at >= ? OR r.created_at >= ?)", f.ChangedFrom, f.ChangedFrom)
	}
	if f.Live {
		w.and("r.deleted = 0")
	}
	if f.AfterKey.ID != "" {
		w.and("(r.kind, r.connection, r.id) > (?, ?, ?)", f.AfterKey.Kind, f.AfterKey.Connection, f.AfterKey.ID)
	}
	var out []model.Record
	err := db.read("list records", func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			return db.scanRecord(rows, func(rec model.Record) { out = append(out, rec) })
		}, "SELECT "+recordColumns+" FROM records r"+w.String()+" ORDER BY r.kind, r.connection, r.id LIMIT ?",
			append(w.args, unbounded(f.Limit))...)
	})
	return out, err
}

// unbounded gives the limit of a list that programs page through.
func unbounded(limit int) int {
	if limit <= 0 {
		return bounded(limit)
	}
	return limit
}

// LiveIDs gives the ids that are not deleted, in order. Index: primary key.
func (db *DB) LiveIDs(ctx context.Context, project, connection string, kind model.Kind) ([]string, error) {
	var out []string
	err := db.read("list live ids", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, id *string) error { return rows.Scan(id) },
			"SELECT id FROM records WHERE project = ? AND kind = ? AND connection = ? AND deleted = 0 ORDER BY id", project, kind, connection)
		return err
	})
	return out, err
}

// CountRecords counts a project's records. It reads through two indexes: primary
// key and records_deleted.
func (db *DB) CountRecords(ctx context.Context, project string) ([]RecordCount, error) {
	var out []RecordCount
	err := db.read("count records", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, c *RecordCount) error {
			return rows.Scan(&c.Connection, &c.Kind, &c.Live, &c.Deleted)
		}, `SELECT connection, kind, CAST(SUM(live) AS BIGINT), CAST(SUM(dead) AS BIGINT) FROM (
				SELECT connection, kind, COUNT(*) AS live, 0 AS dead FROM records WHERE project = ? GROUP BY kind, connection
				UNION ALL
				SELECT connection, kind, -COUNT(*), COUNT(*) FROM records WHERE project = ? AND deleted = 1 GROUP BY kind, connection
			) counts GROUP BY connection, kind ORDER BY connection, kind`, project, project)
		return err
	})
	return out, err
}

// ChangedKeys lists live records that the source created or modified since then
// (a zero time: all), by (created_at, connection, id). Indexes: records_created,
// records_updated.
func (db *DB) ChangedKeys(ctx context.Context, project string, connections []string, kind model.Kind, since time.Time) ([]model.Key, error) {
	const all = "SELECT connection, kind, id, created_at FROM records WHERE project = ? AND kind = ? AND deleted = 0 AND connection IN LIST(?)"
	query, args := all, []any{project, kind, texts(connections)}
	if !since.IsZero() {
		query = all + " AND created_at >= ? UNION " + all + " AND updated_at >= ?"
		args = append(args, since, project, kind, texts(connections), since)
	}
	var out []model.Key
	err := db.read("list changed records", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, k *model.Key) error {
			return rows.Scan(&k.Connection, &k.Kind, &k.ID)
		}, "SELECT connection, kind, id FROM ("+query+") changed ORDER BY created_at, connection, id", args...)
		return err
	})
	return out, err
}

// FeedEnd is the project's latest change number.
func (db *DB) FeedEnd(ctx context.Context, project string) (int64, error) {
	var end int64
	err := db.read("read the end of the feed", func(s *session) (err error) {
		end, err = s.feedEnd(ctx, project)
		return err
	})
	return end, err
}

func (s *session) feedEnd(ctx context.Context, project string) (int64, error) {
	var end int64
	err := s.get(ctx, []any{&end}, "SELECT COALESCE(MAX(seq), 0) FROM feeds WHERE project = ?", project)
	return end, err
}
