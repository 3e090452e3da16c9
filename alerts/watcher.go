package alerts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Store is what the watcher needs of the database; *store.DB has it.
type Store interface {
	Memory
	TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (store.Lease, bool, error)
	ReleaseLease(ctx context.Context, l store.Lease) (wanted bool, err error)
}

// Options configure a Watcher.
type Options struct {
	Store    Store
	Status   func(context.Context) (view.Status, error)
	Expiries func(context.Context) ([]Expiry, error)
	Channels []Channel
	Writer   Writer
	Limits   Limits
	Repeat   time.Duration // 0: never
	Holder   string        // of the lease
	Every    time.Duration // defaults to 30 s
	Now      func() time.Time
	Log      *zap.Logger
}

// Watcher looks at the hub and tells people. Of several processes one at a time
// does.
type Watcher struct {
	opts   Options
	lease  store.Lease
	held   bool
	cancel context.CancelFunc
	done   chan struct{}
}

const (
	leaseName  = "alerts"
	leaseFor   = 3 * time.Minute
	lookFor    = 2 * time.Minute // bounds one look, less than the lease
	stateName  = "alerts.state"
	keepLetter = 24 * time.Hour
	maxOutbox  = 100
)

// attempts are the pauses between attempts to send (destinations §0.5); the last
// one repeats until keepLetter is over.
var attempts = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour}

// Letter is a message on its way to one channel.
type Letter struct {
	ID        string    `json:"id"`
	Channel   string    `json:"channel"`
	Notice    Notice    `json:"notice"`
	Attempts  int       `json:"attempts,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
}

// New makes a Watcher.
func New(opts Options) *Watcher {
	if opts.Every <= 0 {
		opts.Every = 30 * time.Second
	}
	return &Watcher{opts: opts, done: make(chan struct{})}
}

// Start watches until Stop.
func (w *Watcher) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() {
		defer close(w.done)
		ticker := time.NewTicker(w.opts.Every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				w.release()
				return
			case <-ticker.C:
			}
			if err := w.Look(ctx); err != nil && ctx.Err() == nil {
				w.opts.Log.Warn("alerts: the hub was not looked at", zap.Error(err))
			}
		}
	}()
}

// Stop returns when the watcher has ended.
func (w *Watcher) Stop() {
	if w.cancel != nil {
		w.cancel()
		<-w.done
	}
}

func (w *Watcher) release() {
	if !w.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// When this fails, the lease runs out by itself.
	_, _ = w.opts.Store.ReleaseLease(ctx, w.lease)
}

// Look looks once and sends what there is to say; nothing while another process
// does.
func (w *Watcher) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	lease, held, err := w.opts.Store.TakeLease(ctx, leaseName, w.opts.Holder, leaseFor)
	if err != nil {
		return err // whether it is still ours, Stop finds out
	}
	if w.lease, w.held = lease, held; !held {
		return nil
	}
	state, err := w.recall(ctx)
	if err != nil {
		return err
	}
	found, err := w.find(ctx)
	if err != nil {
		return err
	}
	now := w.opts.Now()
	state, notice := Decide(state, found, now, w.opts.Repeat)
	if !notice.Empty() {
		id := NewID()
		for _, c := range w.opts.Channels {
			state.Outbox = append(state.Outbox, Letter{ID: id, Channel: c.Name(), Notice: notice})
		}
	}
	state.Outbox = w.trim(state.Outbox, now)
	// Kept before it is sent: a message may come twice after a crash, but is not
	// lost.
	if err := w.remember(ctx, state); err != nil {
		return err
	}
	if len(state.Outbox) == 0 {
		return nil
	}
	state.Outbox = w.send(ctx, state.Outbox)
	return w.remember(context.WithoutCancel(ctx), state)
}

func (w *Watcher) find(ctx context.Context) ([]Trouble, error) {
	status, err := w.opts.Status(ctx)
	if err != nil {
		return nil, err
	}
	var expiries []Expiry
	if w.opts.Expiries != nil {
		if expiries, err = w.opts.Expiries(ctx); err != nil {
			return nil, err
		}
	}
	return Find(status, expiries, w.opts.Limits), nil
}

// trim drops letters that nobody needs any more.
func (w *Watcher) trim(outbox []Letter, now time.Time) []Letter {
	kept := slices.DeleteFunc(slices.Clone(outbox), func(l Letter) bool {
		known := slices.ContainsFunc(w.opts.Channels, func(c Channel) bool { return c.Name() == l.Channel })
		return !known || now.Sub(l.Notice.At) > keepLetter
	})
	kept = kept[max(0, len(kept)-maxOutbox):]
	if dropped := len(outbox) - len(kept); dropped > 0 {
		w.opts.Log.Warn("alerts: messages dropped that could not be sent for a day", zap.Int("messages", dropped))
	}
	return kept
}

// send tries every letter that is due, in order, and gives those that are left. A
// channel that fails keeps its later letters waiting.
func (w *Watcher) send(ctx context.Context, outbox []Letter) []Letter {
	var left []Letter
	stuck := map[string]bool{}
	for _, l := range outbox {
		if stuck[l.Channel] || l.NotBefore.After(w.opts.Now()) || ctx.Err() != nil {
			stuck[l.Channel] = true
			left = append(left, l)
			continue
		}
		again, keep := w.sendOne(ctx, l)
		if keep {
			stuck[l.Channel] = true
			left = append(left, again)
		}
	}
	return left
}

func (w *Watcher) sendOne(ctx context.Context, l Letter) (again Letter, keep bool) {
	at := slices.IndexFunc(w.opts.Channels, func(c Channel) bool { return c.Name() == l.Channel })
	err := w.opts.Channels[at].Send(ctx, w.opts.Writer.Message(l.ID, l.Notice))
	if err == nil {
		return l, false
	}
	w.opts.Log.Error("alerts: a message was not sent", zap.String("channel", l.Channel), zap.Int("attempt", l.Attempts+1), zap.Error(err))
	class := model.ClassOf(err)
	if class == model.ClassPermanent || class == model.ClassReauth {
		return l, false
	}
	pause := attempts[min(l.Attempts, len(attempts)-1)]
	l.NotBefore = w.opts.Now().Add(pause)
	var failed *model.Error
	if errors.As(err, &failed) && failed.RetryAt.After(l.NotBefore) {
		l.NotBefore = failed.RetryAt
	}
	if class != model.ClassQuota {
		l.Attempts++
	}
	return l, true
}

// recall begins anew when what is kept cannot be read: a repeated message is
// better than none.
func (w *Watcher) recall(ctx context.Context) (State, error) {
	text, err := w.opts.Store.Recall(ctx, "", "", stateName)
	if err != nil || text == "" {
		return State{}, err
	}
	var state State
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		w.opts.Log.Warn("alerts: what was said so far cannot be read", zap.Error(err))
		return State{}, nil
	}
	return state, nil
}

func (w *Watcher) remember(ctx context.Context, state State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("keep what was said: %w", err)
	}
	return w.opts.Store.Remember(ctx, "", "", stateName, string(text))
}

// NewID names a message (webhook-security §3.1).
func NewID() string { return "msg_" + strings.ToLower(rand.Text()) }
