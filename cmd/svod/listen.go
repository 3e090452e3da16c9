package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func newListen(s *settings) *cobra.Command {
	var o listenOptions
	var cause string
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Show webhooks as they come in",
		Long: "Show webhooks as they come in, a line each: time, connection, state, what they said or why they were refused.\n" +
			"In a terminal: o opens the last one, j and k go to the next and the former one, r takes it in again, c copies it as curl,\n" +
			"s saves it as a sample, q quits. Personal data is masked unless --reveal is given.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.output != "text" && o.output != "json" {
				return exitError{code: 2, err: fmt.Errorf("--output %q is not known; use text or json", o.output)}
			}
			o.filter.Cause = model.Cause(cause)
			if cause != "" && !slices.Contains(model.Causes(), o.filter.Cause) {
				return exitError{code: 2, err: fmt.Errorf("there is no cause %q; docs/en/causes.md lists them", cause)}
			}
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				l := newListener(h, cmd.OutOrStdout(), o)
				if o.output == "text" && isTerminal(os.Stdout) && isTerminal(os.Stdin) {
					keys, restore := readKeys(os.Stdin)
					defer restore()
					l.keys = keys
					fmt.Fprintln(l.out, "o open · j/k next/former · r take in again · c copy as curl · s save as sample · q quit")
				}
				return l.run(ctx)
			})
		},
	}
	cmd.Flags().StringVar(&o.filter.Project, "project", "", "only this project")
	cmd.Flags().StringVar(&o.filter.Connection, "connection", "", "only this connection")
	cmd.Flags().StringVar(&cause, "cause", "", "only what was refused with this cause")
	cmd.Flags().IntVarP(&o.last, "last", "n", 10, "show so many earlier ones first")
	cmd.Flags().BoolVar(&o.once, "once", false, "show the earlier ones and end")
	cmd.Flags().BoolVar(&o.reveal, "reveal", false, "show personal data and secrets")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json (a document for each line)")
	return cmd
}

type listenOptions struct {
	filter store.JournalFilter
	last   int
	once   bool
	reveal bool
	output string
}

// listener follows the journal by its ids.
type listener struct {
	hub  *hub
	out  io.Writer
	opts listenOptions
	keys <-chan byte // nil: nobody presses any

	floor int64 // entries up to here are not looked at any more
	shown map[int64]store.EntryState
	order []int64
	at    int // of order: what the keys are about
}

const (
	listenEvery = 500 * time.Millisecond
	// settleFor is how long an entry is waited for before it is shown without its
	// fate, and how long a later id may become visible before an earlier one.
	settleFor  = 3 * time.Second
	overlapFor = 15 * time.Second
	maxListed  = 1000
)

func newListener(h *hub, out io.Writer, o listenOptions) *listener {
	return &listener{hub: h, out: out, opts: o, shown: map[int64]store.EntryState{}, at: -1}
}

