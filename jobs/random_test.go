package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// errKilled is what the hub dies of.
var errKilled = errors.New("killed")

// ledger is a destination without keys: a row that it gets twice it has twice.
// It fails in every way that a destination may.
type ledger struct {
	rand    *rand.Rand
	calm    bool                             // takes everything
	lines   []string                         // what it has, in the order in which it came
	bad     map[string]bool                  // lines because of which it refuses a whole upload
	doubt   map[string]string                // by token: bodies of which it did not say that it took them
	refused map[string][]connectors.RowError // by token
	kill    func()                           // ends the process that speaks to it
	sent    map[string]bool                  // tokens that it saw
	fault   string
}

func (*ledger) Check(context.Context) (string, error) { return "", nil }

func (l *ledger) Plan(string) connectors.UploadPlan { return connectors.UploadPlan{MaxRows: 7} }

func (l *ledger) Group(_ connectors.Upload, row *model.Row) string { return row.Key[len(row.Key)-1:] }

func (l *ledger) Encode(_ context.Context, _ connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	return lineWriter{w}, nil
}

func (l *ledger) Send(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return connectors.Outcome{}, err
	}
	if l.sent[u.Token] {
		l.fault = "a token was used for two attempts"
	}
	l.sent[u.Token] = true
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		if l.bad[line] {
			return connectors.Outcome{State: connectors.UploadRejected, Reasons: []string{"bad line"}}, nil
		}
	}
	chance := l.rand.IntN(12)
	switch {
	case l.calm:
	case chance == 0:
		return connectors.Outcome{}, model.Errorf(model.ClassTemporary, model.CauseNetwork, "no connection")
	case chance == 1: // it arrived, and we were killed before we heard so
		l.take(u, lines)
		l.kill()
		return connectors.Outcome{}, ctx.Err()
	case chance == 2: // it did not arrive, and we were killed
		l.kill()
		return connectors.Outcome{}, ctx.Err()
	case chance == 3:
		l.take(u, lines)
		return connectors.Outcome{}, model.Errorf(model.ClassUnknown, model.CauseNetwork, "reset after the body")
	case chance == 4:
		return connectors.Outcome{}, model.Errorf(model.ClassUnknown, model.CauseNetwork, "reset within the body")
	case chance == 5:
		key, _, _ := strings.Cut(lines[0], "\t")
		l.take(u, lines[1:])
		l.refused[u.Token] = []connectors.RowError{{Key: key, Err: model.Errorf(model.ClassPermanent, model.CauseRefusedByRemote, "refused")}}
		return connectors.Outcome{State: connectors.UploadAccepted, Accepted: len(lines) - 1, Refused: l.refused[u.Token]}, nil
	}
	l.take(u, lines)
	return connectors.Outcome{State: connectors.UploadAccepted, Accepted: len(lines)}, nil
}

func (l *ledger) take(u connectors.Upload, lines []string) {
	l.lines = append(l.lines, lines...)
	l.doubt[u.Token] = "taken"
}

func (l *ledger) Settle(_ context.Context, u connectors.Upload) (connectors.Outcome, bool, error) {
	if !l.calm && l.rand.IntN(3) == 0 {
		return connectors.Outcome{}, false, model.Errorf(model.ClassTemporary, model.CauseNetwork, "not now")
	}
	// A destination that refuses rows one by one says so when it is asked later, too.
	return connectors.Outcome{State: connectors.UploadAccepted, Refused: l.refused[u.Token]}, l.doubt[u.Token] != "", nil
}

// life is one random life of a hub.
type life struct {
	*bundle
	rand    *rand.Rand
	to      *ledger
	version map[string]string // newest, by contact
}

func newLife(t *testing.T, seed uint64) *life {
	r := rand.New(rand.NewPCG(seed, 1))
	l := &life{bundle: setup(t), rand: r, version: map[string]string{},
		to: &ledger{rand: r, bad: map[string]bool{}, doubt: map[string]string{}, refused: map[string][]connectors.RowError{}, sent: map[string]bool{}, kill: func() {}}}
	project := l.setup.Projects[0]
	project.Flows = project.Flows[:1]
	project.Connections[1].Connector = l.to
	l.restart()
	return l
}

