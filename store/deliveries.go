package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

var (
	verdictRows = newBatch("number bigint, row_key text, seq bigint, state bigint, needs text, cause text, error text")
	holdRows    = newBatch("number bigint, hold_until bigint")
	rowKeyRows  = newBatch("row_key text", 64, 8)
	recordIDs   = newBatch("connection text, id text", 64, 8)
)

const deliveryColumns = "d.number, d.project, d.flow, d.connection, d.kind, d.id, d.row_key, d.wanted_seq, d.done_seq, d.state, d.hash, d.needs," +
	" d.hold_until, CASE WHEN d.asked > 0 THEN 1 ELSE 0 END, d.upload_id, d.remote_id, d.cause, d.error, d.attempts, d.sent_at, d.updated_at"

func (d *Delivery) dest() []any {
	return []any{&d.Number, &d.Project, &d.Flow, &d.Connection, &d.Kind, &d.ID, &d.RowKey, &d.WantedSeq, &d.DoneSeq, &d.State, &d.Hash, &d.Needs,
		timeAt{&d.HoldUntil}, &d.Asked, &d.UploadID, &d.RemoteID, &d.Cause, &d.Error, &d.Attempts, timeAt{&d.SentAt}, timeAt{&d.UpdatedAt}}
}

// dueColumns are what a run needs to know of a due row and of its record. There
// are many of them: each column counts.
const dueColumns = "d.number, d.connection, d.id, d.wanted_seq, d.hash, d.asked > 0, d.sent_at, r.seq, r.deleted, r.data"

// dues reads deliveries with their records.
type dues struct {
	project string
	flow    string
	due     []Due
	raw     []stored
}

// scan reads dueColumns, the kind being known, and what more names.
func (d *dues) scan(rows *sql.Rows, kind model.Kind, more func(*Due) []any) error {
	d.due, d.raw = append(d.due, Due{}), append(d.raw, stored{})
	due, r := &d.due[len(d.due)-1], &d.raw[len(d.raw)-1]
	due.Project, due.Flow, due.Kind = d.project, d.flow, kind
	dest := []any{&due.Number, &due.Connection, &due.ID, &due.WantedSeq, &due.Hash, &due.Asked, timeAt{&due.SentAt}, &r.seq, &r.deleted, &r.data}
	if more != nil {
		dest = append(dest, more(due)...)
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	r.key = model.Key{Connection: due.Connection, Kind: due.Kind, ID: due.ID}
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

// DueDeliveries gives the flow's rows that are due and not held, with their
// records, by WantedSeq, beginning behind after. Rows with the same WantedSeq
// come together, so there may be more than limit, and WantedSeq of the last one
// is where to go on. Rows in open uploads are still due: a run settles those
// uploads before it looks. Index: deliveries_due.
func (db *DB) DueDeliveries(ctx context.Context, project, flow string, kind model.Kind, after int64, limit int) ([]Due, error) {
	limit = max(limit, 1)
	out := dues{project: project, flow: flow}
	err := db.read("read the due rows of flow "+flow, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return out.scan(rows, kind, nil) },
			"SELECT "+dueColumns+` FROM deliveries d
			CROSS JOIN records r
			WHERE d.project = ? AND d.flow = ? AND d.kind = ? AND d.wanted_seq > d.done_seq AND d.hold_until = 0
			AND d.wanted_seq > ? AND d.wanted_seq <= COALESCE((SELECT wanted_seq FROM deliveries
				WHERE project = ? AND flow = ? AND wanted_seq > done_seq AND hold_until = 0 AND wanted_seq > ?
				ORDER BY wanted_seq LIMIT 1 OFFSET ?), ?)
			AND r.project = d.project AND r.kind = d.kind AND r.connection = d.connection AND r.id = d.id
			ORDER BY d.wanted_seq`,
			project, flow, kind, after, project, flow, after, limit-1, int64(1)<<62)
	})
	return out.decode(db.log), err
}

