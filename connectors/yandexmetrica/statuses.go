package yandexmetrica

import (
	"context"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// orderStatus is one status of the counter's table (yandex-metrica §5.6).
type orderStatus struct {
	ID        string `json:"id"`
	Humanized string `json:"humanized"`
	Type      string `json:"type"`
	Goals     texts  `json:"goal_action_ids"`
	Source    string `json:"order_status_source,omitempty"`
}

const maxHumanized = 4096

// PutStatuses implements connectors.StatusKeeper. Whether POST replaces the table
// or adds to it is not documented (§19.4): the complete table is sent, with what
// the counter has besides, and read again.
func (c *Connector) PutStatuses(ctx context.Context, statuses []connectors.Status) error {
	wanted, err := wantedStatuses(statuses)
	if err != nil {
		return err
	}
	have, err := c.readStatuses(ctx)
	if err != nil {
		return err
	}
	if len(missingStatuses(wanted, have)) == 0 {
		return nil
	}
	table := make([]orderStatus, 0, len(wanted)+len(have))
	table = append(table, wanted...)
	for _, s := range have {
		if !hasStatus(wanted, s.ID) && wordLike(s.ID) && !builtIn(s) {
			s.Source = ""
			s.Goals = orNone(s.Goals)
			table = append(table, s)
		}
	}
	path := c.cdpPath("/schema/order_statuses")
	if err := c.post(ctx, "register order statuses", path, nil, map[string]any{"order_statuses": table}); err != nil {
		return err
	}
	have, err = c.readStatuses(ctx)
	if err != nil {
		return err
	}
	if missing := missingStatuses(wanted, have); len(missing) > 0 {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure,
			"register order statuses: Metrica took the table, but does not list %s; trying again", strings.Join(missing, ", "))
	}
	return nil
}

func (c *Connector) readStatuses(ctx context.Context) ([]orderStatus, error) {
	var got struct {
		Statuses []orderStatus `json:"order_statuses"`
	}
	err := c.get(ctx, "read order statuses", c.cdpPath("/schema/order_statuses"), nil, &got)
	return got.Statuses, err
}

func wantedStatuses(statuses []connectors.Status) ([]orderStatus, error) {
	types := ordersSchema().StatusTypes
	out := make([]orderStatus, 0, len(statuses))
	for _, s := range statuses {
		switch {
		case !wordLike(s.ID):
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"status id %.80q: ids consist of 1 to 255 Latin letters, digits, _, - and :; choose another", s.ID)
		case !slices.Contains(types, s.Type):
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"status %s: type %.40q is not one of %s", s.ID, s.Type, strings.Join(types, ", "))
		case hasStatus(out, s.ID):
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "status id %s is given twice; ids are unique", s.ID)
		}
		name := strings.TrimSpace(s.Name)
		if name == "" {
			name = s.ID
		}
		if r := []rune(name); len(r) > maxHumanized {
			name = string(r[:maxHumanized])
		}
		out = append(out, orderStatus{ID: s.ID, Humanized: name, Type: s.Type, Goals: texts{}})
	}
	return out, nil
}

func missingStatuses(wanted, have []orderStatus) []string {
	var out []string
	for _, w := range wanted {
		if !slices.ContainsFunc(have, func(h orderStatus) bool {
			return h.ID == w.ID && h.Type == w.Type && h.Humanized == w.Humanized
		}) {
			out = append(out, w.ID)
		}
	}
	return out
}

func hasStatus(list []orderStatus, id string) bool {
	return slices.ContainsFunc(list, func(s orderStatus) bool { return s.ID == id })
}

// builtIn reports whether a listed status is Metrica's own, which need not and
// perhaps may not be sent.
func builtIn(s orderStatus) bool {
	return s.ID == s.Type && slices.Contains(ordersSchema().StatusTypes, s.ID) || strings.EqualFold(s.Source, "SYSTEM")
}

func orNone(t texts) texts {
	if t == nil {
		return texts{}
	}
	return t
}
