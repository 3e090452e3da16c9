package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

var (
	journalRows = newBatch("project text, connection text, received_at bigint, method text, query text," +
		" header bytea, body bytea, remote text, state bigint, cause text, error text, note text, settled_at bigint")
	settlementRows = newBatch("id bigint, state bigint, cause text, error text, note text")
	// What waits for intake has the defaults of the columns that tell its fate.
	insertWaiting = newInserts("journal", "project, connection, received_at, method, query, header, body, remote")
	insertSettled = newInserts("journal", entryColumns)
)

const entryColumns = "project, connection, received_at, method, query, header, body, remote, state, cause, error, note, settled_at"

const (
	entryHead = "id, project, connection, received_at, method, query, remote, state, cause, error, note, settled_at"
	entryFull = entryHead + ", header, body"
)

// AppendJournal makes the entries durable and fills in their IDs.
func (db *DB) AppendJournal(ctx context.Context, entries []*Entry) error {
	if len(entries) == 0 {
		return nil
	}
	what := fmt.Sprintf("append %d entries to the journal", len(entries))
	if !db.d.postgres {
		return db.write(ctx, what, func(s *session) error { return s.insertEntries(ctx, entries) })
	}
	r := journalRows.rows(len(entries))
	for _, e := range entries {
		r.add(e.settledValues()...)
	}
	const stmt = "INSERT INTO journal (" + entryColumns + ") SELECT " + entryColumns + " FROM v WHERE true RETURNING id"
	return db.writeOne(ctx, what, func(s *session) error {
		at := 0
		return s.queryEach(ctx, r, func(rows *sql.Rows) error {
			at++
			return rows.Scan(&entries[at-1].ID)
		}, stmt)
	})
}

func (e *Entry) waitingValues() []any {
	return []any{e.Project, e.Connection, e.ReceivedAt, e.Method, e.Query, e.Header, e.Body, e.Remote}
}

func (e *Entry) settledValues() []any {
	return append(e.waitingValues(), e.State, e.Cause, e.Error, e.Note, e.SettledAt)
}

// waits tells whether the entry's fate is what the columns' defaults say.
func (e *Entry) waits() bool {
	return e.State == EntryNew && e.Cause == "" && e.Error == "" && e.Note == "" && e.SettledAt.IsZero()
}

// insertEntries is SQLite's way: RETURNING and a table of rows in front of the
// INSERT took a third of the time of a commit.
func (s *session) insertEntries(ctx context.Context, entries []*Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the driver watches a context with a goroutine for each statement
	for len(entries) > 0 {
		waits, run := entries[0].waits(), 1
		for run < len(entries) && entries[run].waits() == waits {
			run++
		}
		into, values := insertSettled, (*Entry).settledValues
		if waits {
			into, values = insertWaiting, (*Entry).waitingValues
		}
		n, stmt := into.upTo(run)
		var args []any
		for _, e := range entries[:n] {
			args = append(args, values(e)...)
		}
		res, err := s.run.ExecContext(ctx, s.d.translate(stmt), s.d.args(args)...)
		if err != nil {
			return err
		}
		last, err := res.LastInsertId()
		if err != nil {
			return err
		}
		// One statement of the only writer numbers its rows without gaps.
		for i, e := range entries[:n] {
			e.ID = last - int64(n-1-i)
		}
		entries = entries[n:]
	}
	return nil
}

// JournalBacklogs counts the entries that wait for intake. Index: journal_new.
func (db *DB) JournalBacklogs(ctx context.Context) ([]Backlog, error) {
	var out []Backlog
	err := db.read("count the journal's backlog", func(s *session) (err error) {
		out, err = list(ctx, s, scanBacklog,
			"SELECT project, connection, COUNT(*), MIN(received_at) FROM journal WHERE state = 0 GROUP BY project, connection ORDER BY project, connection")
		return err
	})
	return out, err
}

func scanBacklog(rows *sql.Rows, b *Backlog) error {
	return rows.Scan(&b.Project, &b.Connection, &b.Count, timeAt{&b.Oldest})
}

