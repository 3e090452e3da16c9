package console

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/store"
)

// plotMinutes is how much the plots show.
const plotMinutes = 60

// plot is what happened in each of the last minutes, the present one last.
type plot struct {
	Counts [plotMinutes]int
	Peak   int
	Total  int
}

// Last is the count of the last whole minute.
func (p plot) Last() int { return p.Counts[plotMinutes-2] }

// The plots' own measures; the page stretches them.
const (
	barWidth   = 3
	plotHeight = 40
)

// Path draws a bar for each minute.
func (p plot) Path() string {
	var d strings.Builder
	for i, n := range p.Counts {
		if n == 0 {
			continue
		}
		height := max(1, n*(plotHeight-2)/max(p.Peak, 1))
		fmt.Fprintf(&d, "M%d %dv-%dh%dv%dz", i*barWidth, plotHeight, height, barWidth-1, height)
	}
	return d.String()
}

// activity remembers the minutes that are over, so that a page which refreshes
// itself counts two minutes of the journal and not sixty.
type activity struct {
	mu    sync.Mutex
	known map[string]map[int64]int // by project and direction, then by minute
	seen  map[string]int64         // the first minute that is to be counted anew
}

// counter counts what happened from a time on.
type counter func(ctx context.Context, project string, since time.Time) ([]store.Minute, error)

// plot counts the last hour of a project.
func (a *activity) plot(ctx context.Context, direction, project string, now time.Time, count counter) (plot, error) {
	const minute = int64(60)
	last := now.Unix() / minute
	first := last - plotMinutes + 1
	key := direction + "/" + project
	a.mu.Lock()
	from := max(first, a.seen[key])
	a.mu.Unlock()
	counted, err := count(ctx, project, time.Unix(from*minute, 0).UTC())
	if err != nil {
		return plot{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known, a.seen = map[string]map[int64]int{}, map[string]int64{}
	}
	minutes := map[int64]int{}
	for at, n := range a.known[key] {
		if at >= first && at < from {
			minutes[at] = n
		}
	}
	for _, m := range counted {
		minutes[m.Start.Unix()/minute] = m.Count
	}
	// The minute before may still grow: batches are committed a moment later.
	a.known[key], a.seen[key] = minutes, last-1
	var p plot
	for at, n := range minutes {
		if i := at - first; i >= 0 && i < plotMinutes {
			p.Counts[i] = n
			p.Total += n
			p.Peak = max(p.Peak, n)
		}
	}
	return p, nil
}

// paces remembers how many waited for each thing, to tell how long it will take.
type paces struct {
	mu    sync.Mutex
	known map[string][]sample
}

type sample struct {
	at time.Time
	n  int
}

// paceSpan is how far back the speed is measured.
const paceSpan = 2 * time.Minute

// left estimates how long it takes until nothing waits, from how the number fell
// lately; 0 when it did not fall or was not watched.
func (p *paces) left(key string, n int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string][]sample{}
	}
	kept := p.known[key]
	for len(kept) > 0 && now.Sub(kept[0].at) > paceSpan {
		kept = kept[1:]
	}
	if len(kept) == 0 || now.Sub(kept[len(kept)-1].at) >= time.Second {
		kept = append(kept, sample{at: now, n: n})
	}
	if n == 0 {
		delete(p.known, key)
		return 0
	}
	p.known[key] = kept
	first := kept[0]
	passed, gone := now.Sub(first.at), first.n-n
	if gone <= 0 || passed < 5*time.Second {
		return 0
	}
	return time.Duration(float64(passed) / float64(gone) * float64(n))
}
