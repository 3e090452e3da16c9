package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/svod-hub/svod/model"
)

// dialect turns our statements into those of one database. Statements are
// written in what SQLite and PostgreSQL share, with these exceptions:
//
//	?             the next argument
//	IN LIST(?)    membership in a list argument
//	GREATEST, LEAST, FOR UPDATE as in PostgreSQL
//	HAS(a, ?)     whether the text a contains the argument
//	BYTESHAVE(a, ?)  the same for bytes
type dialect struct {
	postgres bool
	done     *sync.Map // statements translated before; their number is bounded by the code
}

// texts is a list argument.
type texts []string

var (
	toSQLite = strings.NewReplacer(
		"IN LIST(?)", "IN (SELECT value FROM json_each(?))",
		"GREATEST(", "max(",
		"LEAST(", "min(",
		" FOR UPDATE", "",
		"DO UPDATE ", "DO UPDATE ",
		// A failed statement ends the transaction anyway. Told so, SQLite does not
		// keep a second journal to undo the statement alone: a fourth of the time.
		"UPDATE ", "UPDATE OR ROLLBACK ",
		"INSERT INTO ", "INSERT OR ROLLBACK INTO ",
		"BYTESHAVE(", "0 < instr(",
		"HAS(", "0 < instr(",
	)
	toPostgres = strings.NewReplacer(
		"IN LIST(?)", "= ANY(?)",
		"BYTESHAVE(", `0 < pg_catalog."position"(`,
		"HAS(", "0 < strpos(",
	)
)

// translate renders a statement for the database.
func (d dialect) translate(query string) string {
	return d.remember(query, func() string {
		if d.postgres {
			return number(toPostgres.Replace(query))
		}
		return toSQLite.Replace(query)
	})
}

// remember makes a text once.
func (d dialect) remember(key string, make func() string) string {
	if done, ok := d.done.Load(key); ok {
		return done.(string)
	}
	out := make()
	d.done.Store(key, out)
	return out
}

// number turns each ? into $1, $2…
func number(query string) string {
	var b strings.Builder
	b.Grow(len(query) + 32)
	n := 0
	for {
		i := strings.IndexByte(query, '?')
		if i < 0 {
			b.WriteString(query)
			return b.String()
		}
		n++
		b.WriteString(query[:i])
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		query = query[i+1:]
	}
}

// args prepares arguments in place.
func (d dialect) args(args []any) []any {
	for i, arg := range args {
		args[i] = d.arg(arg)
	}
	return args
}

func (d dialect) arg(arg any) any {
	switch v := arg.(type) {
	case string:
		return clean(v)
	case []byte:
		if len(v) == 0 {
			return nil
		}
	case time.Time:
		return micros(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case int:
		return int64(v)
	case texts:
		return d.list(v)
	case model.Kind:
		return clean(string(v))
	case model.Cause:
		return clean(string(v))
	case UploadStatus:
		return clean(string(v))
	case EntryState:
		return int64(v)
	case DeliveryState:
		return int64(v)
	}
	return arg
}

func (d dialect) list(values texts) any {
	cleaned := make([]string, len(values))
	for i, v := range values {
		cleaned[i] = clean(v)
	}
	if d.postgres {
		return cleaned
	}
	data, err := json.Marshal(cleaned)
	if err != nil { // strings always marshal
		panic(err)
	}
	return string(data)
}

// clean makes a text that both databases can hold: PostgreSQL takes neither
// zero bytes nor invalid UTF-8. Foreign ids and error texts may have both.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// micros renders a time for the database; a zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment is the reverse of micros.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// timeAt lets Scan fill in a time.
type timeAt struct{ t *time.Time }

// Scan implements sql.Scanner.
func (a timeAt) Scan(src any) error {
	us, ok := src.(int64)
	if !ok {
		us = 0
	}
	*a.t = moment(us)
	return nil
}
