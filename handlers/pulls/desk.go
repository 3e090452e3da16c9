package pulls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Store is what the desk needs of the database; *store.DB has it.
type Store interface {
	ApplyRecords(ctx context.Context, project string, records []model.Record) (store.Applied, error)
	ChangedKeys(ctx context.Context, project string, connections []string, kind model.Kind, since time.Time) ([]model.Key, error)
	ConnectionStates(ctx context.Context, project string) ([]store.ConnectionState, error)
	Deliveries(ctx context.Context, f store.DeliveryFilter) ([]store.Delivery, error)
	LinkPromise(ctx context.Context, project, connection, orderID string, key model.Key) error
	LiveIDs(ctx context.Context, project, connection string, kind model.Kind) ([]string, error)
	PollStates(ctx context.Context, project string) ([]store.PollState, error)
	Promise(ctx context.Context, project, connection, dedupKey string, expires time.Time) (string, bool, error)
	Promises(ctx context.Context, project, connection string) (map[model.Key]string, error)
	Records(ctx context.Context, f store.RecordFilter) ([]model.Record, error)
	RecordsByKeys(ctx context.Context, project string, keys []model.Key) (map[model.Key]model.Record, error)
	SaveSnapshot(ctx context.Context, project, connection, name string, data []byte, expires time.Time) error
	SetConnectionStatus(ctx context.Context, project, connection, status string, cause model.Cause, errText string, retryAt time.Time) (bool, error)
	Snapshot(ctx context.Context, project, connection, name string) ([]byte, time.Time, error)
	Upload(ctx context.Context, project string, id int64) (store.Upload, error)
}

// The statuses of a connection whose reader is refused, and of one that is well.
const (
	alertStatus = "failing"
	calmStatus  = "ok"
)

// desk is one reader's view of the store. It is the wall around its project and
// its sources.
type desk struct {
	opts       *Options
	project    string
	connection string
	sources    []string
}

var _ connectors.Desk = (*desk)(nil)

// mayRead tells the connections behind the wall.
func (d *desk) mayRead(connection string) bool {
	return connection == d.connection || slices.Contains(d.sources, connection)
}

// Sources implements connectors.Desk.
func (d *desk) Sources(ctx context.Context) ([]connectors.PullSource, error) {
	polls, err := d.opts.Store.PollStates(ctx, d.project)
	if err != nil {
		return nil, err
	}
	states, err := d.opts.Store.ConnectionStates(ctx, d.project)
	if err != nil {
		return nil, err
	}
	sources := make([]connectors.PullSource, 0, len(d.sources))
	for _, id := range d.sources {
		s := connectors.PullSource{Connection: id}
		target, ok := d.opts.Lookup(d.project, id)
		if !ok {
			s.Failing, s.Cause, s.Text = true, model.CauseNotFound, "there is no such connection"
		}
		for _, st := range states {
			if st.Connection == id && (st.Status == "failing" || st.Status == "needs_reauth") {
				s.Failing, s.Cause, s.Text = true, st.Cause, st.Error
			}
		}
		completeness(&s, target, polls)
		sources = append(sources, s)
	}
	return sources, nil
}

// completeness works out whether all lists of a polled source were read to their
// ends, and how old the oldest reading is. A source that only sends hooks has no
// lists.
func completeness(s *connectors.PullSource, target Target, polls []store.PollState) {
	poller, ok := target.Connector.(connectors.Poller)
	if !ok {
		return
	}
	for _, stream := range poller.Streams() {
		at := slices.IndexFunc(polls, func(p store.PollState) bool { return p.Connection == s.Connection && p.Stream == stream })
		if at < 0 || polls[at].LastRun.IsZero() || polls[at].Importing {
			s.Importing = true
			continue
		}
		s.Polled = target.Polled
		if s.ReadAt.IsZero() || polls[at].LastRun.Before(s.ReadAt) {
			s.ReadAt = polls[at].LastRun
		}
	}
}

const listStep = 1000

