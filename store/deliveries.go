package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

var (
	verdictRows = newBatch("connection text, id text, row_key text, seq bigint, state bigint, needs text, cause text, error text")
	rowKeyRows  = newBatch("row_key text", 64, 8)
)

const deliveryColumns = "d.project, d.flow, d.connection, d.kind, d.id, d.row_key, d.wanted_seq, d.done_seq, d.state, d.hash, d.needs," +
	" d.upload_id, d.remote_id, d.cause, d.error, d.attempts, d.sent_at, d.updated_at"

func (d *Delivery) dest() []any {
	return []any{&d.Project, &d.Flow, &d.Connection, &d.Kind, &d.ID, &d.RowKey, &d.WantedSeq, &d.DoneSeq, &d.State, &d.Hash, &d.Needs,
		&d.UploadID, &d.RemoteID, &d.Cause, &d.Error, &d.Attempts, timeAt{&d.SentAt}, timeAt{&d.UpdatedAt}}
}

// dueRecord are the columns of a delivery's record that the delivery lacks.
const dueRecord = ", r.seq, r.read_at, r.deleted, r.data"

// dues reads deliveries with their records.
type dues struct {
	due []Due
	raw []stored
}

func (d *dues) scan(rows *sql.Rows, more func(*Due) []any) error {
	var due Due
	var r stored
	dest := append(due.dest(), &r.seq, timeAt{&r.read}, &r.deleted, &r.data)
	if more != nil {
		dest = append(dest, more(&due)...)
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	r.key = model.Key{Connection: due.Connection, Kind: due.Kind, ID: due.ID}
	d.due, d.raw = append(d.due, due), append(d.raw, r)
	return nil
}

// decode fills the records in, on all processors: it takes longer than the
// database does. A row whose record cannot be read is logged and left out.
func (d *dues) decode(log *zap.Logger) []Due {
	const share = 64
	var next atomic.Int64
	work := func() {
		for {
			to := int(next.Add(share))
			from := to - share
			if from >= len(d.raw) {
				return
			}
			for i := from; i < min(to, len(d.raw)); i++ {
				rec, err := d.raw[i].decode()
				if err != nil {
					log.Error("stored record cannot be read", zap.String("flow", d.due[i].Flow), zap.Stringer("record", d.raw[i].key), zap.Error(err))
					continue
				}
				d.due[i].Record = rec
			}
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(d.raw)/share) {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return slices.DeleteFunc(d.due, func(due Due) bool { return due.Record == nil })
}

// DueDeliveries gives the flow's rows that are due, with their records, by
// WantedSeq, beginning behind after. Rows with the same WantedSeq come together,
// so there may be more than limit, and WantedSeq of the last one is where to go
// on. Index: deliveries_due.
func (db *DB) DueDeliveries(ctx context.Context, project, flow string, kind model.Kind, after int64, limit int) ([]Due, error) {
	limit = max(limit, 1)
	var out dues
	err := db.read("read the due rows of flow "+flow, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return out.scan(rows, nil) },
			"SELECT "+deliveryColumns+dueRecord+` FROM deliveries d
			CROSS JOIN records r
			WHERE d.project = ? AND d.flow = ? AND d.kind = ? AND d.wanted_seq > d.done_seq AND d.state <> 2
			AND d.wanted_seq > ? AND d.wanted_seq <= COALESCE((SELECT wanted_seq FROM deliveries
				WHERE project = ? AND flow = ? AND kind = ? AND wanted_seq > done_seq AND state <> 2 AND wanted_seq > ?
				ORDER BY wanted_seq LIMIT 1 OFFSET ?), ?)
			AND r.project = d.project AND r.kind = d.kind AND r.connection = d.connection AND r.id = d.id
			ORDER BY d.wanted_seq`,
			project, flow, kind, after, project, flow, kind, after, limit-1, int64(1)<<62)
	})
	return out.decode(db.log), err
}

