package store

import (
	"context"
	"fmt"
	"sync"
)

// Statements lists what the database was asked, as it was asked. For the test
// of the query plans.
func (db *DB) Statements() []string {
	var out []string
	db.d.done.Range(func(key, statement any) bool {
		if _, intermediate := db.d.done.Load(statement); !intermediate || key == statement {
			out = append(out, statement.(string))
		}
		return true
	})
	return out
}

// FillDisk makes SQLite's writer find the disk full until it is called with
// false.
func (db *DB) FillDisk(ctx context.Context, full bool) error {
	pages := 1 << 30
	if full {
		pages = 1 // the file stays as large as it is
	}
	_, err := db.writer.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	return err
}

// Translate renders a statement for a database.
func Translate(postgres bool, query string) string {
	return dialect{postgres: postgres, done: new(sync.Map)}.translate(query)
}

// Fail classifies a driver's error.
func Fail(err error) error { return translate("do the work", err) }

// Clean makes a text that both databases can hold.
func Clean(s string) string { return clean(s) }

// PromisedNumber reads a promised order id.
func PromisedNumber(orderID string) (int64, bool) { return promisedNumber(orderID) }