// HasDue tells whether the flow has rows that are due, or held only until now.
// Indexes: deliveries_due, deliveries_held.
func (db *DB) HasDue(ctx context.Context, project, flow string, now time.Time) (bool, error) {
	n := 0
	err := db.read("look for due rows of flow "+flow, func(s *session) error {
		return s.get(ctx, []any{&n}, `SELECT COUNT(*) FROM (
			SELECT number FROM (SELECT number FROM deliveries WHERE project = ? AND flow = ? AND wanted_seq > 0
				AND wanted_seq > done_seq AND hold_until = 0 LIMIT 1) AS due
			UNION ALL
			SELECT number FROM (SELECT number FROM deliveries WHERE project = ? AND flow = ? AND hold_until > 0
				AND hold_until <= ? LIMIT 1) AS held) AS found`, project, flow, project, flow, now)
	})
	return n > 0, err
}

// ReleaseHeld lets rows be looked at that were held until now; a zero time
// releases all. Index: deliveries_held.
func (db *DB) ReleaseHeld(ctx context.Context, project, flow string, now time.Time) (int, error) {
	until := int64(1) << 62
	if !now.IsZero() {
		until = micros(now)
	}
	held, released := 0, 0
	const which = " FROM deliveries WHERE project = ? AND flow = ? AND hold_until > 0 AND hold_until <= ?"
	err := db.read("look for held rows of flow "+flow, func(s *session) error {
		return s.get(ctx, []any{&held}, "SELECT COUNT(*)"+which, project, flow, until)
	})
	if err != nil || held == 0 {
		return 0, err
	}
	err = db.write(ctx, "release held rows of flow "+flow, func(s *session) (err error) {
		released, err = s.exec(ctx, "UPDATE deliveries SET hold_until = 0 WHERE number IN (SELECT number"+which+")", project, flow, until)
		return err
	})
	return released, err
}

// SettleDue stores verdicts about due rows that are not sent. A change that came
// after Verdict.Seq leaves the row due. Rows said to be sent already whose memory
// of that is gone are not touched, and a row that an operator asked for is not
// held. Who finds a row waiting for another one must look at RowStates once more
// afterwards: the other may have been accepted meanwhile. Index: primary key.
func (db *DB) SettleDue(ctx context.Context, project, flow string, verdicts []Verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	return db.write(ctx, fmt.Sprintf("settle %d rows of flow %s", len(verdicts), flow), func(s *session) error {
		numbers, err := s.numbers(ctx, project, flow, len(verdicts), func(i int) (int64, string, string) {
			return verdicts[i].Number, verdicts[i].Connection, verdicts[i].ID
		})
		if err != nil {
			return err
		}
		settled, held := verdictRows.rows(len(verdicts)), holdRows.rows(0)
		for i, v := range verdicts {
			if !v.HoldUntil.IsZero() {
				held.add(numbers[i], v.HoldUntil)
				continue
			}
			settled.add(numbers[i], v.RowKey, v.Seq, v.State, v.Needs, v.Cause, v.Error)
		}
		if _, err := s.execEach(ctx, held, `UPDATE deliveries SET hold_until = v.hold_until, updated_at = ?
			FROM v WHERE deliveries.number = v.number AND deliveries.asked = 0`, s.now); err != nil {
			return err
		}
		_, err = s.execEach(ctx, settled, `UPDATE deliveries SET done_seq = v.seq, state = v.state, needs = v.needs, cause = v.cause, error = v.error,
			row_key = CASE WHEN v.row_key = '' THEN deliveries.row_key ELSE v.row_key END,
			attempts = CASE WHEN v.state = 4 THEN deliveries.attempts + 1 ELSE 0 END,
			asked = CASE WHEN v.state = 5 THEN deliveries.asked ELSE 0 END, updated_at = ?
			FROM v WHERE deliveries.number = v.number AND (v.state <> 1 OR deliveries.hash IS NOT NULL)`, s.now)
		return err
	})
}

// numbers gives the numbers of n rows of a flow; 0 for one that is not there.
// Those that the caller does not know are found by their records. Index:
// deliveries_key.
func (s *session) numbers(ctx context.Context, project, flow string, n int, row func(int) (number int64, connection, id string)) ([]int64, error) {
	out := make([]int64, n)
	unknown := recordIDs.rows(0)
	for i := range out {
		number, connection, id := row(i)
		if out[i] = number; number == 0 {
			unknown.add(connection, id)
		}
	}
	if unknown.len() == 0 {
		return out, nil
	}
	found := map[[2]string]int64{}
	err := s.queryEach(ctx, unknown, func(rows *sql.Rows) error {
		var number int64
		var key [2]string
		err := rows.Scan(&number, &key[0], &key[1])
		found[key] = number
		return err
	}, `SELECT d.number, d.connection, d.id FROM v CROSS JOIN deliveries d
		WHERE d.project = ? AND d.flow = ? AND d.connection = v.connection AND d.id = v.id`, project, flow)
	for i := range out {
		if number, connection, id := row(i); number == 0 {
			out[i] = found[[2]string{clean(connection), clean(id)}]
		}
	}
	return out, err
}

