package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/store"
)

// actions are what operators ask for in the console, the admin API and on the
// command line.
type actions struct{ hub *hub }

// SendNow lets a flow run at once.
func (a *actions) SendNow(ctx context.Context, project, flow string) error {
	if _, err := a.flow(project, flow); err != nil {
		return err
	}
	if err := a.hub.store.AskFlow(ctx, project, flow); err != nil {
		return err
	}
	a.wake(project, flow)
	return nil
}

// SendAll sends every row of a flow again, changed or not.
func (a *actions) SendAll(ctx context.Context, project, flow string) error {
	f, err := a.flow(project, flow)
	if err != nil {
		return err
	}
	// Every record is looked at again, and rows that went before are forgotten.
	if err := a.hub.store.RestartFlow(ctx, project, flow, f.Compiled.Fingerprint()); err != nil {
		return err
	}
	if _, err := a.hub.store.Resend(ctx, store.DeliveryFilter{Project: project, Flow: flow}, true, false); err != nil {
		return err
	}
	return a.SendNow(ctx, project, flow)
}

// SendStatuses registers a flow's status scheme at its destination.
func (a *actions) SendStatuses(ctx context.Context, project, flow string) error {
	f, err := a.flow(project, flow)
	if err != nil {
		return err
	}
	_, err = a.hub.engine.RegisterStatuses(ctx, f)
	return err
}

// Replay takes journal entries in again.
func (a *actions) Replay(ctx context.Context, f store.JournalFilter, dryRun bool) (int, error) {
	n, err := a.hub.store.ReplayJournal(ctx, f, dryRun)
	if err != nil || dryRun {
		return n, err
	}
	for _, p := range a.hub.setup.Projects {
		if f.Project != "" && f.Project != p.ID {
			continue
		}
		for _, c := range p.Connections {
			if f.Connection == "" || f.Connection == c.ID {
				a.hub.dispatcher.Wake(jobs.Work{Kind: jobs.WorkIntake, Project: p.ID, Subject: c.ID})
			}
		}
	}
	return n, nil
}

// Resend makes rows due again.
func (a *actions) Resend(ctx context.Context, f store.DeliveryFilter, dryRun bool) (int, error) {
	n, err := a.hub.store.Resend(ctx, f, true, dryRun)
	if err != nil || dryRun {
		return n, err
	}
	for _, p := range a.hub.setup.Projects {
		if f.Project != "" && f.Project != p.ID {
			continue
		}
		for _, fl := range p.Flows {
			if f.Flow == "" || f.Flow == fl.Spec.ID {
				a.wake(p.ID, fl.Spec.ID)
			}
		}
	}
	return n, nil
}

// ReleaseGuard lets a pull go on that was held back.
func (a *actions) ReleaseGuard(ctx context.Context, project, connection string) error {
	c := a.hub.setup.Connection(project, connection)
	if c == nil {
		return store.ErrNotFound
	}
	releaser, ok := c.Connector.(connectors.Releaser)
	if !ok {
		return fmt.Errorf("connection %s holds nothing back", connection)
	}
	return releaser.Release(ctx)
}

// CompareStatuses tells what SendStatuses would change; nil when the destination
// can't tell.
func (a *actions) CompareStatuses(ctx context.Context, project, flow string) (*connectors.SchemeDifference, error) {
	f, err := a.flow(project, flow)
	if err != nil {
		return nil, err
	}
	return a.hub.engine.CompareStatuses(ctx, f)
}

// Begin keeps an errand and lets it begin.
func (a *actions) Begin(ctx context.Context, e *store.Errand) error {
	if err := a.hub.store.CreateErrand(ctx, e); err != nil {
		return err
	}
	a.hub.dispatcher.Wake(jobs.Work{Kind: jobs.WorkErrand, Project: e.Project, Subject: strconv.FormatInt(e.ID, 10)})
	return nil
}

// StopErrand ends an errand after its present step.
func (a *actions) StopErrand(ctx context.Context, project string, id int64) error {
	return a.hub.store.StopErrand(ctx, project, id)
}

// Pause pauses a source, a flow or a queue, or lets it go on.
func (a *actions) Pause(ctx context.Context, x store.Switch, paused bool) error {
	return a.hub.store.SetSwitch(ctx, x, paused)
}

func (a *actions) flow(project, id string) (*jobs.Flow, error) {
	if f := a.hub.setup.Flow(project, id); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("there is no flow %q in project %q: %w", id, project, store.ErrNotFound)
}

func (a *actions) wake(project, flow string) {
	a.hub.dispatcher.Wake(jobs.Work{Kind: jobs.WorkDeliver, Project: project, Subject: flow})
}
