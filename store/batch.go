package store

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// batch describes the rows that a statement takes all at once. The statement
// reads them from the table v, whose columns are given as "name type, …" with
// the types text, bigint and bytea.
//
// PostgreSQL gets one array for each column, whatever the number of rows.
// SQLite gets VALUES in chunks of few different sizes, so that the statements
// stay prepared; UPDATE … FROM v and DELETE … USING v become statements about
// one row. Joined with v, SQLite would make a temporary table each time, and
// might read all of its own to find the rows in it.
type batch struct {
	names []string
	types []string
	sizes []int // of SQLite's chunks, falling; the last is 1
	heads map[int]string
	array string
}

func newBatch(columns string, sizes ...int) *batch {
	b := &batch{sizes: append(sizes, 1), heads: map[int]string{}}
	for column := range strings.SplitSeq(columns, ",") {
		name, typ, ok := strings.Cut(strings.TrimSpace(column), " ")
		if !ok {
			panic("store: a column without a type: " + column)
		}
		b.names, b.types = append(b.names, name), append(b.types, typ)
	}
	head := "WITH v(" + strings.Join(b.names, ", ") + ") AS ("
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(b.names)), ",") + ")"
	for _, n := range b.sizes {
		b.heads[n] = head + "VALUES " + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + ") "
	}
	arrays := make([]string, len(b.types))
	for i, typ := range b.types {
		arrays[i] = "CAST(? AS " + typ + "[])"
	}
	b.array = head + "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")) "
	return b
}

// inserts are plain INSERTs of a few numbers of rows, for SQLite.
type inserts []insert

type insert struct {
	rows int
	stmt string
}

// newInserts names the columns with commas between them.
func newInserts(table, columns string) inserts {
	row := "(?" + strings.Repeat(",?", strings.Count(columns, ",")) + ")"
	var all inserts
	for _, n := range []int{8, 4, 2, 1} { // longer ones are slower to bind than they save
		all = append(all, insert{rows: n, stmt: "INSERT INTO " + table + " (" + columns + ") VALUES " + row + strings.Repeat(","+row, n-1)})
	}
	return all
}

// upTo gives the largest that inserts at most n rows; n is at least 1.
func (all inserts) upTo(n int) (int, string) {
	for _, i := range all {
		if i.rows <= n {
			return i.rows, i.stmt
		}
	}
	return 0, ""
}

// rows collects the rows of a batch, one after another.
type rows struct {
	b    *batch
	flat []any
}

func (b *batch) rows(n int) *rows { return &rows{b: b, flat: make([]any, 0, n*len(b.names))} }

func (r *rows) add(values ...any) { r.flat = append(r.flat, values...) }

func (r *rows) len() int { return len(r.flat) / len(r.b.names) }

// each runs do for every chunk: the statement's head, the chunk's arguments and
// the numbers of its first row and of the row after its last.
func (r *rows) each(d dialect, do func(head string, args []any, from, to int) error) error {
	n, width := r.len(), len(r.b.names)
	if n == 0 {
		return nil
	}
	if d.postgres {
		args, err := r.arrays(d)
		if err != nil {
			return err
		}
		return do(r.b.array, args, 0, n)
	}
	for from := 0; from < n; {
		for _, size := range r.b.sizes {
			if n-from < size {
				continue
			}
			if err := do(r.b.heads[size], r.flat[from*width:(from+size)*width:(from+size)*width], from, from+size); err != nil {
				return err
			}
			from += size
			break
		}
	}
	return nil
}

func (r *rows) arrays(d dialect) ([]any, error) {
	n, width := r.len(), len(r.b.names)
	out := make([]any, width)
	for c, typ := range r.b.types {
		var err error
		switch typ {
		case "text":
			out[c], err = column[string](d, r.flat, c, width, n)
		case "bigint":
			out[c], err = column[int64](d, r.flat, c, width, n)
		default:
			out[c], err = column[[]byte](d, r.flat, c, width, n)
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", r.b.names[c], err)
		}
	}
	return out, nil
}

