package yandexmetrica

import (
	"context"
	"net/url"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// attribute is one custom attribute of the counter (yandex-metrica §5.7).
type attribute struct {
	Name        string `json:"name"`
	TypeName    string `json:"type_name"`
	Multivalued bool   `json:"multivalued"`
	Humanized   string `json:"humanized,omitempty"`
}

// listedAttribute is the same as it is read: booleans may come as numbers (§1).
type listedAttribute struct {
	Name        text `json:"name"`
	TypeName    text `json:"type_name"`
	Multivalued text `json:"multivalued"`
}

var entityTypes = map[string]string{asContacts: "CONTACT", asOrders: "ORDER"}

// PutAttributes implements connectors.AttributeKeeper. Attributes that the
// counter has are left alone; one of another type is a conflict that only a
// person can settle.
func (c *Connector) PutAttributes(ctx context.Context, as string, attributes []connectors.Attribute) error {
	if len(attributes) == 0 {
		return nil
	}
	if as == asUserParams {
		return nil // parameters of visitors need no registration (§9)
	}
	entity, ok := entityTypes[as]
	if !ok {
		return model.Errorf(model.ClassPermanent, model.CauseBadValue, "%s take no custom attributes; use contacts or orders", as)
	}
	wanted, err := wantedAttributes(attributes)
	if err != nil {
		return err
	}
	missing, err := c.missingAttributes(ctx, entity, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	query := url.Values{"entity_type": {entity}}
	if err := c.post(ctx, "register attributes", c.cdpPath("/schema/attributes"), query, map[string]any{"attributes": missing}); err != nil {
		return err
	}
	missing, err = c.missingAttributes(ctx, entity, wanted)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure,
			"register attributes: Metrica took them, but does not list %s; trying again", missing[0].Name)
	}
	return nil
}

// missingAttributes compares with what the counter has.
func (c *Connector) missingAttributes(ctx context.Context, entity string, wanted []attribute) ([]attribute, error) {
	system, custom, err := c.readAttributes(ctx, entity)
	if err != nil {
		return nil, err
	}
	var missing []attribute
	for _, w := range wanted {
		if system[w.Name] {
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "attribute %s has the name of one of Metrica's own; choose another", w.Name)
		}
		have, ok := custom[w.Name]
		switch {
		case !ok:
			missing = append(missing, w)
		case have.differs(w):
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"attribute %s exists in counter %s as %s; choose another name or the same type", w.Name, c.Counter, inWords(have))
		}
	}
	return missing, nil
}

func inWords(a attribute) string {
	if a.Multivalued {
		return a.TypeName + " with several values"
	}
	return a.TypeName + " with one value"
}

func wantedAttributes(attributes []connectors.Attribute) ([]attribute, error) {
	out := make([]attribute, 0, len(attributes))
	for _, a := range attributes {
		if !wordLike(a.Name) {
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"attribute %.80q: names consist of 1 to 255 Latin letters, digits, _, - and :", a.Name)
		}
		title := a.Title
		if r := []rune(title); len(r) > maxHumanized {
			title = string(r[:maxHumanized])
		}
		out = append(out, attribute{Name: a.Name, TypeName: attributeType(a.Type), Multivalued: a.Multiple, Humanized: title})
	}
	return out, nil
}

func attributeType(t model.ValueType) string {
	switch t {
	case model.TypeDecimal, model.TypeInteger:
		return "numeric"
	case model.TypeDate:
		return "date"
	case model.TypeTime:
		return "datetime"
	case model.TypeEmails:
		return "email"
	}
	return "text"
}
