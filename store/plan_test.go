package store_test

import (
	"database/sql"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/svod-hub/svod/store"
	"github.com/svod-hub/svod/store/storetest"
)

// readThrough names the statements that may read through a whole index, and why.
var readThrough = map[string]string{
	"FROM journal WHERE state = 0 GROUP BY":    "journal_new holds only what waits",
	"FROM refs WHERE due_at <= ?":              "refs holds only what waits",
	"FROM uploads WHERE status IN":             "uploads_open holds only open uploads",
	"FROM uploads ORDER BY id DESC LIMIT ?":    "the newest rows",
	"FROM journal ORDER BY id DESC LIMIT ?":    "the newest rows",
	"FROM flows":                               "one row for each flow",
	"FROM polls":                               "one row for each stream",
	"FROM connections":                         "one row for each connection",
	"SELECT name FROM users":                   "few",
	"FROM audit ORDER BY id DESC LIMIT ?":      "the newest rows",
	"FROM goose_db_version":                    "one row for each migration",
	"FROM leases WHERE holder <> '' AND until": "leases_held",
}

var (
	growing  = regexp.MustCompile(`^SCAN (journal|records|r|c|refs|deliveries|d|b|uploads|promises|snapshots|audit|sessions|usage|memories)\b`)
	ownIndex = regexp.MustCompile(`AUTOMATIC`)
)

// Every statement that the suite makes SQLite run is explained, so a query
// without its index is found here and not on a customer's machine.
func TestSQLitePlans(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	statements := map[string]bool{}
	t.Run("suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T, opts store.Options) *store.DB {
			db := openSQLite(t, opts)
			t.Cleanup(func() {
				mu.Lock()
				defer mu.Unlock()
				for _, statement := range db.Statements() {
					statements[statement] = true
				}
			})
			return db
		})
	})
	if len(statements) < 100 {
		t.Fatalf("only %d statements were seen", len(statements))
	}
	path := filepath.Join(t.TempDir(), "plans.db")
	db, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, statement := range slices.Sorted(maps.Keys(statements)) {
		for _, step := range explain(t, pool, statement) {
			if (growing.MatchString(step) || ownIndex.MatchString(step)) && !allowed(statement) {
				t.Errorf("%s\n  %s", strings.Join(strings.Fields(statement), " "), step)
			}
		}
	}
}

func allowed(statement string) bool {
	flat := strings.Join(strings.Fields(statement), " ")
	for part := range readThrough {
		if strings.Contains(flat, part) {
			return true
		}
	}
	return false
}

func explain(t *testing.T, pool *sql.DB, statement string) []string {
	t.Helper()
	args := make([]any, strings.Count(statement, "?"))
	rows, err := pool.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Errorf("%s: %v", statement, err)
		return nil
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
