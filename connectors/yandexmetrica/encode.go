package yandexmetrica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// column is one cell of each row.
type column struct {
	name     string
	typ      model.ValueType
	index    int    // into Row.Values; -1: constant
	constant string // ready to be written
	required bool
	check    func(string) *model.Error // of an order_status
}

// Group implements connectors.Uploader. Under SAVE every mapped column is
// written, so that all rows go together. What an empty cell means under UPDATE
// and APPEND is not documented (yandex-metrica §15.1, §19.15): there rows share a
// file only with rows that fill the same columns, and the file holds no others.
//
// User parameters of a file have one kind of identifier (§9).
func (c *Connector) Group(u connectors.Upload, row *model.Row) string {
	if u.As == asUserParams {
		return identifierOf(u.Columns, row)
	}
	if saves(u.Mode) {
		return ""
	}
	return filledSet(row)
}

func saves(mode string) bool { return mode == "" || mode == modeSave }

// filledSet is a text of one 0 or 1 for each value.
func filledSet(row *model.Row) string {
	var room [64]byte
	set := room[:0]
	for _, v := range row.Values {
		if filled(v) {
			set = append(set, '1')
		} else {
			set = append(set, '0')
		}
	}
	return string(set)
}

// Encode implements connectors.Uploader. The file is the canonical one of §15.1.
func (c *Connector) Encode(ctx context.Context, u connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	if s, ok := sheetOf(u.As); ok {
		return c.encodeSheet(ctx, s, u, w)
	}
	if u.As == asEvents {
		return c.encodeEvents(u, w)
	}
	columns, err := columnsOf(u)
	if err != nil {
		return nil, err
	}
	zone, err := c.location(ctx)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", u.As, err)
	}
	rw := &rowWriter{output: newOutput(u.As, w), all: columns, cell: cell{zone: zone}, group: u.Group, byGroup: !saves(u.Mode)}
	if !rw.byGroup {
		rw.begin(columns)
	} else if u.Group != "" {
		rw.begin(filledColumns(columns, u.Group))
	}
	return rw, nil
}

// columnsOf puts the flow's columns into canonical order and adds the constant
// ones.
func columnsOf(u connectors.Upload) ([]column, error) {
	schema, ok := schemaOf(u.As)
	if !ok {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "Metrica takes no %q; use %s", u.As, strings.Join(uploadKinds(), ", "))
	}
	if u.Mode != "" && !slices.Contains(schema.Modes, u.Mode) {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "mode %q is not one of %s", u.Mode, strings.Join(schema.Modes, ", "))
	}
	at := map[string]int{}
	for i, col := range u.Columns {
		if _, twice := at[col.Name]; twice {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "parameter %s is mapped twice", col.Name)
		}
		at[col.Name] = i
	}
	var out []column
	for _, p := range schema.Parameters {
		i, mapped := at[p.Name]
		if !mapped && p.Required {
			return nil, model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "%s need the parameter %s; map it", u.As, p.Name)
		}
		if mapped {
			out = append(out, column{name: p.Name, typ: p.Type, index: i, required: p.Required, check: statusCheck(u.As, p)})
			delete(at, p.Name)
		}
		if u.As == asOrders && p.Name == "client_uniq_id" {
			typ, err := clientType(u.ClientType)
			if err != nil {
				return nil, err
			}
			out = append(out, column{name: "client_type", index: -1, constant: typ})
		}
	}
	for i, col := range u.Columns {
		if _, left := at[col.Name]; !left {
			continue
		}
		if !col.Attribute || !schema.Attributes {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "%s have no parameter %s; remove it from the map", u.As, col.Name)
		}
		if !wordLike(col.Name) || col.Name == "client_type" {
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "attribute %.80q: names consist of 1 to 255 Latin letters, digits, _, - and :", col.Name)
		}
		out = append(out, column{name: col.Name, typ: col.Type, index: i})
	}
	return out, nil
}

// clientType checks a flow's client_type (§5.4; COMPANY is not documented but
// offered by others, so that Metrica decides).
func clientType(t string) (string, error) {
	switch t {
	case "":
		return "CONTACT", nil
	case "CONTACT", "COMPANY":
		return t, nil
	}
	return "", model.Errorf(model.ClassPermanent, model.CauseBadValue, "client_type %q is neither CONTACT nor COMPANY", t)
}

// filledColumns keeps the required ones too: every mode needs them (§5.2), so
// that a row without one is refused rather than the file.
func filledColumns(all []column, group string) []column {
	var out []column
	for _, col := range all {
		if col.index < 0 || col.required || col.index < len(group) && group[col.index] == '1' {
			out = append(out, col)
		}
	}
	return out
}

// rowWriter encodes rows of contacts and orders.
type rowWriter struct {
	output
	all     []column
	columns []column // of this file
	cell    cell
	byGroup bool
	group   string
	begun   bool
}

func (w *rowWriter) begin(columns []column) {
	w.columns, w.begun = columns, true
	for i, col := range columns {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, col.name...)
	}
	w.buf = append(w.buf, '\n')
}

// Write implements connectors.RowWriter.
func (w *rowWriter) Write(row *model.Row) error {
	if w.failed != nil {
		return w.failed
	}
	if w.byGroup {
		set := filledSet(row)
		if w.group == "" {
			w.group = set
		}
		if set != w.group {
			return w.fail(model.Errorf(model.ClassTemporary, model.CauseInternal, "a row fills other columns than the upload that it was put into"))
		}
		if !w.begun {
			w.begin(filledColumns(w.all, w.group))
		}
	}
	mark := len(w.buf)
	if err := w.append(row); err != nil {
		w.buf = w.buf[:mark]
		return err
	}
	return w.keep(mark)
}

// append writes a row behind the buffer. The result is an untyped nil when all
// is well.
func (w *rowWriter) append(row *model.Row) error {
	identified := w.as != asSimpleOrders
	for i := range w.columns {
		col := &w.columns[i]
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if col.index < 0 {
			w.buf = append(w.buf, col.constant...)
			continue
		}
		if col.index >= len(row.Values) {
			return w.fail(model.Errorf(model.ClassTemporary, model.CauseInternal, "a row has %d values, parameter %s is number %d", len(row.Values), col.name, col.index+1))
		}
		before := len(w.buf)
		buf, err := w.cell.append(w.buf, col, row.Values[col.index])
		if err != nil {
			return err
		}
		w.buf = buf
		if len(buf) == before && col.required {
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "parameter %s is empty; Metrica requires it", col.name)
		}
		if len(buf) > before && identifies(col.typ) {
			identified = true
		}
	}
	if !identified {
		return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier, "no ClientID, e-mail or phone: Metrica cannot link the order to a visit")
	}
	w.buf = append(w.buf, '\n')
	return nil
}

// identifies reports whether a simple order may be linked by such a value (§5.5).
func identifies(t model.ValueType) bool {
	switch t {
	case model.TypeClientIDs, model.TypeEmails, model.TypePhones, model.TypeMD5s:
		return true
	}
	return false
}

// Close implements connectors.RowWriter.
func (w *rowWriter) Close() error {
	if done, err := w.ended(); done {
		return err
	}
	if !w.begun {
		w.begin(w.all)
	}
	return w.finish()
}

// cell writes values; zone is the counter's.
type cell struct {
	zone *time.Location
}
