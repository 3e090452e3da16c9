package yandexmetrica

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/currency"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// keyParameter is the parameter that names a row for us. Conversions, calls and
// the like have no id at Metrica (yandex-metrica §11): it is not written into
// the file.
const keyParameter = "id"

func keyOf() model.Parameter {
	return model.Parameter{Name: keyParameter, Type: model.TypeID, Required: true,
		Doc: "What tells the row from others here; a record's id. It is not sent."}
}

// sheet is a kind of file besides those of the CRM data: each has a list of its
// uploads, and a comment by which ours are found in it.
type sheet struct {
	as    string
	path  string            // to upload to
	query map[string]string // that goes with it always
	list  string            // of uploads
	one   string            // upload, with its id behind
	// rules makes the checks of the rows of one file and says which columns it has
	// besides the mapped ones.
	rules func(context.Context, *Connector, connectors.Upload, flowOptions) (rules, error)
}

// rules are what is particular to one kind of file.
type rules struct {
	// extra are columns that the flow's options fill.
	extra []string
	// finish completes and checks a row.
	finish func(*cells) *model.Error
	// target makes sure that a goal exists; nil where there is none.
	target func(identifier string) error
	// long: the rows are user parameters (§9), in one line each when wide.
	long, wide bool
	// phone is how callers' numbers are written.
	phone string
}

const offlinePath = "/offline_conversions/"

func sheetOf(as string) (sheet, bool) {
	switch as {
	case asConversions:
		return sheet{as: as, path: offlinePath + "upload", query: map[string]string{"type": "BASIC"},
			list: offlinePath + "uploadings", one: offlinePath + "uploading/", rules: conversionRules}, true
	case asCalls:
		return sheet{as: as, path: offlinePath + "upload_calls",
			list: offlinePath + "calls_uploadings", one: offlinePath + "calls_uploading/", rules: callRules}, true
	case asChats:
		return sheet{as: as, path: offlinePath + "upload", query: map[string]string{"type": "CHATS"},
			list: offlinePath + "uploadings", one: offlinePath + "uploading/", rules: chatRules}, true
	case asUserParams:
		return sheet{as: as, path: "/user_params/uploadings/upload",
			list: "/user_params/uploadings", one: "/user_params/uploading/", rules: userParamRules}, true
	case asExpenses:
		return sheet{as: as, path: "/expense/upload",
			list: "/expense/uploadings", one: "/expense/uploading/", rules: expenseRules}, true
	}
	return sheet{}, false
}

func (c *Connector) managementPath(rest string) string {
	return "/management/v1/counter/" + c.Counter + rest
}

// cells are the values of one row, by the names of the file's columns.
type cells struct {
	at     map[string]int
	values []any
}

func (c *cells) get(name string) any {
	if i, ok := c.at[name]; ok {
		return c.values[i]
	}
	return nil
}

func (c *cells) set(name string, v any) {
	if i, ok := c.at[name]; ok {
		c.values[i] = v
	}
}

func (c *cells) has(name string) bool { return filled(c.get(name)) }

func (c *cells) text(name string) string {
	s, _ := c.get(name).(string)
	return strings.TrimSpace(s)
}

// encodeSheet begins the file of §15.1: the mapped columns in canonical order.
func (c *Connector) encodeSheet(ctx context.Context, s sheet, u connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	options, errs := readOptions(u.As, u.Options)
	if len(errs) > 0 {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "flow: %w", errs[0])
	}
	r, err := s.rules(ctx, c, u, options)
	if err != nil {
		return nil, err
	}
	columns, err := sheetColumns(u, r.extra)
	if err != nil {
		return nil, err
	}
	sw := &sheetWriter{output: newOutput(u.As, w), columns: columns, rules: r, cell: sheetCell{now: c.now(), phone: r.phone}}
	sw.cells = cells{at: map[string]int{}, values: make([]any, len(columns))}
	for i, col := range columns {
		sw.cells.at[col.name] = i
	}
	if r.long {
		return &longWriter{sheetWriter: sw, identifier: u.Group}, nil
	}
	sw.head()
	return sw, nil
}

// sheetColumns puts columns into canonical order and leaves out the hidden key.
func sheetColumns(u connectors.Upload, extra []string) ([]column, error) {
	schema, ok := schemaOf(u.As)
	if !ok {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "Metrica takes no %q", u.As)
	}
	at := map[string]int{}
	for i, col := range u.Columns {
		if _, twice := at[col.Name]; twice {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "parameter %s is mapped twice", col.Name)
		}
		at[col.Name] = i
	}
	filledByOption := map[string]bool{}
	for _, name := range extra {
		filledByOption[name] = true
	}
	var out []column
	for _, p := range schema.Parameters {
		i, mapped := at[p.Name]
		delete(at, p.Name)
		switch {
		case p.Name == schema.Key:
			continue
		case mapped:
		case filledByOption[p.Name]:
			i = -1
		case p.Required:
			return nil, model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "%s need the parameter %s; map it", u.As, p.Name)
		default:
			continue
		}
		out = append(out, column{name: p.Name, typ: p.Type, index: i, required: p.Required})
	}
	for i, col := range u.Columns {
		if _, left := at[col.Name]; !left {
			continue
		}
		if !col.Attribute || !schema.Attributes {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "%s have no parameter %s; remove it from the map", u.As, col.Name)
		}
		if !wordLike(col.Name) {
			return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "attribute %.80q: names consist of 1 to 255 Latin letters, digits, _, - and :", col.Name)
		}
		out = append(out, column{name: col.Name, typ: col.Type, index: i})
	}
	return out, nil
}

