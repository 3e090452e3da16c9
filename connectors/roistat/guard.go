package roistat

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// The drop guard's memory.
const (
	baselinesMemory = "export_baselines"
	heldMemory      = "export_held"
	releaseMemory   = "export_release"

	maxBaselines  = 16
	baselineLives = 30 * 24 * time.Hour
	releaseLives  = 24 * time.Hour
	fewestLost    = 3    // fewer are everyday life in a small shop; none left at all is not
	similarWindow = 0.05 // windows that differ by less are the same window
)

// complete refuses unless everything that we have of the sources is known to be
// complete (roistat §2.4, rule 3).
func (c *call) complete(ctx context.Context) ([]connectors.PullSource, error) {
	sources, err := c.desk.Sources(ctx)
	if err != nil {
		return nil, err
	}
	reason := ""
	if len(sources) == 0 {
		reason = "No connection may be read: list some under records_from"
	}
	for _, s := range sources {
		switch {
		case s.Importing:
			reason = fmt.Sprintf("Connection %s is still loading its history", s.Connection)
		case s.Failing:
			reason = fmt.Sprintf("Connection %s cannot be read now (%s)", s.Connection, s.Cause)
		case s.Polled && c.now.Sub(s.ReadAt) > c.maxAge:
			reason = fmt.Sprintf("Connection %s was not read for more than %s", s.Connection, c.maxAge)
		default:
			continue
		}
		break
	}
	if reason == "" {
		return sources, nil
	}
	return nil, c.incomplete(ctx, reason)
}

// incomplete refuses for now and lets the operator know.
func (c *call) incomplete(ctx context.Context, reason string) error {
	if err := c.desk.Alert(ctx, model.CauseIncomplete, reason+"; Roistat is told to come back later, so that it deletes nothing."); err != nil {
		return err
	}
	return refuse(http.StatusServiceUnavailable, model.CauseIncomplete, "%s, please repeat later", reason)
}

// baseline is what a complete answer held.
type baseline struct {
	Date   int64     `json:"date"`
	Window int64     `json:"window"` // seconds from the date to the answer
	Total  int       `json:"total"`
	At     time.Time `json:"at"`
}

// sameWindow reports whether two answers can be compared: about the same length
// of time, or since the same moment.
func sameWindow(a, b baseline) bool {
	longer := float64(max(a.Window, b.Window))
	return a.Date == b.Date || math.Abs(float64(a.Window-b.Window)) <= similarWindow*longer
}

// guard refuses a list that is far shorter than the last one over the same
// window: Roistat would delete the difference (roistat §2.4, rules 5 and 6).
func (c *call) guard(ctx context.Context, since time.Time, total int) error {
	now := baseline{Total: total, At: c.now, Window: int64(c.now.Sub(since).Seconds())}
	if !since.IsZero() {
		now.Date = since.Unix()
	}
	text, err := c.recall(ctx, baselinesMemory)
	if err != nil {
		return err
	}
	var all []baseline
	if text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return fmt.Errorf("read the sizes of earlier answers: %w", err)
		}
	}
	kept := []baseline{}
	var last *baseline
	for _, b := range all {
		if c.now.Sub(b.At) > baselineLives {
			continue
		}
		if sameWindow(b, now) {
			if last == nil || b.At.After(last.At) {
				last = &b
			}
			continue
		}
		kept = append(kept, b)
	}
	if last != nil && c.drops(last.Total, total) {
		released, err := c.released(ctx)
		if err != nil {
			return err
		}
		if !released {
			return c.hold(ctx, last.Total, total)
		}
	}
	kept = append(kept, now)
	data, err := json.Marshal(kept[max(0, len(kept)-maxBaselines):])
	if err != nil {
		return err
	}
	if err := c.remember(ctx, baselinesMemory, string(data)); err != nil {
		return err
	}
	for _, name := range []string{heldMemory, releaseMemory} {
		if err := c.forget(ctx, name); err != nil {
			return err
		}
	}
	return c.desk.Calm(ctx)
}

func (c *Connector) drops(before, after int) bool {
	if c.dropGuard == 0 || after >= before {
		return false
	}
	if after == 0 {
		return true
	}
	return before-after >= fewestLost && float64(before-after) > c.dropGuard*float64(before)
}

func (c *call) hold(ctx context.Context, before, after int) error {
	text := fmt.Sprintf("The list for Roistat fell from %d to %d orders; Roistat would delete the others. "+
		"It is held back until you release it, or until the orders are back.", before, after)
	if err := c.remember(ctx, heldMemory, text); err != nil {
		return err
	}
	if err := c.desk.Alert(ctx, model.CauseSharpDrop, text); err != nil {
		return err
	}
	return refuse(http.StatusServiceUnavailable, model.CauseSharpDrop,
		"The list fell from %d to %d orders and is held back until an operator of the hub releases it", before, after)
}

func (c *call) released(ctx context.Context) (bool, error) {
	text, err := c.recall(ctx, releaseMemory)
	if err != nil || text == "" {
		return false, err
	}
	at, err := time.Parse(time.RFC3339, text)
	return err == nil && c.now.Sub(at) < releaseLives, nil
}

// forget spares a write when there is nothing to forget.
func (c *Connector) forget(ctx context.Context, name string) error {
	text, err := c.recall(ctx, name)
	if err != nil || text == "" {
		return err
	}
	return c.remember(ctx, name, "")
}

// Held says what is held back and why; "" when nothing is.
func (c *Connector) Held(ctx context.Context) (string, error) { return c.recall(ctx, heldMemory) }

// Release lets the next list go once, however short. It is good for a day.
func (c *Connector) Release(ctx context.Context) error {
	return c.remember(ctx, releaseMemory, c.now().UTC().Format(time.RFC3339))
}
