package store

import (
	"context"
	"database/sql"
	"time"
)

// SaveUser keeps an operator's password hash.
func (db *DB) SaveUser(ctx context.Context, name, passwordHash string) error {
	return db.write(ctx, "save a user", func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO users (name, password_hash) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash`, name, passwordHash)
		return err
	})
}

// UserHash gives an operator's password hash.
func (db *DB) UserHash(ctx context.Context, name string) (string, error) {
	var hash string
	err := db.read("read a user", func(s *session) error {
		return s.get(ctx, []any{&hash}, "SELECT password_hash FROM users WHERE name = ?", name)
	})
	return hash, err
}

// Users lists the operators' names.
func (db *DB) Users(ctx context.Context) ([]string, error) {
	var out []string
	err := db.read("list the users", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, name *string) error { return rows.Scan(name) }, "SELECT name FROM users ORDER BY name")
		return err
	})
	return out, err
}

// DeleteUser removes an operator and signs his browsers out; one that is not
// there is no error.
func (db *DB) DeleteUser(ctx context.Context, name string) error {
	return db.write(ctx, "delete a user", func(s *session) error {
		if _, err := s.exec(ctx, "DELETE FROM sessions WHERE user_name = ?", name); err != nil {
			return err
		}
		_, err := s.exec(ctx, "DELETE FROM users WHERE name = ?", name)
		return err
	})
}

// SaveSession keeps a signed-in browser.
func (db *DB) SaveSession(ctx context.Context, x Session) error {
	return db.write(ctx, "save a session", func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO sessions (id_hash, user_name, expires_at, csrf) VALUES (?, ?, ?, ?)
			ON CONFLICT (id_hash) DO UPDATE SET user_name = excluded.user_name, expires_at = excluded.expires_at, csrf = excluded.csrf`,
			x.IDHash, x.User, x.ExpiresAt, x.CSRF)
		return err
	})
}

// Session gives a signed-in browser; an expired one is not there.
func (db *DB) Session(ctx context.Context, idHash string) (Session, error) {
	var out Session
	err := db.read("read a session", func(s *session) error {
		return s.get(ctx, []any{&out.IDHash, &out.User, timeAt{&out.ExpiresAt}, &out.CSRF},
			"SELECT id_hash, user_name, expires_at, csrf FROM sessions WHERE id_hash = ? AND expires_at > ?", idHash, s.now)
	})
	return out, err
}

// DeleteSession signs a browser out; one that is not there is no error.
func (db *DB) DeleteSession(ctx context.Context, idHash string) error {
	return db.write(ctx, "delete a session", func(s *session) error {
		_, err := s.exec(ctx, "DELETE FROM sessions WHERE id_hash = ?", idHash)
		return err
	})
}

// PruneSessions deletes expired sessions and says how many. Index:
// sessions_expiry.
func (db *DB) PruneSessions(ctx context.Context, now time.Time) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune sessions", func(s *session) (err error) {
		pruned, err = s.exec(ctx, "DELETE FROM sessions WHERE expires_at <= ?", now)
		return err
	})
	return pruned, err
}

// AppendAudit notes what an operator did; a zero time is now.
func (db *DB) AppendAudit(ctx context.Context, a Audit) error {
	return db.write(ctx, "append to the audit log", func(s *session) error {
		at := micros(a.At)
		if at == 0 {
			at = s.now
		}
		_, err := s.exec(ctx, "INSERT INTO audit (at, user_name, action, project, subject, remote) VALUES (?, ?, ?, ?, ?, ?)",
			at, a.User, a.Action, a.Project, a.Subject, a.Remote)
		return err
	})
}

// AuditLog lists what operators did, newest first. Index: primary key.
func (db *DB) AuditLog(ctx context.Context, limit int) ([]Audit, error) {
	var out []Audit
	err := db.read("read the audit log", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, a *Audit) error {
			return rows.Scan(timeAt{&a.At}, &a.User, &a.Action, &a.Project, &a.Subject, &a.Remote)
		}, "SELECT at, user_name, action, project, subject, remote FROM audit ORDER BY id DESC LIMIT ?", unbounded(limit))
		return err
	})
	return out, err
}
