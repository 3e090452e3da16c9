package pulls

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// A pushed lead goes on to a CRM by a flow, and the CRM answers with the id of
// what it made. Here the two are brought together: the promise is linked to the
// CRM's record as soon as we have read that record back.
const (
	linkWithin = 62 * 24 * time.Hour // older leads were linked long ago or never will be
	linkBatch  = 200
	// Clocks differ, and some CRMs round: what was made by our upload may seem a bit
	// older than it. A record that is much older only has the same number.
	clockSlack = time.Hour
)

// Promises implements connectors.Desk.
func (d *desk) Promises(ctx context.Context) (map[model.Key]string, error) {
	linked, err := d.opts.Store.Promises(ctx, d.project, d.connection)
	if err != nil {
		return nil, err
	}
	leads, err := d.opts.Store.ChangedKeys(ctx, d.project, []string{d.connection}, model.KindLead, d.opts.Now().Add(-linkWithin))
	if err != nil {
		return nil, err
	}
	done := make(map[string]bool, len(linked))
	for id := range maps.Values(linked) {
		done[id] = true
	}
	var open []string
	for _, lead := range leads {
		if !done[lead.ID] {
			open = append(open, lead.ID)
		}
	}
	fresh := false
	for ids := range slices.Chunk(open, linkBatch) {
		some, err := d.link(ctx, ids)
		if err != nil {
			return nil, fmt.Errorf("link pushed leads to what the CRM made of them: %w", err)
		}
		fresh = fresh || some
	}
	if !fresh {
		return linked, nil
	}
	return d.opts.Store.Promises(ctx, d.project, d.connection)
}

// link looks up what became of leads.
func (d *desk) link(ctx context.Context, ids []string) (fresh bool, err error) {
	deliveries, err := d.opts.Store.Deliveries(ctx, store.DeliveryFilter{Project: d.project, IDs: ids, Limit: 10 * linkBatch})
	if err != nil {
		return false, err
	}
	for _, one := range deliveries {
		if one.Connection != d.connection || one.Kind != model.KindLead || one.RemoteID == "" {
			continue
		}
		upload, err := d.opts.Store.Upload(ctx, d.project, one.UploadID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !slices.Contains(d.sources, upload.Connection) {
			continue // it went somewhere that is not read here
		}
		key, found, err := d.made(ctx, upload.Connection, one)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		if err := d.opts.Store.LinkPromise(ctx, d.project, d.connection, one.ID, key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		fresh = true
	}
	return fresh, nil
}

// made finds the record that a delivery made at a source. Where the source has
// leads, a pushed lead becomes one; elsewhere (amoCRM) it becomes a deal.
func (d *desk) made(ctx context.Context, connection string, one store.Delivery) (model.Key, bool, error) {
	lead := model.Key{Connection: connection, Kind: model.KindLead, ID: one.RemoteID}
	deal := model.Key{Connection: connection, Kind: model.KindDeal, ID: one.RemoteID}
	records, err := d.opts.Store.RecordsByKeys(ctx, d.project, []model.Key{lead, deal})
	if err != nil {
		return lead, false, err
	}
	young := func(r model.Record) bool {
		return r != nil && (one.SentAt.IsZero() || !r.Meta().CreatedAt.Before(one.SentAt.Add(-clockSlack)))
	}
	if young(records[lead]) {
		return lead, true, nil
	}
	any, err := d.opts.Store.Records(ctx, store.RecordFilter{Project: d.project, Connections: []string{connection}, Kind: model.KindLead, Limit: 1})
	if err != nil || len(any) > 0 {
		return lead, false, err // the source has leads, and this one was not read back yet
	}
	return deal, young(records[deal]), nil
}
