package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/store"
)

// openLimiter lets everything through.
type openLimiter struct{ connectors.Limiter }

func (openLimiter) Wait(context.Context, string, connectors.Limit) error { return nil }

func TestDailyQuotasAreCounted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "svod.db"), store.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := newQuotas(db, zap.NewNop(), clock)
	day := func(rate int) connectors.Limit { return connectors.Limit{Rate: rate, Period: 24 * time.Hour} }
	call := func(connection, key string, limit connectors.Limit, times int) {
		t.Helper()
		for range times {
			if err := q.limiter(openLimiter{}, "shop", connection).Wait(t.Context(), key, limit); err != nil {
				t.Fatal(err)
			}
		}
	}
	used := func() []console.Quota {
		t.Helper()
		list, err := q.used(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	call("metrica", "login", day(4000), 7)
	call("metrica", "counter", day(100), 3)
	call("b24", "portal", connectors.Limit{Rate: 2, Period: time.Second}, 5)
	if got := used(); len(got) != 1 || got[0] != (console.Quota{Connection: "metrica", Used: 3, Limit: 100}) {
		t.Errorf("used are %+v", got)
	}
	if other, err := q.used(t.Context(), "sho"); err != nil || len(other) > 0 {
		t.Errorf("another project used %+v, %v", other, err)
	}
	now = now.Add(10 * time.Second)
	call("metrica", "counter", day(100), 1)
	if pending := len(q.pending); pending != 0 {
		t.Errorf("%d counts are not written", pending)
	}
	if got := used(); got[0].Used != 4 {
		t.Errorf("used are %+v", got)
	}
}
