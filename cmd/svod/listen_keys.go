package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/store"
)

// press does what a key says, about the entry that is looked at; true: quit.
func (l *listener) press(ctx context.Context, key byte) (quit bool) {
	switch key {
	case 'q', 3, 4: // Ctrl+C, Ctrl+D
		return true
	case 'j':
		l.step(1)
		return false
	case 'k':
		l.step(-1)
		return false
	case 'o', '\r', '\n', 'r', 'c', 's':
	default:
		return false
	}
	if l.at < 0 {
		fmt.Fprintln(l.out, "nothing came in yet")
		return false
	}
	e, err := l.entry(ctx, l.order[l.at])
	if err == nil {
		err = l.act(ctx, key, e)
	}
	if err != nil {
		fmt.Fprintln(l.out, "svod:", err)
	}
	return false
}

func (l *listener) step(by int) {
	if len(l.order) == 0 {
		return
	}
	l.at = min(max(l.at+by, 0), len(l.order)-1)
	fmt.Fprintf(l.out, "→ %d\n", l.order[l.at])
}

// entry reads an entry with its body, of whichever project.
func (l *listener) entry(ctx context.Context, id int64) (store.Entry, error) {
	found, err := l.hub.store.Journal(ctx, store.JournalFilter{IDs: []int64{id}, WithBody: true, Limit: 1})
	if err != nil {
		return store.Entry{}, err
	}
	if len(found) == 0 {
		return store.Entry{}, fmt.Errorf("entry %d is not kept any more", id)
	}
	return found[0], nil
}

func (l *listener) act(ctx context.Context, key byte, e store.Entry) error {
	switch key {
	case 'r':
		do := &actions{hub: l.hub}
		n, err := do.Replay(ctx, store.JournalFilter{Project: e.Project, IDs: []int64{e.ID}}, false)
		if err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintf(l.out, "%d waits to be taken in already\n", e.ID)
			return nil
		}
		l.floor = min(l.floor, e.ID-1) // its new fate is shown
		l.shown[e.ID] = store.EntryNew
		fmt.Fprintf(l.out, "%d is taken in again\n", e.ID)
		return nil
	case 'c':
		command := l.curl(e)
		// Terminals that know how put it on the clipboard (OSC 52).
		fmt.Fprintf(l.out, "\x1b]52;c;%s\a%s\n", base64.StdEncoding.EncodeToString([]byte(command)), command)
		return nil
	case 's':
		name, err := l.save(e)
		if err == nil {
			fmt.Fprintf(l.out, "saved as %s\n", name)
		}
		return err
	}
	l.open(e)
	return nil
}

func (l *listener) open(e store.Entry) {
	fmt.Fprintf(l.out, "\n%s of %s/%s at %s\n", e.Method, e.Project, e.Connection, e.ReceivedAt.Local().Format("2006-01-02 15:04:05.000"))
	if query := l.query(e); query != "" {
		fmt.Fprintf(l.out, "query: %s\n", strings.ReplaceAll(query, "\n", ", "))
	}
	for _, h := range view.NewHeaders(e.Header) {
		fmt.Fprintf(l.out, "%s: %s\n", h.Name, l.veiled(h.Value))
	}
	fmt.Fprintf(l.out, "\n%s\n\n", l.readable(e))
}

// query has secrets masked by the journal already.
func (l *listener) query(e store.Entry) string {
	if l.opts.reveal {
		return e.Query
	}
	return veil(view.NewQuery(e.Query))
}

// curl writes the command that sends the entry again. Without --reveal the
// address lacks its secret, and people are masked.
func (l *listener) curl(e store.Entry) string {
	secret := "SECRET"
	if l.opts.reveal {
		secret = l.hub.secret(e.Project, e.Connection)
	}
	target := address(l.hub.cfg, "hooks", e.Project, e.Connection, secret)
	query, body := e.Query, string(e.Body)
	if !l.opts.reveal {
		query, body = discreet(query), discreet(body)
	}
	if query != "" {
		target += "?" + query
	}
	parts := []string{"curl -X " + quoted(e.Method)}
	var header http.Header
	_ = json.Unmarshal(e.Header, &header) // ours; a broken one reads as none
	if kind := header.Get("Content-Type"); kind != "" {
		parts = append(parts, "-H "+quoted("Content-Type: "+kind))
	}
	if len(e.Body) > 0 {
		parts = append(parts, "--data-binary "+quoted(body))
	}
	return strings.Join(append(parts, quoted(target)), " ")
}

// quoted makes one word for a POSIX shell.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", `'\''`) + "'"
}

// sample is an entry as a file: for tests, and to show it to others.
type sample struct {
	Connection string        `json:"connection"`
	Kind       string        `json:"kind"`
	Method     string        `json:"method"`
	Query      string        `json:"query,omitempty"`
	Headers    []view.Header `json:"headers,omitempty"`
	Body       string        `json:"body"`
}

// save never writes over a file.
func (l *listener) save(e store.Entry) (string, error) {
	x := sample{Connection: e.Connection, Method: e.Method, Query: l.query(e), Headers: view.NewHeaders(e.Header), Body: string(e.Body)}
	if c := l.hub.setup.Connection(e.Project, e.Connection); c != nil {
		x.Kind = c.Kind
	}
	if !l.opts.reveal {
		x.Body = discreet(x.Body)
		for i := range x.Headers {
			x.Headers[i].Value = veil(x.Headers[i].Value)
		}
	}
	data, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the sample: %w", err)
	}
	name := fmt.Sprintf("sample-%s-%d.json", e.Connection, e.ID)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("save the sample: %w", err)
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		f.Close()
		return "", fmt.Errorf("save the sample: %w", err)
	}
	return name, f.Close()
}
