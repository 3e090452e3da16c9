package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a database that a test can hold up or break.
type table struct {
	mu      sync.Mutex
	batches [][]*store.Entry
	enter   chan struct{} // receives when a commit begins
	leave   chan struct{} // a commit ends when this gives
	refuse  func(*store.Entry) error
}

func (t *table) append(_ context.Context, entries []*store.Entry) error {
	if t.enter != nil {
		t.enter <- struct{}{}
		<-t.leave
	}
	for _, e := range entries {
		if t.refuse != nil {
			if err := t.refuse(e); err != nil {
				return err
			}
		}
	}
	t.mu.Lock()
	t.batches = append(t.batches, entries)
	t.mu.Unlock()
	return nil
}

func start(t *testing.T, opts journal.Options) *journal.Journal {
	t.Helper()
	if opts.Wake == nil {
		opts.Wake = func(string, string) {}
	}
	j := journal.New(opts)
	j.Start()
	t.Cleanup(j.Stop)
	return j
}

func entry(body string) *store.Entry {
	return &store.Entry{Project: "shop", Connection: "b24", Body: []byte(body)}
}

// Requests that come while a commit runs share the next commit.
func TestAppendGroups(t *testing.T) {
	t.Parallel()
	db := &table{enter: make(chan struct{}), leave: make(chan struct{})}
	j := start(t, journal.Options{Append: db.append})

	var wg sync.WaitGroup
	send := func(n int) {
		for i := range n {
			wg.Go(func() {
				if err := j.Append(entry(fmt.Sprint(i))); err != nil {
					t.Errorf("append: %v", err)
				}
			})
		}
	}
	send(1)
	<-db.enter // the first commit is under way
	send(50)
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for open := true; open; {
		select {
		case db.leave <- struct{}{}:
		case <-db.enter:
		case <-done:
			open = false
		}
	}
	total := 0
	for _, b := range db.batches {
		total += len(b)
	}
	if total != 51 || len(db.batches) > 51 {
		t.Errorf("%d entries in %d commits, want 51 entries", total, len(db.batches))
	}
}

// What waits is bounded; beyond it the sender is told to come back.
func TestAppendRefusesWhenFull(t *testing.T) {
	t.Parallel()
	db := &table{enter: make(chan struct{}, 100), leave: make(chan struct{})}
	j := start(t, journal.Options{Append: db.append, MaxBytes: 1000})
	results := make(chan error, 3)
	go func() { results <- j.Append(entry("first")) }()
	<-db.enter
	if err := j.Append(entry(string(make([]byte, 2000)))); !errors.Is(err, journal.ErrFull) {
		t.Errorf("over the bound: %v, want ErrFull", err)
	}
	close(db.leave)
	if err := <-results; err != nil {
		t.Errorf("the one that fitted: %v", err)
	}
	// The room is given back.
	if err := j.Append(entry("later")); err != nil {
		t.Errorf("after the jam: %v", err)
	}
}

// A failing database refuses the webhook; nobody is told 200.
func TestAppendReportsTheDatabase(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk full")
	db := &table{refuse: func(*store.Entry) error { return broken }}
	j := start(t, journal.Options{Append: db.append})
	if err := j.Append(entry("x")); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// One entry that the database can't hold leaves its neighbours alone.
func TestAppendIsolatesABadEntry(t *testing.T) {
	t.Parallel()
	db := &table{refuse: func(e *store.Entry) error {
		if string(e.Body) == "bad" {
			return model.Errorf(model.ClassPermanent, model.CauseBadEncoding, "no")
		}
		return nil
	}}
	j := start(t, journal.Options{Append: db.append})
	var wg sync.WaitGroup
	for _, body := range []string{"a", "bad", "b", "c"} {
		wg.Go(func() {
			err := j.Append(entry(body))
			if (body == "bad") != (err != nil) {
				t.Errorf("%s: %v", body, err)
			}
		})
	}
	wg.Wait()
}

// Stop commits what waits, and later requests are refused.
func TestStopFinishes(t *testing.T) {
	t.Parallel()
	db := &table{}
	j := journal.New(journal.Options{Append: db.append, Wake: func(string, string) {}})
	j.Start()
	if err := j.Append(entry("x")); err != nil {
		t.Fatal(err)
	}
	j.Stop()
	j.Stop()
	if err := j.Append(entry("late")); !errors.Is(err, journal.ErrStopped) {
		t.Errorf("after Stop: %v", err)
	}
}
