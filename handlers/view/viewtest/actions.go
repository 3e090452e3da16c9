package viewtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/store"
)

// Actions write down what was asked for; what concerns the store alone is done.
type Actions struct {
	DB  *store.DB
	Err error // given back by what reaches another system
	// Difference is what registering statuses would change; nil: not known.
	Difference *connectors.SchemeDifference

	mu    sync.Mutex
	calls []string
}

// Calls lists what was asked for.
func (a *Actions) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.calls...)
}

func (a *Actions) add(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, fmt.Sprintf(format, args...))
}

// SendNow implements the actions of the console and the admin interface.
func (a *Actions) SendNow(_ context.Context, project, flow string) error {
	a.add("send %s/%s", project, flow)
	return a.Err
}

// SendAll implements the actions of the console and the admin interface.
func (a *Actions) SendAll(_ context.Context, project, flow string) error {
	a.add("send all %s/%s", project, flow)
	return a.Err
}

// SendStatuses implements the actions of the console and the admin interface.
func (a *Actions) SendStatuses(_ context.Context, project, flow string) error {
	a.add("statuses %s/%s", project, flow)
	return a.Err
}

// ReleaseGuard implements the actions of the console.
func (a *Actions) ReleaseGuard(_ context.Context, project, connection string) error {
	a.add("release %s/%s", project, connection)
	return a.Err
}

// Replay implements the actions of the console and the admin interface.
func (a *Actions) Replay(ctx context.Context, f store.JournalFilter, dryRun bool) (int, error) {
	n, err := a.DB.ReplayJournal(ctx, f, dryRun)
	if !dryRun {
		a.add("replay %s %d", f.Project, n)
	}
	return n, err
}

// Resend implements the actions of the console and the admin interface.
func (a *Actions) Resend(ctx context.Context, f store.DeliveryFilter, dryRun bool) (int, error) {
	n, err := a.DB.Resend(ctx, f, false, dryRun)
	if !dryRun {
		a.add("resend %s %d", f.Project, n)
	}
	return n, err
}

// CompareStatuses implements the actions of the console.
func (a *Actions) CompareStatuses(context.Context, string, string) (*connectors.SchemeDifference, error) {
	return a.Difference, a.Err
}

// Begin implements the actions of the console.
func (a *Actions) Begin(ctx context.Context, e *store.Errand) error {
	a.add("begin %s %s %d", e.Action, e.Project, e.Total)
	return a.DB.CreateErrand(ctx, e)
}

// StopErrand implements the actions of the console.
func (a *Actions) StopErrand(ctx context.Context, project string, id int64) error {
	a.add("stop %s/%d", project, id)
	return a.DB.StopErrand(ctx, project, id)
}

// Pause implements the actions of the console.
func (a *Actions) Pause(ctx context.Context, x store.Switch, paused bool) error {
	a.add("pause %s/%s/%s %t", x.Project, x.Subject, x.ID, paused)
	return a.DB.SetSwitch(ctx, x, paused)
}
