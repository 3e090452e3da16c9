package console

import (
	"slices"

	"github.com/svod-hub/svod/store"
)

// switchSource pauses a source or lets it go on.
func (c *Console) switchSource(paused bool) handler {
	return func(r *request) error {
		connection, ok := r.project.Connection(r.Param("connection"))
		if !ok {
			return store.ErrNotFound
		}
		return c.turn(r, store.Switch{Project: r.project.ID, Subject: store.SwitchSource, ID: connection.ID}, paused, r.at("/connections/"+connection.ID))
	}
}

// switchFlow pauses a flow or lets it go on.
func (c *Console) switchFlow(paused bool) handler {
	return func(r *request) error {
		flow, ok := r.project.Flow(r.Param("flow"))
		if !ok {
			return store.ErrNotFound
		}
		return c.turn(r, store.Switch{Project: r.project.ID, Subject: store.SwitchFlow, ID: flow.ID}, paused, r.at("/flows/"+flow.ID))
	}
}

// switchQueue pauses a queue of the whole hub or lets it go on.
func (c *Console) switchQueue(paused bool) handler {
	return func(r *request) error {
		if c.opts.Depths == nil {
			return store.ErrNotFound
		}
		depths, err := c.opts.Depths(r.Request().Context())
		if err != nil {
			return err
		}
		name := r.Param("queue")
		if !slices.ContainsFunc(depths, func(d QueueDepth) bool { return d.Name == name }) {
			return store.ErrNotFound
		}
		return c.turn(r, store.Switch{Subject: store.SwitchQueue, ID: name}, paused, "/console/")
	}
}

func (c *Console) turn(r *request, x store.Switch, paused bool, back string) error {
	x.User = r.session.User
	if err := c.opts.Actions.Pause(r.Request().Context(), x, paused); err != nil {
		return c.refused(r, err)
	}
	action, done := "resume", "resumed"
	if paused {
		action, done = "pause", "paused"
	}
	r.note(action, x.Subject+" "+x.ID)
	return r.done(back, done)
}
