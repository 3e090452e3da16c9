package store

import (
	"context"
	"database/sql"
	"time"
)

// Switch is something that an operator paused while the hub runs.
type Switch struct {
	Project string // "" for a queue
	Subject string // SwitchSource, SwitchFlow or SwitchQueue
	ID      string // of the connection, the flow or the queue
	User    string
	Since   time.Time
}

// What can be paused. A paused source is not read, and what it sends is kept in
// the journal and not looked at; a paused flow sends nothing, and rows wait; a
// paused queue hands out no work of its kind.
const (
	SwitchSource = "source"
	SwitchFlow   = "flow"
	SwitchQueue  = "queue"
)

// Switches is what is paused now.
type Switches []Switch

// Find gives the switch of one thing.
func (s Switches) Find(project, subject, id string) (Switch, bool) {
	for _, x := range s {
		if x.Project == project && x.Subject == subject && x.ID == id {
			return x, true
		}
	}
	return Switch{}, false
}

// Off reports whether the thing is paused.
func (s Switches) Off(project, subject, id string) bool {
	_, off := s.Find(project, subject, id)
	return off
}

// Switches lists what is paused: a few rows, read before each piece of work.
func (db *DB) Switches(ctx context.Context) (Switches, error) {
	var out Switches
	err := db.read("read what is paused", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, x *Switch) error {
			return rows.Scan(&x.Project, &x.Subject, &x.ID, &x.User, timeAt{&x.Since})
		}, "SELECT project, subject, id, user_name, since FROM switches ORDER BY project, subject, id")
		return err
	})
	return out, err
}

// SetSwitch pauses a thing, or lets it go on. What is paused already stays so
// since then.
func (db *DB) SetSwitch(ctx context.Context, x Switch, paused bool) error {
	return db.write(ctx, "pause or resume "+x.Subject+" "+x.ID, func(s *session) error {
		if !paused {
			_, err := s.exec(ctx, "DELETE FROM switches WHERE project = ? AND subject = ? AND id = ?", x.Project, x.Subject, x.ID)
			return err
		}
		_, err := s.exec(ctx, `INSERT INTO switches (project, subject, id, user_name, since) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, x.Project, x.Subject, x.ID, x.User, s.now)
		return err
	})
}
