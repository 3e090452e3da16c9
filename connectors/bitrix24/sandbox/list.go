package sandbox

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const pageSize = 50

// filter is a condition tree: all (or, with any, one) of its parts must hold.
type filter struct {
	any   bool
	conds []cond
	subs  []filter
}

type cond struct {
	field *field
	multi string // PHONE or EMAIL instead of field
	op    string
	want  []string
}

// operators, longest first (§7.9).
var operators = []string{"!=%", "!%=", "!@", ">=", "<=", "=%", "%=", "!%", "!=", "@", ">", "<", "%", "!", "="}

func (p *Portal) parseFilter(kind string, item bool, v any) (filter, *restError) {
	var out filter
	m, ok := v.(map[string]any)
	if !ok {
		return out, nil
	}
	for _, key := range keysInOrder(m) {
		if strings.EqualFold(key, "logic") {
			out.any = strings.EqualFold(text(m[key]), "or")
			continue
		}
		if _, err := strconv.Atoi(key); err == nil && item {
			sub, bad := p.parseFilter(kind, item, m[key])
			if bad != nil {
				return out, bad
			}
			out.subs = append(out.subs, sub)
			continue
		}
		c, bad := p.parseCond(kind, item, key, m[key])
		if bad != nil {
			return out, bad
		}
		if c.field != nil || c.multi != "" {
			out.conds = append(out.conds, c)
		}
	}
	return out, nil
}

func (p *Portal) parseCond(kind string, item bool, key string, v any) (cond, *restError) {
	c := cond{op: "="}
	name := key
	for _, op := range operators {
		if strings.HasPrefix(key, op) {
			c.op, name = op, key[len(op):]
			break
		}
	}
	s := p.table(kind).schema
	if item {
		c.field = s.byItem[name]
		if c.field == nil && strings.HasPrefix(name, "UF_") {
			c.field = s.byCode[name]
		}
		if c.field == nil {
			return c, fail(400, "INVALID_ARG_VALUE", "Invalid filter: field '%s' is not allowed in filter", name)
		}
	} else if c.field = s.byCode[name]; c.field == nil && (name == "PHONE" || name == "EMAIL") {
		c.multi = name
	}
	if all := values(v); all != nil {
		for _, x := range all {
			c.want = append(c.want, text(x))
		}
		if c.op == "=" {
			c.op = "@"
		}
	} else {
		c.want = []string{text(v)}
	}
	return c, nil
}

func (p *Portal) match(e *entity, f filter) bool {
	for _, c := range f.conds {
		if p.holds(e, c) == f.any {
			return f.any
		}
	}
	for _, sub := range f.subs {
		if p.match(e, sub) == f.any {
			return f.any
		}
	}
	return !f.any
}

func (p *Portal) holds(e *entity, c cond) bool {
	if c.multi != "" { // exact match only (§7.5)
		return slices.ContainsFunc(e.multi, func(m multi) bool { return m.typ == c.multi && slices.Contains(c.want, m.value) })
	}
	op := c.op
	negated := strings.HasPrefix(op, "!")
	op = strings.TrimPrefix(op, "!")
	got := false
	for _, want := range c.want {
		if p.compare(e, c.field, op, want) {
			got = true
			break
		}
	}
	return got != negated
}

func (p *Portal) compare(e *entity, f *field, op, want string) bool {
	order := 0
	switch f.typ {
	case "integer":
		a, _ := strconv.Atoi(p.value(e, f.code))
		b, _ := strconv.Atoi(want) // an empty text counts as 0
		order = cmp.Compare(a, b)
	case "double":
		a, _ := strconv.ParseFloat(p.value(e, f.code), 64)
		b, _ := strconv.ParseFloat(want, 64)
		order = cmp.Compare(a, b)
	case "datetime":
		b, err := time.Parse(time.RFC3339, want)
		if err != nil {
			return false
		}
		order = e.moment(f.code).Truncate(time.Second).Compare(b)
	default:
		got := strings.ToLower(p.value(e, f.code))
		want = strings.ToLower(want)
		if op == "%" || op == "=%" || op == "%=" {
			return strings.Contains(got, strings.Trim(want, "%"))
		}
		order = strings.Compare(got, want)
	}
	switch op {
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	}
	return order == 0
}

