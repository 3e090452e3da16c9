package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// TakeLease takes the right to do a named piece of work for ttl, as holder.
// While another holder has it, the answer is false, and the work is noted as
// wanted. Taking it begins a new epoch, so that whoever had it before notices.
func (db *DB) TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, bool, error) {
	var lease Lease
	taken := false
	err := db.write(ctx, "take the lease "+name, func(s *session) error {
		until := s.now + ttl.Microseconds()
		lease = Lease{Name: name, Until: moment(until)}
		// The row is locked by this statement even when the condition fails, so the
		// wish below cannot come after the holder has looked for wishes.
		err := s.get(ctx, []any{&lease.Epoch}, `INSERT INTO leases (name, holder, epoch, until, wanted) VALUES (?, ?, 1, ?, 0)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = leases.epoch + 1, until = excluded.until, wanted = 0
			WHERE leases.holder IN ('', excluded.holder) OR leases.until <= ? RETURNING epoch`, name, holder, until, s.now)
		taken = err == nil
		if errors.Is(err, ErrNotFound) {
			_, err = s.exec(ctx, "UPDATE leases SET wanted = 1 WHERE name = ?", name)
		}
		return err
	})
	if err != nil || !taken {
		return Lease{}, false, err
	}
	return lease, true, nil
}

// RenewLease keeps the lease for ttl from now. It is lost, and the answer false,
// when it was released or somebody else has taken it.
func (db *DB) RenewLease(ctx context.Context, l Lease, ttl time.Duration) (bool, error) {
	n := 0
	err := db.write(ctx, "renew the lease "+l.Name, func(s *session) (err error) {
		n, err = s.exec(ctx, "UPDATE leases SET until = ? WHERE name = ? AND epoch = ? AND holder <> ''",
			s.now+ttl.Microseconds(), l.Name, l.Epoch)
		return err
	})
	return n == 1, err
}

// ReleaseLease gives the lease back and tells whether somebody wanted it
// meanwhile. A lease that is lost is not touched.
func (db *DB) ReleaseLease(ctx context.Context, l Lease) (wanted bool, err error) {
	err = db.write(ctx, "release the lease "+l.Name, func(s *session) error {
		wanted = false
		err := s.get(ctx, []any{&wanted}, "SELECT wanted FROM leases WHERE name = ? AND epoch = ? AND holder <> '' FOR UPDATE", l.Name, l.Epoch)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, "UPDATE leases SET holder = '', until = 0, wanted = 0 WHERE name = ?", l.Name)
		return err
	})
	return wanted, err
}

// LeaseEpoch counts how often the lease was taken.
func (db *DB) LeaseEpoch(ctx context.Context, name string) (int64, error) {
	var epoch int64
	err := db.read("read the epoch of lease "+name, func(s *session) error {
		return s.get(ctx, []any{&epoch}, "SELECT COALESCE(MAX(epoch), 0) FROM leases WHERE name = ?", name)
	})
	return epoch, err
}

// DeadLeases lists leases whose holders have neither renewed nor released them
// in time. Index: leases_held.
func (db *DB) DeadLeases(ctx context.Context, now time.Time) ([]Lease, error) {
	var out []Lease
	err := db.read("list dead leases", func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, l *Lease) error {
			return rows.Scan(&l.Name, &l.Epoch, timeAt{&l.Until})
		}, "SELECT name, epoch, until FROM leases WHERE holder <> '' AND until <= ? ORDER BY until, name", now)
		return err
	})
	return out, err
}
