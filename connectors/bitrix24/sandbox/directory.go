package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

type status struct {
	entity, id, name string
	sort             int
	semantic         string // P, S, F
	apology          bool
	category         string
}

type pipeline struct {
	id   int
	name string
	sort int
}

type user struct {
	id                       int
	name, last, email, phone string
	active                   bool
}

func dealDirectory(category string) string {
	if category == "" || category == "0" {
		return "DEAL_STAGE"
	}
	return "DEAL_STAGE_" + category
}

func stageCode(category, stage string) string {
	if category == "" || category == "0" {
		return stage
	}
	return "C" + category + ":" + stage
}

func defaultStatuses() []status {
	out := []status{
		{entity: "STATUS", id: "NEW", name: "Не обработан", semantic: "P"},
		{entity: "STATUS", id: "IN_PROCESS", name: "В работе", semantic: "P"},
		{entity: "STATUS", id: "PROCESSED", name: "Обработан", semantic: "P"},
		{entity: "STATUS", id: "CONVERTED", name: "Качественный лид", semantic: "S"},
		{entity: "STATUS", id: "JUNK", name: "Некачественный лид", semantic: "F"},
		{entity: "SOURCE", id: "CALL", name: "Звонок"},
		{entity: "SOURCE", id: "EMAIL", name: "Электронная почта"},
		{entity: "SOURCE", id: "WEB", name: "Веб-сайт"},
		{entity: "SOURCE", id: "ADVERTISING", name: "Реклама"},
		{entity: "SOURCE", id: "WEBFORM", name: "CRM-форма"},
		{entity: "DEAL_TYPE", id: "SALE", name: "Продажа"},
		{entity: "CONTACT_TYPE", id: "CLIENT", name: "Клиенты"},
		{entity: "COMPANY_TYPE", id: "CUSTOMER", name: "Клиент"},
		{entity: "INDUSTRY", id: "IT", name: "Информационные технологии"},
	}
	out = append(out, dealStages("0", "Новая", "Подготовка документов", "Cчёт на предоплату", "В работе")...)
	out = append(out, dealStages("1", "Заявка", "Замер", "Договор", "Монтаж")...)
	for i := range out {
		out[i].sort = (i + 1) * 10
	}
	return out
}

func dealStages(category string, names ...string) []status {
	var out []status
	codes := []string{"NEW", "PREPARATION", "PREPAYMENT_INVOICE", "EXECUTING"}
	for i, name := range names {
		out = append(out, status{id: codes[i], name: name, semantic: "P"})
	}
	out = append(out, status{id: "WON", name: "Сделка успешна", semantic: "S"},
		status{id: "LOSE", name: "Сделка провалена", semantic: "F"},
		status{id: "APOLOGY", name: "Анализ причины провала", semantic: "F", apology: true})
	for i := range out {
		out[i].entity, out[i].id = dealDirectory(category), stageCode(category, out[i].id)
		if category != "0" {
			out[i].category = category
		}
	}
	return out
}

func defaultPipelines() []pipeline {
	return []pipeline{{id: 0, name: "Общая", sort: 100}, {id: 1, name: "Монтаж", sort: 200}}
}

func defaultUsers() []user {
	return []user{
		{id: 1, name: "Анна", last: "Орлова", email: "orlova@example.ru", phone: "+7 495 000-00-01", active: true},
		{id: 2, name: "Борис", last: "Лисин", email: "lisin@example.ru", active: true},
		{id: 3, name: "Вера", last: "Дроздова", email: "drozdova@example.ru", active: false},
	}
}

// AddPipeline makes a pipeline with the usual stages and gives its id.
func (p *Portal) AddPipeline(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.pipelines[len(p.pipelines)-1].id + 1
	p.pipelines = append(p.pipelines, pipeline{id: id, name: name, sort: (id + 1) * 100})
	p.statuses = append(p.statuses, dealStages(strconv.Itoa(id), "Новая", "Подготовка", "Счёт", "В работе")...)
	return id
}

// AddUsers makes n more employees.
func (p *Portal) AddUsers(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		id := len(p.users) + 1
		p.users = append(p.users, user{id: id, name: "Сотрудник", last: strconv.Itoa(id), email: fmt.Sprintf("user%d@example.ru", id), active: true})
	}
}

func (p *Portal) semantic(entity, id string) string {
	for _, s := range p.statuses {
		if s.entity == entity && s.id == id {
			return s.semantic
		}
	}
	return "P"
}