// NextJournal gives the oldest entries that wait for intake, with bodies. Index:
// journal_new.
func (db *DB) NextJournal(ctx context.Context, project, connection string, limit int) ([]Entry, error) {
	var out []Entry
	err := db.read("read the journal's backlog", func(s *session) (err error) {
		out, err = list(ctx, s, scanEntryFull,
			"SELECT "+entryFull+" FROM journal WHERE project = ? AND connection = ? AND state = 0 ORDER BY id LIMIT ?",
			project, connection, limit)
		return err
	})
	return out, err
}

// SettleJournal stores intake's verdicts. Index: primary key.
func (db *DB) SettleJournal(ctx context.Context, project string, settlements []Settlement) error {
	if len(settlements) == 0 {
		return nil
	}
	r := settlementRows.rows(len(settlements))
	for _, x := range settlements {
		r.add(x.ID, x.State, x.Cause, x.Error, x.Note)
	}
	return db.write(ctx, fmt.Sprintf("settle %d journal entries", len(settlements)), func(s *session) error {
		_, err := s.execEach(ctx, r, `UPDATE journal SET state = v.state, cause = v.cause, error = v.error, note = v.note, settled_at = ?
			FROM v WHERE journal.id = v.id AND journal.project = ?`, s.now, project)
		return err
	})
}

// Journal lists entries, newest first. Indexes: journal_list,
// journal_connection, journal_refused.
func (db *DB) Journal(ctx context.Context, f JournalFilter) ([]Entry, error) {
	columns, scan := entryHead, scanEntryHead
	if f.WithBody {
		columns, scan = entryFull, scanEntryFull
	}
	w := f.where()
	if f.BeforeID > 0 {
		w.and("id < ?", f.BeforeID)
	}
	var out []Entry
	err := db.read("list the journal", func(s *session) (err error) {
		if err := f.bound(ctx, s, w); err != nil {
			return err
		}
		out, err = list(ctx, s, scan, "SELECT "+columns+" FROM journal"+w.String()+" ORDER BY id DESC LIMIT ?",
			append(w.args, bounded(f.Limit))...)
		return err
	})
	return out, err
}

// commitSlack is more than a webhook may wait between its receipt and its commit,
// and more than the clocks of two machines differ.
const commitSlack = 5 * time.Minute

// bound turns a list's times into numbers too. Numbers rise with the times but
// for the wait for the commit; without them a list of the newest entries since
// then sorts all since then. Index: journal_received.
func (f JournalFilter) bound(ctx context.Context, s *session, w *where) error {
	if f.Project == "" {
		return nil
	}
	for _, b := range []struct {
		at          time.Time
		none        bool
		find, bound string
		otherwise   int64 // SQLite chooses the index of numbers only where they are bounded
	}{
		{f.Since.Add(-commitSlack), f.Since.IsZero(), "received_at < ? ORDER BY received_at DESC", "id > ?", 0},
		{f.Until.Add(commitSlack), f.Until.IsZero(), "received_at >= ? ORDER BY received_at", "id < ?", math.MaxInt64},
	} {
		if b.none {
			continue
		}
		id := b.otherwise
		err := s.get(ctx, []any{&id}, "SELECT id FROM journal WHERE project = ? AND "+b.find+" LIMIT 1", f.Project, b.at)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		w.and(b.bound, id)
	}
	return nil
}

func (f JournalFilter) where() *where {
	w := new(where)
	if f.Project != "" {
		w.and("project = ?", f.Project)
	}
	if f.Connection != "" {
		w.and("connection = ?", f.Connection)
	}
	numbers(w, "id", f.IDs)
	// Literals, so that the partial indexes apply.
	if numbers(w, "state", f.States); len(f.States) > 0 && !slices.Contains(f.States, EntryNew) && !slices.Contains(f.States, EntryDone) {
		w.and("state > 1")
	}
	if f.Cause != "" {
		w.and("cause = ?", f.Cause)
	}
	if !f.Since.IsZero() {
		w.and("received_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		w.and("received_at < ?", f.Until)
	}
	if f.Text != "" {
		w.and("(HAS(note, ?) OR HAS(error, ?) OR BYTESHAVE(body, ?))", f.Text, f.Text, []byte(f.Text))
	}
	return w
}

// JournalEntry gives one entry with its body. Index: primary key.
func (db *DB) JournalEntry(ctx context.Context, project string, id int64) (Entry, error) {
	var out []Entry
	err := db.read(fmt.Sprintf("read journal entry %d", id), func(s *session) (err error) {
		out, err = list(ctx, s, scanEntryFull, "SELECT "+entryFull+" FROM journal WHERE id = ? AND project = ?", id, project)
		if err == nil && len(out) == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return out[0], nil
}

// JournalStats counts entries received since then by fate. Index:
// journal_received.
func (db *DB) JournalStats(ctx context.Context, project string, since time.Time) ([]JournalStat, error) {
	var out []JournalStat
	err := db.read("count the journal", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, x *JournalStat) error {
			return rows.Scan(&x.Connection, &x.State, &x.Cause, &x.Count)
		}, `SELECT connection, state, cause, COUNT(*) FROM journal WHERE project = ? AND received_at >= ?
			GROUP BY connection, state, cause ORDER BY connection, state, cause`, project, since)
		return err
	})
	return out, err
}

