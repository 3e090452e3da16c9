package credentials

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lease and fake stand for the database.
type lease struct {
	name  string
	epoch int
}

type fake struct {
	mu     sync.Mutex
	values map[string]string
	held   map[string]int // lease name → epoch of its holder
	epoch  int
	// broken makes the next so many Remember calls fail.
	broken int
	lost   atomic.Bool // RenewLease answers that the lease is lost
	renews atomic.Int32
}

func newFake() *fake { return &fake{values: map[string]string{}, held: map[string]int{}} }

func (f *fake) Recall(_ context.Context, project, connection, name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.values[project+"/"+connection+"/"+name], nil
}

func (f *fake) Remember(ctx context.Context, project, connection, name, value string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken > 0 {
		f.broken--
		return errors.New("disk is full")
	}
	f.values[project+"/"+connection+"/"+name] = value
	return ctx.Err()
}

func (f *fake) TakeLease(_ context.Context, name, _ string, _ time.Duration) (lease, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[name] != 0 {
		return lease{}, false, nil
	}
	f.epoch++
	f.held[name] = f.epoch
	return lease{name, f.epoch}, true, nil
}

func (f *fake) RenewLease(_ context.Context, l lease, _ time.Duration) (bool, error) {
	f.renews.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.lost.Load() && f.held[l.name] == l.epoch, nil
}

func (f *fake) ReleaseLease(_ context.Context, l lease) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held[l.name] == l.epoch {
		delete(f.held, l.name)
	}
	return false, nil
}

// worker is one process' view of a connection's tokens, in a hurry.
func worker(vault *Vault, db *fake) *tokens[lease] {
	t := Tokens(vault, db, "shop", "amo").(*tokens[lease])
	t.ask, t.saveAgain = time.Millisecond, time.Millisecond
	return t
}

