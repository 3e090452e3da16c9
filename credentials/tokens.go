package credentials

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Store is what the package needs of the database; *store.DB has it. Lease is
// the database's own type, so that this package need not know the database.
type Store[Lease any] interface {
	Recall(ctx context.Context, project, connection, name string) (string, error)
	Remember(ctx context.Context, project, connection, name, value string) error
	TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, bool, error)
	RenewLease(ctx context.Context, lease Lease, ttl time.Duration) (bool, error)
	ReleaseLease(ctx context.Context, lease Lease) (wanted bool, err error)
}

// reserved begins the names that this package keeps in the connection's memory.
const (
	reserved  = "credentials."
	tokenName = reserved + "token"
)

// Tokens keeps a connection's OAuth tokens, encrypted, in the store. Renew holds
// a lease of the store, so that of all workers one renews at a time.
func Tokens[Lease any](vault *Vault, db Store[Lease], project, connection string) connectors.TokenStore {
	return &tokens[Lease]{
		vault: vault, db: db, project: project, connection: connection,
		turn: make(chan struct{}, 1), ttl: time.Minute, ask: 250 * time.Millisecond, saveAgain: time.Second,
	}
}

type tokens[Lease any] struct {
	vault               *Vault
	db                  Store[Lease]
	project, connection string
	// turn lines up the callers of this process, so that only one asks the database
	// for the lease.
	turn      chan struct{}
	ttl       time.Duration // of the lease; renewed three times as often
	ask       time.Duration // between two questions for a taken lease
	saveAgain time.Duration // between two attempts to store
}

// Load implements connectors.TokenStore. What cannot be decrypted is
// model.ClassReauth.
func (t *tokens[Lease]) Load(ctx context.Context) (connectors.Token, error) {
	token, _, err := t.load(ctx)
	return token, err
}

// Renew implements connectors.TokenStore. fn's context ends when the lease is
// lost.
func (t *tokens[Lease]) Renew(ctx context.Context, fn func(context.Context, connectors.Token) (connectors.Token, error)) (connectors.Token, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return connectors.Token{}, t.waiting(ctx)
	}
	lease, err := t.lease(ctx)
	if err != nil {
		return connectors.Token{}, err
	}
	working, done := t.keep(ctx, lease)
	defer done()
	before, sealed, err := t.load(working)
	if err != nil {
		return connectors.Token{}, err
	}
	after, err := fn(working, clone(before))
	if err != nil {
		return connectors.Token{}, err
	}
	if equal(before, after) && (sealed == "" || !t.vault.Stale(sealed)) {
		return after, nil
	}
	return t.save(ctx, sealed, after)
}

// lease waits for the right to renew this connection's tokens.
func (t *tokens[Lease]) lease(ctx context.Context) (Lease, error) {
	name, holder := "token:"+t.project+"/"+t.connection, rand.Text()
	for {
		lease, ok, err := t.db.TakeLease(ctx, name, holder, t.ttl)
		if err != nil {
			return lease, fmt.Errorf("take the lease to renew the tokens of %q: %w", t.connection, err)
		}
		if ok {
			return lease, nil
		}
		if sleep(ctx, t.ask) != nil {
			return lease, t.waiting(ctx)
		}
	}
}

func (t *tokens[Lease]) waiting(ctx context.Context) error {
	return model.Errorf(model.ClassTemporary, model.CauseInternal,
		"the tokens of %q are being renewed elsewhere and that did not end in time: %w", t.connection, context.Cause(ctx))
}

var errLeaseLost = errors.New("the lease to renew tokens was lost")

// keep renews the lease until done, and ends the context when it is lost.
func (t *tokens[Lease]) keep(ctx context.Context, lease Lease) (working context.Context, done func()) {
	working, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for until := time.Now().Add(t.ttl); sleep(working, t.ttl/3) == nil; {
			held, err := t.db.RenewLease(working, lease, t.ttl)
			switch {
			case err == nil && held:
				until = time.Now().Add(t.ttl)
			case err == nil, time.Now().After(until):
				cancel(errLeaseLost)
			}
		}
	}()
	return working, func() {
		cancel(nil)
		<-ended
		// When this fails, the lease runs out by itself.
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		t.db.ReleaseLease(ctx, lease)
	}
}

