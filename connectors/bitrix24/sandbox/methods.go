package sandbox

import (
	"strconv"
	"strings"
)

// method is one REST method.
type method struct {
	scope string
	app   bool // not by webhook (§1)
	do    func(*Portal, map[string]any) (result, *restError)
}

// methods are all that this portal knows; others are unknown.
var methods = allMethods()

func allMethods() map[string]method {
	out := map[string]method{
		"app.info":                            {app: true, do: (*Portal).doAppInfo},
		"crm.category.list":                   {scope: "crm", do: (*Portal).doCategories},
		"crm.dealcategory.list":               {scope: "crm", do: (*Portal).doDealCategories},
		"crm.item.add":                        {scope: "crm", do: (*Portal).doItemAdd},
		"crm.item.delete":                     {scope: "crm", do: (*Portal).doItemDelete},
		"crm.item.fields":                     {scope: "crm", do: (*Portal).doItemFields},
		"crm.item.get":                        {scope: "crm", do: (*Portal).doItemGet},
		"crm.item.list":                       {scope: "crm", do: (*Portal).doItemList},
		"crm.item.update":                     {scope: "crm", do: (*Portal).doItemUpdate},
		"crm.settings.mode.get":               {scope: "crm", do: func(*Portal, map[string]any) (result, *restError) { return result{value: 1}, nil }},
		"crm.stagehistory.list":               {scope: "crm", do: (*Portal).doHistory},
		"crm.status.list":                     {scope: "crm", do: (*Portal).doStatuses},
		"event.bind":                          {app: true, do: (*Portal).doBind},
		"event.get":                           {app: true, do: (*Portal).doBound},
		"event.unbind":                        {app: true, do: (*Portal).doUnbind},
		"profile":                             {do: (*Portal).doProfile},
		"scope":                               {do: (*Portal).doScope},
		"telephony.externalcall.attachrecord": {scope: "telephony", app: true},
		"telephony.externalcall.finish":       {scope: "telephony", app: true},
		"telephony.externalcall.register":     {scope: "telephony", app: true},
		"user.get":                            {scope: "user", do: (*Portal).doUsers},
	}
	for name, m := range out {
		if m.do == nil {
			m.do = func(*Portal, map[string]any) (result, *restError) {
				return result{}, fail(400, "ERROR_CORE", "This sandbox has no telephony")
			}
			out[name] = m
		}
	}
	for _, kind := range []string{Company, Contact, Deal, Lead} {
		of := func(do func(*Portal, string, map[string]any) (result, *restError)) method {
			return method{scope: "crm", do: func(p *Portal, args map[string]any) (result, *restError) { return do(p, kind, args) }}
		}
		out["crm."+kind+".add"] = of((*Portal).doAdd)
		out["crm."+kind+".delete"] = of((*Portal).doDelete)
		out["crm."+kind+".fields"] = of((*Portal).doFields)
		out["crm."+kind+".get"] = of((*Portal).doGet)
		out["crm."+kind+".list"] = of((*Portal).doList)
		out["crm."+kind+".update"] = of((*Portal).doUpdate)
		out["crm."+kind+".userfield.list"] = of((*Portal).doUserFields)
	}
	return out
}

func idOf(args map[string]any) (int, *restError) {
	id, err := strconv.Atoi(text(child(args, "id")))
	if err != nil || id <= 0 {
		return 0, fail(400, "", "ID is not defined or invalid.")
	}
	return id, nil
}

// look finds an entity and notices reads that only a forged event can have
// caused (§12.15).
func (p *Portal) look(kind string, id int) *entity {
	p.noticeGhost(kind, strconv.Itoa(id))
	return p.table(kind).byID[id]
}

func (p *Portal) noticeGhost(kind, id string) {
	if p.ghosts[kind+":"+id] {
		p.violate("acted on a forged event: read %s %s", kind, id)
	}
}

func (p *Portal) noticeGhosts(kind string, f filter) {
	for _, c := range f.conds {
		if c.field != nil && c.field.code == "ID" && (c.op == "@" || c.op == "=") {
			for _, id := range c.want {
				p.noticeGhost(kind, id)
			}
		}
	}
}

func (p *Portal) doList(kind string, args map[string]any) (result, *restError) {
	f, bad := p.parseFilter(kind, false, child(args, "filter"))
	if bad != nil {
		return result{}, bad
	}
	p.noticeGhosts(kind, f)
	start := startOf(args)
	page, total := p.find(kind, f, p.parseOrder(kind, child(args, "order")), start)
	sel := selectionOf(child(args, "select"))
	if len(sel.names) == 0 && !sel.all && !sel.custom {
		sel.all = true
	}
	rows := make([]any, 0, len(page))
	for _, e := range page {
		rows = append(rows, p.classic(e, sel))
	}
	return paged(rows, start, len(rows), total), nil
}

func (p *Portal) doGet(kind string, args map[string]any) (result, *restError) {
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	e := p.look(kind, id)
	if e == nil {
		return result{}, fail(400, "", "Not found")
	}
	return result{value: p.classic(e, selection{all: true, custom: true, names: map[string]bool{"PHONE": true, "EMAIL": true}})}, nil
}

func (p *Portal) doAdd(kind string, args map[string]any) (result, *restError) {
	fields, ok := child(args, "fields").(map[string]any)
	if !ok {
		return result{}, fail(400, "", "Parameter 'fields' must be array.")
	}
	return p.create(kind, fields)
}

