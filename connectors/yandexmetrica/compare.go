package yandexmetrica

import (
	"context"
	"net/url"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// CompareStatuses implements connectors.SchemeComparer.
func (c *Connector) CompareStatuses(ctx context.Context, statuses []connectors.Status) (connectors.SchemeDifference, error) {
	wanted, err := wantedStatuses(statuses)
	if err != nil {
		return connectors.SchemeDifference{}, err
	}
	have, err := c.readStatuses(ctx)
	if err != nil {
		return connectors.SchemeDifference{}, err
	}
	var d connectors.SchemeDifference
	for _, id := range missingStatuses(wanted, have) {
		if hasStatus(have, id) {
			d.Change = append(d.Change, id)
		} else {
			d.Add = append(d.Add, id)
		}
	}
	for _, h := range have {
		if !hasStatus(wanted, h.ID) && !builtIn(h) {
			d.Extra = append(d.Extra, redact(h.ID))
		}
	}
	return d, nil
}

// CompareAttributes implements connectors.AttributeComparer. What stands under
// Change cannot be changed: PutAttributes refuses it with the reason.
func (c *Connector) CompareAttributes(ctx context.Context, as string, attributes []connectors.Attribute) (connectors.SchemeDifference, error) {
	if as == asUserParams {
		return connectors.SchemeDifference{}, nil
	}
	entity, ok := entityTypes[as]
	if !ok {
		return connectors.SchemeDifference{}, model.Errorf(model.ClassPermanent, model.CauseBadValue, "%s take no custom attributes; use contacts or orders", as)
	}
	wanted, err := wantedAttributes(attributes)
	if err != nil {
		return connectors.SchemeDifference{}, err
	}
	_, custom, err := c.readAttributes(ctx, entity)
	if err != nil {
		return connectors.SchemeDifference{}, err
	}
	var d connectors.SchemeDifference
	named := map[string]bool{}
	for _, w := range wanted {
		named[w.Name] = true
		have, ok := custom[w.Name]
		switch {
		case !ok:
			d.Add = append(d.Add, w.Name)
		case have.differs(w):
			d.Change = append(d.Change, w.Name)
		}
	}
	for name := range custom {
		if !named[name] {
			d.Extra = append(d.Extra, name)
		}
	}
	return d, nil
}

// differs reports whether an attribute of the counter cannot hold what the flow
// sends.
func (a attribute) differs(wanted attribute) bool {
	return a.TypeName != "" && !strings.EqualFold(a.TypeName, wanted.TypeName) || a.Multivalued != wanted.Multivalued
}

// readAttributes reads what the counter has.
func (c *Connector) readAttributes(ctx context.Context, entity string) (system map[string]bool, custom map[string]attribute, err error) {
	var got struct {
		System []listedAttribute `json:"system_attributes"`
		Custom []listedAttribute `json:"custom_attributes"`
	}
	if err := c.get(ctx, "read attributes", c.cdpPath("/schema/attributes"), url.Values{"entity_type": {entity}}, &got); err != nil {
		return nil, nil, err
	}
	system, custom = map[string]bool{}, map[string]attribute{}
	for _, l := range got.System {
		system[string(l.Name)] = true
	}
	for _, l := range got.Custom {
		custom[string(l.Name)] = attribute{
			Name: string(l.Name), TypeName: string(l.TypeName), Multivalued: l.Multivalued == "true" || l.Multivalued == "1",
		}
	}
	return system, custom, nil
}
