package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/svod-hub/svod/model"
)

// Minute counts what happened in one minute.
type Minute struct {
	Start time.Time
	Count int
}

const minute = int64(time.Minute / time.Microsecond)

// ReceivedPerMinute counts journal entries by the minute. Minutes without any
// are left out. Index: journal_received, which it reads from since on: who asks
// often remembers the minutes that are over.
func (db *DB) ReceivedPerMinute(ctx context.Context, project string, since time.Time) ([]Minute, error) {
	return db.perMinute(ctx, "count what came in", `SELECT received_at / ? AS at, COUNT(*) FROM journal
		WHERE project = ? AND received_at >= ? GROUP BY 1 ORDER BY 1`, minute, project, since)
}

// AcceptedPerMinute counts rows that destinations accepted, by the minute in
// which their uploads were settled. Index: uploads_created; uploads older than a
// day are not looked at.
func (db *DB) AcceptedPerMinute(ctx context.Context, project string, since time.Time) ([]Minute, error) {
	return db.perMinute(ctx, "count what went out", `SELECT finished_at / ? AS at, CAST(SUM(accepted) AS BIGINT) FROM uploads
		WHERE created_at >= ? AND project || '' = ? AND finished_at >= ? AND accepted > 0 GROUP BY 1 ORDER BY 1`,
		minute, since.Add(-24*time.Hour), project, since)
}

func (db *DB) perMinute(ctx context.Context, what, query string, args ...any) ([]Minute, error) {
	var out []Minute
	err := db.read(what, func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, m *Minute) error {
			var at int64
			if err := rows.Scan(&at, &m.Count); err != nil {
				return err
			}
			m.Start = moment(at * minute)
			return nil
		}, query, args...)
		return err
	})
	return out, err
}

// OldestDue tells since when the flow's oldest due row waits: when the change
// that made it due was read. Zero when none is due. Indexes: deliveries_due,
// primary key of records.
func (db *DB) OldestDue(ctx context.Context, project, flow string) (time.Time, error) {
	var at time.Time
	err := db.read("find the oldest due row of flow "+flow, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(timeAt{&at}) },
			`SELECT r.read_at FROM (SELECT kind, connection, id FROM deliveries
				WHERE project = ? AND flow = ? AND wanted_seq > done_seq AND hold_until = 0 ORDER BY wanted_seq LIMIT 1) oldest
			CROSS JOIN records r WHERE r.project = ? AND r.kind = oldest.kind AND r.connection = oldest.connection AND r.id = oldest.id`,
			project, flow, project)
	})
	return at, err
}

// OldestBehind tells since when the oldest change waits that the flow has not
// taken in: the first one behind its cursor. Index: records_feed.
func (db *DB) OldestBehind(ctx context.Context, project string, cursor int64) (time.Time, error) {
	var at time.Time
	err := db.read("find the oldest change behind a cursor", func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(timeAt{&at}) },
			"SELECT r.read_at FROM records r WHERE r.project = ? AND r.seq > ? ORDER BY r.seq LIMIT 1", project, cursor)
	})
	return at, err
}

// Trouble counts things that were refused for the same reason in the same words.
type Trouble struct {
	Subject string // "flow" (rows) or "connection" (journal entries)
	ID      string
	Cause   model.Cause
	Error   string
	Count   int
	First   time.Time
	Last    time.Time
	// Example names one of them: a record of a flow, or a journal entry.
	Connection string
	Example    string
	Kind       model.Kind
}

// maxTroubles bounds how many different reasons are looked at.
const maxTroubles = 1000

// Troubles counts refused rows and journal entries by reason, the most frequent
// first. Indexes: deliveries_refused, journal_refused, of which it reads what
// belongs to the project.
func (db *DB) Troubles(ctx context.Context, project string) ([]Trouble, error) {
	var out []Trouble
	err := db.read("group what was refused", func(s *session) error {
		rows, err := list(ctx, s, func(rows *sql.Rows, x *Trouble) error {
			x.Subject = SwitchFlow
			return rows.Scan(&x.ID, &x.Cause, &x.Error, &x.Connection, &x.Kind, &x.Count, timeAt{&x.First}, timeAt{&x.Last}, &x.Example)
		}, `SELECT flow, cause, error, connection, kind, COUNT(*), MIN(updated_at), MAX(updated_at), MAX(id) FROM deliveries
			WHERE project = ? AND state = 4 GROUP BY flow, cause, error, connection, kind ORDER BY COUNT(*) DESC, flow, cause, error LIMIT ?`, project, maxTroubles)
		if err != nil {
			return err
		}
		entries, err := list(ctx, s, func(rows *sql.Rows, x *Trouble) error {
			x.Subject = "connection"
			err := rows.Scan(&x.ID, &x.Cause, &x.Error, &x.Count, timeAt{&x.First}, timeAt{&x.Last}, &x.Example)
			x.Connection = x.ID
			return err
		}, `SELECT connection, cause, error, COUNT(*), MIN(received_at), MAX(received_at), CAST(MAX(id) AS TEXT) FROM journal
			WHERE project = ? AND state > 1 GROUP BY connection, cause, error ORDER BY COUNT(*) DESC, connection, cause, error LIMIT ?`, project, maxTroubles)
		out = append(rows, entries...)
		return err
	})
	return out, err
}

// ErrorMark is what an operator said about a group of errors.
type ErrorMark struct {
	Project string
	Subject string
	ID      string
	Cause   model.Cause
	Field   string
	Mark    string // acknowledged, resolved, ignored; "" takes a mark away
	User    string
	At      time.Time
}

// MarkErrors keeps what an operator said.
func (db *DB) MarkErrors(ctx context.Context, m ErrorMark) error {
	return db.write(ctx, "mark a group of errors", func(s *session) error {
		if m.Mark == "" {
			_, err := s.exec(ctx, "DELETE FROM error_marks WHERE project = ? AND subject = ? AND id = ? AND cause = ? AND field = ?",
				m.Project, m.Subject, m.ID, m.Cause, m.Field)
			return err
		}
		_, err := s.exec(ctx, `INSERT INTO error_marks (project, subject, id, cause, field, mark, user_name, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (project, subject, id, cause, field) DO UPDATE SET mark = excluded.mark, user_name = excluded.user_name, at = excluded.at`,
			m.Project, m.Subject, m.ID, m.Cause, m.Field, m.Mark, m.User, s.now)
		return err
	})
}

// ErrorMarks lists what operators said about a project's errors.
func (db *DB) ErrorMarks(ctx context.Context, project string) ([]ErrorMark, error) {
	var out []ErrorMark
	err := db.read("list marks of errors", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, m *ErrorMark) error {
			return rows.Scan(&m.Project, &m.Subject, &m.ID, &m.Cause, &m.Field, &m.Mark, &m.User, timeAt{&m.At})
		}, "SELECT project, subject, id, cause, field, mark, user_name, at FROM error_marks WHERE project = ? ORDER BY subject, id, cause, field", project)
		return err
	})
	return out, err
}

// FindUploads lists uploads by their id at the destination, or by a part of
// their error or answer, newest first. Index: uploads_list.
func (db *DB) FindUploads(ctx context.Context, project, text string, limit int) ([]Upload, error) {
	var out []Upload
	err := db.read("search uploads", func(s *session) (err error) {
		out, err = list(ctx, s, scanUpload, "SELECT id, "+uploadColumns+` FROM uploads WHERE project = ?
			AND (remote_id = ? OR HAS(error, ?) OR BYTESHAVE(details, ?)) ORDER BY id DESC LIMIT ?`,
			project, text, text, []byte(text), bounded(limit))
		return err
	})
	return out, err
}
