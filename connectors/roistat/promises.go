package roistat

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/svod-hub/svod/model"
)

// convertedMemory is the time up to which deals were looked through for leads
// that became them.
const (
	convertedMemory  = "conversions_until"
	convertedOverlap = 24 * time.Hour
)

// promises maps records of the sources to promised order ids. A lead at the CRM
// that has become a deal since hands its id on to the deal.
func (c *call) promises(ctx context.Context, sources []string) (map[model.Key]string, error) {
	all, err := c.desk.Promises(ctx)
	if err != nil {
		return nil, err
	}
	leads := map[model.Key]string{}
	for key, id := range all {
		if key.Kind == model.KindLead {
			leads[key] = id
		}
	}
	if len(leads) == 0 {
		return all, nil
	}
	since, err := c.convertedSince(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := c.desk.ChangedKeys(ctx, sources, model.KindDeal, since)
	if err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(keys, batchSize) {
		deals, err := c.desk.Records(ctx, batch)
		if err != nil {
			return nil, err
		}
		for _, key := range batch { // by creation: the first deal of a lead keeps the id
			if err := c.handOn(ctx, all, leads, deals[key]); err != nil {
				return nil, err
			}
		}
	}
	return all, c.remember(ctx, convertedMemory, c.now.UTC().Format(time.RFC3339))
}

func (c *call) handOn(ctx context.Context, all, leads map[model.Key]string, r model.Record) error {
	if r == nil || r.Meta().LeadID == "" || r.Meta().Deleted {
		return nil
	}
	lead := model.Key{Connection: r.Meta().Connection, Kind: model.KindLead, ID: r.Meta().LeadID}
	id, ok := leads[lead]
	if !ok || all[r.Meta().Key()] != "" {
		return nil
	}
	if err := c.desk.LinkPromise(ctx, id, r.Meta().Key()); err != nil {
		return fmt.Errorf("hand order id on to %s: %w", r.Meta().Key(), err)
	}
	all[r.Meta().Key()] = id
	delete(all, lead)
	delete(leads, lead)
	return nil
}

// convertedSince says from when on deals must be looked through: at first from
// the first lead that was ever pushed.
func (c *call) convertedSince(ctx context.Context) (time.Time, error) {
	text, err := c.recall(ctx, convertedMemory)
	if err != nil {
		return time.Time{}, err
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.Add(-convertedOverlap), nil
	}
	leads, err := c.desk.ChangedKeys(ctx, []string{c.deps.Connection}, model.KindLead, time.Time{})
	if err != nil || len(leads) == 0 {
		return c.now.Add(-c.window), err
	}
	records, err := c.desk.Records(ctx, leads[:1])
	if err != nil {
		return time.Time{}, err
	}
	if r := records[leads[0]]; r != nil {
		return r.Meta().CreatedAt.Add(-convertedOverlap), nil
	}
	return time.Time{}, nil
}
