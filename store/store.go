// Package store is the database: SQLite and PostgreSQL behind one set of
// functions. It keeps the journal, the records with their change numbers, the
// deliveries and uploads, and everything else that must survive a restart.
//
// Every exported method of DB is one transaction. Times go in and out as UTC
// with microseconds. Failures of the database itself come back as *model.Error
// with ClassTemporary; something asked for by name that is not there is
// ErrNotFound.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/zap"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/svod-hub/svod/model"
)

// ErrNotFound is what a function returns that was asked for something by name
// that is not there.
var ErrNotFound = errors.New("not found")

const (
	sqliteReaders = 8
	postgresConns = 24
	postgresIdle  = 12
	connLifetime  = 30 * time.Minute
	// A plan that was made while a table was small stays in use until the next
	// ANALYZE: with a first import of a million records that is far too long.
	postgresSettings = "SET plan_cache_mode = force_custom_plan; SET jit = off; SET random_page_cost = 1.1"
	writeAttempts    = 4
	sqlitePragmas    = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)&_pragma=journal_size_limit(67108864)"
	sqliteWrite      = sqlitePragmas + "&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4000)"
	sqliteRead       = sqlitePragmas + "&_pragma=query_only(1)&_pragma=cache_size(-8192)"
	sqliteFolderOK   = 0o750
)

// Options configure Open.
type Options struct {
	Log *zap.Logger      // defaults to none
	Now func() time.Time // defaults to time.Now
}

// DB is the database.
type DB struct {
	d   dialect
	log *zap.Logger
	now func() time.Time

	pool    *sql.DB // PostgreSQL: everything; SQLite: readers only
	reading runner

	// SQLite has one writer. Its connection is kept, so that its statements stay
	// prepared; turn is held by whoever writes.
	file       string
	writerPool *sql.DB
	writer     *preparedConn
	turn       chan struct{}
	closing    sync.Once
}

// Open opens the database at url: "sqlite:PATH" (folders are made as needed) or
// "postgres://…". It does not migrate.
func Open(ctx context.Context, url string, opts Options) (*DB, error) {
	db := &DB{d: dialect{done: new(sync.Map)}, log: opts.Log, now: opts.Now}
	if db.log == nil {
		db.log = zap.NewNop()
	}
	if db.now == nil {
		db.now = time.Now
	}
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		err = db.openSQLite(ctx, strings.TrimPrefix(strings.TrimPrefix(url, "sqlite:"), "//"))
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		err = db.openPostgres(ctx, url)
	default:
		err = model.Errorf(model.ClassPermanent, model.CauseInternal,
			"the database address begins with neither sqlite: nor postgres://; write sqlite:PATH or postgres://USER@HOST/NAME")
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

func (db *DB) openSQLite(ctx context.Context, path string) error {
	keepPages()
	if path == "" {
		return model.Errorf(model.ClassPermanent, model.CauseInternal, "the database address names no file; write sqlite:PATH")
	}
	if err := os.MkdirAll(filepath.Dir(path), sqliteFolderOK); err != nil {
		return model.Errorf(model.ClassTemporary, model.CauseInternal, "make the folder of the database: %w", err)
	}
	name := "file:" + escapePath(path) + "?"
	db.file = name
	writers, err := sql.Open("sqlite", name+sqliteWrite)
	if err != nil {
		return translate("open the database", err)
	}
	writers.SetMaxOpenConns(1)
	conn, err := writers.Conn(ctx)
	if err != nil {
		writers.Close()
		return translate("open the database file "+path, err)
	}
	readers, err := sql.Open("sqlite", name+sqliteRead)
	if err != nil {
		conn.Close()
		writers.Close()
		return translate("open the database", err)
	}
	readers.SetMaxOpenConns(sqliteReaders)
	readers.SetMaxIdleConns(sqliteReaders)

	db.pool, db.writerPool = readers, writers
	db.reading = &preparedPool{pool: readers}
	db.writer = &preparedConn{conn: conn, stmts: map[string]*sql.Stmt{}}
	db.turn = make(chan struct{}, 1)
	return nil
}

// escapePath renders a path for SQLite's file: addresses.
func escapePath(path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

func (db *DB) openPostgres(ctx context.Context, url string) error {
	db.d.postgres = true
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return translate("read the database address", err)
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, postgresSettings)
		return err
	}))
	pool.SetMaxOpenConns(postgresConns)
	pool.SetMaxIdleConns(postgresIdle)
	pool.SetConnMaxLifetime(connLifetime)
	db.pool, db.reading = pool, pool
	if err := db.Ping(ctx); err != nil {
		pool.Close()
		return err
	}
	return nil
}

// Dialect is "sqlite" or "postgres".
func (db *DB) Dialect() string {
	if db.d.postgres {
		return "postgres"
	}
	return "sqlite"
}

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	return translate("reach the database", db.pool.PingContext(ctx))
}

// Close waits for a write that is under way and closes the database.
func (db *DB) Close() error {
	var errs []error
	db.closing.Do(func() {
		if db.writer != nil {
			db.turn <- struct{}{}
			errs = append(errs, db.writer.close(), db.writerPool.Close())
			<-db.turn
		}
		if readers, ok := db.reading.(*preparedPool); ok {
			readers.close()
		}
		errs = append(errs, db.pool.Close())
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}
