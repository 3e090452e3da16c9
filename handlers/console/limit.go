package console

import (
	"context"
	"sync"
	"time"
)

// Sign-ins are counted per address and per name. A name gets more than a person
// needs and far less than guessing takes.
const (
	signInWindow   = 15 * time.Minute
	signInsPerHost = 20
	signInsPerName = 20
	signInsCounted = 10_000 // names and addresses kept in memory, each
	hashesAtOnce   = 2      // password hashes are made to be slow
	maxNameCounted = 128
)

type signInLimits struct {
	hosts  *attempts
	names  *attempts
	hashes chan struct{}
}

func newSignInLimits(now func() time.Time) signInLimits {
	return signInLimits{
		hosts:  &attempts{now: now, max: signInsPerHost, seen: map[string]attempt{}},
		names:  &attempts{now: now, max: signInsPerName, seen: map[string]attempt{}},
		hashes: make(chan struct{}, hashesAtOnce),
	}
}

// take counts an attempt and tells how long to wait when there were too many.
func (l *signInLimits) take(host, name string) time.Duration {
	return max(l.hosts.take(host), l.names.take(name[:min(len(name), maxNameCounted)]))
}

// forget clears a name's attempts after the right password. The address keeps
// its count, or one known password would allow guessing others.
func (l *signInLimits) forget(name string) { l.names.forget(name) }

// slot waits for the right to hash a password.
func (l *signInLimits) slot(ctx context.Context) (release func(), err error) {
	select {
	case l.hashes <- struct{}{}:
		return func() { <-l.hashes }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type attempt struct {
	count int
	until time.Time // end of the window
}

// attempts counts per key in windows that begin with the first attempt.
type attempts struct {
	now func() time.Time
	max int

	mu   sync.Mutex
	seen map[string]attempt
}

func (a *attempts) take(key string) time.Duration {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, ok := a.seen[key]
	if !ok || !now.Before(entry.until) {
		if !ok && len(a.seen) >= signInsCounted {
			a.makeRoom(now)
		}
		entry = attempt{until: now.Add(signInWindow)}
	}
	if entry.count >= a.max {
		return entry.until.Sub(now)
	}
	entry.count++
	a.seen[key] = entry
	return 0
}

func (a *attempts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, key)
}

// makeRoom drops what is over; if that is nothing, one entry, and rather one
// that has not reached the limit.
func (a *attempts) makeRoom(now time.Time) {
	victim, worst := "", a.max+1
	for key, entry := range a.seen {
		if !now.Before(entry.until) {
			delete(a.seen, key)
			continue
		}
		if entry.count < worst {
			victim, worst = key, entry.count
		}
	}
	if len(a.seen) >= signInsCounted {
		delete(a.seen, victim)
	}
}