func (l *listener) run(ctx context.Context) error {
	if err := l.begin(ctx); err != nil || l.opts.once {
		return err
	}
	ticker := time.NewTicker(listenEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key, open := <-l.keys:
			if !open {
				l.keys = nil
				continue
			}
			if quit := l.press(ctx, key); quit {
				return nil
			}
		case <-ticker.C:
			if err := l.look(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// begin shows the last entries, and goes on behind them.
func (l *listener) begin(ctx context.Context) error {
	f := l.opts.filter
	f.Limit = max(l.opts.last, 1)
	last, err := l.hub.store.Journal(ctx, f)
	if err != nil {
		return err
	}
	newest, err := l.hub.store.Journal(ctx, store.JournalFilter{Project: f.Project, Connection: f.Connection, Limit: 1})
	if err != nil {
		return err
	}
	if len(newest) > 0 {
		l.floor = newest[0].ID
	}
	slices.Reverse(last)
	if l.opts.last > 0 {
		for _, e := range last {
			l.show(e)
		}
	}
	return nil
}

// look shows what is new above the floor, in the order of ids.
func (l *listener) look(ctx context.Context) error {
	fresh, err := l.above(ctx)
	if err != nil {
		return err
	}
	now := l.hub.now()
	for _, e := range fresh {
		if state, shown := l.shown[e.ID]; shown && state == e.State {
			continue
		}
		waits := e.State == store.EntryNew && now.Sub(e.ReceivedAt) < settleFor
		if waits || l.opts.filter.Cause != "" && e.Cause != l.opts.filter.Cause {
			continue
		}
		l.show(e)
	}
	l.raise(fresh, now)
	return nil
}

// above reads the entries above the floor.
func (l *listener) above(ctx context.Context) ([]store.Entry, error) {
	// The cause is not asked for: an entry has none before it is settled.
	f := store.JournalFilter{Project: l.opts.filter.Project, Connection: l.opts.filter.Connection, Limit: maxListed}
	var all []store.Entry
	for {
		page, err := l.hub.store.Journal(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.ID <= l.floor {
				slices.Reverse(all)
				return all, nil
			}
			all = append(all, e)
		}
		if len(page) < maxListed {
			slices.Reverse(all)
			return all, nil
		}
		f.BeforeID = page[len(page)-1].ID
	}
}

// raise leaves behind what is old and settled, up to the first that is not.
func (l *listener) raise(fresh []store.Entry, now time.Time) {
	for _, e := range fresh {
		if e.State == store.EntryNew || now.Sub(e.ReceivedAt) < overlapFor {
			return
		}
		l.floor = e.ID
	}
}

func (l *listener) show(e store.Entry) {
	if _, before := l.shown[e.ID]; !before {
		follow := l.at == len(l.order)-1
		l.order = append(l.order, e.ID)
		if follow {
			l.at = len(l.order) - 1
		}
	}
	l.shown[e.ID] = e.State
	if len(l.order) > 2*maxListed {
		l.trim()
	}
	if l.opts.output == "json" {
		l.showJSON(e)
		return
	}
	says := e.Note
	if e.Cause != "" {
		says = strings.TrimSpace(string(e.Cause) + ": " + e.Error)
	}
	fmt.Fprintf(l.out, "%s  %-8d %-24s %-8s %s\n", e.ReceivedAt.Local().Format("2006-01-02 15:04:05"), e.ID,
		e.Project+"/"+e.Connection, view.EntryState(e.State), l.veiled(oneLine(says)))
}

// trim forgets the older half of what was shown. What is above the floor is
// newer.
func (l *listener) trim() {
	gone := len(l.order) - maxListed
	for _, id := range l.order[:gone] {
		if id <= l.floor {
			delete(l.shown, id)
		}
	}
	l.order = slices.Delete(l.order, 0, gone)
	l.at = max(l.at-gone, 0)
}

// entryLine is an entry for programs.
type entryLine struct {
	ID         int64       `json:"id"`
	Project    string      `json:"project"`
	Connection string      `json:"connection"`
	ReceivedAt time.Time   `json:"received_at"`
	State      string      `json:"state"`
	Cause      model.Cause `json:"cause,omitempty"`
	Error      string      `json:"error,omitempty"`
	Note       string      `json:"note,omitempty"`
}

func (l *listener) showJSON(e store.Entry) {
	line := entryLine{
		ID: e.ID, Project: e.Project, Connection: e.Connection, ReceivedAt: e.ReceivedAt, State: view.EntryState(e.State),
		Cause: e.Cause, Error: l.veiled(e.Error), Note: l.veiled(e.Note),
	}
	encoder := json.NewEncoder(l.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(line) // a broken pipe ends the program by itself
}

func (l *listener) veiled(text string) string {
	if l.opts.reveal {
		return text
	}
	return veil(text)
}

// readable gives an entry's body for reading: with credentials and people only if
// asked for.
func (l *listener) readable(e store.Entry) string {
	if l.opts.reveal {
		var out bytes.Buffer
		if json.Valid(e.Body) && json.Indent(&out, e.Body, "", "  ") == nil {
			return out.String()
		}
		return strings.ToValidUTF8(string(e.Body), "\uFFFD")
	}
	return veil(view.NewBody(e.Body).Text)
}
