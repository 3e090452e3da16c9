package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/svod-hub/svod/model"
)

const flowColumns = "project, flow, cursor, fingerprint, statuses, last_run, last_success, last_upload, next_run, asked, asks, error, cause, failures"

func scanFlow(rows *sql.Rows, f *FlowState) error {
	return rows.Scan(&f.Project, &f.Flow, &f.Cursor, &f.Fingerprint, &f.Statuses, timeAt{&f.LastRun}, timeAt{&f.LastSuccess},
		&f.LastUpload, timeAt{&f.NextRun}, &f.Asked, &f.asks, &f.Error, &f.Cause, &f.Failures)
}

// FlowState gives a flow's memory; of one that never ran, only its names are
// filled in.
func (db *DB) FlowState(ctx context.Context, project, flow string) (FlowState, error) {
	out := FlowState{Project: project, Flow: flow}
	err := db.read("read the state of flow "+flow, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error { return scanFlow(rows, &out) },
			"SELECT "+flowColumns+" FROM flows WHERE project = ? AND flow = ?", project, flow)
	})
	return out, err
}

// FlowStates lists a project's flows, or everybody's when project is empty.
func (db *DB) FlowStates(ctx context.Context, project string) ([]FlowState, error) {
	var out []FlowState
	err := db.read("list the flows", func(s *session) (err error) {
		w := inProject(project)
		out, err = list(ctx, s, scanFlow, "SELECT "+flowColumns+" FROM flows"+w.String()+" ORDER BY project, flow", w.args...)
		return err
	})
	return out, err
}

// SaveFlowState stores a flow's memory as it was read by FlowState and changed
// since. The cursor is left alone: only FanOut and RestartFlow move it. A run
// that an operator asked for after the state was read stays asked for.
func (db *DB) SaveFlowState(ctx context.Context, state FlowState) error {
	return db.write(ctx, "save the state of flow "+state.Flow, func(s *session) error {
		_, err := s.exec(ctx, "INSERT INTO flows ("+flowColumns+`) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (project, flow) DO UPDATE SET fingerprint = excluded.fingerprint, statuses = excluded.statuses,
			last_run = excluded.last_run, last_success = excluded.last_success, last_upload = excluded.last_upload,
			next_run = CASE WHEN flows.asks > excluded.asks AND flows.asked = 1
				THEN LEAST(flows.next_run, excluded.next_run) ELSE excluded.next_run END,
			asked = CASE WHEN flows.asks > excluded.asks AND flows.asked = 1 THEN 1 ELSE excluded.asked END,
			error = excluded.error, cause = excluded.cause, failures = excluded.failures`,
			state.Project, state.Flow, state.Fingerprint, state.Statuses, state.LastRun, state.LastSuccess, state.LastUpload,
			state.NextRun, state.Asked, state.asks, state.Error, state.Cause, state.Failures)
		return err
	})
}

// AskFlow notes that an operator wants a run now.
func (db *DB) AskFlow(ctx context.Context, project, flow string) error {
	return db.write(ctx, "ask for a run of flow "+flow, func(s *session) error {
		_, err := s.exec(ctx, `INSERT INTO flows (project, flow, asked, asks, next_run) VALUES (?, ?, 1, 1, ?)
			ON CONFLICT (project, flow) DO UPDATE SET asked = 1, asks = flows.asks + 1, next_run = excluded.next_run`,
			project, flow, s.now)
		return err
	})
}

// RestartFlow sets the cursor back to the feed's beginning, because the flow's
// settings changed: FanOut makes every row due once more on its way. Rows that
// the destination has are remembered, so those that come out the same are not
// sent again.
func (db *DB) RestartFlow(ctx context.Context, project, flow, fingerprint string) error {
	return db.write(ctx, "restart flow "+flow, func(s *session) error {
		end, err := s.feedEnd(ctx, project)
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, `INSERT INTO flows (project, flow, cursor, again_to, fingerprint) VALUES (?, ?, 0, ?, ?)
			ON CONFLICT (project, flow) DO UPDATE SET cursor = 0, again_to = excluded.again_to, fingerprint = excluded.fingerprint`,
			project, flow, end, fingerprint)
		return err
	})
}

