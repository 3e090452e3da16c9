package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// Row makes the record's row. Unless the verdict is Send, only the row's Record,
// Seq and, if they are known, Key and Needs are filled. The catalogue may be nil.
func (f *Flow) Row(rec model.Record, rel Relations, cat Catalogue) (model.Row, Verdict) {
	base := rec.Meta()
	row := model.Row{Record: base.Key(), Seq: base.Seq}
	if base.Kind != f.spec.Record {
		return row, Verdict{Skip, "", fmt.Sprintf("the flow sends %s, not %s", f.spec.Record, base.Kind)}
	}
	if base.Deleted {
		return row, Verdict{Skip, "", "deleted in " + base.Connection}
	}
	m := f.machines.Get().(*machine)
	defer f.release(m)
	m.env = f.template
	if cat != nil {
		m.env.catalogue = cat
	}
	if !m.env.set(rec, rel) {
		return row, Verdict{Refuse, model.CauseInternal, "the record is not of the type of its kind"}
	}
	m.env.Status, _ = f.scheme.of(recordStatus(rec))

	if verdict, wanted := f.wants(m); !wanted {
		return row, verdict
	}
	return f.fill(m, rec, row)
}

// release forgets the record, so that the pool does not keep it.
func (f *Flow) release(m *machine) {
	m.env = env{}
	clear(m.vm.Stack[:cap(m.vm.Stack)])
	clear(m.vm.Variables)
	f.machines.Put(m)
}

// wants applies the filter.
func (f *Flow) wants(m *machine) (Verdict, bool) {
	if f.when == nil {
		return Verdict{}, true
	}
	value, err := f.when.eval(m)
	if err != nil {
		return Verdict{Refuse, model.CauseExpression, "when failed on this record: " + err.Error()}, false
	}
	wanted, _ := value.(bool)
	if !wanted {
		return Verdict{Outcome: Skip, Message: "filtered out by when"}, false
	}
	return Verdict{}, true
}

// fill evaluates the map. The key comes first, so that a refused row can be
// named.
func (f *Flow) fill(m *machine, rec model.Record, row model.Row) (model.Row, Verdict) {
	values := make([]any, len(f.columns))
	first := Verdict{Outcome: Send}
	for i := range f.columns {
		value, verdict := f.value(m, rec, &f.columns[i])
		if verdict.Outcome != Send {
			if first.Outcome == Send {
				first = verdict
			}
			if f.keysKnown(i) {
				return f.identify(row, values), first
			}
			continue
		}
		values[i] = value
	}
	row = f.identify(row, values)
	if first.Outcome != Send {
		return row, first
	}
	if verdict, linked := f.linked(values); !linked {
		return row, verdict
	}
	row.Values = values
	return row, Verdict{Outcome: Send}
}

// keysKnown reports whether the columns up to i hold all that identifies a row.
func (f *Flow) keysKnown(i int) bool { return i >= f.key && i >= f.needs }

func (f *Flow) identify(row model.Row, values []any) model.Row {
	if len(values) == 0 {
		return row
	}
	row.Key = keyText(values[f.key])
	if f.needs >= 0 {
		row.Needs = keyText(values[f.needs])
	}
	return row
}

func keyText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	case []string:
		return strings.Join(v, ",")
	}
	return fmt.Sprint(value)
}

// linked checks that of each group at least one parameter is filled.
func (f *Flow) linked(values []any) (Verdict, bool) {
	for i, group := range f.anyOf {
		if !slices.ContainsFunc(group, func(column int) bool { return values[column] != nil }) {
			return Verdict{Refuse, model.CauseNoIdentifier, fmt.Sprintf("%s are all empty: nothing links the row to a visitor",
				strings.Join(f.schema.AnyOf[i], ", "))}, false
		}
	}
	return Verdict{}, true
}

// value evaluates one column.
func (f *Flow) value(m *machine, rec model.Record, c *column) (any, Verdict) {
	if len(c.sources) == 0 {
		return c.constant, Verdict{Outcome: Send}
	}
	value, verdict := f.combined(m, c)
	if verdict.Outcome != Send {
		return nil, verdict
	}
	if value == nil {
		return nil, f.onEmpty(m, rec, c)
	}
	if c.prefix {
		if text, ok := value.(string); ok {
			value = rec.Meta().Connection + ":" + text
		}
	}
	return value, Verdict{Outcome: Send}
}