// moment gives one of the times that the portal keeps itself.
func (e *entity) moment(code string) time.Time {
	switch code {
	case "DATE_CREATE":
		return e.created
	case "DATE_MODIFY":
		return e.updated
	case "MOVED_TIME":
		return e.moved
	}
	t, _ := time.Parse(time.RFC3339, e.text(code))
	return t
}

// value is a field as text.
func (p *Portal) value(e *entity, code string) string {
	switch code {
	case "ID":
		return strconv.Itoa(e.id)
	case "DATE_CREATE", "DATE_MODIFY", "MOVED_TIME":
		return p.date(e.moment(code))
	case "HAS_PHONE", "HAS_EMAIL":
		typ := strings.TrimPrefix(code, "HAS_")
		if slices.ContainsFunc(e.multi, func(m multi) bool { return m.typ == typ }) {
			return "Y"
		}
		return "N"
	}
	return e.text(code)
}

// find lists what matches: one page from start, and how many there are in all.
// With start -1 nothing is counted (§7.9).
func (p *Portal) find(kind string, f filter, order []ordering, start int) (page []*entity, total int) {
	t := p.table(kind)
	ids := t.ids
	byID := len(order) == 0 || order[0].field.code == "ID"
	backwards := byID && len(order) > 0 && order[0].desc
	if !f.any {
		for _, c := range f.conds {
			if c.field == nil || c.field.code != "ID" {
				continue
			}
			switch c.op {
			case "@", "=":
				ids = wanted(c.want)
			case ">":
				after, _ := strconv.Atoi(c.want[0])
				i, found := slices.BinarySearch(ids, after)
				if found {
					i++
				}
				ids = ids[i:]
			}
		}
	}
	var all []*entity
	for i := range ids {
		id := ids[i]
		if backwards {
			id = ids[len(ids)-1-i]
		}
		e := t.byID[id]
		if e == nil || !p.match(e, f) {
			continue
		}
		all = append(all, e)
		if byID && start < 0 && len(all) == pageSize {
			break
		}
	}
	if !byID {
		p.sort(all, order)
	}
	if start < 0 {
		return all[:min(pageSize, len(all))], 0
	}
	from := min(start, len(all))
	return all[from:min(from+pageSize, len(all))], len(all)
}

func wanted(texts []string) []int {
	var out []int
	for _, s := range texts {
		if id, err := strconv.Atoi(s); err == nil {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

type ordering struct {
	field *field
	desc  bool
}

func (p *Portal) parseOrder(kind string, v any) []ordering {
	m, _ := v.(map[string]any)
	var out []ordering
	for key, dir := range m { // several keys keep no order in Go: only one is used
		if f := p.table(kind).schema.find(key); f != nil {
			out = append(out, ordering{field: f, desc: strings.EqualFold(text(dir), "desc")})
			break
		}
	}
	return out
}

func (p *Portal) sort(all []*entity, order []ordering) {
	slices.SortStableFunc(all, func(a, b *entity) int {
		o := order[0]
		r := strings.Compare(p.value(a, o.field.code), p.value(b, o.field.code))
		if o.field.typ == "datetime" {
			r = a.moment(o.field.code).Compare(b.moment(o.field.code))
		}
		if o.desc {
			r = -r
		}
		return cmp.Or(r, a.id-b.id)
	})
}

// startOf reads the parameter start.
func startOf(args map[string]any) int {
	n, err := strconv.Atoi(text(child(args, "start")))
	if err != nil {
		return 0
	}
	return n
}

// paged adds total and next as lists carry them.
func paged(value any, start, got, total int) result {
	out := result{value: value, total: &total}
	if next := start + got; start >= 0 && next < total {
		out.next = &next
	}
	return out
}