// Deliveries lists rows by (flow, connection, id), and those of one upload in
// their order there. Rows of open uploads have the state sending. Indexes:
// deliveries_key, deliveries_aside, deliveries_refused, deliveries_row, primary
// key of upload_rows.
func (db *DB) Deliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	var out []Delivery
	err := db.read("list deliveries", func(s *session) error {
		w, err := s.matching(ctx, f)
		if err != nil {
			return err
		}
		query := "SELECT " + deliveryColumns + " FROM deliveries d"
		order := " ORDER BY d.flow, d.connection, d.id LIMIT ?"
		switch {
		case f.UploadID > 0:
			after, err := s.positionOf(ctx, f)
			if err != nil {
				return err
			}
			query = "SELECT " + deliveryColumns + " FROM upload_rows u CROSS JOIN deliveries d"
			w.and("u.upload_id = ? AND u.position > ? AND d.number = u.delivery", f.UploadID, after)
			order = " ORDER BY u.position LIMIT ?"
		case len(f.RowKeys) > 0:
			// Few rows: sorting them is better than finding them in this order.
			order = " ORDER BY d.flow || '', d.connection || '', d.id || '' LIMIT ?"
		}
		if f.AfterID.ID != "" && f.UploadID == 0 {
			if f.Flow != "" {
				w.and("(d.connection, d.id) > (?, ?)", f.AfterID.Connection, f.AfterID.ID)
			} else {
				w.and("(d.flow, d.connection, d.id) > (?, ?, ?)", f.AfterFlow, f.AfterID.Connection, f.AfterID.ID)
			}
		}
		out, err = list(ctx, s, func(rows *sql.Rows, d *Delivery) error { return rows.Scan(d.dest()...) },
			query+w.String()+order, append(w.args, unbounded(f.Limit))...)
		if err != nil {
			return err
		}
		return s.markSending(ctx, f.Project, out)
	})
	return out, err
}

// positionOf gives the place in the upload of the row that a page begins behind.
func (s *session) positionOf(ctx context.Context, f DeliveryFilter) (int, error) {
	position := -1
	if f.AfterID.ID == "" {
		return position, nil
	}
	err := s.get(ctx, []any{&position}, `SELECT COALESCE(MAX(u.position), -1) FROM upload_rows u
		WHERE u.upload_id = ? AND u.delivery IN (SELECT number FROM deliveries WHERE project = ? AND connection = ? AND id = ?
			AND flow = (SELECT flow FROM uploads WHERE id = ?))`, f.UploadID, f.Project, f.AfterID.Connection, f.AfterID.ID, f.UploadID)
	return position, err
}

// inOpenUploads selects the numbers of a project's rows that are on their way.
const inOpenUploads = `SELECT u.delivery FROM uploads o CROSS JOIN upload_rows u
	WHERE o.` + uploadOpen + ` AND o.status <> 'processing' AND o.project || '' = ? AND u.upload_id = o.id`

// markSending gives rows of open uploads their state. It reads through the rows
// of those uploads, if there are any.
func (s *session) markSending(ctx context.Context, project string, out []Delivery) error {
	if len(out) == 0 {
		return nil
	}
	at := make(map[int64]int, len(out))
	first, last := out[0].Number, out[0].Number
	for i := range out {
		at[out[i].Number] = i
		first, last = min(first, out[i].Number), max(last, out[i].Number)
	}
	return s.query(ctx, func(rows *sql.Rows) error {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return err
		}
		if i, ok := at[number]; ok {
			out[i].State = DeliverySending
		}
		return nil
	}, inOpenUploads+" AND u.delivery >= ? AND u.delivery <= ?", project, first, last)
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
		w.and("d.project || '' = ?", f.Project)
	} else {
		w.and("d.project = ?", f.Project)
	}
	if f.Flow != "" {
		w.and("d.flow = ?", f.Flow)
	}
	f.states(w)
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

