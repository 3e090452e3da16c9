package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/svod-hub/svod/model"
)

const pollColumns = "project, connection, stream, cursor, importing, done, total, last_run, next_run, failures, error"

func scanPoll(rows *sql.Rows, p *PollState) error {
	return rows.Scan(&p.Project, &p.Connection, &p.Stream, &p.Cursor, &p.Importing, &p.Done, &p.Total,
		timeAt{&p.LastRun}, timeAt{&p.NextRun}, &p.Failures, &p.Error)
}

// PollState gives the memory of a polled list; of one never polled, only its
// names are filled in.
func (db *DB) PollState(ctx context.Context, project, connection, stream string) (PollState, error) {
	out := PollState{Project: project, Connection: connection, Stream: stream}
	err := db.read("read a poll's state", func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return scanPoll(rows, &out) },
			"SELECT "+pollColumns+" FROM polls WHERE project = ? AND connection = ? AND stream = ?", project, connection, stream)
	})
	return out, err
}

// PollStates lists a project's polls, or everybody's when project is empty.
func (db *DB) PollStates(ctx context.Context, project string) ([]PollState, error) {
	var out []PollState
	err := db.read("list the polls", func(s *session) (err error) {
		w := inProject(project)
		out, err = list(ctx, s, scanPoll, "SELECT "+pollColumns+" FROM polls"+w.String()+
			" ORDER BY project, connection, stream", w.args...)
		return err
	})
	return out, err
}

// inProject selects one project, or all when it is empty.
func inProject(project string) *where {
	w := new(where)
	if project != "" {
		w.and("project = ?", project)
	}
	return w
}

// SavePollState stores a poll's memory.
func (db *DB) SavePollState(ctx context.Context, state PollState) error {
	return db.write(ctx, "save a poll's state", func(s *session) error { return s.savePoll(ctx, state) })
}

func (s *session) savePoll(ctx context.Context, p PollState) error {
	_, err := s.exec(ctx, "INSERT INTO polls ("+pollColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (project, connection, stream) DO UPDATE SET cursor = excluded.cursor, importing = excluded.importing,
		done = excluded.done, total = excluded.total, last_run = excluded.last_run, next_run = excluded.next_run,
		failures = excluded.failures, error = excluded.error`,
		p.Project, p.Connection, p.Stream, p.Cursor, p.Importing, p.Done, p.Total, p.LastRun, p.NextRun, p.Failures, p.Error)
	return err
}

// ApplyPage stores all that one page of a polled list brought, together with
// the cursor behind it: a crash repeats the page or does not, and loses nothing.
func (db *DB) ApplyPage(ctx context.Context, state PollState, records []model.Record, refs, missing []model.Ref, readAt time.Time) (Applied, error) {
	batch, refused := db.encode(state.Project, records)
	var out Applied
	var start int64
	what := fmt.Sprintf("apply a page of %d records, %d references and %d missing ones", len(records), len(refs), len(missing))
	err := db.write(ctx, what, func(s *session) error {
		out = Applied{}
		if len(batch)+len(missing) > 0 {
			f, err := s.lockFeed(ctx, state.Project)
			if err != nil {
				return err
			}
			if err := f.apply(ctx, batch); err != nil {
				return err
			}
			if err := f.bury(ctx, state.Connection, missing, readAt); err != nil {
				return err
			}
			start = f.start
			if out, err = f.close(ctx); err != nil {
				return err
			}
		}
		if err := s.requestRefs(ctx, state.Project, state.Connection, refs); err != nil {
			return err
		}
		return s.savePoll(ctx, state)
	})
	db.grown(ctx, "records", start, out.LastSeq)
	out.Refused = refused
	out.Unchanged += len(records) - len(refused) - len(batch)
	return out, err
}
