package bitrix24

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// fieldDef describes one field of an entity.
type fieldDef struct {
	code      string // classic
	aliases   []string
	name      string
	typ       string
	custom    bool
	directory string // of a crm_status
	choices   map[string]string
}

// fieldDefs reads the fields of all entities: from crm.item.fields or its
// classic sisters, and the labels of custom ones from userfield.list, which only
// administrators may read (§7.10).
func (c *Connector) fieldDefs(ctx context.Context) (map[model.Kind][]fieldDef, error) {
	family, err := c.family(ctx)
	if err != nil {
		return nil, err
	}
	return c.fieldDefsOf(ctx, family)
}

func (c *Connector) fieldDefsOf(ctx context.Context, family string) (map[model.Kind][]fieldDef, error) {
	var commands []command
	for _, e := range entities {
		one := command{method: "crm." + e.name + ".fields"}
		if family == readItem {
			one = command{method: "crm.item.fields", query: fields("entityTypeId", strconv.Itoa(e.typeID), "useOriginalUfNames", "Y")}
		}
		commands = append(commands, one, command{
			method: "crm." + e.name + ".userfield.list", query: fields("filter", fields("LANG", "ru"))})
	}
	replies, _, err := c.batch(ctx, commands, reading)
	if err != nil {
		return nil, err
	}
	out := map[model.Kind][]fieldDef{}
	for i, e := range entities {
		described, labels := replies[2*i], replies[2*i+1]
		if again, err := c.fallBack(ctx, family, described.fault); err != nil {
			return nil, err
		} else if again {
			return c.fieldDefsOf(ctx, readClassic)
		}
		if f := described.fault; f != nil && !f.denied() {
			return nil, f.classify(commands[2*i].method, c.deps.Now())
		}
		defs := readFields(e.kind, described.result)
		if labels.fault == nil {
			readUserFields(defs, labels.result)
		}
		for _, code := range sortedCodes(defs) {
			out[e.kind] = append(out[e.kind], *defs[code])
		}
	}
	return out, nil
}

// readFields reads the answer of crm.item.fields or crm.deal.fields.
func readFields(kind model.Kind, result json.RawMessage) map[string]*fieldDef {
	out := map[string]*fieldDef{}
	var wrapped struct {
		Fields loosejson.Map[json.RawMessage] `json:"fields"`
	}
	if loosejson.Unmarshal(result, &wrapped) != nil {
		return out
	}
	all := wrapped.Fields
	if all == nil && loosejson.Unmarshal(result, &all) != nil {
		return out
	}
	for name, raw := range all {
		var f struct {
			Type      string         `json:"type"`
			Title     loosejson.Text `json:"title"`
			Label     loosejson.Text `json:"formLabel"`
			ListLabel loosejson.Text `json:"listLabel"`
			Upper     string         `json:"upperName"`
			Dynamic   loosejson.Bool `json:"isDynamic"`
			Directory loosejson.Text `json:"statusType"`
			Items     loosejson.List[struct {
				ID    loosejson.Text `json:"ID"`
				Value loosejson.Text `json:"VALUE"`
			}] `json:"items"`
		}
		if loosejson.Unmarshal(raw, &f) != nil {
			continue
		}
		d := &fieldDef{
			code: classicCode(kind, name), typ: f.Type, custom: f.Dynamic.Value, directory: f.Directory.String(),
			name: firstText(f.Label.String(), f.ListLabel.String(), f.Title.String()),
		}
		if d.custom && strings.HasPrefix(f.Upper, "UF_") {
			d.code = f.Upper
		}
		if d.code != name {
			d.aliases = append(d.aliases, name)
		}
		for _, item := range f.Items {
			d.addChoice(item.ID.String(), item.Value.String())
		}
		out[d.code] = d
	}
	return out
}

func (d *fieldDef) addChoice(id, label string) {
	if id == "" {
		return
	}
	if d.choices == nil {
		d.choices = map[string]string{}
	}
	d.choices[id] = label
}

// readUserFields adds what only userfield.list tells: the numeric id and, since
// a language was asked for, the label.
func readUserFields(into map[string]*fieldDef, result json.RawMessage) {
	var all loosejson.List[json.RawMessage]
	if loosejson.Unmarshal(result, &all) != nil {
		return
	}
	for _, raw := range all {
		var f struct {
			ID   loosejson.Text                  `json:"ID"`
			Code string                          `json:"FIELD_NAME"`
			Type string                          `json:"USER_TYPE_ID"`
			Edit json.RawMessage                 `json:"EDIT_FORM_LABEL"`
			Col  json.RawMessage                 `json:"LIST_COLUMN_LABEL"`
			List loosejson.List[json.RawMessage] `json:"LIST"`
		}
		if loosejson.Unmarshal(raw, &f) != nil || f.Code == "" {
			continue
		}
		d := into[f.Code]
		if d == nil {
			d = &fieldDef{code: f.Code, typ: f.Type}
			into[f.Code] = d
		}
		d.custom = true
		if f.ID != "" {
			d.aliases = append(d.aliases, f.ID.String())
		}
		d.name = firstText(label(f.Edit), label(f.Col), d.name, d.code)
		if d.choices != nil {
			continue
		}
		for _, one := range f.List {
			var choice struct {
				ID    loosejson.Text `json:"ID"`
				Value loosejson.Text `json:"VALUE"`
			}
			if loosejson.Unmarshal(one, &choice) == nil {
				d.addChoice(choice.ID.String(), choice.Value.String())
			}
		}
	}
}

// label is a text, or a map of texts by language.
func label(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '{' {
		var byLanguage map[string]loosejson.Text
		if loosejson.Unmarshal(raw, &byLanguage) != nil {
			return ""
		}
		return firstText(byLanguage["ru"].String(), byLanguage["en"].String())
	}
	var t loosejson.Text
	if t.UnmarshalJSON(raw) != nil {
		return ""
	}
	return t.String()
}

func firstText(texts ...string) string {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			return t
		}
	}
	return ""
}

func sortedCodes(defs map[string]*fieldDef) []string { return slices.Sorted(maps.Keys(defs)) }