func column[T any](d dialect, flat []any, c, width, n int) ([]T, error) {
	out := make([]T, n)
	for i := range n {
		arg := d.arg(flat[i*width+c])
		if arg == nil {
			continue
		}
		v, ok := arg.(T)
		if !ok {
			return nil, fmt.Errorf("holds a %T", arg)
		}
		out[i] = v
	}
	return out, nil
}

var (
	rowTable  = regexp.MustCompile(`\s(FROM|USING) v\b`)
	rowColumn = regexp.MustCompile(`\bv\.(\w+)`)
)

// single renders an UPDATE or DELETE for one row of v, for SQLite.
func (b *batch) single(stmt string) string {
	rest := len(b.names)
	var out strings.Builder
	for i, part := range strings.Split(rowTable.ReplaceAllString(stmt, ""), "?") {
		if i > 0 {
			rest++
			fmt.Fprintf(&out, "?%d", rest)
		}
		out.WriteString(rowColumn.ReplaceAllStringFunc(part, func(column string) string {
			return fmt.Sprintf("?%d", slices.Index(b.names, column[len("v."):])+1)
		}))
	}
	return out.String()
}

// execSingly runs an UPDATE or DELETE row by row.
func (s *session) execSingly(ctx context.Context, r *rows, stmt string, args []any) (int, error) {
	stmt = s.d.remember(strings.Join(r.b.names, ",")+" "+stmt, func() string { return r.b.single(stmt) })
	total, width := 0, len(r.b.names)
	row := make([]any, width, width+len(args))
	for from := 0; from < len(r.flat); from += width {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		copy(row, r.flat[from:from+width])
		n, err := s.exec(context.WithoutCancel(ctx), stmt, append(row, args...)...)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// execEach runs a statement over all rows and says how many rows it changed.
func (s *session) execEach(ctx context.Context, r *rows, stmt string, args ...any) (int, error) {
	if !s.d.postgres && !strings.HasPrefix(stmt, "INSERT") {
		return s.execSingly(ctx, r, stmt, args)
	}
	total := 0
	err := r.each(s.d, func(head string, chunk []any, _, _ int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		// A chunk is short: it is not worth watching the context during it.
		n, err := s.exec(context.WithoutCancel(ctx), head+stmt, append(chunk, args...)...)
		total += n
		return err
	})
	return total, err
}

// insertEach inserts all rows as they are. Tail is what follows: ON CONFLICT….
// SQLite gets plain VALUES: a table v in front of them takes longer than the
// rows.
func (s *session) insertEach(ctx context.Context, r *rows, table, tail string) error {
	columns := strings.Join(r.b.names, ", ")
	if s.d.postgres {
		_, err := s.execEach(ctx, r, "INSERT INTO "+table+" ("+columns+") SELECT "+columns+" FROM v WHERE true"+tail)
		return err
	}
	row := "(?" + strings.Repeat(",?", len(r.b.names)-1) + ")"
	width := len(r.b.names)
	for rest := r.flat; len(rest) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 1
		if len(rest) >= plainRows*width {
			n = plainRows
		}
		key := fmt.Sprint(n, table, tail)
		stmt := s.d.remember(key, func() string {
			return "INSERT INTO " + table + " (" + columns + ") VALUES " + row + strings.Repeat(","+row, n-1) + tail
		})
		// The driver watches a context with a goroutine for each statement.
		if _, err := s.exec(context.WithoutCancel(ctx), stmt, rest[:n*width]...); err != nil {
			return err
		}
		rest = rest[n*width:]
	}
	return nil
}

// plainRows is how many rows SQLite gets at a time; more are slower to bind than
// they save.
const plainRows = 8

// queryEach runs a query over all rows.
func (s *session) queryEach(ctx context.Context, r *rows, scan func(*sql.Rows) error, stmt string, args ...any) error {
	return r.each(s.d, func(head string, chunk []any, _, _ int) error {
		return s.query(ctx, scan, head+stmt, append(chunk, args...)...)
	})
}