// References implements connectors.Desk.
func (d *desk) References(ctx context.Context, connection string, kind model.Kind) ([]*model.Reference, error) {
	if !d.mayRead(connection) {
		return nil, nil
	}
	f := store.RecordFilter{Project: d.project, Connections: []string{connection}, Kind: kind, Live: true, Limit: listStep}
	var all []*model.Reference
	for {
		part, err := d.opts.Store.Records(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, r := range part {
			if ref, ok := r.(*model.Reference); ok {
				all = append(all, ref)
			}
		}
		if len(part) < listStep {
			return all, nil
		}
		f.AfterKey = part[len(part)-1].Meta().Key()
	}
}

// ChangedKeys implements connectors.Desk.
func (d *desk) ChangedKeys(ctx context.Context, list []string, kind model.Kind, since time.Time) ([]model.Key, error) {
	list = d.readable(list)
	if len(list) == 0 {
		return nil, nil
	}
	return d.opts.Store.ChangedKeys(ctx, d.project, list, kind, since)
}

// LiveKeys implements connectors.Desk.
func (d *desk) LiveKeys(ctx context.Context, list []string, kind model.Kind) ([]model.Key, error) {
	var keys []model.Key
	for _, connection := range d.readable(list) {
		ids, err := d.opts.Store.LiveIDs(ctx, d.project, connection, kind)
		if err != nil {
			return nil, err
		}
		keys = slices.Grow(keys, len(ids))
		for _, id := range ids {
			keys = append(keys, model.Key{Connection: connection, Kind: kind, ID: id})
		}
	}
	return keys, nil
}

func (d *desk) readable(list []string) []string {
	var out []string
	for _, connection := range list {
		if d.mayRead(connection) {
			out = append(out, connection)
		}
	}
	return out
}

// Records implements connectors.Desk.
func (d *desk) Records(ctx context.Context, keys []model.Key) (map[model.Key]model.Record, error) {
	mine := make([]model.Key, 0, len(keys))
	for _, key := range keys {
		if d.mayRead(key.Connection) {
			mine = append(mine, key)
		}
	}
	return d.opts.Store.RecordsByKeys(ctx, d.project, mine)
}

// Put implements connectors.Desk.
func (d *desk) Put(ctx context.Context, records []model.Record) error {
	for _, r := range records {
		if m := r.Meta(); m.Connection != d.connection || m.Kind.Reference() {
			return model.Errorf(model.ClassPermanent, model.CauseInternal, "connection %s may not store %s", d.connection, m.Key())
		}
	}
	if _, err := d.opts.Store.ApplyRecords(ctx, d.project, records); err != nil {
		return fmt.Errorf("store what was pushed: %w", err)
	}
	d.opts.Wake(d.project, d.connection)
	return nil
}

// SaveSnapshot implements connectors.Desk.
func (d *desk) SaveSnapshot(ctx context.Context, name string, data []byte, expires time.Time) error {
	return d.opts.Store.SaveSnapshot(ctx, d.project, d.connection, name, data, expires)
}

// Snapshot implements connectors.Desk.
func (d *desk) Snapshot(ctx context.Context, name string) ([]byte, error) {
	data, _, err := d.opts.Store.Snapshot(ctx, d.project, d.connection, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return data, err
}

// Promise implements connectors.Desk.
func (d *desk) Promise(ctx context.Context, dedupKey string, expires time.Time) (string, bool, error) {
	return d.opts.Store.Promise(ctx, d.project, d.connection, dedupKey, expires)
}

// LinkPromise implements connectors.Desk.
func (d *desk) LinkPromise(ctx context.Context, orderID string, key model.Key) error {
	if !d.mayRead(key.Connection) {
		return model.Errorf(model.ClassPermanent, model.CauseInternal, "connection %s may not link to %s", d.connection, key)
	}
	return d.opts.Store.LinkPromise(ctx, d.project, d.connection, orderID, key)
}

// Alert implements connectors.Desk.
func (d *desk) Alert(ctx context.Context, cause model.Cause, text string) error {
	_, err := d.opts.Store.SetConnectionStatus(ctx, d.project, d.connection, alertStatus, cause, text, time.Time{})
	return err
}

// Calm implements connectors.Desk.
func (d *desk) Calm(ctx context.Context) error {
	_, err := d.opts.Store.SetConnectionStatus(ctx, d.project, d.connection, calmStatus, "", "", time.Time{})
	return err
}
