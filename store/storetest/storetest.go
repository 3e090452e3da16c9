// Package storetest defines what a database behind package store must do. A
// database is right when Run passes with it; the suite grows with each bug.
package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Open gives a new, migrated, empty database that is closed when the test ends.
// The options hold the clock that it must go by.
type Open func(t *testing.T, opts store.Options) *store.DB

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, group := range [][]test{
		journalTests, recordTests, refTests, flowTests, deliveryTests, uploadTests, leaseTests, restTests, togetherTests, operateTests, forgetTests,
	} {
		for _, x := range group {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				clock := &Clock{now: start}
				x.run(&bench{T: t, db: open(t, store.Options{Now: clock.Now}), clock: clock, ctx: t.Context()})
			})
		}
	}
}

type test struct {
	name string
	run  func(*bench)
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move moves the clock on.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var start = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a moment some minutes after the start.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// bench is what a test works with.
type bench struct {
	*testing.T
	db    *store.DB
	clock *Clock
	ctx   context.Context
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// must takes a result that has to come without an error.
func must[T any](b *bench) func(T, error) T {
	return func(v T, err error) T {
		b.Helper()
		b.ok(err)
		return v
	}
}

// same compares by what values look like: times and decimals have several forms.
func (b *bench) same(what string, got, want any) {
	b.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		b.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

const (
	project = "shop"
	b24     = "b24"
	amo     = "amo"
)

// deal makes a deal of b24.
func deal(id string, updated, read int, title string) *model.Deal {
	return &model.Deal{Base: base(model.KindDeal, id, updated, read), Title: title}
}

func contact(id string, updated, read int, name string) *model.Contact {
	return &model.Contact{Base: base(model.KindContact, id, updated, read), Name: name}
}

func base(kind model.Kind, id string, updated, read int) model.Base {
	return model.Base{Kind: kind, Connection: b24, ID: id, CreatedAt: at(0), UpdatedAt: at(updated), ReadAt: at(read)}
}

func key(kind model.Kind, id string) model.Key { return model.Key{Connection: b24, Kind: kind, ID: id} }

func (b *bench) apply(records ...model.Record) store.Applied {
	b.Helper()
	return must[store.Applied](b)(b.db.ApplyRecords(b.ctx, project, records))
}

func (b *bench) record(k model.Key) model.Record {
	b.Helper()
	return must[model.Record](b)(b.db.Record(b.ctx, project, k))
}

// words renders values with spaces between.
func words(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }
