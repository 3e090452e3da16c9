package bitrix24

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

const (
	phaseImport  = "import"
	phaseChanges = "changes"

	// overlap covers changes whose commit came after their modification time
	// (§7.9).
	overlap = 10 * time.Minute
	// shortChain is how many pages a window of changes begins with: most hold few,
	// and pages behind the last one cost the portal work for nothing.
	shortChain = 2

	streamStages = "stage_change"
)

// cursor is where a stream stands. An import goes through all ids in ascending
// order. After it come windows: everything changed since From, by ascending id,
// so that (From, After) is the place in the window; while a window is read, Next
// is where the following one begins. Nothing is missed: what changes during a
// window either is still ahead in it or belongs to the next.
type cursor struct {
	Phase string    `json:"phase"`
	List  int       `json:"list,omitempty"` // which of the stream's lists
	After int64     `json:"after,omitempty"`
	From  time.Time `json:"from,omitzero"`
	Next  time.Time `json:"next,omitzero"`
	Done  int       `json:"done,omitempty"`
	Total int       `json:"total,omitempty"`
}

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{Phase: phaseImport}, nil
	}
	var cur cursor
	if err := loosejson.Unmarshal([]byte(text), &cur); err != nil || (cur.Phase != phaseImport && cur.Phase != phaseChanges) || cur.After < 0 || cur.List < 0 {
		return cursor{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "the place where reading stopped cannot be understood; clear it to import anew")
	}
	return cur, nil
}

func (cur cursor) String() string {
	data, err := json.Marshal(cur)
	if err != nil {
		return ""
	}
	return string(data)
}

// stream is one polled list, or two of a kind.
type stream struct {
	name  string
	lists []entity
}

func streams() []stream {
	var out []stream
	for _, e := range entities {
		out = append(out, stream{name: string(e.kind), lists: []entity{e}})
	}
	deal, _ := entityOf(model.KindDeal)
	lead, _ := entityOf(model.KindLead)
	return append(out, stream{name: streamStages, lists: []entity{deal, lead}})
}

// Streams implements connectors.Poller.
func (c *Connector) Streams() []string {
	var out []string
	for _, s := range streams() {
		out = append(out, s.name)
	}
	return out
}

// Poll implements connectors.Poller: up to 50 pages of 50 in one call.
func (c *Connector) Poll(ctx context.Context, name, text string) (connectors.Page, error) {
	cur, err := parseCursor(text)
	if err != nil {
		return connectors.Page{}, err
	}
	for _, s := range streams() {
		if s.name == name && cur.List < len(s.lists) {
			return c.poll(ctx, s, cur)
		}
	}
	return connectors.Page{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "Bitrix24 has no list %q", clip(name))
}

