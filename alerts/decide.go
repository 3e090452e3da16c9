package alerts

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// hold is how long a trouble must last, and must be away, before anybody hears
// of it: what comes and goes within moments is no news.
const hold = 2 * time.Minute

// State is what was said so far. It survives restarts.
type State struct {
	Known map[string]Known `json:"known,omitempty"`
	// Outbox are the messages that channels have not taken yet.
	Outbox []Letter `json:"outbox,omitempty"`
}

// Known is a trouble that was seen.
type Known struct {
	Trouble Trouble   `json:"trouble"`
	SeenAt  time.Time `json:"seen_at"`          // for the first time
	ToldAt  time.Time `json:"told_at,omitzero"` // for the last time
	GoneAt  time.Time `json:"gone_at,omitzero"` // not seen since
}

// Notice is what there is to say.
type Notice struct {
	New      []Trouble `json:"new,omitempty"`
	Lasting  []Trouble `json:"lasting,omitempty"`
	Resolved []Trouble `json:"resolved,omitempty"`
	At       time.Time `json:"at"`
}

// Empty reports whether there is nothing to say.
func (n Notice) Empty() bool { return len(n.New)+len(n.Lasting)+len(n.Resolved) == 0 }

// Decide compares what was known with what is found now. Every transition is
// told once; what lasts is told again when repeat (0: never) has passed, all of it
// together. The outbox is left as it is.
func Decide(before State, found []Trouble, now time.Time, repeat time.Duration) (State, Notice) {
	known := maps.Clone(before.Known)
	if known == nil {
		known = map[string]Known{}
	}
	notice := Notice{At: now}
	present := map[string]bool{}
	for _, t := range found {
		present[t.key()] = true
		k, seen := known[t.key()]
		if !seen {
			k.SeenAt = now
		}
		k.Trouble, k.GoneAt = t, time.Time{}
		if k.ToldAt.IsZero() && now.Sub(k.SeenAt) >= hold {
			notice.New = append(notice.New, t)
			k.ToldAt = now
		}
		known[t.key()] = k
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if !present[key] {
			notice.leave(known, key, now)
		}
	}
	notice.remind(known, now, repeat)
	return State{Known: known, Outbox: before.Outbox}, notice
}

// leave forgets a trouble that is over.
func (n *Notice) leave(known map[string]Known, key string, now time.Time) {
	k := known[key]
	if k.GoneAt.IsZero() {
		k.GoneAt = now
		known[key] = k
	}
	if k.ToldAt.IsZero() {
		delete(known, key)
		return
	}
	if now.Sub(k.GoneAt) >= hold {
		n.Resolved = append(n.Resolved, k.Trouble)
		delete(known, key)
	}
}

// remind repeats everything that lasts as soon as one of it is due, so that all
// of it stays one message.
func (n *Notice) remind(known map[string]Known, now time.Time, repeat time.Duration) {
	lasting := func(k Known) bool { return !k.ToldAt.IsZero() && k.ToldAt.Before(now) && k.GoneAt.IsZero() }
	due := func(k Known) bool { return lasting(k) && now.Sub(k.ToldAt) >= repeat }
	if repeat <= 0 || !slices.ContainsFunc(slices.Collect(maps.Values(known)), due) {
		return
	}
	for key, k := range known {
		if lasting(k) {
			n.Lasting = append(n.Lasting, k.Trouble)
			k.ToldAt = now
			known[key] = k
		}
	}
	slices.SortFunc(n.Lasting, func(a, b Trouble) int { return cmp.Compare(a.key(), b.key()) })
}
