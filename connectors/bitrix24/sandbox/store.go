package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are an entity's values by classic code: TITLE, STAGE_ID, UF_CRM_…
// PHONE and EMAIL take a string or a []string.
type Fields map[string]any

type multi struct {
	id        int
	typ       string // PHONE, EMAIL
	valueType string
	value     string
}

type entity struct {
	id                      int
	kind                    string
	fields                  map[string]any // string or []string, by classic code
	multi                   []multi
	created, updated, moved time.Time
}

// table keeps one kind of entity, ids in ascending order.
type table struct {
	schema *schema
	byID   map[int]*entity
	ids    []int
	last   int
}

type step struct {
	id       int
	typ      int // 1 created, 2 on the way, 3 final, 5 pipeline change
	owner    int
	at       time.Time
	category string
	stage    string
	semantic string
}

func (p *Portal) table(kind string) *table { return p.tables[kind] }

// Add makes an entity as a person in the portal would, and fires its event.
func (p *Portal) Add(kind string, f Fields) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.add(kind, f)
}

// Update changes fields of an entity and fires its event. It reports whether
// the entity was there.
func (p *Portal) Update(kind string, id int, f Fields) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.update(kind, id, f)
}

// Delete removes an entity and fires its event. It reports whether the entity
// was there.
func (p *Portal) Delete(kind string, id int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delete(kind, id)
}

// AddDeal makes a deal.
func (p *Portal) AddDeal(f Fields) int { return p.Add(Deal, f) }

// UpdateDeal changes a deal.
func (p *Portal) UpdateDeal(id int, f Fields) bool { return p.Update(Deal, id, f) }

// DeleteDeal removes a deal.
func (p *Portal) DeleteDeal(id int) bool { return p.Delete(Deal, id) }

// AddContact makes a contact.
func (p *Portal) AddContact(f Fields) int { return p.Add(Contact, f) }

// UpdateContact changes a contact.
func (p *Portal) UpdateContact(id int, f Fields) bool { return p.Update(Contact, id, f) }

// DeleteContact removes a contact.
func (p *Portal) DeleteContact(id int) bool { return p.Delete(Contact, id) }

// AddLead makes a lead.
func (p *Portal) AddLead(f Fields) int { return p.Add(Lead, f) }

// UpdateLead changes a lead.
func (p *Portal) UpdateLead(id int, f Fields) bool { return p.Update(Lead, id, f) }

// DeleteLead removes a lead.
func (p *Portal) DeleteLead(id int) bool { return p.Delete(Lead, id) }

// AddCompany makes a company.
func (p *Portal) AddCompany(f Fields) int { return p.Add(Company, f) }

// MoveDeal puts a deal into another pipeline. The event of that is not an
// update (§4.5), and only applications get it.
func (p *Portal) MoveDeal(id int, category int, stage string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table(Deal).byID[id]
	if e == nil {
		return false
	}
	now := p.now()
	e.fields["CATEGORY_ID"] = strconv.Itoa(category)
	e.fields["STAGE_ID"] = stage
	e.updated, e.moved = now, now
	p.settleStage(e)
	p.remember(e, 5)
	p.fire(event{name: "ONCRMDEALMOVETOCATEGORY", id: id, appOnly: true, extra: map[string]string{
		"data[FIELDS][CATEGORY_ID]": strconv.Itoa(category), "data[FIELDS][STAGE_ID]": stage}})
	return true
}

// Get shows an entity's fields as text, multi-fields joined by commas; nil when
// it is not there.
func (p *Portal) Get(kind string, id int) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.table(kind).byID[id]
	if e == nil {
		return nil
	}
	out := map[string]string{}
	for code, v := range e.fields {
		switch v := v.(type) {
		case string:
			out[code] = v
		case []string:
			out[code] = strings.Join(v, ",")
		}
	}
	for _, typ := range []string{"PHONE", "EMAIL"} {
		var all []string
		for _, m := range e.multi {
			if m.typ == typ {
				all = append(all, m.value)
			}
		}
		if all != nil {
			out[typ] = strings.Join(all, ",")
		}
	}
	out["DATE_CREATE"], out["DATE_MODIFY"], out["MOVED_TIME"] = p.date(e.created), p.date(e.updated), p.date(e.moved)
	return out
}

