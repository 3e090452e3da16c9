package sandbox

import (
	"slices"
	"strings"
)

// table keeps the entities of one kind compactly: a million of them must fit.
type table struct {
	kind  *kind
	names []string // of columns, by number
	index map[string]uint16
	byID  map[string][]cell
	loose [][]cell // simple orders without an id
}

// cell is one value of an entity; empty ones are not kept.
type cell struct {
	column uint16
	value  string
}

func newTable(k *kind) *table {
	t := &table{kind: k, index: map[string]uint16{}, byID: map[string][]cell{}}
	for _, a := range k.attributes {
		t.column(a.name)
	}
	return t
}

func (t *table) column(name string) uint16 {
	if n, ok := t.index[name]; ok {
		return n
	}
	n := uint16(len(t.names))
	t.names, t.index[name] = append(t.names, name), n
	return n
}

func (t *table) get(cells []cell, name string) string {
	n, ok := t.index[name]
	if !ok {
		return ""
	}
	for _, c := range cells {
		if c.column == n {
			return c.value
		}
	}
	return ""
}

func (t *table) shown(cells []cell) map[string]string {
	out := make(map[string]string, len(cells))
	for _, c := range cells {
		out[t.names[c.column]] = c.value
	}
	return out
}

// merge gives the entity after an upload (§5.2). Incoming cells of empty value
// stand only for columns that were in the file.
func (t *table) merge(stored, incoming []cell, mode string) []cell {
	created := t.index["create_date_time"]
	if mode == "SAVE" {
		fresh := filledCells(incoming)
		if before := find(stored, created); before != "" {
			fresh = set(fresh, created, before) // cannot be changed afterwards
		}
		return fresh
	}
	result := slices.Clone(stored)
	for _, in := range incoming {
		switch {
		case in.value == "": // its meaning is not documented (§15.1): nothing happens
		case in.column == created && find(stored, created) != "":
		case mode == "APPEND" && t.multiple(in.column):
			result = set(result, in.column, union(find(stored, in.column), in.value))
		default:
			result = set(result, in.column, in.value)
		}
	}
	return result
}

func (t *table) multiple(column uint16) bool {
	rule, ok := t.kind.rule(t.names[column])
	if !ok {
		return false
	}
	switch rule.form {
	case clientIDs, userIDs, mails, phones, hashes, products, goals:
		return true
	}
	return false
}

func filledCells(cells []cell) []cell {
	out := cells[:0]
	for _, c := range cells {
		if c.value != "" {
			out = append(out, c)
		}
	}
	return slices.Clip(out)
}

func find(cells []cell, column uint16) string {
	for _, c := range cells {
		if c.column == column {
			return c.value
		}
	}
	return ""
}

func set(cells []cell, column uint16, value string) []cell {
	for i := range cells {
		if cells[i].column == column {
			cells[i].value = value
			return cells
		}
	}
	return append(cells, cell{column, value})
}

// union joins two lists in order without repeating.
func union(a, b string) string {
	if a == "" {
		return b
	}
	out := strings.Split(a, ",")
	for one := range strings.SplitSeq(b, ",") {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return strings.Join(out, ",")
}
