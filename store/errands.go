package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Errand is long work that an operator asked for: rows to send again or journal
// entries to take in again. It is done in steps, can be watched and stopped.
type Errand struct {
	ID      int64
	Project string
	Flow    string // whose rows; "" for all, and for the journal
	Action  ErrandAction
	// Rows or Entries say which, by the action.
	Rows    DeliveryFilter
	Entries JournalFilter
	// Position is where the next step begins.
	Position  ErrandPosition
	Total     int // how many matched at the start
	Done      int
	Status    ErrandStatus
	Error     string
	User      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ErrandAction is what an errand does.
type ErrandAction string

// The actions.
const (
	ErrandResend ErrandAction = "resend"
	ErrandReplay ErrandAction = "replay"
)

// ErrandStatus is where an errand stands.
type ErrandStatus string

// The statuses of errands.
const (
	ErrandRunning ErrandStatus = "running"
	ErrandDone    ErrandStatus = "done"
	ErrandStopped ErrandStatus = "stopped" // by an operator
	ErrandFailed  ErrandStatus = "failed"
)

// ErrandPosition is the last thing that a step looked at.
type ErrandPosition struct {
	Flow       string `json:"flow,omitempty"`
	Connection string `json:"connection,omitempty"`
	ID         string `json:"id,omitempty"`
	Entry      int64  `json:"entry,omitempty"`
}

type errandFilter struct {
	Rows    DeliveryFilter
	Entries JournalFilter
}

const errandColumns = "id, project, flow, action, filter, position, total, done, status, error, user_name, created_at, updated_at"

func scanErrand(rows *sql.Rows, e *Errand) error {
	var filter, position []byte
	err := rows.Scan(&e.ID, &e.Project, &e.Flow, &e.Action, &filter, &position, &e.Total, &e.Done, &e.Status, &e.Error, &e.User,
		timeAt{&e.CreatedAt}, timeAt{&e.UpdatedAt})
	if err != nil {
		return err
	}
	var f errandFilter
	if err := json.Unmarshal(filter, &f); err != nil {
		return fmt.Errorf("errand %d: read its filter: %w", e.ID, err)
	}
	e.Rows, e.Entries = f.Rows, f.Entries
	return json.Unmarshal(position, &e.Position)
}

// CreateErrand keeps an errand and fills in its ID.
func (db *DB) CreateErrand(ctx context.Context, e *Errand) error {
	filter, err := json.Marshal(errandFilter{Rows: e.Rows, Entries: e.Entries})
	if err != nil {
		return fmt.Errorf("keep the filter of an errand: %w", err)
	}
	return db.write(ctx, "keep an errand", func(s *session) error {
		e.Status, e.CreatedAt, e.UpdatedAt = ErrandRunning, moment(s.now), moment(s.now)
		return s.get(ctx, []any{&e.ID}, `INSERT INTO errands (project, flow, action, filter, position, total, done, status, error, user_name, created_at, updated_at)
			VALUES (?, ?, ?, ?, '{}', ?, 0, 'running', '', ?, ?, ?) RETURNING id`,
			e.Project, e.Flow, string(e.Action), string(filter), e.Total, e.User, s.now, s.now)
	})
}

// RunningErrands lists what is to be done, oldest first. Index: errands_running.
func (db *DB) RunningErrands(ctx context.Context) ([]Errand, error) {
	var out []Errand
	err := db.read("list the running errands", func(s *session) (err error) {
		out, err = list(ctx, s, scanErrand, "SELECT "+errandColumns+" FROM errands WHERE status = 'running' ORDER BY id")
		return err
	})
	return out, err
}

// Errands lists a project's errands, newest first. Index: errands_project.
func (db *DB) Errands(ctx context.Context, project string, limit int) ([]Errand, error) {
	var out []Errand
	err := db.read("list errands", func(s *session) (err error) {
		out, err = list(ctx, s, scanErrand, "SELECT "+errandColumns+" FROM errands WHERE project = ? ORDER BY id DESC LIMIT ?", project, bounded(limit))
		return err
	})
	return out, err
}

// Errand gives one errand. Index: primary key.
func (db *DB) Errand(ctx context.Context, project string, id int64) (Errand, error) {
	var out []Errand
	err := db.read(fmt.Sprintf("read errand %d", id), func(s *session) (err error) {
		out, err = list(ctx, s, scanErrand, "SELECT "+errandColumns+" FROM errands WHERE id = ? AND project = ?", id, project)
		if err == nil && len(out) == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return Errand{}, err
	}
	return out[0], nil
}

// SaveErrand notes how far an errand has come. One that was stopped meanwhile
// stays stopped; running tells.
func (db *DB) SaveErrand(ctx context.Context, e Errand) (running bool, err error) {
	position, err := json.Marshal(e.Position)
	if err != nil {
		return false, fmt.Errorf("keep the position of errand %d: %w", e.ID, err)
	}
	err = db.write(ctx, fmt.Sprintf("save errand %d", e.ID), func(s *session) error {
		_, err := s.exec(ctx, `UPDATE errands SET position = ?, done = ?, error = ?, updated_at = ?,
			status = CASE WHEN status = 'running' THEN ? ELSE status END WHERE id = ? AND project = ?`,
			string(position), e.Done, e.Error, s.now, string(e.Status), e.ID, e.Project)
		if err != nil {
			return err
		}
		var status ErrandStatus
		err = s.get(ctx, []any{&status}, "SELECT status FROM errands WHERE id = ?", e.ID)
		running = status == ErrandRunning
		return err
	})
	return running, err
}

// StopErrand stops a running errand; what it did stays done.
func (db *DB) StopErrand(ctx context.Context, project string, id int64) error {
	return db.write(ctx, fmt.Sprintf("stop errand %d", id), func(s *session) error {
		n, err := s.exec(ctx, "UPDATE errands SET status = 'stopped', updated_at = ? WHERE id = ? AND project = ? AND status = 'running'", s.now, id, project)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// PruneErrands deletes errands that ended before then and says how many.
func (db *DB) PruneErrands(ctx context.Context, before time.Time) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune errands", func(s *session) (err error) {
		pruned, err = s.exec(ctx, "DELETE FROM errands WHERE updated_at < ? AND status <> 'running'", before)
		return err
	})
	return pruned, err
}

// ReplaySome makes up to limit settled entries that match wait for intake again,
// the newest before that id first (0: from the end). It says how many they were
// and which was the oldest of them.
func (db *DB) ReplaySome(ctx context.Context, f JournalFilter, before int64, limit int) (n int, last int64, err error) {
	err = db.write(ctx, "replay some journal entries", func(s *session) error {
		n, last = 0, 0
		w := f.where()
		w.and("state <> 0")
		if before > 0 {
			w.and("id < ?", before)
		}
		err := s.get(ctx, []any{&last}, "SELECT COALESCE(MIN(id), 0) FROM (SELECT id FROM journal"+w.String()+
			" ORDER BY id DESC LIMIT ?) step", append(append([]any{}, w.args...), limit)...)
		if err != nil || last == 0 {
			return err
		}
		w.and("id >= ?", last)
		n, err = s.exec(ctx, "UPDATE journal SET state = 0, cause = '', error = '', settled_at = 0"+w.String(), w.args...)
		return err
	})
	return n, last, err
}