// IDs lists the ids of a kind in ascending order.
func (p *Portal) IDs(kind string) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.table(kind).ids)
}

// AddUserField makes a custom field. Code gets the prefix UF_CRM_ if it has
// none. Choices make it an enumeration.
func (p *Portal) AddUserField(kind, code, label, typ string, choices ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.HasPrefix(code, "UF_CRM_") {
		code = "UF_CRM_" + code
	}
	p.lastField++
	f := &field{code: code, item: itemName(code), typ: typ, label: label, id: p.lastField}
	for i, c := range choices {
		f.choices = append(f.choices, choice{id: strconv.Itoa(p.lastField*100 + i), value: c})
	}
	p.table(kind).schema.add(f)
	p.fire(event{name: "ONCRM" + strings.ToUpper(kind) + "USERFIELDADD", id: f.id, appOnly: true})
	return code
}

func (p *Portal) add(kind string, f Fields) int {
	t, now := p.table(kind), p.now()
	t.last++
	e := &entity{id: t.last, kind: kind, created: now, updated: now, moved: now, fields: map[string]any{
		"ASSIGNED_BY_ID": "1", "CREATED_BY_ID": "1", "MODIFY_BY_ID": "1", "OPENED": "Y"}}
	switch kind {
	case Deal:
		e.fields["CATEGORY_ID"], e.fields["CURRENCY_ID"], e.fields["OPPORTUNITY"] = "0", "RUB", "0.00"
		e.fields["BEGINDATE"] = p.date(midnight(now))
		e.fields["CLOSEDATE"] = p.date(midnight(now).AddDate(0, 0, 7)) // a plan, not the end (§7.3)
	case Lead:
		e.fields["STATUS_ID"], e.fields["CURRENCY_ID"], e.fields["OPPORTUNITY"] = "NEW", "RUB", "0.00"
	}
	p.assign(e, f)
	if kind == Deal && e.fields["STAGE_ID"] == nil {
		e.fields["STAGE_ID"] = stageCode(e.text("CATEGORY_ID"), "NEW")
	}
	if e.text("TITLE") == "" && (kind == Deal || kind == Lead) {
		e.fields["TITLE"] = fmt.Sprintf("%s%s #%d", strings.ToUpper(kind[:1]), kind[1:], e.id)
	}
	t.byID[e.id] = e
	t.ids = append(t.ids, e.id)
	p.settleStage(e)
	p.remember(e, 1)
	p.fire(event{name: "ONCRM" + strings.ToUpper(kind) + "ADD", id: e.id})
	return e.id
}

func (p *Portal) update(kind string, id int, f Fields) bool {
	e := p.table(kind).byID[id]
	if e == nil {
		return false
	}
	before := e.stage()
	p.assign(e, f)
	e.updated = p.now()
	p.settleStage(e)
	if e.stage() != before {
		e.moved = e.updated
		typ := 2
		if s := e.text("STAGE_SEMANTIC_ID") + e.text("STATUS_SEMANTIC_ID"); s != "P" {
			typ = 3
		}
		p.settleStage(e)
		p.remember(e, typ)
	}
	p.fire(event{name: "ONCRM" + strings.ToUpper(kind) + "UPDATE", id: id})
	return true
}

func (p *Portal) delete(kind string, id int) bool {
	t := p.table(kind)
	if t.byID[id] == nil {
		return false
	}
	delete(t.byID, id)
	if i, found := slices.BinarySearch(t.ids, id); found {
		t.ids = slices.Delete(t.ids, i, i+1)
	}
	p.fire(event{name: "ONCRM" + strings.ToUpper(kind) + "DELETE", id: id})
	return true
}