// links are the columns by which records are related, as FanOut may name them.
var links = map[string]string{
	"company_id": "company_id", "contact_id": "contact_id", "deal_id": "deal_id", "employee_id": "employee_id", "lead_id": "lead_id",
}

// FanOut takes changes in: every record of the flow's kind that changed after
// the cursor, and every one that shows a related record which did, becomes due;
// then the cursor moves to f.To (or the feed's end, whichever is less). It says
// how many rows got something new to show. On SQLite nobody else writes
// meanwhile, so a long history is better taken in steps of To. Indexes:
// records_feed, records_company…
func (db *DB) FanOut(ctx context.Context, f FanOut) (due int, err error) {
	for _, relation := range f.Related {
		if links[relation.Link] == "" {
			return 0, model.Errorf(model.ClassPermanent, model.CauseInternal,
				"take in changes of flow %s: records are not related by %q", f.Flow, relation.Link)
		}
	}
	var step feedStep
	err = db.write(ctx, "take in changes of flow "+f.Flow, func(s *session) (err error) {
		due = 0
		step, err = s.lockFlow(ctx, f)
		if err != nil || step.to <= step.from {
			return err
		}
		// Rows are never deleted and numbers only grow, so the new ones can be told.
		var last int64
		if err = s.get(ctx, []any{&last}, "SELECT COALESCE(MAX(number), 0) FROM deliveries"); err != nil {
			return err
		}
		if due, err = s.fanOwn(ctx, f, step); err != nil {
			return err
		}
		for _, relation := range f.Related {
			n, err := s.fanRelated(ctx, f, relation, step)
			if err != nil {
				return err
			}
			due += n
		}
		_, err = s.exec(ctx, `UPDATE flows SET cursor = ?, row_count = row_count +
			(SELECT COUNT(*) FROM deliveries d WHERE d.number > ? AND d.project || '' = ? AND d.flow || '' = ?)
			WHERE project = ? AND flow = ?`, step.to, last, f.Project, f.Flow, f.Project, f.Flow)
		return err
	})
	if err == nil {
		db.grown(ctx, "deliveries", step.from, step.to)
	}
	return due, err
}

// feedStep is the range of changes to take in: after from, up to to. Again says
// that rows are to be looked at which are settled for these changes.
type feedStep struct {
	from, to int64
	again    bool
}

func (s *session) lockFlow(ctx context.Context, f FanOut) (feedStep, error) {
	if _, err := s.exec(ctx, "INSERT INTO flows (project, flow) VALUES (?, ?) ON CONFLICT DO NOTHING", f.Project, f.Flow); err != nil {
		return feedStep{}, err
	}
	var step feedStep
	var againTo int64
	err := s.get(ctx, []any{&step.from, &againTo}, "SELECT cursor, again_to FROM flows WHERE project = ? AND flow = ? FOR UPDATE", f.Project, f.Flow)
	if err != nil {
		return feedStep{}, err
	}
	// Beyond the end there may be numbers that are given out but not yet visible.
	end, err := s.feedEnd(ctx, f.Project)
	step.to, step.again = min(f.To, end), step.from < againTo
	return step, err
}

// A row that another kind of record had is a new row.
const (
	becomeDue = ` ON CONFLICT (project, flow, connection, id) DO UPDATE SET wanted_seq = excluded.wanted_seq, updated_at = excluded.updated_at,
	kind = excluded.kind,
	done_seq = CASE WHEN deliveries.kind = excluded.kind THEN deliveries.done_seq ELSE 0 END,
	hash = CASE WHEN deliveries.kind = excluded.kind THEN deliveries.hash ELSE NULL END
	WHERE excluded.wanted_seq > deliveries.wanted_seq OR excluded.kind <> deliveries.kind`
	// The same for a flow that was restarted.
	becomeDueAgain = ` ON CONFLICT (project, flow, connection, id) DO UPDATE SET
	wanted_seq = CASE WHEN deliveries.kind = excluded.kind THEN GREATEST(deliveries.wanted_seq, excluded.wanted_seq) ELSE excluded.wanted_seq END,
	updated_at = excluded.updated_at, kind = excluded.kind, done_seq = 0,
	hash = CASE WHEN deliveries.kind = excluded.kind THEN deliveries.hash ELSE NULL END`
)

