package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

// checkClient compares the client type with the record whose id the rows name
// (yandex-metrica §17.1).
func (b *builder) checkClient(clientType string) {
	name := b.schema.NeedsParameter
	e := b.texts[name]
	if name == "" || e == nil {
		return
	}
	contact, company := e.uses.roots[model.KindContact], e.uses.roots[model.KindCompany]
	contact = contact || strings.Contains(e.source, ".contact_id")
	company = company || strings.Contains(e.source, ".company_id")
	switch {
	case clientType == clientContact && company && !contact:
		b.fail("map."+name, "client_type is CONTACT, and %s comes from the company; write contact.id, or client_type: COMPANY", name)
	case clientType == clientCompany && contact && !company:
		b.fail("map."+name, "client_type is COMPANY, and %s comes from the contact; write company.id, or client_type: CONTACT", name)
	}
	if b.project.Flows == nil || b.schema.NeedsAs == "" {
		return
	}
	if _, found := b.provider(); !found {
		b.needsOff = true
		b.warn("to", "no active flow sends %s from %s to %s, so that rows go without waiting for their client and may stay unlinked; add such a flow",
			b.schema.NeedsAs, strings.Join(b.spec.From, ", "), b.spec.To)
	}
}

// provider finds the flow that sends the rows which this flow's rows need.
func (b *builder) provider() (model.FlowSpec, bool) {
	for _, other := range b.project.Flows {
		if other.Paused || other.To != b.spec.To || other.As != b.schema.NeedsAs {
			continue
		}
		if slices.ContainsFunc(b.spec.From, func(id string) bool { return slices.Contains(other.From, id) }) {
			return other, true
		}
	}
	return model.FlowSpec{}, false
}

// needsPrefix tells whether the needed rows carry the connection in their keys:
// as the flow that sends them decides, or else as this one does.
func (b *builder) needsPrefix(own bool) bool {
	if provider, found := b.provider(); found {
		return len(provider.From) > 1 && provider.IDs != idsRaw
	}
	return own
}

// attributeTypes are what a custom attribute may be.
var attributeTypes = []string{string(model.TypeDate), string(model.TypeDecimal), string(model.TypeText), string(model.TypeTime)}

func attributeType(a model.AttributeSpec) model.ValueType {
	switch {
	case a.Multiple:
		return model.TypeTexts
	case a.Type == "":
		return model.TypeText
	}
	return a.Type
}

// checkAttributes follows yandex-metrica §5.7: names of Latin letters, digits,
// _, - and :, none of them a parameter of the destination.
func (b *builder) checkAttributes() {
	if len(b.spec.Attributes) > 0 && !b.schema.Attributes {
		b.fail("attributes", "%s take no attributes of your own; remove them", b.schema.As)
		return
	}
	seen := make(map[string]bool)
	for i, attribute := range b.spec.Attributes {
		key := fmt.Sprintf("attributes[%d]", i)
		_, system := b.schema.Parameter(attribute.Name)
		switch {
		case !statusID.MatchString(attribute.Name):
			b.fail(key+".name", "%q is no name of an attribute; use 1 to 255 Latin letters, digits, _, - and :", short(attribute.Name))
		case system:
			b.fail(key+".name", "%s is a parameter of the destination already; choose another name", attribute.Name)
		case seen[attribute.Name]:
			b.fail(key+".name", "%s is declared twice; remove one", attribute.Name)
		case b.paths[attribute.Name] == "":
			b.warn(key, "%s is declared and has no source; add map.%s", attribute.Name, attribute.Name)
		}
		seen[attribute.Name] = true
		if kind := string(attribute.Type); kind != "" && !slices.Contains(attributeTypes, kind) {
			b.fail(key+".type", "%q is no type of an attribute; write one of %s%s", short(kind), strings.Join(attributeTypes, ", "), spelling.Hint(kind, attributeTypes))
		}
	}
}

func (b *builder) checkHash() {
	for i, name := range b.spec.Hash {
		key := fmt.Sprintf("hash[%d]", i)
		p, known := b.schema.Parameter(name)
		if !known || p.Type != model.TypePhones && p.Type != model.TypeEmails {
			b.fail(key, "%q cannot be hashed; write phones or emails", short(name))
			continue
		}
		if _, takes := b.schema.Parameter(name + "_md5"); !takes {
			b.fail(key, "%s take no hashed %s; leave it out", b.schema.As, name)
		}
	}
}

// arrange puts columns in the schema's order.
func (b *builder) arrange(f *Flow) {
	for _, p := range b.schema.Parameters {
		c, ok := b.column(p, f)
		if !ok {
			continue
		}
		if p.Name == b.schema.Key {
			f.key = len(f.columns)
		}
		if p.Name == b.schema.NeedsParameter && !b.needsOff {
			f.needs = len(f.columns)
		}
		f.columns = append(f.columns, c)
	}
	for _, attribute := range b.spec.Attributes {
		if e := b.texts[attribute.Name]; e != nil {
			f.columns = append(f.columns, column{
				Column:  model.Column{Name: attribute.Name, Type: attributeType(attribute), Attribute: true},
				sources: []*expression{e},
			})
		}
	}
	for _, group := range b.schema.AnyOf {
		var indexes []int
		for i, c := range f.columns {
			if slices.Contains(group, c.Name) || c.hashOf != "" && slices.Contains(group, strings.TrimSuffix(c.Name, "_md5")) {
				indexes = append(indexes, i)
			}
		}
		f.anyOf = append(f.anyOf, indexes)
	}
}

// column makes the column of a parameter; ok is false when the flow has none.
func (b *builder) column(p model.Parameter, f *Flow) (c column, ok bool) {
	c = column{Column: model.Column{Name: p.Name, Type: p.Type}, required: p.Required}
	e := b.texts[p.Name]
	if slices.Contains(b.spec.Hash, p.Name) {
		if _, takes := b.schema.Parameter(p.Name + "_md5"); takes {
			return c, false // its hashes go in the other column
		}
	}
	if e != nil {
		c.sources = append(c.sources, e)
	}
	if plain, hashed := strings.CutSuffix(p.Name, "_md5"); hashed && slices.Contains(b.spec.Hash, plain) {
		if source := b.texts[plain]; source != nil {
			parameter, _ := b.schema.Parameter(plain)
			c.hashOf = parameter.Type
			c.sources = append([]*expression{source}, c.sources...)
		}
	}
	if len(c.sources) == 0 {
		if !p.Required || !b.automatic(p.Name) {
			return c, false
		}
		c.constant = f.clientType
		if f.clientType == "" {
			c.constant = clientContact
		}
	}
	switch {
	case p.Name == b.schema.NeedsParameter:
		c.prefix = b.needsPrefix(f.prefix)
	case p.Name == b.schema.Key:
		c.prefix = f.prefix
	case p.Type == model.TypeID && e != nil && e.uses.ids:
		// Only ids of records: a site's own user id belongs to no connection.
		c.prefix = f.prefix
	}
	return c, true
}

// related lists the relations that the expressions look at.
func (b *builder) related() []model.Kind {
	var kinds []model.Kind
	for _, kind := range relationKinds {
		if b.roots[kind] && kind != b.spec.Record {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
