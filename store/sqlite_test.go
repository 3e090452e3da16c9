package store_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/store"
	"github.com/svod-hub/svod/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openSQLite(t testing.TB, opts store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "a folder", "svod #1%.db"), opts)
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

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, opts store.Options) *store.DB { return openSQLite(t, opts) })
}

func TestSQLitePair(t *testing.T) {
	t.Parallel()
	storetest.RunPair(t, func(t *testing.T, opts store.Options) (pair [2]*store.DB) {
		address := "sqlite:" + filepath.Join(t.TempDir(), "svod.db")
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
