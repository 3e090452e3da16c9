package sandbox

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// selection says which fields are asked for.
type selection struct {
	all, custom bool
	names       map[string]bool
}

func selectionOf(v any) selection {
	s := selection{names: map[string]bool{}}
	for _, x := range values(v) {
		switch name := text(x); name {
		case "*":
			s.all = true
		case "UF_*":
			s.custom = true
		default:
			s.names[name] = true
		}
	}
	return s
}

func (s selection) takes(f *field, item bool) bool {
	name := f.code
	if item {
		name = f.item
	}
	if s.names[name] || s.names[f.code] {
		return true
	}
	if f.id != 0 {
		return s.custom || (item && s.all)
	}
	return s.all
}

// classic renders an entity for the classic methods: every scalar is a string,
// what is missing is null, and multi-fields come only when asked for by name
// (§2.3, §7.4).
func (p *Portal) classic(e *entity, s selection) map[string]any {
	out := map[string]any{"ID": strconv.Itoa(e.id)}
	for _, f := range p.table(e.kind).schema.list {
		if !s.takes(f, false) || f.code == "CONTACT_IDS" {
			continue
		}
		switch v := e.fields[f.code].(type) {
		case []string:
			out[f.code] = slices.Clone(v)
		default:
			out[f.code] = p.scalar(e, f, func(text string) any { return text })
		}
	}
	for _, typ := range []string{"PHONE", "EMAIL"} {
		var all []any
		for _, m := range e.multi {
			if m.typ == typ {
				all = append(all, map[string]any{"ID": strconv.Itoa(m.id), "VALUE_TYPE": m.valueType, "VALUE": m.value, "TYPE_ID": typ})
			}
		}
		if all != nil && s.names[typ] {
			out[typ] = all
		}
	}
	return out
}

// item renders an entity for the universal methods: camelCase and numbers.
func (p *Portal) item(e *entity, s selection, originalNames bool) map[string]any {
	out := map[string]any{"id": e.id}
	for _, f := range p.table(e.kind).schema.list {
		if !s.takes(f, true) {
			continue
		}
		name := f.item
		if f.id != 0 && originalNames {
			name = f.code
		}
		switch v := e.fields[f.code].(type) {
		case []string:
			list := make([]any, len(v))
			for i, x := range v {
				list[i] = number(f, x)
			}
			out[name] = list
		default:
			if f.multiple {
				out[name] = []any{}
				continue
			}
			out[name] = p.scalar(e, f, func(text string) any { return number(f, text) })
			if out[name] == nil && f.typ == "integer" && f.id == 0 {
				out[name] = 0
			}
		}
	}
	if s.all && e.kind != Deal {
		fm := []any{}
		for _, m := range e.multi {
			fm = append(fm, map[string]any{"id": m.id, "valueType": m.valueType, "value": m.value, "typeId": m.typ})
		}
		out["fm"] = fm
	}
	out["entityTypeId"] = entityTypeID(e.kind)
	return out
}

func (p *Portal) scalar(e *entity, f *field, as func(string) any) any {
	v := p.value(e, f.code)
	switch {
	case v == "":
		return nil
	case f.typ == "datetime" && f.id == 0 && p.badDates():
		return map[string]any{}
	}
	return as(v)
}

func number(f *field, text string) any {
	switch f.typ {
	case "integer":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case "double":
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			trimmed := text
			if strings.Contains(text, ".") {
				trimmed = strings.TrimRight(strings.TrimRight(text, "0"), ".")
			}
			return json.Number(trimmed)
		}
	}
	return text
}
