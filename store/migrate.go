package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

//go:embed migrations
var migrations embed.FS

// Migrate brings the database to the newest form. Several processes may do it
// at once; there is no way back.
func (db *DB) Migrate(ctx context.Context) error {
	const what = "migrate the database"
	return db.withProvider(ctx, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			db.log.Info("database migrated", zap.Int64("version", r.Source.Version), zap.Duration("took", r.Duration))
		}
		if err == nil {
			return nil
		}
		// On SQLite another process may have been faster by a moment.
		if pending, again := p.HasPending(ctx); !db.d.postgres && again == nil && !pending {
			return nil
		}
		return translate(what, err)
	})
}

// PendingMigrations counts the steps that Migrate would take. A database that
// is ahead of this program is an error.
func (db *DB) PendingMigrations(ctx context.Context) (int, error) {
	pending := 0
	err := db.withProvider(ctx, func(p *goose.Provider) error {
		current, newest, err := p.GetVersions(ctx)
		if err != nil {
			return translate("read the database's version", err)
		}
		if current > newest {
			return model.Errorf(model.ClassPermanent, model.CauseInternal,
				"the database has version %d, this program knows only %d; start a newer program", current, newest)
		}
		for _, source := range p.ListSources() {
			if source.Version > current {
				pending++
			}
		}
		return nil
	})
	return pending, err
}

func (db *DB) withProvider(ctx context.Context, fn func(*goose.Provider) error) error {
	pool, dialect, folder := db.pool, goose.DialectPostgres, "migrations/postgres"
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if db.d.postgres {
		opts = append(opts, goose.WithSessionLocker(schemaLock{}))
	} else {
		dialect, folder = goose.DialectSQLite3, "migrations/sqlite"
		// The kept writing connection is in use; migrations get one of their own.
		own, err := sql.Open("sqlite", db.file+sqliteWrite+"&_txlock=immediate")
		if err != nil {
			return translate("open the database", err)
		}
		defer own.Close()
		pool = own
	}
	files, err := fs.Sub(migrations, folder)
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	provider, err := goose.NewProvider(dialect, pool, files, opts...)
	if err != nil {
		return translate("read the migrations", err)
	}
	return fn(provider)
}

// schemaLock lets one process migrate a schema at a time.
type schemaLock struct{}

const schemaLockKey = "hashtext('svod migrations in ' || current_schema())"

// SessionLock implements lock.SessionLocker.
func (schemaLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock("+schemaLockKey+")")
	return err
}

// SessionUnlock implements lock.SessionLocker.
func (schemaLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock("+schemaLockKey+")")
	return err
}