// sheetWriter encodes rows of a sheet, one line each.
type sheetWriter struct {
	output
	columns []column
	rules   rules
	cells   cells
	cell    sheetCell
}

func (w *sheetWriter) head() {
	for i, col := range w.columns {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, col.name...)
	}
	w.buf = append(w.buf, '\n')
}

// Write implements connectors.RowWriter.
func (w *sheetWriter) Write(row *model.Row) error {
	if w.failed != nil {
		return w.failed
	}
	if err := w.fill(row); err != nil {
		return err
	}
	mark := len(w.buf)
	for i := range w.columns {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		buf, err := w.cell.append(w.buf, &w.columns[i], w.cells.values[i])
		if err != nil {
			w.buf = w.buf[:mark]
			return err
		}
		w.buf = buf
	}
	w.buf = append(w.buf, '\n')
	return w.keep(mark)
}

// fill takes the values of a row and has them completed and checked.
func (w *sheetWriter) fill(row *model.Row) error {
	for i := range w.columns {
		col := &w.columns[i]
		w.cells.values[i] = nil
		if col.index < 0 {
			continue
		}
		if col.index >= len(row.Values) {
			return w.fail(model.Errorf(model.ClassTemporary, model.CauseInternal, "a row has %d values, parameter %s is number %d", len(row.Values), col.name, col.index+1))
		}
		w.cells.values[i] = row.Values[col.index]
	}
	if e := w.rules.finish(&w.cells); e != nil {
		return e
	}
	for i := range w.columns {
		if w.columns[i].required && !filled(w.cells.values[i]) {
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "parameter %s is empty; Metrica requires it", w.columns[i].name)
		}
	}
	if w.rules.target == nil {
		return nil
	}
	err := w.rules.target(w.cells.text("Target"))
	if err != nil && model.ClassOf(err) != model.ClassPermanent {
		return w.fail(err)
	}
	return err
}

// Close implements connectors.RowWriter.
func (w *sheetWriter) Close() error {
	if done, err := w.ended(); done {
		return err
	}
	return w.finish()
}

// sheetCell writes values as the management interface wants them: moments in
// Unix seconds, flags as 0 and 1, phones with a plus (§6.1, §7).
type sheetCell struct {
	now   time.Time
	phone string
}

func (c sheetCell) append(buf []byte, col *column, v any) ([]byte, error) {
	if !filled(v) {
		return buf, nil
	}
	switch v := v.(type) {
	case time.Time:
		return c.appendUnix(buf, col, v)
	case bool:
		if v {
			return append(buf, '1'), nil
		}
		return append(buf, '0'), nil
	case int64:
		if v < 0 {
			return buf, refuse(col, model.CauseBadValue, "a negative number")
		}
	case string:
		switch col.typ {
		case model.TypePhone:
			return c.appendPhone(buf, col, strings.TrimSpace(v))
		case model.TypeCurrency:
			// Of a currency that is not supported the price is lost too (§6.1).
			if _, err := currency.ParseISO(strings.TrimSpace(v)); err != nil {
				return buf, refuse(col, model.CauseCurrency, "not an ISO 4217 code such as RUB")
			}
		}
	case []string:
		if col.typ == model.TypeClientIDs {
			return appendList(buf, col, firstOf(v))
		}
	}
	plain := cell{zone: time.UTC}
	return plain.append(buf, col, v)
}

// firstOf gives the first value that is not empty: the columns of a visitor hold
// one.
func firstOf(values []string) []string {
	for i, v := range values {
		if strings.TrimSpace(v) != "" {
			return values[i : i+1]
		}
	}
	return nil
}

// maxUnixSeconds is beyond the year 5000: a number above it was milliseconds.
const maxUnixSeconds = 100_000_000_000

// appendUnix writes Unix seconds. A moment in the future makes the whole file
// fail (§6.1).
func (c sheetCell) appendUnix(buf []byte, col *column, t time.Time) ([]byte, error) {
	seconds := t.Unix()
	switch {
	case seconds <= 0:
		return buf, refuse(col, model.CauseBadValue, "the time is before 1970; correct it in the source")
	case seconds >= maxUnixSeconds:
		return buf, refuse(col, model.CauseBadValue, "the time is far in the future: milliseconds instead of seconds?")
	case t.After(c.now):
		return buf, refuse(col, model.CauseBadValue, "the time is in the future, for which Metrica refuses the whole file; check the source's clock and time zone")
	}
	return strconv.AppendInt(buf, seconds, 10), nil
}

func (c sheetCell) appendPhone(buf []byte, col *column, digits string) ([]byte, error) {
	if !phoneLike(digits) {
		return buf, refuse(col, model.CauseBadValue, "not a phone of 10 to 15 digits with country code")
	}
	buf = append(buf, '+')
	kept := digits[:len(digits)-hiddenDigits]
	switch c.phone {
	case phoneCut:
		return append(buf, kept...), nil
	case phoneMasked:
		return append(append(buf, kept...), "**"...), nil
	}
	return append(buf, digits...), nil
}
