package store

import (
	"context"
	"database/sql"
)

// Memory is one thing that Remember kept.
type Memory struct {
	Project    string
	Connection string
	Value      string
}

// Memories lists what all connections keep under a name: to encrypt it again. It
// reads through the table, which has a few rows for each connection.
func (db *DB) Memories(ctx context.Context, name string) ([]Memory, error) {
	var out []Memory
	err := db.read("list what is remembered as "+name, func(s *session) (err error) {
		out, err = list(ctx, s, func(rows *sql.Rows, m *Memory) error { return rows.Scan(&m.Project, &m.Connection, &m.Value) },
			"SELECT project, connection, value FROM memories WHERE name = ? ORDER BY project, connection", name)
		return err
	})
	return out, err
}

// ReplaceMemory puts a value in the place of another one, unless that has
// changed meanwhile; then the answer is false.
func (db *DB) ReplaceMemory(ctx context.Context, project, connection, name, before, after string) (bool, error) {
	n := 0
	err := db.write(ctx, "replace "+name+" of connection "+connection, func(s *session) (err error) {
		n, err = s.exec(ctx, "UPDATE memories SET value = ? WHERE project = ? AND connection = ? AND name = ? AND value = ?",
			after, project, connection, name, before)
		return err
	})
	return n == 1, err
}
