package roistat

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

// fakeDesk is a desk in memory.
type fakeDesk struct {
	refs      []*model.Reference
	records   map[model.Key]model.Record
	snapshots map[string][]byte
	promised  map[string]string
	links     map[string]model.Key
	sources   []connectors.PullSource
	alert     model.Cause
	memory    map[string]string
	down      error // what everything answers, when the store is down
}

func newDesk(sources ...string) *fakeDesk {
	d := &fakeDesk{
		records: map[model.Key]model.Record{}, snapshots: map[string][]byte{}, promised: map[string]string{},
		links: map[string]model.Key{}, memory: map[string]string{},
	}
	for _, s := range sources {
		d.sources = append(d.sources, connectors.PullSource{Connection: s})
	}
	return d
}

func (d *fakeDesk) put(records ...model.Record) {
	for _, r := range records {
		if ref, ok := r.(*model.Reference); ok {
			d.refs = append(d.refs, ref)
			continue
		}
		d.records[r.Meta().Key()] = r
	}
}

func (d *fakeDesk) Sources(context.Context) ([]connectors.PullSource, error) {
	return d.sources, d.down
}

func (d *fakeDesk) References(_ context.Context, connection string, kind model.Kind) ([]*model.Reference, error) {
	var out []*model.Reference
	for _, r := range d.refs {
		if r.Connection == connection && r.Kind == kind && !r.Deleted {
			out = append(out, r)
		}
	}
	return out, d.down
}

func (d *fakeDesk) keys(list []string, kind model.Kind, fits func(*model.Base) bool) []model.Key {
	keys := slices.DeleteFunc(slices.Collect(maps.Keys(d.records)), func(k model.Key) bool {
		return k.Kind != kind || !slices.Contains(list, k.Connection) || d.records[k].Meta().Deleted || !fits(d.records[k].Meta())
	})
	slices.SortFunc(keys, func(a, b model.Key) int {
		x, y := d.records[a].Meta(), d.records[b].Meta()
		return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.ID, b.ID))
	})
	return keys
}

func (d *fakeDesk) ChangedKeys(_ context.Context, list []string, kind model.Kind, since time.Time) ([]model.Key, error) {
	return d.keys(list, kind, func(b *model.Base) bool { return !b.UpdatedAt.Before(since) || !b.CreatedAt.Before(since) }), d.down
}

func (d *fakeDesk) LiveKeys(_ context.Context, list []string, kind model.Kind) ([]model.Key, error) {
	return d.keys(list, kind, func(*model.Base) bool { return true }), d.down
}

func (d *fakeDesk) Records(_ context.Context, keys []model.Key) (map[model.Key]model.Record, error) {
	out := map[model.Key]model.Record{}
	for _, key := range keys {
		if r, ok := d.records[key]; ok {
			out[key] = r
		}
	}
	return out, d.down
}

func (d *fakeDesk) Put(_ context.Context, records []model.Record) error {
	if d.down == nil {
		d.put(records...)
	}
	return d.down
}

func (d *fakeDesk) SaveSnapshot(_ context.Context, name string, data []byte, _ time.Time) error {
	d.snapshots[name] = slices.Clone(data)
	return d.down
}

func (d *fakeDesk) Snapshot(_ context.Context, name string) ([]byte, error) {
	return d.snapshots[name], d.down
}

func (d *fakeDesk) Promise(_ context.Context, key string, _ time.Time) (string, bool, error) {
	if id, ok := d.promised[key]; ok {
		return id, false, d.down
	}
	d.promised[key] = fmt.Sprintf("h%d", len(d.promised)+1)
	return d.promised[key], true, d.down
}

func (d *fakeDesk) LinkPromise(_ context.Context, id string, key model.Key) error {
	d.links[id] = key
	return d.down
}

func (d *fakeDesk) Promises(context.Context) (map[model.Key]string, error) {
	out := map[model.Key]string{}
	for id, key := range d.links {
		out[key] = id
	}
	return out, d.down
}

func (d *fakeDesk) Alert(_ context.Context, cause model.Cause, _ string) error {
	d.alert = cause
	return d.down
}

func (d *fakeDesk) Calm(context.Context) error {
	d.alert = ""
	return d.down
}

func (d *fakeDesk) Recall(_ context.Context, name string) (string, error) {
	return d.memory[name], d.down
}

func (d *fakeDesk) Remember(_ context.Context, name, value string) error {
	d.memory[name] = value
	return d.down
}

var now = time.Date(2022, 4, 10, 12, 0, 0, 0, time.UTC)

func newConnector(t testing.TB, settings string, d *fakeDesk) *Connector {
	t.Helper()
	c, err := New(connectortest.YAML(settings), connectors.Deps{
		Project: "shop", Connection: "roistat", Memory: d, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