func (c *Connector) poll(ctx context.Context, s stream, cur cursor) (connectors.Page, error) {
	known, err := c.trackingFields(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	family, err := c.family(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	page, again, err := c.pollChain(ctx, family, s, cur, known)
	if again {
		page, _, err = c.pollChain(ctx, readClassic, s, cur, known)
	}
	return page, err
}

// chain makes the commands of one call: counts first, where the import's total
// is not known yet, then pages that each begin behind the last row of the one
// before.
func (s stream) chain(family string, cur cursor, width int) (counts, pages []command) {
	make1 := func(e entity, l listing) command {
		if s.name == streamStages {
			return e.history(l)
		}
		return e.list(family, l)
	}
	if cur.Phase == phaseImport && cur.Next.IsZero() {
		for _, e := range s.lists {
			counts = append(counts, make1(e, listing{count: true}))
		}
	}
	n := width - len(counts)
	switch {
	case cur.Phase == phaseChanges && cur.After == 0:
		n = shortChain
	case cur.Phase == phaseImport && cur.Total > 0:
		n = min(n, max(1, (cur.Total-cur.Done)/pageSize+1))
	}
	for i := range n {
		l := listing{since: cur.From, after: strconv.FormatInt(cur.After, 10)}
		if i > 0 {
			l.after = s.lastOf(family, commandName(len(counts)+i-1))
		}
		pages = append(pages, make1(s.lists[cur.List], l))
	}
	return counts, pages
}

// lastOf refers to the id of the last row of a full page (§6). Behind a page
// that is not full the reference is empty and the list begins again; such pages
// are not looked at.
func (s stream) lastOf(family, name string) string {
	switch {
	case s.name == streamStages:
		return fmt.Sprintf("$result[%s][items][%d][ID]", name, pageSize-1)
	case family == readClassic:
		return fmt.Sprintf("$result[%s][%d][ID]", name, pageSize-1)
	}
	return fmt.Sprintf("$result[%s][items][%d][id]", name, pageSize-1)
}

func (c *Connector) pollChain(ctx context.Context, family string, s stream, cur cursor, known tracking) (page connectors.Page, again bool, err error) {
	counts, pages := s.chain(family, cur, c.width())
	readAt := c.deps.Now()
	replies, at, err := c.batch(ctx, append(counts, pages...), reading)
	if err != nil {
		return page, false, err
	}
	if cur.Next.IsZero() {
		cur.Next = at
	}
	for _, r := range replies[:len(counts)] {
		cur.Total += r.total
	}
	e := s.lists[cur.List]
	m := c.mapper(e.kind, known, readAt)
	if s.name == streamStages {
		m = c.mapper(model.KindStageChange, known, readAt)
	}
	end := false
	for i, r := range replies[len(counts):] {
		if r.fault != nil {
			if again, err := c.fallBack(ctx, family, r.fault); again || err != nil {
				return page, again, err
			}
			if s.name == streamStages && r.fault.methodMissing() {
				c.deps.Log.Warn("the portal keeps no stage history; stage changes are not read")
				end = true
				break
			}
			if i == 0 {
				return page, false, r.fault.classify("list "+s.name, c.deps.Now())
			}
			break // what came before is good; the rest is asked for again
		}
		full, err := c.takePage(m, s, e, r, &cur, &page)
		if err != nil {
			return page, false, err
		}
		if !full {
			end = true
			break
		}
	}
	c.advance(s, cur, end, &page)
	return page, false, nil
}

// takePage adds a page's rows; it reports whether there may be more behind it.
func (c *Connector) takePage(m *mapper, s stream, e entity, r reply, cur *cursor, page *connectors.Page) (full bool, err error) {
	all, err := rows(r.result)
	if err != nil {
		return false, err
	}
	before := cur.After
	for _, raw := range all {
		id := rowID(raw)
		if id <= cur.After { // a portal that ignores the filter would go in a circle
			continue
		}
		cur.After = id
		cur.Done++
		rec, err := m.any(s, e, raw)
		if err != nil {
			c.deps.Log.Warn("a row of the portal's answer cannot be read", logError(err))
			continue
		}
		page.Records = append(page.Records, rec)
	}
	return len(all) >= pageSize && cur.After > before, nil
}

func (m *mapper) any(s stream, e entity, raw json.RawMessage) (model.Record, error) {
	if s.name == streamStages {
		return m.stageChange(e.kind, raw)
	}
	return m.record(raw)
}

// advance writes where to go on.
func (c *Connector) advance(s stream, cur cursor, end bool, page *connectors.Page) {
	importing := cur.Phase == phaseImport
	page.More = true
	if end {
		cur.List++
		cur.After = 0
		if cur.List == len(s.lists) {
			// The window, or the import, is over: the next one begins where this one
			// began, less the overlap.
			page.More, importing = false, false
			cur.Phase, cur.List, cur.From, cur.Next = phaseChanges, 0, cur.Next.Add(-overlap), time.Time{}
		}
	}
	page.Importing = importing
	page.Done, page.Total = cur.Done, cur.Total
	if cur.Total > 0 { // things were made while we counted
		page.Total = max(cur.Total, cur.Done)
	}
	if !importing {
		cur.Done, cur.Total = 0, 0
	}
	page.Cursor = cur.String()
}
