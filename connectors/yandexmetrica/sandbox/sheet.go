package sandbox

import (
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// sheet is one kind of file that the management interface takes, column by
// column (§15.1).
type sheet struct {
	name    string // conversions, calls, chats, expenses
	columns []sheetColumn
	key     []string // the columns that tell rows apart
	extras  bool     // unknown columns are ignored: not all are documented (§8)
	// check says what is wrong with a row as a whole, or "".
	check func(row sheetValues) string
}

type sheetColumn struct {
	name     string
	other    string // another spelling that documents use (§6.1)
	form     form
	required bool
}

// sheetValues reads a row by column names.
type sheetValues struct {
	sheet  *sheet
	values []string // in the order of the sheet's columns
}

func (v sheetValues) get(name string) string {
	if i := v.sheet.index(name); i >= 0 {
		return v.values[i]
	}
	return ""
}

func (sh *sheet) index(name string) int {
	for i := range sh.columns {
		if sh.columns[i].name == name || sh.columns[i].other == name {
			return i
		}
	}
	return -1
}

// rowTable keeps the rows of one kind that a counter has taken.
type rowTable struct {
	sheet *sheet
	rows  map[string]storedRow // by key
}

// storedRow is a row in a few bytes: a million of them must fit.
type storedRow struct {
	packed string // "" when only keys are kept
	upload int64  // the last one that brought it
	times  uint32 // how often it came
	marks  marks
}

type marks uint8

const (
	visitorKnown marks = 1 << iota
	rowLinked
	goalFound
	staticCall
	directDuplicate
)

// readRow is a row of a file that is being read.
type readRow struct {
	key    string
	packed string
	target string // of conversions
	at     int64
	marks  marks
}

// sheetFile is a file as it was read: nothing of it is stored before all of it is
// found right.
type sheetFile struct {
	source  int // rows in the file
	columns []string
	rows    []readRow
	nulled  int // rows whose currency is not supported
	badURLs int
}

// readSheet checks and keeps a file of rows. A mistake refuses the file, or drops
// its row when the rules say so; the wrong values themselves are never told.
func (s *Sandbox) readSheet(file io.Reader, sh *sheet, facts known, into *sheetFile, take func(sheetValues, *readRow)) error {
	reader := csv.NewReader(file)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return badRequest{"invalid_uploading", "the file has no header"}
	}
	places, err := s.sheetHeader(slices.Clone(header), sh, into)
	if err != nil {
		return err
	}
	row := sheetValues{sheet: sh, values: make([]string, len(sh.columns))}
	for {
		record, err := reader.Read()
		if err == io.EOF {
			return nil
		}
		var parse *csv.ParseError
		if err != nil && !errors.As(err, &parse) {
			return badRequest{"invalid_parameter", "the body breaks off"}
		}
		if into.source++; into.source > facts.maxRows {
			return badRequest{"limit_exceeded", "the file has too many rows"}
		}
		why := ""
		if err != nil {
			why = parse.Err.Error()
		} else {
			why = row.fill(places, record, facts, into)
		}
		if why != "" && (err != nil || !facts.dropBad || strings.HasPrefix(why, futureTime)) {
			return badRequest{"invalid_uploading", fmt.Sprintf("line %d: %s", into.source, why)}
		}
		if why == "" {
			kept := readRow{key: row.key()}
			if facts.keepAll {
				kept.packed = pack(row.values)
			}
			take(row, &kept)
			into.rows = append(into.rows, kept)
		}
	}
}

// sheetHeader finds the place of each cell; -1 stands for columns that are
// ignored.
func (s *Sandbox) sheetHeader(header []string, sh *sheet, into *sheetFile) ([]int, error) {
	places := make([]int, len(header))
	for i, name := range header {
		places[i] = sh.index(name)
		switch {
		case places[i] < 0 && sh.extras:
			s.violated("no document names the column %.80q of %s", name, sh.name)
		case places[i] < 0:
			return nil, badRequest{"invalid_uploading", fmt.Sprintf("%s have no column %.80q", sh.name, name)}
		case slices.Contains(places[:i], places[i]):
			return nil, badRequest{"invalid_uploading", fmt.Sprintf("the header repeats %.80q", name)}
		default:
			into.columns = append(into.columns, sh.columns[places[i]].name)
		}
	}
	for _, col := range sh.columns {
		if col.required && !slices.Contains(into.columns, col.name) {
			return nil, badRequest{"invalid_uploading", fmt.Sprintf("the column %s is missing", col.name)}
		}
	}
	return places, nil
}

// fill takes the cells of a record and says what is wrong with them.
func (v sheetValues) fill(places []int, record []string, facts known, into *sheetFile) string {
	clear(v.values)
	for i, value := range record {
		if places[i] < 0 {
			continue
		}
		col := &v.sheet.columns[places[i]]
		switch {
		case !utf8.ValidString(value):
			return col.name + " is not UTF-8"
		case value == "":
			if col.required {
				return col.name + " is empty"
			}
		case facts.poison[value]:
			return "a value is not acceptable"
		case col.form == webAddress && !isWebAddress(value):
			into.badURLs++
		default:
			if why := facts.check(col.form, value); why != "" {
				return col.name + " " + why
			}
		}
		v.values[places[i]] = value
	}
	if currency := v.sheet.index("Currency"); currency >= 0 && v.values[currency] != "" && !isISO(v.values[currency]) {
		// Currency and sum become null (§6.1).
		into.nulled++
		v.values[currency] = ""
		if price := v.sheet.index("Price"); price >= 0 {
			v.values[price] = ""
		}
	}
	if v.sheet.check != nil {
		return v.sheet.check(v)
	}
	return ""
}

// key is what tells rows apart, in words: "ClientId=1;Target=order;DateTime=2".
func (v sheetValues) key() string {
	var b strings.Builder
	b.Grow(64)
	for _, name := range v.sheet.key {
		value := v.get(name)
		if value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name)
		b.WriteByte('=')
		b.WriteString(value)
	}
	return b.String()
}

// pack joins values so that unpack can tell them apart whatever they hold.
func pack(values []string) string {
	size := 0
	for _, v := range values {
		size += len(v) + 1
	}
	out := make([]byte, 0, size)
	for _, v := range values {
		out = binary.AppendUvarint(out, uint64(len(v)))
		out = append(out, v...)
	}
	return string(out)
}

func (sh *sheet) unpack(packed string) sheetValues {
	v := sheetValues{sheet: sh, values: make([]string, len(sh.columns))}
	rest := []byte(packed)
	for i := range v.values {
		n, used := binary.Uvarint(rest)
		if used <= 0 {
			break
		}
		v.values[i] = string(rest[used : used+int(n)])
		rest = rest[used+int(n):]
	}
	return v
}

// shown are the filled values by column.
func (v sheetValues) shown() map[string]string {
	out := map[string]string{}
	for i, value := range v.values {
		if value != "" {
			out[v.sheet.columns[i].name] = value
		}
	}
	return out
}
