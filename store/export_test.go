package store

// Statements lists what the database was asked, as it was asked. For the test
// of the query plans.
func (db *DB) Statements() []string {
	var out []string
	db.d.done.Range(func(_, statement any) bool {
		out = append(out, statement.(string))
		return true
	})
	return out
}
