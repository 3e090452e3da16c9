package alerts_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/alerts"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// recorder is a channel that notes what it gets, or fails.
type recorder struct {
	name string
	mu   sync.Mutex
	got  []alerts.Message
	fail error
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Send(_ context.Context, m alerts.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.got = append(r.got, m)
	return nil
}

func (r *recorder) subjects() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, m := range r.got {
		all = append(all, strings.TrimPrefix(m.Subject, "Svod: "))
	}
	return strings.Join(all, "; ")
}

// stage is a hub with one connection that fails or does not.
type stage struct {
	*testing.T
	db      *store.DB
	now     time.Time
	failing bool
	one     *recorder
	two     *recorder
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{T: t, now: start, one: &recorder{name: "one"}, two: &recorder{name: "two"}}
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "svod.db"), store.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.db = db
	return s
}

func (s *stage) watcher(holder string) *alerts.Watcher {
	return alerts.New(alerts.Options{
		Store: s.db, Channels: []alerts.Channel{s.one, s.two}, Writer: alerts.Writer{Language: alerts.English, PublicURL: "https://hub.example.ru"},
		Limits: limits, Repeat: 4 * time.Hour, Holder: holder, Every: time.Millisecond, Log: zap.NewNop(), Now: func() time.Time { return s.now },
		Status: func(context.Context) (view.Status, error) {
			st := status([]view.ConnectionStatus{{ID: "b24"}})
			st.At = s.now
			if s.failing {
				st.Projects[0].Attention = []view.Attention{{Subject: "connection", ID: "b24", Reason: view.ReasonConnectionFailing}}
			}
			return st, nil
		},
	})
}

func (s *stage) look(w *alerts.Watcher, minutes ...int) {
	s.Helper()
	for _, m := range minutes {
		s.now = at(m)
		if err := w.Look(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *stage) said(r *recorder, want string) {
	s.Helper()
	if got := r.subjects(); got != want {
		s.Errorf("%s got %q, want %q", r.name, got, want)
	}
}

// A restart, even by another process, repeats nothing.
func TestWatcherOverRestart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.failing = true
	s.look(s.watcher("a"), 0, 1, 2, 3)
	s.said(s.one, "new problems: 1")
	s.look(s.watcher("b"), 5) // a's lease lasts until 6
	s.failing = false
	s.look(s.watcher("b"), 7, 8, 9, 10)
	s.said(s.one, "new problems: 1; resolved: 1")
	s.said(s.two, "new problems: 1; resolved: 1")
}

func TestWatcherAloneUnderLease(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.failing = true
	a, b := s.watcher("a"), s.watcher("b")
	for m := range 5 {
		s.look(a, m)
		s.look(b, m)
	}
	s.said(s.one, "new problems: 1")
}

// What one channel does not take waits for it and does not hold up the others;
// what it refuses for good is dropped.
func TestWatcherFailingChannel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.failing = true
	s.one.fail = model.Errorf(model.ClassTemporary, model.CauseNetwork, "no")
	w := s.watcher("a")
	s.look(w, 0, 2)
	s.said(s.two, "new problems: 1")
	s.failing = false
	s.look(w, 3, 5)
	s.one.fail = nil
	s.look(s.watcher("a"), 6, 7, 8)
	s.said(s.one, "new problems: 1; resolved: 1")
	s.said(s.two, "new problems: 1; resolved: 1")
	if s.one.got[0].ID != s.two.got[0].ID || s.one.got[0].ID == s.one.got[1].ID {
		t.Error("a message keeps its id over attempts, and has one of its own")
	}

	s.failing = true
	s.one.fail = model.Errorf(model.ClassPermanent, model.CauseForbidden, "never")
	s.look(w, 20, 22)
	s.one.fail = nil
	s.look(w, 23, 60)
	s.said(s.one, "new problems: 1; resolved: 1")
}

func TestWatcherWaitsAsAsked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.failing = true
	s.one.fail = &model.Error{Class: model.ClassQuota, Cause: model.CauseQuota, Message: "wait", RetryAt: at(30)}
	w := s.watcher("a")
	s.look(w, 0, 2)
	s.one.fail = nil
	s.look(w, 29)
	s.said(s.one, "")
	s.look(w, 30)
	s.said(s.one, "new problems: 1")
}

func TestWatcherStatusFails(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := alerts.New(alerts.Options{Store: s.db, Holder: "a", Now: now, Log: zap.NewNop(),
		Status: func(context.Context) (view.Status, error) { return view.Status{}, errors.New("no database") }})
	if err := w.Look(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestWatcherStartStop(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	looked := make(chan struct{}, 1)
	w := alerts.New(alerts.Options{Store: s.db, Holder: "a", Now: now, Log: zap.NewNop(), Every: time.Millisecond,
		Status: func(context.Context) (view.Status, error) {
			select {
			case looked <- struct{}{}:
			default:
			}
			return view.Status{At: start}, nil
		}})
	w.Start()
	<-looked
	w.Stop()
	if _, taken, err := s.db.TakeLease(t.Context(), "alerts", "b", time.Minute); err != nil || !taken {
		t.Errorf("the lease is held after the end: %v", err)
	}
	alerts.New(alerts.Options{}).Stop() // was never started
}