// save stores a new pair whatever becomes of the caller: the old refresh token
// is used up, and losing the new one would cost a person a new sign-in. Should
// another worker have stored a pair meanwhile, because the lease was lost, that
// one is newer.
func (t *tokens[Lease]) save(ctx context.Context, sealedBefore string, token connectors.Token) (connectors.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	encoded, err := json.Marshal(stored{
		Access: token.Access.Reveal(), Refresh: token.Refresh.Reveal(), Expires: token.Expires, Extra: token.Extra,
	})
	if err != nil {
		return connectors.Token{}, fmt.Errorf("encode the tokens of %q: %w", t.connection, err)
	}
	for attempt := 1; ; attempt++ {
		newer, sealed, err := t.load(ctx)
		switch {
		case err == nil && sealed != sealedBefore:
			return newer, nil
		case err == nil:
			err = t.db.Remember(ctx, t.project, t.connection, tokenName, t.vault.Seal(t.project, t.connection, tokenName, encoded))
		}
		if err == nil {
			return token, nil
		}
		if attempt == 5 || sleep(ctx, t.saveAgain) != nil {
			return connectors.Token{}, fmt.Errorf("store the renewed tokens of %q: %w", t.connection, err)
		}
	}
}

// stored is a pair in the database, before encryption.
type stored struct {
	Access  string            `json:"access,omitempty"`
	Refresh string            `json:"refresh,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
	Extra   map[string]string `json:"extra,omitempty"`
}

func (t *tokens[Lease]) load(ctx context.Context) (token connectors.Token, sealed string, err error) {
	sealed, err = t.db.Recall(ctx, t.project, t.connection, tokenName)
	if err != nil {
		return connectors.Token{}, "", fmt.Errorf("read the tokens of %q: %w", t.connection, err)
	}
	if sealed == "" {
		return connectors.Token{}, "", nil
	}
	text, err := t.vault.Open(t.project, t.connection, tokenName, sealed)
	if err != nil {
		return connectors.Token{}, "", model.Errorf(model.ClassReauth, model.CauseAuth, "%w", err)
	}
	var s stored
	if json.Unmarshal(text, &s) != nil {
		return connectors.Token{}, "", model.Errorf(model.ClassReauth, model.CauseAuth,
			"the stored tokens of %q cannot be read; connect the account again", t.connection)
	}
	return connectors.Token{
		Access: model.Secret(s.Access), Refresh: model.Secret(s.Refresh), Expires: s.Expires, Extra: s.Extra,
	}, sealed, nil
}

func clone(t connectors.Token) connectors.Token {
	t.Extra = maps.Clone(t.Extra)
	return t
}

func equal(a, b connectors.Token) bool {
	return a.Access == b.Access && a.Refresh == b.Refresh && a.Expires.Equal(b.Expires) && maps.Equal(a.Extra, b.Extra)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Memory keeps a connection's small facts in the store, in clear.
func Memory[Lease any](db Store[Lease], project, connection string) connectors.Memory {
	return memory[Lease]{db, project, connection}
}

type memory[Lease any] struct {
	db                  Store[Lease]
	project, connection string
}

// Recall implements connectors.Memory.
func (m memory[Lease]) Recall(ctx context.Context, name string) (string, error) {
	if err := notReserved(name); err != nil {
		return "", err
	}
	return m.db.Recall(ctx, m.project, m.connection, name)
}

// Remember implements connectors.Memory.
func (m memory[Lease]) Remember(ctx context.Context, name, value string) error {
	if err := notReserved(name); err != nil {
		return err
	}
	return m.db.Remember(ctx, m.project, m.connection, name, value)
}

func notReserved(name string) error {
	if strings.HasPrefix(name, reserved) {
		return model.Errorf(model.ClassPermanent, model.CauseInternal, "the name %q is reserved for stored credentials", name)
	}
	return nil
}
