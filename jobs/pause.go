package jobs

import (
	"context"
	"slices"

	"github.com/svod-hub/svod/store"
)

// Queues lists the queues by name.
func Queues() []string {
	names := make([]string, 0, len(weights))
	for name := range weights {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// paused reports whether an operator paused what the work is about. What waits
// meanwhile stays in the database: journal entries, references, due rows.
func (e *Engine) paused(ctx context.Context, w Work) (bool, error) {
	off, err := e.store.Switches(ctx)
	return pausedBy(off, w), err
}

func pausedBy(off store.Switches, w Work) bool {
	if off.Off("", store.SwitchQueue, string(w.Kind)) {
		return true
	}
	switch w.Kind {
	case WorkDeliver:
		return off.Off(w.Project, store.SwitchFlow, w.Subject)
	case WorkIntake, WorkFetch, WorkPoll:
		return off.Off(w.Project, store.SwitchSource, w.Subject)
	}
	return false // the fate of what was sent is followed all the same
}
