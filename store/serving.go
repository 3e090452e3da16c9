package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// SaveSnapshot keeps data for a puller that reads it page by page, until
// expires.
func (db *DB) SaveSnapshot(ctx context.Context, project, connection, name string, data []byte, expires time.Time) error {
	return db.write(ctx, "save a snapshot for connection "+connection, func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO snapshots (project, connection, name, data, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (project, connection, name) DO UPDATE SET data = excluded.data, created_at = excluded.created_at,
			expires_at = excluded.expires_at`, project, connection, name, data, s.now, expires)
		return err
	})
}

// Snapshot gives what SaveSnapshot kept; an expired one is not there.
func (db *DB) Snapshot(ctx context.Context, project, connection, name string) (data []byte, createdAt time.Time, err error) {
	err = db.read("read a snapshot of connection "+connection, func(s *session) error {
		return s.get(ctx, []any{&data, timeAt{&createdAt}}, `SELECT data, created_at FROM snapshots
			WHERE project = ? AND connection = ? AND name = ? AND expires_at > ?`, project, connection, name, s.now)
	})
	return data, createdAt, err
}

// PruneSnapshots deletes expired snapshots and says how many. Index:
// snapshots_expiry.
func (db *DB) PruneSnapshots(ctx context.Context, now time.Time) (int, error) {
	pruned := 0
	err := db.write(ctx, "prune snapshots", func(s *session) (err error) {
		pruned, err = s.exec(ctx, "DELETE FROM snapshots WHERE expires_at <= ?", now)
		return err
	})
	return pruned, err
}

// Promise gives the id under which a puller will find the order that it just
// sent, before the CRM has one for it. The same dedupKey gets the same id until
// expires; afterwards it is fresh again. Ids are unique in the project.
func (db *DB) Promise(ctx context.Context, project, connection, dedupKey string, expires time.Time) (orderID string, fresh bool, err error) {
	err = db.write(ctx, "promise an order id", func(s *session) error {
		var number int64
		fresh = false
		// The counter's row is the project's lock for promises.
		if _, err := s.exec(ctx, "INSERT INTO promise_numbers (project, number) VALUES (?, 0) ON CONFLICT DO NOTHING", project); err != nil {
			return err
		}
		var last int64
		if err := s.get(ctx, []any{&last}, "SELECT number FROM promise_numbers WHERE project = ? FOR UPDATE", project); err != nil {
			return err
		}
		err := s.get(ctx, []any{&number}, `SELECT number FROM promises WHERE project = ? AND connection = ? AND dedup_key = ? AND dedup_key <> ''
			AND expires_at > ?`, project, connection, dedupKey, s.now)
		if errors.Is(err, ErrNotFound) {
			number, fresh = last+1, true
			err = s.newPromise(ctx, project, connection, dedupKey, number, expires)
		}
		orderID = promisedID(number)
		return err
	})
	return orderID, fresh, err
}

func (s *session) newPromise(ctx context.Context, project, connection, dedupKey string, number int64, expires time.Time) error {
	if _, err := s.exec(ctx, "UPDATE promises SET dedup_key = '' WHERE project = ? AND connection = ? AND dedup_key = ? AND dedup_key <> ''",
		project, connection, dedupKey); err != nil {
		return err
	}
	if _, err := s.exec(ctx, "INSERT INTO promises (project, number, connection, dedup_key, expires_at) VALUES (?, ?, ?, ?, ?)",
		project, number, connection, dedupKey, expires); err != nil {
		return err
	}
	_, err := s.exec(ctx, "UPDATE promise_numbers SET number = ? WHERE project = ?", number, project)
	return err
}

const promisePrefix = "h" // so that the id is none of the CRM's

func promisedID(number int64) string { return promisePrefix + strconv.FormatInt(number, 10) }

func promisedNumber(orderID string) (int64, bool) {
	digits, ok := strings.CutPrefix(orderID, promisePrefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ok && err == nil && n > 0 && promisedID(n) == orderID
}

// LinkPromise notes the record that a promised order became.
func (db *DB) LinkPromise(ctx context.Context, project, connection, orderID string, key model.Key) error {
	what := fmt.Sprintf("link promised order %.24q", orderID)
	number, ok := promisedNumber(orderID)
	if !ok {
		return translate(what, ErrNotFound)
	}
	return db.write(ctx, what, func(s *session) error {
		n, err := s.exec(ctx, `UPDATE promises SET link_connection = ?, link_kind = ?, link_id = ?
			WHERE project = ? AND number = ? AND connection = ?`, key.Connection, key.Kind, key.ID, project, number, connection)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
}

// Promises gives the promised ids of records, as far as they are linked. Index:
// promises_linked.
func (db *DB) Promises(ctx context.Context, project, connection string) (map[model.Key]string, error) {
	out, numbers := map[model.Key]string{}, map[model.Key]int64{}
	err := db.read("read the promises of connection "+connection, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			var key model.Key
			var number int64
			if err := rows.Scan(&key.Connection, &key.Kind, &key.ID, &number); err != nil {
				return err
			}
			// Where two promises became one record, the first one is its name for good.
			if first, ok := numbers[key]; !ok || number < first {
				numbers[key], out[key] = number, promisedID(number)
			}
			return nil
		}, `SELECT link_connection, link_kind, link_id, number FROM promises
			WHERE project = ? AND connection = ? AND link_id <> ''`, project, connection)
	})
	return out, err
}

// AddUsage counts n more uses of a limited thing on a day and gives the day's
// total.
func (db *DB) AddUsage(ctx context.Context, name, day string, n int) (total int, err error) {
	err = db.write(ctx, "count the use of "+name, func(s *session) error {
		return s.get(ctx, []any{&total}, `INSERT INTO usage (name, day, count) VALUES (?, ?, ?)
			ON CONFLICT (name, day) DO UPDATE SET count = usage.count + excluded.count RETURNING count`, name, day, n)
	})
	return total, err
}

// Usage gives the day's total.
func (db *DB) Usage(ctx context.Context, name, day string) (int, error) {
	total := 0
	err := db.read("read the use of "+name, func(s *session) error {
		return s.get(ctx, []any{&total}, "SELECT COALESCE(MAX(count), 0) FROM usage WHERE name = ? AND day = ?", name, day)
	})
	return total, err
}