func (p *Portal) create(kind string, fields map[string]any) (result, *restError) {
	if bad := p.checkStage(kind, fields); bad != nil {
		return result{}, bad
	}
	if origin := text(fields["ORIGIN_ID"]); origin != "" {
		key := kind + "\x00" + text(fields["ORIGINATOR_ID"]) + "\x00" + origin
		if p.origins[key]++; p.origins[key] > 1 {
			p.violate("created the %s with ORIGIN_ID %q %d times", kind, origin, p.origins[key])
		}
	}
	return result{value: p.add(kind, fields)}, nil
}

// checkStage refuses an unknown status (§12.7).
func (p *Portal) checkStage(kind string, fields map[string]any) *restError {
	switch kind {
	case Lead:
		if s := text(fields["STATUS_ID"]); s != "" && !p.hasStatus("STATUS", s) {
			return fail(400, "", "Invalid value of field \"STATUS_ID\"")
		}
	case Deal:
		if s := text(fields["STAGE_ID"]); s != "" && !p.hasStatus("DEAL_STAGE", s) {
			return fail(400, "", "Invalid value of field \"STAGE_ID\"")
		}
	}
	return nil
}

func (p *Portal) doUpdate(kind string, args map[string]any) (result, *restError) {
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	fields, _ := child(args, "fields").(map[string]any)
	if bad := p.checkStage(kind, fields); bad != nil {
		return result{}, bad
	}
	if kind == Deal { // the classic method cannot change the pipeline (§7.1)
		delete(fields, "CATEGORY_ID")
	}
	if !p.update(kind, id, fields) {
		return result{}, fail(400, "", "Not found")
	}
	return result{value: true}, nil
}

func (p *Portal) doDelete(kind string, args map[string]any) (result, *restError) {
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	if !p.delete(kind, id) {
		return result{}, fail(400, "", "Not found")
	}
	return result{value: true}, nil
}

func kindOf(args map[string]any) (string, *restError) {
	kind, ok := entityTypes[text(child(args, "entityTypeId"))]
	if !ok {
		return "", fail(400, "NOT_FOUND", "Smart process was not found")
	}
	return kind, nil
}

func original(args map[string]any) bool {
	return strings.EqualFold(text(child(args, "useOriginalUfNames")), "y")
}

func (p *Portal) doItemList(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	f, bad := p.parseFilter(kind, true, child(args, "filter"))
	if bad != nil {
		return result{}, bad
	}
	p.noticeGhosts(kind, f)
	start := startOf(args)
	page, total := p.find(kind, f, p.parseOrder(kind, child(args, "order")), start)
	sel := selectionOf(child(args, "select"))
	if len(sel.names) == 0 && !sel.custom {
		sel.all = true
	}
	rows := make([]any, 0, len(page))
	for _, e := range page {
		rows = append(rows, p.item(e, sel, original(args)))
	}
	return paged(map[string]any{"items": rows}, start, len(rows), total), nil
}

func (p *Portal) doItemGet(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	e := p.look(kind, id)
	if e == nil {
		return result{}, fail(400, "NOT_FOUND", "Element not found")
	}
	return result{value: map[string]any{"item": p.item(e, selection{all: true}, original(args))}}, nil
}

// fromItem turns the universal names of a write into classic ones. In an update
// the keys of fm are ids of existing values, or n0, n1… of new ones (§7.4).
func (p *Portal) fromItem(kind string, fields map[string]any, updating bool) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		if name == "fm" {
			byType := map[string][]any{}
			entries := asMap(v)
			for _, key := range keysInOrder(entries) {
				x := entries[key]
				typ := text(child(x, "typeId"))
				one := map[string]any{"VALUE": text(child(x, "value")), "VALUE_TYPE": text(child(x, "valueType"))}
				if _, err := strconv.Atoi(key); err == nil && updating {
					one["ID"] = key
				}
				if typ != "" { // without its type the entry is ignored (§7.4)
					byType[typ] = append(byType[typ], one)
				}
			}
			for typ, all := range byType {
				out[typ] = all
			}
			continue
		}
		if f := p.table(kind).schema.find(name); f != nil {
			out[f.code] = v
		}
	}
	return out
}

func asMap(v any) map[string]any {
	if m, ok := v.(map[string]any); ok {
		return m
	}
	out := map[string]any{}
	for i, x := range values(v) {
		out[strconv.Itoa(i)] = x
	}
	return out
}

func (p *Portal) doItemAdd(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	fields, ok := child(args, "fields").(map[string]any)
	if !ok {
		return result{}, fail(400, "100", "Could not find value for parameter {fields}")
	}
	out, bad := p.create(kind, p.fromItem(kind, fields, false))
	if bad != nil {
		return result{}, bad
	}
	id, _ := out.value.(int)
	return result{value: map[string]any{"item": p.item(p.table(kind).byID[id], selection{all: true}, original(args))}}, nil
}

func (p *Portal) doItemUpdate(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	given, _ := child(args, "fields").(map[string]any)
	fields := p.fromItem(kind, given, true)
	if bad := p.checkStage(kind, fields); bad != nil {
		return result{}, bad
	}
	if !p.update(kind, id, fields) {
		return result{}, fail(400, "NOT_FOUND", "Element not found")
	}
	return result{value: map[string]any{"item": p.item(p.table(kind).byID[id], selection{all: true}, original(args))}}, nil
}

func (p *Portal) doItemDelete(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	id, bad := idOf(args)
	if bad != nil {
		return result{}, bad
	}
	if !p.delete(kind, id) {
		return result{}, fail(400, "NOT_FOUND", "Element not found")
	}
	return result{value: []any{}}, nil
}