// ReplayJournal makes the settled entries that match wait for intake again and
// says how many they are; a dry run only counts. The filter's paging is not
// looked at.
func (db *DB) ReplayJournal(ctx context.Context, f JournalFilter, dryRun bool) (int, error) {
	w := f.where()
	w.and("state <> 0")
	count := 0
	if dryRun {
		err := db.read("count journal entries to replay", func(s *session) error {
			return s.get(ctx, []any{&count}, "SELECT COUNT(*) FROM journal"+w.String(), w.args...)
		})
		return count, err
	}
	err := db.write(ctx, "replay journal entries", func(s *session) (err error) {
		count, err = s.exec(ctx, "UPDATE journal SET state = 0, cause = '', error = '', settled_at = 0"+w.String(), w.args...)
		return err
	})
	return count, err
}

// PruneJournal deletes settled entries received before then, oldest first, at
// most limit of each project at a time, and says how many. Index:
// journal_received.
func (db *DB) PruneJournal(ctx context.Context, before time.Time, limit int) (int, error) {
	total := 0
	err := db.write(ctx, "prune the journal", func(s *session) error {
		total = 0
		for project := ""; ; {
			// One step of the index for each project, however many entries it has.
			err := s.get(ctx, []any{&project}, "SELECT project FROM journal WHERE project > ? ORDER BY project LIMIT 1", project)
			if errors.Is(err, ErrNotFound) || total >= limit {
				return nil
			}
			if err != nil {
				return err
			}
			n, err := s.exec(ctx, `DELETE FROM journal WHERE id IN (SELECT id FROM journal
				WHERE project = ? AND received_at < ? AND state <> 0 ORDER BY received_at LIMIT ?)`, project, before, limit-total)
			if err != nil {
				return err
			}
			total += n
		}
	})
	return total, err
}

func scanEntryHead(rows *sql.Rows, e *Entry) error { return scanEntry(rows, e) }

func scanEntryFull(rows *sql.Rows, e *Entry) error { return scanEntry(rows, e, &e.Header, &e.Body) }

func scanEntry(rows *sql.Rows, e *Entry, more ...any) error {
	return rows.Scan(append([]any{&e.ID, &e.Project, &e.Connection, timeAt{&e.ReceivedAt}, &e.Method, &e.Query,
		&e.Remote, &e.State, &e.Cause, &e.Error, &e.Note, timeAt{&e.SettledAt}}, more...)...)
}

// where collects conditions.
type where struct {
	terms []string
	args  []any
}

func (w *where) and(term string, args ...any) {
	w.terms = append(w.terms, term)
	w.args = append(w.args, args...)
}

// String renders the clause.
func (w *where) String() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}

// numbers adds a condition on a column of small numbers as literals.
func numbers[T ~int16 | ~int64](w *where, column string, values []T) {
	switch len(values) {
	case 0:
	case 1:
		w.and(fmt.Sprintf("%s = %d", column, values[0]))
	default:
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = fmt.Sprint(int64(v))
		}
		w.and(column + " IN (" + strings.Join(texts, ", ") + ")")
	}
}

// bounded gives a list's limit.
func bounded(limit int) int {
	const usual, most = 50, 1000
	switch {
	case limit <= 0:
		return usual
	case limit > most:
		return most
	}
	return limit
}
