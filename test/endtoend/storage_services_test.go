//go:build postgres && redis

package endtoend

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/redis/go-redis/v9"
)

func storages() []storage { return []storage{embedded(), services()} }

// services is what a hub of many processes has.
func services() storage {
	return storage{"postgres", func(t *testing.T, _ string) (string, string) {
		return postgresSchema(t), redisDatabase(t)
	}}
}

func variable(t *testing.T, name, example string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; give it an address such as %s, or run under test/with-services", name, example)
	}
	return value
}

// postgresSchema gives the address of a new schema that goes with the test.
func postgresSchema(t *testing.T) string {
	t.Helper()
	address := variable(t, "SVOD_TEST_POSTGRES", "postgres://USER@HOST/NAME")
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("svod_endtoend_%x", rand.Uint64())
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		_ = db.Close()
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

// redisDatabase gives the address of an empty numbered database, which is
// emptied again with the test. Tests that use one do not run side by side.
func redisDatabase(t *testing.T) string {
	t.Helper()
	address := variable(t, "SVOD_TEST_REDIS", "redis://127.0.0.1:6379/0")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/13"
	opts, err := redis.ParseURL(u.String())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	empty := func(ctx context.Context) {
		if err := client.FlushDB(ctx).Err(); err != nil {
			t.Error(err)
		}
	}
	empty(t.Context())
	t.Cleanup(func() {
		empty(context.WithoutCancel(t.Context()))
		_ = client.Close()
	})
	return u.String()
}
