package store

import (
	"context"
	"database/sql"
	"strings"
)

// UsageOf lists a day's totals of everything whose name begins so. Index: primary
// key.
func (db *DB) UsageOf(ctx context.Context, prefix, day string) (map[string]int, error) {
	out := map[string]int{}
	err := db.read("list the uses of "+prefix, func(s *session) error {
		return s.query(ctx, func(rows *sql.Rows) error {
			var name string
			var count int
			if err := rows.Scan(&name, &count); err != nil {
				return err
			}
			if strings.HasPrefix(name, prefix) {
				out[name] = count
			}
			return nil
		}, "SELECT name, count FROM usage WHERE name >= ? AND name < ? AND day = ?", prefix, prefix+"\U0010FFFF", day)
	})
	return out, err
}