// SettleDue stores verdicts about due rows that are not sent. A change that came
// after Verdict.Seq leaves the row due. Rows in an open upload are not touched,
// and neither are rows said to be sent already whose memory of that is gone. Who
// finds a row waiting for another one must look at RowStates once more
// afterwards: the other may have been accepted meanwhile. Index: primary key.
func (db *DB) SettleDue(ctx context.Context, project, flow string, verdicts []Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	r := verdictRows.rows(len(verdicts))
	for _, v := range verdicts {
		r.add(v.Connection, v.ID, v.RowKey, v.Seq, v.State, v.Needs, v.Cause, v.Error)
	}
	return db.write(ctx, fmt.Sprintf("settle %d rows of flow %s", len(verdicts), flow), func(s *session) error {
		_, err := s.execEach(ctx, r, `UPDATE deliveries SET done_seq = v.seq, state = v.state, needs = v.needs, cause = v.cause, error = v.error,
			row_key = CASE WHEN v.row_key = '' THEN deliveries.row_key ELSE v.row_key END,
			attempts = CASE WHEN v.state = 4 THEN deliveries.attempts + 1 ELSE 0 END, updated_at = ?
			FROM v WHERE deliveries.project = ? AND deliveries.flow = ? AND deliveries.connection = v.connection AND deliveries.id = v.id
			AND deliveries.state <> 2 AND (v.state <> 1 OR deliveries.hash IS NOT NULL)`, s.now, project, flow)
		return err
	})
}

// Deliveries lists rows by (flow, connection, id). Indexes: primary key,
// deliveries_state, deliveries_refused, deliveries_row, deliveries_upload.
func (db *DB) Deliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	var out []Delivery
	err := db.read("list deliveries", func(s *session) error {
		w, err := s.matching(ctx, f)
		if err != nil {
			return err
		}
		if f.AfterID.ID != "" {
			if f.Flow != "" {
				w.and("(d.connection, d.id) > (?, ?)", f.AfterID.Connection, f.AfterID.ID)
			} else {
				w.and("(d.flow, d.connection, d.id) > (?, ?, ?)", f.AfterFlow, f.AfterID.Connection, f.AfterID.ID)
			}
		}
		order := " ORDER BY d.flow, d.connection, d.id LIMIT ?"
		if f.UploadID > 0 || len(f.RowKeys) > 0 {
			// Few rows: sorting them is better than finding them in this order.
			order = " ORDER BY d.flow || '', d.connection || '', d.id || '' LIMIT ?"
		}
		out, err = list(ctx, s, func(rows *sql.Rows, d *Delivery) error { return rows.Scan(d.dest()...) },
			"SELECT "+deliveryColumns+" FROM deliveries d"+w.String()+order, append(w.args, unbounded(f.Limit))...)
		return err
	})
	return out, err
}

// matching renders a filter.
func (s *session) matching(ctx context.Context, f DeliveryFilter) (*where, error) {
	w := f.where()
	if len(f.IDs) == 0 {
		return w, nil
	}
	// The primary key has flow and connection before the id. There are few of
	// them, and each is one step of the index.
	var flows, connections texts
	flow, connection := f.Flow, ""
	for {
		err := s.get(ctx, []any{&flow, &connection}, `SELECT flow, connection FROM deliveries
			WHERE project = ? AND (flow, connection) > (?, ?) ORDER BY flow, connection LIMIT 1`, f.Project, flow, connection)
		if errors.Is(err, ErrNotFound) || err == nil && f.Flow != "" && flow != f.Flow {
			break
		}
		if err != nil {
			return nil, err
		}
		flows, connections = append(flows, flow), append(connections, connection)
	}
	if f.Flow == "" {
		w.and("d.flow IN LIST(?)", flows)
	}
	w.and("d.connection IN LIST(?) AND d.id IN LIST(?)", connections, texts(f.IDs))
	return w, nil
}

