package store

import (
	"context"
	"database/sql"
	"errors"
	"math/bits"
	"sync"

	"go.uber.org/zap"
)

// runner is what *sql.DB, *sql.Tx and our prepared variants have in common.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// session runs statements, inside a transaction or not. Statements are written
// once; see dialect.
type session struct {
	d   dialect
	run runner
	now int64 // unix microseconds; the same throughout a transaction
}

// exec runs a statement and says how many rows it changed.
func (s *session) exec(ctx context.Context, query string, args ...any) (int, error) {
	res, err := s.run.ExecContext(ctx, s.d.translate(query), s.d.args(args)...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// query runs a statement and hands each row to scan.
func (s *session) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.run.QueryContext(ctx, s.d.translate(query), s.d.args(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// get scans the only row, or returns ErrNotFound.
func (s *session) get(ctx context.Context, dest []any, query string, args ...any) error {
	found := false
	err := s.query(ctx, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(dest...)
	}, query, args...)
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

// list collects rows.
func list[T any](ctx context.Context, s *session, scan func(*sql.Rows, *T) error, query string, args ...any) ([]T, error) {
	var out []T
	err := s.query(ctx, func(rows *sql.Rows) error {
		var item T
		if err := scan(rows, &item); err != nil {
			return err
		}
		out = append(out, item)
		return nil
	}, query, args...)
	return out, err
}

// read runs fn outside a transaction: for functions of one statement.
func (db *DB) read(what string, fn func(*session) error) error {
	return translate(what, fn(&session{d: db.d, run: db.reading, now: micros(db.now())}))
}

// write runs fn in a transaction. Where the database broke it off in favour of
// another one it is run again, so fn must set its results anew each time.
func (db *DB) write(ctx context.Context, what string, fn func(*session) error) error {
	var err error
	for range writeAttempts {
		if db.d.postgres {
			err = db.writePostgres(ctx, fn)
		} else {
			err = db.writeSQLite(ctx, fn)
		}
		if !conflict(err) || ctx.Err() != nil {
			break
		}
	}
	return translate(what, err)
}

// writeOne is write for a single statement. PostgreSQL makes a transaction of it
// by itself, which saves two round trips.
func (db *DB) writeOne(ctx context.Context, what string, fn func(*session) error) error {
	if !db.d.postgres {
		return db.write(ctx, what, fn)
	}
	var err error
	for range writeAttempts {
		err = fn(&session{d: db.d, run: db.pool, now: micros(db.now())})
		if !conflict(err) || ctx.Err() != nil {
			break
		}
	}
	return translate(what, err)
}

// grown renews PostgreSQL's statistics of a table whenever a project has doubled
// what is in it. By itself PostgreSQL does so a minute later at best, and
// without statistics it joins large tables as if they held one row.
func (db *DB) grown(ctx context.Context, table string, from, to int64) {
	const worthwhile = 512
	if !db.d.postgres || to < worthwhile || bits.Len64(uint64(from)) == bits.Len64(uint64(to)) {
		return
	}
	if _, err := db.pool.ExecContext(ctx, "ANALYZE "+table); err != nil {
		db.log.Warn("statistics not renewed", zap.String("table", table), zap.Error(err))
	}
}

func (db *DB) writePostgres(ctx context.Context, fn func(*session) error) error {
	tx, err := db.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if err := fn(&session{d: db.d, run: tx, now: micros(db.now())}); err != nil {
		return err
	}
	return tx.Commit()
}

func (db *DB) writeSQLite(ctx context.Context, fn func(*session) error) (err error) {
	select {
	case db.turn <- struct{}{}:
		defer func() { <-db.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := db.writer.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // also after a panic
			_, back := db.writer.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			if err != nil && back != nil && !noTransaction(back) {
				err = errors.Join(err, back)
			}
		}
	}()
	if err := fn(&session{d: db.d, run: db.writer, now: micros(db.now())}); err != nil {
		return err
	}
	if _, err := db.writer.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return err
	}
	done = true
	return nil
}

// preparedConn is SQLite's writing connection with its prepared statements.
// Its user holds the turn.
type preparedConn struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (c *preparedConn) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := c.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = stmt
	return stmt, nil
}

// ExecContext implements runner.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements runner.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (c *preparedConn) close() error {
	for _, stmt := range c.stmts {
		stmt.Close()
	}
	return c.conn.Close()
}

// preparedPool is SQLite's readers with their prepared statements. The number
// of different statements is bounded by the code.
type preparedPool struct {
	pool  *sql.DB
	stmts sync.Map // query → *sql.Stmt
}

func (p *preparedPool) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := p.stmts.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := p.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if other, loaded := p.stmts.LoadOrStore(query, stmt); loaded {
		stmt.Close()
		return other.(*sql.Stmt), nil
	}
	return stmt, nil
}

// ExecContext implements runner.
func (p *preparedPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := p.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements runner.
func (p *preparedPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := p.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

func (p *preparedPool) close() {
	p.stmts.Range(func(_, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		return true
	})
}
