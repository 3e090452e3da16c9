package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

var (
	refRows     = newBatch("kind text, id text", 64, 8)
	pendingRows = newBatch("kind text, id text, version bigint")
)

// RequestRefs asks for records to be read again. A reference that is asked for
// already is not kept twice, but its version changes, so that work on the
// earlier request does not settle this one. A postponed one stays postponed.
func (db *DB) RequestRefs(ctx context.Context, project, connection string, refs []model.Ref) error {
	if len(refs) == 0 {
		return nil
	}
	return db.write(ctx, fmt.Sprintf("request %d references", len(refs)), func(s *session) error {
		return s.requestRefs(ctx, project, connection, refs)
	})
}

func (s *session) requestRefs(ctx context.Context, project, connection string, refs []model.Ref) error {
	// In the order of keys, so that two transactions do not wait for each other.
	sorted := slices.Clone(refs)
	for i := range sorted {
		sorted[i].ID = clean(sorted[i].ID)
	}
	slices.SortFunc(sorted, func(a, b model.Ref) int {
		if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	sorted = slices.Compact(sorted)
	r := refRows.rows(len(sorted))
	for _, ref := range sorted {
		r.add(ref.Kind, ref.ID)
	}
	// A version is told from others by not being equal; a counter would begin
	// again after the reference was settled and asked for anew.
	version := rand.Int64()
	_, err := s.execEach(ctx, r, `INSERT INTO refs (project, connection, kind, id, version, since, due_at)
		SELECT ?, ?, kind, id, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM v WHERE true
		ON CONFLICT (project, connection, kind, id) DO UPDATE SET version = excluded.version`,
		project, connection, version, s.now, s.now)
	return err
}

// PendingRefs gives references that are due, those that have been due longest
// first. Index: refs_due.
func (db *DB) PendingRefs(ctx context.Context, project, connection string, limit int) ([]PendingRef, error) {
	var out []PendingRef
	err := db.read("read references to fetch", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, r *PendingRef) error {
			return rows.Scan(&r.Kind, &r.ID, &r.Version, timeAt{&r.Since}, &r.Attempts)
		}, `SELECT kind, id, version, since, attempts FROM refs WHERE project = ? AND connection = ? AND due_at <= ?
			ORDER BY due_at, kind, id LIMIT ?`, project, connection, s.now, limit)
		return err
	})
	return out, err
}

// SettleRefs forgets the references, except those that were asked for again
// meanwhile. Index: primary key.
func (db *DB) SettleRefs(ctx context.Context, project, connection string, refs []PendingRef) error {
	if len(refs) == 0 {
		return nil
	}
	return db.write(ctx, fmt.Sprintf("settle %d references", len(refs)), func(s *session) error {
		_, err := s.execEach(ctx, pending(refs), `DELETE FROM refs USING v WHERE refs.project = ? AND refs.connection = ?
			AND refs.kind = v.kind AND refs.id = v.id AND refs.version = v.version`, project, connection)
		return err
	})
}

// PostponeRefs puts references off after a failed attempt. Index: primary key.
func (db *DB) PostponeRefs(ctx context.Context, project, connection string, refs []PendingRef, until time.Time, errText string) error {
	if len(refs) == 0 {
		return nil
	}
	return db.write(ctx, fmt.Sprintf("postpone %d references", len(refs)), func(s *session) error {
		_, err := s.execEach(ctx, pending(refs), `UPDATE refs SET due_at = ?, error = ?, attempts = attempts + 1 FROM v
			WHERE refs.project = ? AND refs.connection = ? AND refs.kind = v.kind AND refs.id = v.id`,
			until, errText, project, connection)
		return err
	})
}

func pending(refs []PendingRef) *rows {
	sorted := slices.Clone(refs)
	slices.SortFunc(sorted, func(a, b PendingRef) int {
		return strings.Compare(string(a.Kind)+"\x00"+a.ID, string(b.Kind)+"\x00"+b.ID)
	})
	r := pendingRows.rows(len(sorted))
	for _, ref := range sorted {
		r.add(ref.Kind, ref.ID, ref.Version)
	}
	return r
}

// RefBacklogs counts the references that are due. It reads through the table,
// which holds only what waits.
func (db *DB) RefBacklogs(ctx context.Context) ([]Backlog, error) {
	var out []Backlog
	err := db.read("count references to fetch", func(s *session) (err error) {
		out, err = list(ctx, s, scanBacklog, `SELECT project, connection, COUNT(*), MIN(since) FROM refs WHERE due_at <= ?
			GROUP BY project, connection ORDER BY project, connection`, s.now)
		return err
	})
	return out, err
}