// assign takes known fields; unknown ones are dropped without an error (§7.2).
func (p *Portal) assign(e *entity, f Fields) {
	s := p.table(e.kind).schema
	for _, code := range slices.Sorted(maps.Keys(f)) {
		v := f[code]
		if code == "PHONE" || code == "EMAIL" {
			p.assignMulti(e, code, v)
			continue
		}
		if s.byCode[code] == nil {
			continue
		}
		switch v := v.(type) {
		case []string:
			e.fields[code] = v
		case []int:
			var all []string
			for _, n := range v {
				all = append(all, strconv.Itoa(n))
			}
			e.fields[code] = all
		case []any, map[string]any:
			var all []string
			for _, x := range values(v) {
				all = append(all, text(x))
			}
			e.fields[code] = all
		case time.Time:
			e.fields[code] = p.date(v)
		default:
			e.fields[code] = text(v)
		}
	}
	if all, ok := e.fields["CONTACT_IDS"].([]string); ok && len(all) > 0 && f["CONTACT_ID"] == nil {
		e.fields["CONTACT_ID"] = all[0]
	}
}

// assignMulti follows §7.4: with an ID the value changes, without one it is
// appended, DELETE or an empty value removes. Plain texts, which only the Go
// functions take, replace all.
func (p *Portal) assignMulti(e *entity, typ string, v any) {
	add := func(valueType, value string) {
		p.lastMulti++
		e.multi = append(e.multi, multi{id: p.lastMulti, typ: typ, valueType: valueType, value: value})
	}
	switch v := v.(type) {
	case string:
		v2 := []string{v}
		p.assignMulti(e, typ, v2)
	case []string:
		e.multi = slices.DeleteFunc(e.multi, func(m multi) bool { return m.typ == typ })
		for _, value := range v {
			add("WORK", value)
		}
	default:
		for _, x := range values(v) {
			id, value := text(child(x, "ID")), text(child(x, "VALUE"))
			if id == "" {
				if value != "" {
					add(text(child(x, "VALUE_TYPE")), value)
				}
				continue
			}
			i := slices.IndexFunc(e.multi, func(m multi) bool { return strconv.Itoa(m.id) == id && m.typ == typ })
			switch {
			case i < 0:
			case value == "" || text(child(x, "DELETE")) == "Y":
				e.multi = slices.Delete(e.multi, i, i+1)
			default:
				e.multi[i].value = value
			}
		}
	}
}

// settleStage works out what follows from an entity's stage.
func (p *Portal) settleStage(e *entity) {
	switch e.kind {
	case Deal:
		sem := p.semantic(dealDirectory(e.text("CATEGORY_ID")), e.text("STAGE_ID"))
		e.fields["STAGE_SEMANTIC_ID"] = sem
		closed := "N"
		if sem != "P" {
			closed = "Y"
		}
		if closed == "Y" && e.fields["CLOSED"] != "Y" {
			e.fields["CLOSEDATE"] = p.date(midnight(p.now()))
		}
		e.fields["CLOSED"] = closed
	case Lead:
		sem := p.semantic("STATUS", e.text("STATUS_ID"))
		e.fields["STATUS_SEMANTIC_ID"] = sem
		if sem == "P" {
			delete(e.fields, "DATE_CLOSED")
		} else if e.text("DATE_CLOSED") == "" {
			e.fields["DATE_CLOSED"] = p.date(p.now())
		}
	}
}

func (p *Portal) remember(e *entity, typ int) {
	if e.kind != Deal && e.kind != Lead {
		return
	}
	history := p.history[e.kind]
	s := step{id: len(history) + 1, typ: typ, owner: e.id, at: p.now(), stage: e.stage()}
	s.category, s.semantic = e.text("CATEGORY_ID"), e.text("STAGE_SEMANTIC_ID")+e.text("STATUS_SEMANTIC_ID")
	p.history[e.kind] = append(history, s)
}

func (e *entity) text(code string) string {
	s, _ := e.fields[code].(string)
	return s
}

func (e *entity) stage() string {
	if e.kind == Lead {
		return e.text("STATUS_ID")
	}
	return e.text("STAGE_ID")
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}
