package yandexmetrica

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/model"
)

// goal is a goal of the counter (yandex-metrica §4.2). Kinds that we do not know
// are kept.
type goal struct {
	ID         text   `json:"id"`
	Name       text   `json:"name"`
	Type       string `json:"type"`
	Status     text   `json:"status"`
	Conditions []struct {
		Type string `json:"type"`
		URL  text   `json:"url"`
	} `json:"conditions"`
}

// identifier is what conversions name the goal by: that of a JavaScript event
// with one exact condition. Other goals have none.
func (g goal) identifier() string {
	if g.Type != "action" || len(g.Conditions) != 1 || g.Conditions[0].Type != "exact" {
		return ""
	}
	return string(g.Conditions[0].URL)
}

// mentions reports whether a goal looks like the one that is wanted and is not.
func (g goal) mentions(identifier string) bool {
	for _, condition := range g.Conditions {
		if string(condition.URL) == identifier {
			return true
		}
	}
	return string(g.Name) == identifier
}

const (
	goalsLast  = 10 * time.Minute
	goalsFresh = 10 * time.Second // an operator who has just made one waits so long
)

// goalBook is the list of goals as it was read last.
type goalBook struct {
	mu     sync.Mutex
	readAt time.Time
	list   []goal
}

func (c *Connector) checksGoals() bool  { return c.CheckGoals != "off" && c.CheckGoals != "false" }
func (c *Connector) createsGoals() bool { return c.CreateGoals == "on" || c.CreateGoals == "true" }

// listGoals gives the counter's goals, at most so old.
func (c *Connector) listGoals(ctx context.Context, atMost time.Duration) ([]goal, error) {
	c.goals.mu.Lock()
	defer c.goals.mu.Unlock()
	now := c.now()
	if !c.goals.readAt.IsZero() && now.Sub(c.goals.readAt) < atMost {
		return c.goals.list, nil
	}
	var got struct {
		Goals []goal `json:"goals"`
	}
	if err := c.get(ctx, "list goals", c.managementPath("/goals"), url.Values{"useDeleted": {"false"}}, &got); err != nil {
		return nil, err
	}
	c.goals.list, c.goals.readAt = got.Goals, now
	return got.Goals, nil
}

func findGoal(list []goal, identifier string) bool {
	for _, g := range list {
		if g.identifier() == identifier {
			return true
		}
	}
	return false
}

// targets makes the check of the targets of one upload. Each is asked for once.
func (c *Connector) targets(ctx context.Context) func(string) error {
	known := map[string]error{}
	return func(identifier string) error {
		if err, asked := known[identifier]; asked {
			return err
		}
		err := c.ensureGoal(ctx, identifier)
		if err == nil || model.ClassOf(err) == model.ClassPermanent {
			known[identifier] = err
		}
		return err
	}
}

// ensureGoal finds a goal by its identifier, or creates it when the connection
// says so: list, create, list again (§4.2).
func (c *Connector) ensureGoal(ctx context.Context, identifier string) error {
	for _, atMost := range []time.Duration{goalsLast, goalsFresh} {
		list, err := c.listGoals(ctx, atMost)
		if err != nil {
			return err
		}
		if findGoal(list, identifier) {
			return nil
		}
	}
	list, err := c.listGoals(ctx, goalsFresh)
	if err != nil {
		return err
	}
	if e := c.conflict(list, identifier); e != nil {
		return e
	}
	if !c.createsGoals() {
		return model.Errorf(model.ClassPermanent, model.CauseNotFound,
			"parameter Target: counter %s has no goal %q; create a goal of the type JavaScript event whose identifier matches exactly, or set create_goals of the connection to on", c.Counter, identifier)
	}
	return c.createGoal(ctx, identifier)
}

// conflict explains a goal that has the identifier and cannot serve.
func (c *Connector) conflict(list []goal, identifier string) *model.Error {
	for _, g := range list {
		if !g.mentions(identifier) {
			continue
		}
		why := "is of the type " + redact(g.Type) + ", and conversions need a JavaScript event"
		switch {
		case g.identifier() != "":
			why = "has this as its name; give its identifier " + redact(g.identifier()) + " instead"
		case g.Type == "action" && len(g.Conditions) != 1:
			why = "has several conditions; conversions need exactly one"
		case g.Type == "action":
			why = "has the condition " + redact(g.Conditions[0].Type) + "; change it to \"matches\" (exact)"
		}
		return model.Errorf(model.ClassPermanent, model.CauseNotFound,
			"parameter Target: goal %s of counter %s %s", g.ID, c.Counter, why)
	}
	return nil
}

// createGoal makes a JavaScript goal. Workers do it one at a time, or there would
// be two of it.
func (c *Connector) createGoal(ctx context.Context, identifier string) error {
	if c.limiter != nil {
		release, err := c.limiter.Acquire(ctx, "metrica:goals:"+c.Counter, 1)
		if err != nil {
			return err
		}
		defer release()
	}
	list, err := c.listGoals(ctx, 0)
	if err != nil || findGoal(list, identifier) {
		return err
	}
	body := map[string]any{"goal": map[string]any{
		"name": identifier, "type": "action", "conditions": []map[string]string{{"type": "exact", "url": identifier}},
	}}
	created := c.post(ctx, "create goal", c.managementPath("/goals"), nil, body)
	if list, err = c.listGoals(ctx, 0); err != nil {
		return err
	}
	switch {
	case findGoal(list, identifier):
		return nil
	case created != nil && model.ClassOf(created) == model.ClassPermanent:
		return model.Errorf(model.ClassPermanent, model.CauseNotFound, "parameter Target: goal %q cannot be created: %w", identifier, created)
	case created != nil:
		return created
	}
	return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "goal %q was created, but Metrica does not list it yet; trying again", identifier)
}

// resolveGoals finds the goals of import_goals by number or identifier.
func (c *Connector) resolveGoals(ctx context.Context) ([]goal, error) {
	list, err := c.listGoals(ctx, goalsFresh)
	if err != nil {
		return nil, err
	}
	var out []goal
	for _, wanted := range c.ImportGoals {
		wanted = strings.TrimSpace(wanted)
		found := false
		for _, g := range list {
			if string(g.ID) == wanted || g.identifier() == wanted {
				out, found = append(out, g), true
				break
			}
		}
		if !found {
			return nil, model.Errorf(model.ClassPermanent, model.CauseNotFound,
				"import_goals: counter %s has no goal %q; give the identifier or number of one of its goals", c.Counter, wanted)
		}
	}
	return out, nil
}
