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
	"FROM memories WHERE name = ?":             "a few rows for each connection, on a change of the key",
	"FROM leases WHERE holder <> '' AND until": "leases_held",
}

// found names the plans of queries that are run often or over much.
var found = []struct{ statement, step string }{
	{"FROM journal WHERE project = ? AND connection = ? AND state = 0 ORDER BY id", "SEARCH journal USING INDEX journal_new (state=? AND project=? AND connection=?)"},
	{"FROM journal WHERE project = ? AND received_at < ? ORDER BY received_at DESC LIMIT 1", "COVERING INDEX journal_received (project=? AND received_at<?)"},
	{"FROM journal WHERE project = ? AND connection = ? AND received_at >= ? AND received_at < ? AND id > ? AND id < ? ORDER BY", "journal_list (project=? AND id>? AND id<?)"},
	{"FROM journal WHERE project = ? AND received_at >= ? GROUP BY", "journal_received (project=? AND received_at>?)"},
	{"FROM refs WHERE project = ? AND connection = ? AND due_at <= ?", "refs_due (project=? AND connection=? AND due_at<?)"},
	{"FROM records r WHERE r.project = ? AND r.seq > ? AND r.seq <= ?", "records_feed (project=? AND seq>? AND seq<?)"},
	{"r.contact_id = c.id", "SEARCH c USING INDEX records_feed (project=? AND seq>? AND seq<?)"},
	{"r.contact_id = c.id", "records_contact (project=? AND connection=? AND contact_id=? AND kind=?)"},
	{"r.company_id = c.id", "records_company (project=? AND connection=? AND company_id=? AND kind=?)"},
	{"FROM deliveries d CROSS JOIN records r WHERE d.project = ? AND d.flow = ? AND d.kind = ?", "SEARCH d USING INDEX deliveries_due (project=? AND flow=? AND wanted_seq>? AND wanted_seq<?)"},
	{"FROM deliveries WHERE project = ? AND flow = ? AND wanted_seq > 0", "deliveries_due (project=? AND flow=? AND wanted_seq>?)"},
	{"FROM deliveries WHERE project = ? AND flow = ? AND hold_until > 0", "COVERING INDEX deliveries_held (project=? AND flow=? AND hold_until>?"},
	{"FROM deliveries WHERE project = ? AND flow = ? AND state > 2 GROUP BY state", "COVERING INDEX deliveries_aside (project=? AND flow=? AND state>?)"},
	{"AND d.state = 3 AND d.state > 2 ORDER BY", "deliveries_aside (project=? AND flow=? AND state=?)"},
	{"AND d.row_key = v.row_key", "deliveries_row (project=? AND flow=? AND row_key=?)"},
	{"WHERE deliveries.number = ?1", "PRIMARY KEY (rowid=?)"},
	{"state = 5 AND needs IN", "deliveries_needs (project=? AND flow=? AND needs=?)"},
	{"FROM upload_rows u CROSS JOIN deliveries d CROSS JOIN records r", "SEARCH u USING PRIMARY KEY (upload_id=? AND position>?)"},
	{"FROM upload_rows u CROSS JOIN deliveries d WHERE", "SEARCH u USING PRIMARY KEY (upload_id=? AND position>?)"},
	{"UPDATE OR ROLLBACK deliveries SET state = CASE WHEN asked > u.upload_id", "SEARCH u USING PRIMARY KEY (upload_id=? AND position>? AND position<?)"},
	{"UPDATE OR ROLLBACK deliveries SET state = CASE WHEN asked > u.upload_id", "SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"},
	{"FROM deliveries d WHERE d.project = ? AND d.flow = ? AND d.connection IN", "(project=? AND flow=? AND connection=? AND id=?)"},
	{"AND d.state = 4 ORDER BY", "deliveries_refused (project=?)"},
	{"FROM uploads WHERE status IN ('building'", "uploads_open"},
	{"FROM uploads WHERE project = ? AND flow = ?", "uploads_flow (project=? AND flow=?)"},
	{"FROM promises WHERE project = ? AND connection = ? AND link_id", "promises_linked (project=? AND connection=?)"},
}

var (
	growing  = regexp.MustCompile(`^SCAN (journal|records|r|c|refs|deliveries|d|u|upload_rows|uploads|promises|snapshots|audit|sessions|usage|memories)\b`)
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
	seen := map[string]bool{}
	for _, statement := range slices.Sorted(maps.Keys(statements)) {
		steps := explain(t, pool, statement)
		checkFound(t, statement, steps, seen)
		for _, step := range steps {
			if (growing.MatchString(step) || ownIndex.MatchString(step)) && !allowed(statement) {
				t.Errorf("%s\n  %s", strings.Join(strings.Fields(statement), " "), step)
			}
		}
	}
	for _, want := range found {
		if !seen[want.statement] {
			t.Errorf("no statement holds %q", want.statement)
		}
	}
}

// checkFound compares a plan with what is written in found.
func checkFound(t *testing.T, statement string, steps []string, seen map[string]bool) {
	t.Helper()
	flat, plan := strings.Join(strings.Fields(statement), " "), strings.Join(steps, "\n  ")
	for _, want := range found {
		if strings.Contains(flat, want.statement) {
			seen[want.statement] = true
			if !strings.Contains(plan, want.step) {
				t.Errorf("%s\n  %s\nwant %s", flat, plan, want.step)
			}
		}
	}
	// A row of v leads to a row of the table.
	if (strings.HasPrefix(flat, "WITH v(") && !strings.Contains(flat, "INSERT") || strings.Contains(flat, "?1")) &&
		!regexp.MustCompile(`SEARCH \w+ USING .*\((\w+=\? AND \w+=\? AND \w+=\?.*|rowid=\?|upload_id=\? AND position=\?)\)`).MatchString(plan) {
		t.Errorf("%.400s\n  %s", flat, plan)
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
	args := make([]any, strings.Count(statement, "?")+20) // those with numbers leave some out
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