// combined evaluates the sources of a column and puts hashes in the place of
// what must not be sent openly.
func (f *Flow) combined(m *machine, c *column) (any, Verdict) {
	if c.hashOf == "" {
		return f.evaluate(m, c, c.sources[0], c.Type)
	}
	var hashes []string
	for i, source := range c.sources {
		as := c.Type
		if i == 0 {
			as = c.hashOf
		}
		value, verdict := f.evaluate(m, c, source, as)
		if verdict.Outcome != Send {
			return nil, verdict
		}
		list, _ := value.([]string)
		for _, text := range list {
			if i == 0 {
				text = identity.MD5(text)
			}
			if !slices.Contains(hashes, text) {
				hashes = append(hashes, text)
			}
		}
	}
	return nonEmpty(hashes), Verdict{Outcome: Send}
}

func (f *Flow) evaluate(m *machine, c *column, source *expression, as model.ValueType) (any, Verdict) {
	value, err := source.eval(m)
	if err != nil {
		return nil, Verdict{Refuse, model.CauseExpression, fmt.Sprintf("map.%s (%s) failed on this record: %s", c.Name, short(source.source), err)}
	}
	converted, problem := f.convert.convert(value, as)
	if problem != nil {
		return nil, Verdict{Refuse, problem.cause, fmt.Sprintf("%s (%s) %s", c.Name, short(source.source), problem.text)}
	}
	return converted, Verdict{Outcome: Send}
}

// onEmpty judges an empty value. An empty status must not pass even where it is
// optional: a destination may take it for a paid order (yandex-metrica §5.5).
func (f *Flow) onEmpty(m *machine, rec model.Record, c *column) Verdict {
	if c.Type == model.TypeStatus && c.sources[0].uses.status && m.env.Status == "" {
		_, status := recordStatus(rec)
		if status == "" {
			return Verdict{Refuse, model.CauseStatusUnmapped, "the record has no status, so that none can be found for it"}
		}
		return Verdict{Refuse, model.CauseStatusUnmapped, fmt.Sprintf("status %s has no pair in statuses; add one and send the row again", f.statusText(m, rec))}
	}
	if c.required {
		return Verdict{Refuse, model.CauseMissingRequired, fmt.Sprintf("%s is required, and %s is empty in this record", c.Name, short(c.sources[0].source))}
	}
	return Verdict{Outcome: Send}
}

// statusText names a status for people: "C1:NEW «Новая» of pipeline 1".
func (f *Flow) statusText(m *machine, rec model.Record) string {
	pipeline, status := recordStatus(rec)
	base := rec.Meta()
	text := short(status)
	if name := m.env.catalogue.StatusName(base.Connection, base.Kind, pipeline, status); name != "" {
		text += " «" + short(name) + "»"
	}
	if pipeline != "" {
		text += " of pipeline " + short(pipeline)
	}
	return text
}

// Columns are the row's values in their order.
func (f *Flow) Columns() []model.Column {
	columns := make([]model.Column, len(f.columns))
	for i, c := range f.columns {
		columns[i] = c.Column
	}
	return columns
}

// Mode is the flow's mode: the one that is set, or the destination's first.
func (f *Flow) Mode() string { return f.mode }

// ClientType is the flow's client type, CONTACT unless it says otherwise; empty
// for destinations that have none.
func (f *Flow) ClientType() string { return f.clientType }

// Related are the kinds of relations that the flow looks at.
func (f *Flow) Related() []model.Kind { return slices.Clone(f.related) }

// Statuses is the flow's status scheme.
func (f *Flow) Statuses() []model.StatusPair { return slices.Clone(f.spec.Statuses) }

// NamedStatuses is the status scheme with the sources' names of statuses where
// the flow gives none.
func (f *Flow) NamedStatuses(cat Catalogue) []model.StatusPair {
	pairs := f.Statuses()
	for i := range pairs {
		pairs[i].Name = f.statusName(pairs[i], cat)
	}
	return pairs
}

func (f *Flow) statusName(pair model.StatusPair, cat Catalogue) string {
	if pair.Name != "" || cat == nil {
		return pair.Name
	}
	pipeline, status, divided := strings.Cut(pair.CRM, ":")
	for _, connection := range f.spec.From {
		if divided {
			if name := cat.StatusName(connection, f.spec.Record, pipeline, status); name != "" {
				return name
			}
		}
		if name := cat.StatusName(connection, f.spec.Record, "", pair.CRM); name != "" {
			return name
		}
	}
	return pair.CRM
}

// RowKeyFor is the key that the flow's row of the record with this id has, as
// long as the map takes the key from the record's id.
func (f *Flow) RowKeyFor(connection, id string) string {
	if f.prefix && id != "" {
		return connection + ":" + id
	}
	return id
}