func (p *Portal) hasStatus(entity, id string) bool {
	return slices.ContainsFunc(p.statuses, func(s status) bool {
		return s.id == id && (s.entity == entity || strings.HasPrefix(s.entity, entity+"_"))
	})
}

func (p *Portal) doStatuses(args map[string]any) (result, *restError) {
	want := text(child(child(args, "filter"), "ENTITY_ID"))
	rows := []any{}
	for i, s := range p.statuses {
		if want != "" && s.entity != want {
			continue
		}
		row := map[string]any{
			"ID": strconv.Itoa(100 + i), "ENTITY_ID": s.entity, "STATUS_ID": s.id, "NAME": s.name, "NAME_INIT": s.name,
			"SORT": strconv.Itoa(s.sort), "SYSTEM": "Y", "CATEGORY_ID": nil, "COLOR": "#39A8EF", "SEMANTICS": nil,
		}
		if s.category != "" {
			row["CATEGORY_ID"] = s.category
		}
		if s.semantic != "" {
			kind := map[string]string{"P": "process", "S": "success", "F": "failure"}[s.semantic]
			if s.apology {
				kind = "apology"
			}
			if s.semantic != "P" {
				row["SEMANTICS"] = s.semantic
			}
			row["EXTRA"] = map[string]any{"SEMANTICS": kind, "COLOR": "#39A8EF"}
		}
		rows = append(rows, row)
	}
	n := len(rows)
	return result{value: rows, total: &n}, nil
}

