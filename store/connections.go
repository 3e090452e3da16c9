package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/svod-hub/svod/model"
)

const (
	connectionColumns = "project, connection, status, error, cause, since, retry_at, last_event_at, last_read_at, hook_secret"
	connectionOK      = "ok"
)

func scanConnection(rows *sql.Rows, c *ConnectionState) error {
	return rows.Scan(&c.Project, &c.Connection, &c.Status, &c.Error, &c.Cause, timeAt{&c.Since}, timeAt{&c.RetryAt},
		timeAt{&c.LastEventAt}, timeAt{&c.LastReadAt}, &c.HookSecret)
}

// ConnectionState gives a connection's memory; one of which nothing is known is
// ok.
func (db *DB) ConnectionState(ctx context.Context, project, connection string) (ConnectionState, error) {
	out := ConnectionState{Project: project, Connection: connection, Status: connectionOK}
	err := db.read("read the state of connection "+connection, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return scanConnection(rows, &out) },
			"SELECT "+connectionColumns+" FROM connections WHERE project = ? AND connection = ?", project, connection)
	})
	return out, err
}

// ConnectionStates lists a project's connections of which something is known,
// or everybody's when project is empty.
func (db *DB) ConnectionStates(ctx context.Context, project string) ([]ConnectionState, error) {
	var out []ConnectionState
	err := db.read("list the connections", func(s *session) (err error) {
		w := inProject(project)
		out, err = list(ctx, s, scanConnection, "SELECT "+connectionColumns+" FROM connections"+w.String()+
			" ORDER BY project, connection", w.args...)
		return err
	})
	return out, err
}

// SetConnectionStatus notes how a connection fares and tells whether that is a
// change. Since is when its status changed last.
func (db *DB) SetConnectionStatus(ctx context.Context, project, connection, status string, cause model.Cause, errText string, retryAt time.Time) (changed bool, err error) {
	err = db.write(ctx, "set the status of connection "+connection, func(s *session) error {
		if err := s.needConnection(ctx, project, connection); err != nil {
			return err
		}
		var before string
		if err := s.get(ctx, []any{&before}, "SELECT status FROM connections WHERE project = ? AND connection = ? FOR UPDATE",
			project, connection); err != nil {
			return err
		}
		changed = before != status
		_, err := s.exec(ctx, `UPDATE connections SET status = ?, cause = ?, error = ?, retry_at = ?,
			since = CASE WHEN status = ? THEN since ELSE ? END WHERE project = ? AND connection = ?`,
			status, cause, errText, retryAt, status, s.now, project, connection)
		return err
	})
	return changed, err
}

func (s *session) needConnection(ctx context.Context, project, connection string) error {
	_, err := s.exec(ctx, "INSERT INTO connections (project, connection) VALUES (?, ?) ON CONFLICT DO NOTHING", project, connection)
	return err
}

// TouchConnection notes when something came from the connection last, and when
// it was read last; a zero time leaves what is there, and no time goes back.
func (db *DB) TouchConnection(ctx context.Context, project, connection string, eventAt, readAt time.Time) error {
	return db.write(ctx, "note activity of connection "+connection, func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO connections (project, connection, last_event_at, last_read_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (project, connection) DO UPDATE SET
			last_event_at = GREATEST(connections.last_event_at, excluded.last_event_at),
			last_read_at = GREATEST(connections.last_read_at, excluded.last_read_at)`, project, connection, eventAt, readAt)
		return err
	})
}

// Recall gives what Remember kept under the name; nothing is "".
func (db *DB) Recall(ctx context.Context, project, connection, name string) (string, error) {
	var value string
	err := db.read("recall "+name+" of connection "+connection, func(s *session) error {
		err := s.get(ctx, []any{&value}, "SELECT value FROM memories WHERE project = ? AND connection = ? AND name = ?", project, connection, name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return value, err
}

// Remember keeps a value for a connection. What must not be read by others is
// encrypted by the caller.
func (db *DB) Remember(ctx context.Context, project, connection, name, value string) error {
	return db.write(ctx, "remember "+name+" of connection "+connection, func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO memories (project, connection, name, value) VALUES (?, ?, ?, ?)
			ON CONFLICT (project, connection, name) DO UPDATE SET value = excluded.value`, project, connection, name, value)
		return err
	})
}

// HookSecret gives the secret part of the connection's address. The first time
// it is what make returns; of several processes that come first at once, all
// get the same.
func (db *DB) HookSecret(ctx context.Context, project, connection string, make func() string) (string, error) {
	var secret string
	err := db.write(ctx, "read the hook secret of connection "+connection, func(s *session) error {
		if err := s.needConnection(ctx, project, connection); err != nil {
			return err
		}
		err := s.get(ctx, []any{&secret}, "SELECT hook_secret FROM connections WHERE project = ? AND connection = ? FOR UPDATE", project, connection)
		if err != nil || secret != "" {
			return err
		}
		secret = make()
		_, err = s.exec(ctx, "UPDATE connections SET hook_secret = ? WHERE project = ? AND connection = ?", secret, project, connection)
		return err
	})
	return secret, err
}