// change writes new versions of some contacts; some of them the destination will
// not take.
func (l *life) change(step int) {
	l.advance(time.Second)
	var changed []model.Record
	for range 1 + l.rand.IntN(12) {
		id := fmt.Sprintf("c%02d", l.rand.IntN(25))
		text := fmt.Sprintf("v%d", step)
		if l.rand.IntN(30) == 0 {
			text = "bad" + text
			l.to.bad[fmt.Sprintf("%s\t[%s %s]", id, id, text)] = true
		}
		c := l.contact(id, text)
		c.Connection = "b24"
		changed = append(changed, c)
		l.version[id] = text
	}
	if _, err := l.db.ApplyRecords(l.t.Context(), "shop", changed); err != nil {
		l.t.Fatal(err)
	}
}

// run lets the flow run once, and be killed on the way now and then.
func (l *life) run() {
	l.once()
	if l.db.Ping(l.t.Context()) != nil {
		l.open()
		l.restart()
	}
	l.advance(11 * time.Minute) // longer than any pause after a failure
}

func (l *life) once() {
	ctx, stop := context.WithCancelCause(l.t.Context())
	defer stop(nil)
	// Without its database a process can do nothing more, as if it were dead. Close
	// waits for a transaction that is under way.
	killed := make(chan struct{})
	kill := sync.OnceFunc(func() {
		_ = l.db.Close()
		stop(errKilled)
		close(killed)
	})
	l.to.kill = kill
	if !l.to.calm && l.rand.IntN(4) == 0 {
		timer := time.AfterFunc(time.Duration(l.rand.IntN(8000))*time.Microsecond, kill)
		defer func() {
			if !timer.Stop() {
				<-killed
			}
		}()
	}
	_ = l.engine.Do(ctx, jobs.Work{Kind: jobs.WorkDeliver, Project: "shop", Subject: "clients"})
}

// resend asks for rows again, as an operator does; without forgetting, so that
// nothing that arrived goes twice.
func (l *life) resend() {
	f := store.DeliveryFilter{Project: "shop", Flow: "clients"}
	if l.rand.IntN(2) == 0 {
		f.States = []store.DeliveryState{store.DeliveryRefused}
	}
	if _, err := l.db.Resend(l.t.Context(), f, false, false); err != nil {
		l.t.Fatal(err)
	}
}

// Whatever happens, in the end the destination has the newest version of each
// row, the refused ones apart, and has no version twice.
func TestRandomLives(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			l := newLife(t, seed)
			for step := range 10 {
				switch l.rand.IntN(5) {
				case 0, 1:
					l.change(step)
				case 2:
					l.resend()
				}
				l.run()
			}
			l.to.calm = true
			f := store.DeliveryFilter{Project: "shop", Flow: "clients", States: []store.DeliveryState{store.DeliveryRefused}}
			if _, err := l.db.Resend(t.Context(), f, false, false); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				l.run()
			}
			l.check()
		})
	}
}

func (l *life) check() {
	l.t.Helper()
	if l.to.fault != "" {
		l.t.Error(l.to.fault)
	}
	seen, newest := map[string]bool{}, map[string]string{}
	for _, line := range l.to.lines {
		if seen[line] {
			l.t.Errorf("%q is there twice", line)
		}
		seen[line] = true
		key, _, _ := strings.Cut(line, "\t")
		newest[key] = line
	}
	for id, text := range l.version {
		line := fmt.Sprintf("%s\t[%s %s]", id, id, text)
		d := l.delivery("clients", id)
		switch {
		case l.to.bad[line]:
			if d.State != store.DeliveryRefused {
				l.t.Errorf("%q is not set aside: %+v", line, d)
			}
		case newest[id] != line || d.State != store.DeliverySent || d.DoneSeq != d.WantedSeq:
			l.t.Errorf("the destination has %q, want %q; %+v", newest[id], line, d)
		}
	}
	open, err := l.db.OpenUploads(l.t.Context())
	if err != nil || len(open) > 0 {
		l.t.Errorf("open uploads %+v, %v", open, err)
	}
}