func (p *Portal) doCategories(args map[string]any) (result, *restError) {
	if kind, bad := kindOf(args); bad != nil || kind != Deal {
		return result{}, fail(400, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type is not supported")
	}
	rows := []any{}
	for _, c := range p.pipelines {
		def := "N"
		if c.id == 0 {
			def = "Y"
		}
		rows = append(rows, map[string]any{"id": c.id, "name": c.name, "sort": c.sort, "entityTypeId": 2, "isDefault": def})
	}
	n := len(rows)
	return result{value: map[string]any{"categories": rows}, total: &n}, nil
}

// doDealCategories leaves the default pipeline out, as the real one does (§7.8).
func (p *Portal) doDealCategories(map[string]any) (result, *restError) {
	rows := []any{}
	for _, c := range p.pipelines {
		if c.id != 0 {
			rows = append(rows, map[string]any{"ID": strconv.Itoa(c.id), "NAME": c.name, "SORT": strconv.Itoa(c.sort), "IS_LOCKED": "N"})
		}
	}
	n := len(rows)
	return result{value: rows, total: &n}, nil
}

func (p *Portal) doUsers(args map[string]any) (result, *restError) {
	active := child(child(args, "filter"), "ACTIVE")
	var all []any
	for _, u := range p.users {
		if active != nil && (text(active) == "1" || text(active) == "true") != u.active {
			continue
		}
		all = append(all, map[string]any{
			"ID": strconv.Itoa(u.id), "ACTIVE": u.active, "NAME": u.name, "LAST_NAME": u.last, "SECOND_NAME": "",
			"EMAIL": u.email, "WORK_PHONE": u.phone, "PERSONAL_MOBILE": "", "TIMESTAMP_X": map[string]any{},
			"UF_DEPARTMENT": []any{1}, "USER_TYPE": "employee", "TIME_ZONE": "",
		})
	}
	start := max(0, startOf(args))
	from := min(start, len(all))
	page := all[from:min(from+pageSize, len(all))]
	return paged(append([]any{}, page...), start, len(page), len(all)), nil
}

func (p *Portal) doProfile(map[string]any) (result, *restError) {
	u := p.users[0]
	return result{value: map[string]any{"ID": strconv.Itoa(u.id), "ADMIN": true, "NAME": u.name, "LAST_NAME": u.last,
		"PERSONAL_GENDER": "", "TIME_ZONE": ""}}, nil
}

func (p *Portal) doScope(map[string]any) (result, *restError) {
	out := []any{}
	for _, s := range p.rights {
		out = append(out, s)
	}
	return result{value: out}, nil
}

func (p *Portal) doAppInfo(map[string]any) (result, *restError) {
	return result{value: map[string]any{"ID": 1, "CODE": ClientID, "VERSION": 1, "STATUS": "L", "INSTALLED": true}}, nil
}

func (p *Portal) describe(f *field) map[string]any {
	out := map[string]any{
		"type": f.typ, "isRequired": false, "isReadOnly": f.readonly, "isImmutable": false, "isMultiple": f.multiple,
		"isDynamic": f.id != 0, "title": f.code,
	}
	if f.status != "" {
		out["statusType"] = f.status
	}
	if f.id != 0 {
		out["title"] = f.code
		out["formLabel"], out["listLabel"] = f.label, f.label
	}
	if f.choices != nil {
		items := []any{}
		for _, c := range f.choices {
			items = append(items, map[string]any{"ID": c.id, "VALUE": c.value})
		}
		out["items"] = items
	}
	return out
}

func (p *Portal) doFields(kind string, _ map[string]any) (result, *restError) {
	out := map[string]any{}
	for _, f := range p.table(kind).schema.list {
		out[f.code] = p.describe(f)
	}
	if kind != Deal {
		for _, code := range []string{"PHONE", "EMAIL"} {
			out[code] = p.describe(&field{code: code, typ: "crm_multifield", multiple: true})
		}
	}
	return result{value: out}, nil
}

func (p *Portal) doItemFields(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil {
		return result{}, bad
	}
	out := map[string]any{}
	for _, f := range p.table(kind).schema.list {
		d := p.describe(f)
		name := f.item
		if f.id != 0 {
			d["title"], d["upperName"] = f.label, f.code
			if original(args) {
				name = f.code
			}
		} else {
			d["upperName"] = f.code
		}
		out[name] = d
	}
	return result{value: map[string]any{"fields": out}}, nil
}

// doUserFields gives labels only to those who name a language (§7.10).
func (p *Portal) doUserFields(kind string, args map[string]any) (result, *restError) {
	withLabels := text(child(child(args, "filter"), "LANG")) != ""
	rows := []any{}
	for _, f := range p.table(kind).schema.list {
		if f.id == 0 {
			continue
		}
		row := map[string]any{
			"ID": strconv.Itoa(f.id), "ENTITY_ID": "CRM_" + strings.ToUpper(kind), "FIELD_NAME": f.code, "USER_TYPE_ID": f.typ,
			"XML_ID": nil, "SORT": "100", "MULTIPLE": "N", "MANDATORY": "N",
		}
		if withLabels {
			row["EDIT_FORM_LABEL"], row["LIST_COLUMN_LABEL"] = f.label, f.label
		}
		if f.choices != nil {
			list := []any{}
			for _, c := range f.choices {
				list = append(list, map[string]any{"ID": c.id, "SORT": "10", "VALUE": c.value, "DEF": "N"})
			}
			row["LIST"] = list
		}
		rows = append(rows, row)
	}
	n := len(rows)
	return result{value: rows, total: &n}, nil
}

// doHistory lists steps by ascending ID; it knows the filters >ID, OWNER_ID and
// >=CREATED_TIME.
func (p *Portal) doHistory(args map[string]any) (result, *restError) {
	kind, bad := kindOf(args)
	if bad != nil || (kind != Deal && kind != Lead) {
		return result{}, fail(400, "INVALID_ARG_VALUE", "Entity type is not supported")
	}
	f := child(args, "filter")
	after, _ := strconv.Atoi(text(child(f, ">ID")))
	owner := text(child(f, "OWNER_ID"))
	var since time.Time
	if s := text(child(f, ">=CREATED_TIME")); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return result{}, fail(400, "INVALID_ARG_VALUE", "Invalid value of CREATED_TIME")
		}
		since = t
	}
	start, total := startOf(args), 0
	items := []any{}
	for _, s := range p.history[kind][min(after, len(p.history[kind])):] {
		if (owner != "" && owner != strconv.Itoa(s.owner)) || s.at.Before(since) {
			continue
		}
		total++
		if total > max(0, start) && len(items) < pageSize {
			items = append(items, p.renderStep(kind, s))
		}
		if start < 0 && len(items) == pageSize {
			break
		}
	}
	if start < 0 {
		total = 0
	}
	return paged(map[string]any{"items": items}, start, len(items), total), nil
}

func (p *Portal) renderStep(kind string, s step) map[string]any {
	out := map[string]any{"ID": s.id, "TYPE_ID": s.typ, "OWNER_ID": s.owner, "CREATED_TIME": p.date(s.at)}
	if kind == Lead {
		out["STATUS_ID"], out["STATUS_SEMANTIC_ID"] = s.stage, s.semantic
		return out
	}
	category, _ := strconv.Atoi(s.category)
	out["CATEGORY_ID"], out["STAGE_ID"], out["STAGE_SEMANTIC_ID"] = category, s.stage, s.semantic
	return out
}
