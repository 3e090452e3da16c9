package main

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// replay puts journal entries or refused rows back to work.
type replay struct {
	hub                       *hub
	project, connection, flow string
	since, until              time.Time
	pattern                   string
	dryRun                    bool
}

func (r *replay) run(ctx context.Context) (int, error) {
	var match *regexp.Regexp
	if r.pattern != "" {
		var err error
		if match, err = regexp.Compile(r.pattern); err != nil {
			return 0, exitError{code: 2, err: fmt.Errorf("--error: %w", err)}
		}
	}
	total := 0
	for _, p := range r.hub.setup.Projects {
		if r.project != "" && r.project != p.ID {
			continue
		}
		var n int
		var err error
		if r.connection != "" {
			n, err = r.entries(ctx, p.ID, match)
		} else {
			n, err = r.rows(ctx, p.ID, match)
		}
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// entries replays journal entries; without a pattern all of them, with one
// those that were refused with such an error.
func (r *replay) entries(ctx context.Context, project string, match *regexp.Regexp) (int, error) {
	do := &actions{hub: r.hub}
	filter := store.JournalFilter{Project: project, Connection: r.connection, Since: r.since, Until: r.until}
	if match == nil {
		return do.Replay(ctx, filter, r.dryRun)
	}
	filter.States = []store.EntryState{store.EntryRefused, store.EntryPartly}
	filter.Limit = 1000
	total := 0
	for {
		page, err := r.hub.store.Journal(ctx, filter)
		if err != nil || len(page) == 0 {
			return total, err
		}
		filter.BeforeID = page[len(page)-1].ID
		var ids []int64
		for _, e := range page {
			if match.MatchString(e.Error) {
				ids = append(ids, e.ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		n, err := do.Replay(ctx, store.JournalFilter{Project: project, IDs: ids}, r.dryRun)
		total += n
		if err != nil {
			return total, err
		}
	}
}

// rows makes refused rows due again.
func (r *replay) rows(ctx context.Context, project string, match *regexp.Regexp) (int, error) {
	do := &actions{hub: r.hub}
	filter := store.DeliveryFilter{
		Project: project, Flow: r.flow, Since: r.since, Until: r.until, States: []store.DeliveryState{store.DeliveryRefused},
	}
	if match == nil {
		return do.Resend(ctx, filter, r.dryRun)
	}
	filter.Limit = 1000
	total := 0
	for {
		page, err := r.hub.store.Deliveries(ctx, filter)
		if err != nil || len(page) == 0 {
			return total, err
		}
		last := page[len(page)-1]
		filter.AfterID = model.Key{Connection: last.Connection, Kind: last.Kind, ID: last.ID}
		var ids []string
		for _, d := range page {
			if match.MatchString(d.Error) {
				ids = append(ids, d.ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		n, err := do.Resend(ctx, store.DeliveryFilter{
			Project: project, Flow: r.flow, IDs: ids, States: filter.States,
		}, r.dryRun)
		total += n
		if err != nil {
			return total, err
		}
	}
}