func seed(t *testing.T, s connectors.TokenStore, token connectors.Token) {
	t.Helper()
	_, err := s.Renew(t.Context(), func(context.Context, connectors.Token) (connectors.Token, error) { return token, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// issuer is a system whose refresh tokens are good for one use.
type issuer struct {
	mu    sync.Mutex
	n     int
	busy  atomic.Int32
	fault atomic.Bool
}

func (i *issuer) refresh(old connectors.Token) (connectors.Token, error) {
	if i.busy.Add(1) > 1 {
		i.fault.Store(true)
	}
	defer i.busy.Add(-1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if want := fmt.Sprintf("r%d", i.n); old.Refresh.Reveal() != want {
		return connectors.Token{}, fmt.Errorf("refresh token is not %s", want)
	}
	i.n++
	return connectors.Token{Access: model.Secret(fmt.Sprintf("a%d", i.n)), Refresh: model.Secret(fmt.Sprintf("r%d", i.n))}, nil
}

func TestFiftyFindTheSameTokenExpired(t *testing.T) {
	t.Parallel()
	db, vault, system := newFake(), NewVault(NewKey()), &issuer{}
	seed(t, worker(vault, db), connectors.Token{Access: "a0", Refresh: "r0"})
	each(5, 10, func() connectors.TokenStore { return worker(vault, db) }, func(s connectors.TokenStore) {
		got, err := s.Renew(t.Context(), func(_ context.Context, now connectors.Token) (connectors.Token, error) {
			if now.Access != "a0" {
				return now, nil
			}
			return system.refresh(now)
		})
		if err != nil || got.Access != "a1" {
			t.Errorf("got %q, %v", got.Access.Reveal(), err)
		}
	})
	if system.n != 1 {
		t.Errorf("%d refreshes", system.n)
	}
}

func TestFiftyRefreshesFollowEachOther(t *testing.T) {
	t.Parallel()
	db, vault, system := newFake(), NewVault(NewKey()), &issuer{}
	seed(t, worker(vault, db), connectors.Token{Access: "a0", Refresh: "r0"})
	each(5, 10, func() connectors.TokenStore { return worker(vault, db) }, func(s connectors.TokenStore) {
		_, err := s.Renew(t.Context(), func(_ context.Context, now connectors.Token) (connectors.Token, error) {
			return system.refresh(now)
		})
		if err != nil {
			t.Error(err)
		}
	})
	if system.fault.Load() || system.n != 50 {
		t.Errorf("%d refreshes, two at once: %v", system.n, system.fault.Load())
	}
	if got, err := worker(vault, db).Load(t.Context()); err != nil || got.Refresh != "r50" {
		t.Errorf("stored %q, %v", got.Refresh.Reveal(), err)
	}
}

func each(workers, calls int, start func() connectors.TokenStore, call func(connectors.TokenStore)) {
	var all sync.WaitGroup
	for range workers {
		s := start()
		for range calls {
			all.Go(func() { call(s) })
		}
	}
	all.Wait()
}

func TestTokenRoundTrip(t *testing.T) {
	t.Parallel()
	db, vault := newFake(), NewVault(NewKey())
	token := connectors.Token{
		Access: "access", Refresh: "refresh", Expires: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC),
		Extra: map[string]string{"client_endpoint": "https://portal.example/rest/"},
	}
	if got, err := worker(vault, db).Load(t.Context()); err != nil || !equal(got, connectors.Token{}) {
		t.Errorf("before: %+v, %v", got, err)
	}
	seed(t, worker(vault, db), token)
	if got, err := worker(vault, db).Load(t.Context()); err != nil || !equal(got, token) {
		t.Errorf("got %+v, %v", got, err)
	}
	for key, value := range db.values {
		if strings.Contains(value, "access") || strings.Contains(value, "refresh") {
			t.Errorf("%s is stored in clear", key)
		}
	}
	_, err := worker(NewVault(NewKey()), db).Load(t.Context())
	if model.ClassOf(err) != model.ClassReauth {
		t.Errorf("with another master key: %v", err)
	}
}

func TestOlderMasterKeyIsReplaced(t *testing.T) {
	t.Parallel()
	db, older, newer := newFake(), NewKey(), NewKey()
	seed(t, worker(NewVault(older), db), connectors.Token{Access: "a"})
	same := func(_ context.Context, now connectors.Token) (connectors.Token, error) { return now, nil }
	if _, err := worker(NewVault(newer, older), db).Renew(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	if got, err := worker(NewVault(newer), db).Load(t.Context()); err != nil || got.Access != "a" {
		t.Errorf("got %q, %v", got.Access.Reveal(), err)
	}
}

func TestNewPairIsStoredWhateverHappens(t *testing.T) {
	t.Parallel()
	fresh := connectors.Token{Access: "a1", Refresh: "r1"}
	for _, test := range []struct {
		name string
		play func(db *fake, cancel func())
		want string
		err  bool
	}{
		{"the caller gives up", func(_ *fake, cancel func()) { cancel() }, "a1", false},
		{"the database hiccups", func(db *fake, _ func()) { db.broken = 4 }, "a1", false},
		{"the database is gone", func(db *fake, _ func()) { db.broken = 99 }, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, vault := newFake(), NewVault(NewKey())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := worker(vault, db).Renew(ctx, func(context.Context, connectors.Token) (connectors.Token, error) {
				test.play(db, cancel)
				return fresh, nil
			})
			if (err != nil) != test.err {
				t.Errorf("got %v", err)
			}
			if got, _ := worker(vault, db).Load(t.Context()); got.Access.Reveal() != test.want {
				t.Errorf("stored %q", got.Access.Reveal())
			}
			if len(db.held) != 0 {
				t.Error("the lease is still held")
			}
		})
	}
}

func TestFailedRefreshChangesNothing(t *testing.T) {
	t.Parallel()
	db, s := newFake(), worker(NewVault(NewKey()), newFake())
	s.db = db
	seed(t, s, connectors.Token{Access: "a0"})
	refused := model.Errorf(model.ClassReauth, model.CauseAuth, "invalid_grant")
	_, err := s.Renew(t.Context(), func(context.Context, connectors.Token) (connectors.Token, error) {
		return connectors.Token{Access: "half"}, refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if got, _ := s.Load(t.Context()); got.Access != "a0" || len(db.held) != 0 {
		t.Errorf("stored %q, leases %v", got.Access.Reveal(), db.held)
	}
}

// A worker that lost its lease is told, and does not overwrite what another one
// stored meanwhile.
func TestLostLease(t *testing.T) {
	t.Parallel()
	db, vault := newFake(), NewVault(NewKey())
	seed(t, worker(vault, db), connectors.Token{Access: "a0"})
	slow := worker(vault, db)
	slow.ttl = 3 * time.Millisecond
	got, err := slow.Renew(t.Context(), func(ctx context.Context, _ connectors.Token) (connectors.Token, error) {
		db.lost.Store(true)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errLeaseLost) {
			t.Errorf("ended because of %v", context.Cause(ctx))
		}
		db.mu.Lock()
		clear(db.held)
		db.mu.Unlock()
		seed(t, worker(vault, db), connectors.Token{Access: "of another"})
		return connectors.Token{Access: "late"}, nil
	})
	if err != nil || got.Access != "of another" {
		t.Errorf("got %q, %v", got.Access.Reveal(), err)
	}
}

func TestLeaseIsKeptAlive(t *testing.T) {
	t.Parallel()
	db := newFake()
	s := worker(NewVault(NewKey()), db)
	s.ttl = 3 * time.Millisecond
	_, err := s.Renew(t.Context(), func(ctx context.Context, now connectors.Token) (connectors.Token, error) {
		for db.renews.Load() < 3 {
			if err := sleep(ctx, time.Millisecond); err != nil { // the heartbeat has its own timer
				return now, err
			}
		}
		return now, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWaitingEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	db, vault := newFake(), NewVault(NewKey())
	inside, finish := make(chan struct{}), make(chan struct{})
	var holder sync.WaitGroup
	same := worker(vault, db)
	holder.Go(func() {
		same.Renew(t.Context(), func(_ context.Context, now connectors.Token) (connectors.Token, error) {
			close(inside)
			<-finish
			return now, nil
		})
	})
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, s := range map[string]connectors.TokenStore{"same process": same, "other process": worker(vault, db)} {
		_, err := s.Renew(ctx, func(context.Context, connectors.Token) (connectors.Token, error) {
			t.Errorf("%s: two at once", name)
			return connectors.Token{}, nil
		})
		if !errors.Is(err, context.Canceled) || model.ClassOf(err) != model.ClassTemporary {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(finish)
	holder.Wait()
}

func TestMemory(t *testing.T) {
	t.Parallel()
	db := newFake()
	m := Memory(db, "shop", "amo")
	if err := m.Remember(t.Context(), "host", "new.amocrm.ru"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Recall(t.Context(), "host"); err != nil || got != "new.amocrm.ru" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := Memory(db, "shop", "other").Recall(t.Context(), "host"); err != nil || got != "" {
		t.Errorf("another connection sees %q, %v", got, err)
	}
	if err := m.Remember(t.Context(), tokenName, "x"); err == nil {
		t.Error("the token's place can be overwritten")
	}
	if _, err := m.Recall(t.Context(), tokenName); err == nil {
		t.Error("the token can be read")
	}
}