func (step feedStep) becomeDue() string {
	if step.again {
		return becomeDueAgain
	}
	return becomeDue
}

func (s *session) fanOwn(ctx context.Context, f FanOut, step feedStep) (int, error) {
	return s.exec(ctx, `INSERT INTO deliveries (project, flow, connection, id, kind, wanted_seq, updated_at)
		SELECT r.project, CAST(? AS TEXT), r.connection, r.id, r.kind, r.seq, CAST(? AS BIGINT) FROM records r
		WHERE r.project = ? AND r.seq > ? AND r.seq <= ? AND r.kind = ? AND r.connection IN LIST(?) ORDER BY r.seq`+step.becomeDue(),
		f.Flow, s.now, f.Project, step.from, step.to, f.Kind, texts(f.Connections))
}

// fanRelated leaves out rows that changed themselves: fanOwn took those.
func (s *session) fanRelated(ctx context.Context, f FanOut, rel Relation, step feedStep) (int, error) {
	link := links[rel.Link]
	return s.exec(ctx, fmt.Sprintf(`INSERT INTO deliveries (project, flow, connection, id, kind, wanted_seq, updated_at)
		SELECT r.project, CAST(? AS TEXT), r.connection, r.id, r.kind, MAX(c.seq), CAST(? AS BIGINT) FROM records c CROSS JOIN records r
		WHERE c.project = ? AND c.seq > ? AND c.seq <= ? AND c.kind = ? AND c.connection IN LIST(?)
		AND r.project = ? AND r.connection = c.connection AND r.%[1]s = c.id AND r.%[1]s <> '' AND r.kind = ?
		AND (r.seq <= ? OR r.seq > ?) GROUP BY r.project, r.connection, r.id, r.kind`, link)+step.becomeDue(),
		f.Flow, s.now, f.Project, step.from, step.to, rel.Kind, texts(f.Connections), f.Project, f.Kind, step.from, step.to)
}

// FlowCounts counts a flow's rows. It reads through indexes that hold what is
// not simply sent: deliveries_due, deliveries_held, deliveries_aside.
func (db *DB) FlowCounts(ctx context.Context, project, flow string) (FlowCounts, error) {
	var out FlowCounts
	err := db.read("count the rows of flow "+flow, func(s *session) error {
		var all, due, newDue, newHeld int
		err := s.get(ctx, []any{&all, &out.Behind, &out.Sending}, `SELECT
			COALESCE((SELECT row_count FROM flows WHERE project = ? AND flow = ?), 0),
			COALESCE((SELECT seq FROM feeds WHERE project = ?), 0) - COALESCE((SELECT cursor FROM flows WHERE project = ? AND flow = ?), 0),
			COALESCE((SELECT CAST(SUM(row_count) AS BIGINT) FROM uploads WHERE `+uploadOpen+` AND status <> 'processing'
				AND project || '' = ? AND flow || '' = ?), 0)`, project, flow, project, project, flow, project, flow)
		const counted = "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN state = 0 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM deliveries WHERE project = ? AND flow = ?"
		if err == nil {
			err = s.get(ctx, []any{&due, &newDue}, counted+" AND wanted_seq > 0 AND wanted_seq > done_seq AND hold_until = 0", project, flow)
		}
		if err == nil {
			err = s.get(ctx, []any{&out.Held, &newHeld}, counted+" AND hold_until > 0", project, flow)
		}
		if err == nil {
			err = s.query(ctx, out.aside, "SELECT state, COUNT(*) FROM deliveries WHERE project = ? AND flow = ? AND state > 2 GROUP BY state", project, flow)
		}
		// Rows of open uploads are due until those are settled.
		out.Due = max(due-out.Sending, 0)
		out.Sent = max(all-newDue-newHeld-out.Skipped-out.Refused-out.Waiting, 0)
		return err
	})
	return out, err
}

func (c *FlowCounts) aside(rows *sql.Rows) error {
	var state DeliveryState
	var n int
	if err := rows.Scan(&state, &n); err != nil {
		return err
	}
	switch state {
	case DeliverySkipped:
		c.Skipped = n
	case DeliveryRefused:
		c.Refused = n
	case DeliveryWaiting:
		c.Waiting = n
	}
	return nil
}