func (f DeliveryFilter) where() *where {
	w := new(where)
	if f.UploadID > 0 {
		w.and("d.upload_id = ? AND d.upload_id > 0 AND d.project || '' = ?", f.UploadID, f.Project)
	} else {
		w.and("d.project = ?", f.Project)
	}
	if f.Flow != "" {
		w.and("d.flow = ?", f.Flow)
	}
	numbers(w, "d.state", f.States)
	if f.Cause != "" {
		w.and("d.cause = ?", f.Cause)
	}
	if f.Text != "" {
		w.and("(HAS(d.id, ?) OR HAS(d.row_key, ?) OR HAS(d.error, ?))", f.Text, f.Text, f.Text)
	}
	if !f.Since.IsZero() {
		w.and("d.updated_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		w.and("d.updated_at < ?", f.Until)
	}
	if len(f.RowKeys) > 0 {
		w.and("d.row_key <> '' AND d.row_key IN LIST(?)", texts(f.RowKeys))
	}
	return w
}

// RowStates tells what is known of rows of any of the flows by their keys. Where
// several flows have a row, the one that was accepted counts. Index:
// deliveries_row.
func (db *DB) RowStates(ctx context.Context, project string, flows, rowKeys []string) (map[string]RowState, error) {
	out := make(map[string]RowState, len(rowKeys))
	r := rowKeyRows.rows(len(rowKeys))
	for _, key := range rowKeys {
		r.add(key)
	}
	err := db.read(fmt.Sprintf("read the states of %d rows", len(rowKeys)), func(s *session) error {
		for _, flow := range flows {
			err := s.queryEach(ctx, r, func(rows *sql.Rows) error {
				var key string
				var state RowState
				if err := rows.Scan(&key, &state.State, &state.Accepted); err != nil {
					return err
				}
				if before, ok := out[key]; !ok || state.Accepted && !before.Accepted {
					out[key] = state
				}
				return nil
			}, `SELECT d.row_key, d.state, CASE WHEN d.sent_at > 0 THEN 1 ELSE 0 END FROM v CROSS JOIN deliveries d
				WHERE d.project = ? AND d.flow = ? AND d.row_key = v.row_key AND d.row_key <> ''`, project, flow)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// again makes rows due that were settled.
const again = "UPDATE deliveries SET done_seq = 0, needs = '', state = CASE WHEN hash IS NULL THEN 0 ELSE 1 END, updated_at = ?"

// ReleaseWaiting makes rows of the flows due that wait for one of the keys.
// Index: deliveries_needs.
func (db *DB) ReleaseWaiting(ctx context.Context, project string, flows, rowKeys []string) (int, error) {
	released := 0
	if len(flows) == 0 || len(rowKeys) == 0 {
		return 0, nil
	}
	err := db.write(ctx, "release waiting rows", func(s *session) (err error) {
		released, err = s.exec(ctx, again+" WHERE project = ? AND flow IN LIST(?) AND state = 5 AND needs IN LIST(?)",
			s.now, project, texts(flows), texts(rowKeys))
		return err
	})
	return released, err
}

// ReleaseWaitingFor makes rows of the flows due that wait for a row which the
// upload brought to the destination. Indexes: deliveries_upload,
// deliveries_needs.
func (db *DB) ReleaseWaitingFor(ctx context.Context, uploadID int64, flows []string) (int, error) {
	released := 0
	if len(flows) == 0 {
		return 0, nil
	}
	err := db.write(ctx, fmt.Sprintf("release rows that wait for upload %d", uploadID), func(s *session) (err error) {
		released, err = s.exec(ctx, again+` WHERE project = (SELECT project FROM uploads WHERE id = ?) AND flow IN LIST(?) AND state = 5
			AND needs IN (SELECT b.row_key FROM deliveries b WHERE b.upload_id = ? AND b.upload_id > 0 AND b.state = 1 AND b.row_key <> '')`,
			s.now, uploadID, texts(flows), uploadID)
		return err
	})
	return released, err
}

// Resend makes matching rows due again and says how many they are; a dry run
// only counts. Forget also drops the memory of what was sent, so that unchanged
// rows go too. Rows in an open upload become due when it is settled. The
// filter's paging is not looked at.
func (db *DB) Resend(ctx context.Context, f DeliveryFilter, forget, dryRun bool) (int, error) {
	count := 0
	if dryRun {
		err := db.read("count rows to send again", func(s *session) error {
			w, err := s.matching(ctx, f)
			if err != nil {
				return err
			}
			return s.get(ctx, []any{&count}, "SELECT COUNT(*) FROM deliveries d"+w.String(), w.args...)
		})
		return count, err
	}
	set := `done_seq = 0, pending_seq = 0, needs = '', cause = '', error = '', attempts = 0, updated_at = ?,
		state = CASE WHEN d.state = 2 THEN 2 WHEN d.hash IS NULL THEN 0 ELSE 1 END`
	if forget {
		set = `done_seq = 0, pending_seq = 0, needs = '', cause = '', error = '', attempts = 0, updated_at = ?,
			hash = NULL, pending_hash = NULL, state = CASE WHEN d.state = 2 THEN 2 ELSE 0 END`
	}
	err := db.write(ctx, "send rows again", func(s *session) error {
		w, err := s.matching(ctx, f)
		if err != nil {
			return err
		}
		count, err = s.exec(ctx, "UPDATE deliveries AS d SET "+set+w.String(), append([]any{s.now}, w.args...)...)
		return err
	})
	return count, err
}