// states selects by state, of which sending is not stored.
func (f DeliveryFilter) states(w *where) {
	kept := slices.DeleteFunc(slices.Clone(f.States), func(s DeliveryState) bool { return s == DeliverySending })
	aside := !slices.ContainsFunc(kept, func(s DeliveryState) bool { return s <= DeliverySending })
	switch {
	case len(kept) < len(f.States) && len(kept) == 0:
		w.and("d.number IN ("+inOpenUploads+")", f.Project)
	case len(kept) < len(f.States):
		either := new(where)
		numbers(either, "d.state", kept)
		w.and("("+strings.TrimPrefix(either.String(), " WHERE ")+" OR d.number IN ("+inOpenUploads+"))", f.Project)
	default:
		numbers(w, "d.state", kept)
		if len(kept) > 0 && aside && !slices.Equal(kept, []DeliveryState{DeliveryRefused}) {
			w.and("d.state > 2") // the condition of deliveries_aside; the refused have an index of their own
		}
	}
}

// RowStates tells what is known of rows of any of the flows by their keys: what
// was last settled about them, whether or not they are on their way now. Where
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
// upload brought to the destination. Indexes: deliveries_needs, primary key of
// upload_rows.
func (db *DB) ReleaseWaitingFor(ctx context.Context, uploadID int64, flows []string) (int, error) {
	released := 0
	if len(flows) == 0 {
		return 0, nil
	}
	err := db.write(ctx, fmt.Sprintf("release rows that wait for upload %d", uploadID), func(s *session) error {
		// Mostly nothing waits: then its rows need not be looked through.
		waiting := 0
		const waits = " WHERE project = (SELECT project FROM uploads WHERE id = ?) AND flow IN LIST(?) AND state = 5"
		err := s.get(ctx, []any{&waiting}, "SELECT COUNT(*) FROM (SELECT number FROM deliveries"+waits+" LIMIT 1) AS waiting", uploadID, texts(flows))
		if err != nil || waiting == 0 {
			return err
		}
		released, err = s.exec(ctx, again+waits+` AND needs IN (SELECT u.row_key FROM upload_rows u CROSS JOIN uploads o
			WHERE u.upload_id = ? AND u.refused = 0 AND u.row_key <> '' AND o.id = u.upload_id AND o.status IN ('accepted', 'processing'))`,
			s.now, uploadID, texts(flows), uploadID)
		return err
	})
	return released, err
}

// Resend makes matching rows due again, held ones too, and says how many they
// are; a dry run only counts. Forget also drops the memory of what was sent, so
// that unchanged rows go too, those of open uploads once more after that. The
// filter's paging is not looked at.
func (db *DB) Resend(ctx context.Context, f DeliveryFilter, forget, dryRun bool) (int, error) {
	count := 0
	if dryRun {
		err := db.read("count rows to send again", func(s *session) error {
			w, err := s.resending(ctx, f)
			if err != nil {
				return err
			}
			return s.get(ctx, []any{&count}, "SELECT COUNT(*) FROM deliveries d"+w.String(), w.args...)
		})
		return count, err
	}
	set := `done_seq = 0, needs = '', cause = '', error = '', attempts = 0, hold_until = 0, updated_at = ?,
		asked = 1, state = CASE WHEN d.hash IS NULL THEN 0 ELSE 1 END`
	if forget {
		set = `done_seq = 0, needs = '', cause = '', error = '', attempts = 0, hold_until = 0, updated_at = ?,
			asked = (SELECT COALESCE(MAX(id), 0) + 1 FROM uploads), hash = NULL, state = 0`
	}
	err := db.write(ctx, "send rows again", func(s *session) error {
		w, err := s.resending(ctx, f)
		if err != nil {
			return err
		}
		count, err = s.exec(ctx, "UPDATE deliveries AS d SET "+set+w.String(), append([]any{s.now}, w.args...)...)
		return err
	})
	return count, err
}

func (s *session) resending(ctx context.Context, f DeliveryFilter) (*where, error) {
	w, err := s.matching(ctx, f)
	if err == nil && f.UploadID > 0 {
		w.and("d.number IN (SELECT delivery FROM upload_rows WHERE upload_id = ?)", f.UploadID)
	}
	return w, err
}
