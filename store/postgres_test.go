//go:build postgres

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	"github.com/svod-hub/svod/store"
	"github.com/svod-hub/svod/store/storetest"
)

// postgresURL gives the address of a new schema that is dropped when the test
// ends.
func postgresURL(t testing.TB) string {
	t.Helper()
	address := os.Getenv("SVOD_TEST_POSTGRES")
	if address == "" {
		t.Fatal("SVOD_TEST_POSTGRES holds no address of a PostgreSQL database (postgres://USER@HOST/NAME)")
	}
	pool, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("svod_test_%x", rand.Uint64())
	if _, err := pool.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func openPostgres(t testing.TB, opts store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), postgresURL(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, opts store.Options) *store.DB { return openPostgres(t, opts) })
}

func TestPostgresPair(t *testing.T) {
	t.Parallel()
	storetest.RunPair(t, func(t *testing.T, opts store.Options) (pair [2]*store.DB) {
		address := postgresURL(t)
		for i := range pair {
			db, err := store.Open(t.Context(), address, opts)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			pair[i] = db
		}
		return pair
	})
}

func BenchmarkPostgresAppendJournal(b *testing.B) { benchmarkAppendJournal(b, openPostgres) }
func BenchmarkPostgresApplyRecords(b *testing.B)  { benchmarkApplyRecords(b, openPostgres) }
func BenchmarkPostgresDueDeliveries(b *testing.B) { benchmarkDueDeliveries(b, openPostgres) }
func BenchmarkPostgresFanOut(b *testing.B)        { benchmarkFanOut(b, openPostgres) }
func BenchmarkPostgresUpload(b *testing.B)        { benchmarkUpload(b, openPostgres) }
func BenchmarkPostgresRefs(b *testing.B)          { benchmarkRefs(b, openPostgres) }
func BenchmarkPostgresIntake(b *testing.B)        { benchmarkIntake(b, openPostgres) }
