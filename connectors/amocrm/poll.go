package amocrm

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// The polled lists, in the order in which flows need them: people before deals.
const (
	streamContact = "contact"
	streamCompany = "company"
	streamLead    = "lead"
	streamEvents  = "events"
)

// overlap is read again at each poll: changes may show up late (amocrm §4.2).
const overlap = 600 * time.Second

// Phases of a cursor.
const (
	phaseImport  = "import"
	phaseChanges = "changes"
)

// cursor is where a list was left. The import goes by ascending id; changes go
// by ascending (updated_at, id) through a window that ends when the poll began.
type cursor struct {
	Phase string `json:"phase"`
	Start int64  `json:"start"` // when the import began
	Done  int    `json:"done,omitempty"`

	// Where we are in a list that is read by pages.
	LastID   int64 `json:"last_id,omitempty"`
	LastTime int64 `json:"last_time,omitempty"`
	Offset   int   `json:"offset,omitempty"`
	Empty    int   `json:"empty,omitempty"` // unexpected empty pages in a row

	// The window of changes; To is 0 between polls.
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	Tie  bool  `json:"tie,omitempty"`  // all of second From is being read, by id
	Full bool  `json:"full,omitempty"` // without filters, newest first
	Mid  bool  `json:"mid,omitempty"`
}

func readCursor(text string, now time.Time) (cursor, error) {
	if text == "" {
		return cursor{Phase: phaseImport, Start: now.Unix()}, nil
	}
	var cur cursor
	if json.Unmarshal([]byte(text), &cur) != nil || cur.Phase != phaseImport && cur.Phase != phaseChanges {
		return cur, model.Errorf(model.ClassPermanent, model.CauseInternal,
			"the stored position of the list is not readable: reset it to import the history again")
	}
	return cur, nil
}

func (cur *cursor) text() string {
	data, err := json.Marshal(cur)
	if err != nil {
		return "" // a struct of numbers always marshals
	}
	return string(data)
}

// rewind begins a list from its first page.
func (cur *cursor) rewind() { cur.LastID, cur.LastTime, cur.Offset, cur.Empty = 0, 0, 0, 0 }

// finish ends a poll; the next one begins some time before the end of this.
func (cur *cursor) finish() {
	cur.From, cur.To = cur.To-int64(overlap/time.Second), 0
	cur.Tie, cur.Full, cur.Mid = false, false, false
	cur.rewind()
}

// beginChanges leaves the import.
func (cur *cursor) beginChanges() {
	cur.Phase, cur.From, cur.To = phaseChanges, cur.Start-int64(overlap/time.Second), 0
	cur.rewind()
}

// Streams implements connectors.Poller.
func (c *Connector) Streams() []string {
	if c.cfg.Events == eventsOff {
		return []string{streamContact, streamCompany, streamLead}
	}
	return []string{streamContact, streamCompany, streamLead, streamEvents}
}

// Poll implements connectors.Poller. Each call reads one page.
func (c *Connector) Poll(ctx context.Context, stream, position string) (connectors.Page, error) {
	cur, err := readCursor(position, c.deps.Now())
	if err != nil {
		return connectors.Page{}, err
	}
	kind := model.Kind(stream)
	if stream == streamLead {
		kind = model.KindDeal
	}
	a, err := c.facts(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	if stream == streamEvents {
		return c.pollEvents(ctx, a, cur)
	}
	p, ok := placeOf(kind)
	if !ok {
		return connectors.Page{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "amoCRM has no list %q", stream)
	}
	s := &step{c: c, place: p, account: a, cur: cur, mapper: c.mapper(a)}
	if cur.Phase == phaseImport {
		err = s.importing(ctx)
	} else {
		err = s.changes(ctx)
	}
	if err != nil {
		return connectors.Page{}, err
	}
	s.page.Cursor, s.page.Done = s.cur.text(), s.cur.Done
	s.page.Importing = s.cur.Phase == phaseImport
	return s.page, nil
}

// step reads one page of a list and moves the cursor.
type step struct {
	c       *Connector
	place   place
	account account
	mapper  *mapper
	cur     cursor
	page    connectors.Page
}

func (s *step) take(e *entity) {
	if e.Deleted.Value {
		s.page.Missing = append(s.page.Missing, model.Ref{Kind: s.place.kind, ID: string(e.ID)})
		return
	}
	s.page.Records = append(s.page.Records, s.mapper.record(s.place.kind, e))
}

func (s *step) importing(ctx context.Context) error {
	more, err := s.byID(ctx, func(*query) {})
	if err != nil {
		return err
	}
	s.cur.Done += len(s.page.Records)
	if !more {
		s.cur.beginChanges()
	}
	s.page.More = true
	return nil
}

// byID reads the next page by ascending id. Pages are counted from the front, so
// a deletion in front of us would make the list skip a row. Therefore each page
// is chosen to begin before the row that was read last; when it does not, rows
// have moved, and we step back.
func (s *step) byID(ctx context.Context, narrow func(*query)) (more bool, err error) {
	cur := &s.cur
	limit, page := pageFor(cur.Offset)
	ask := func() *query {
		q := s.place.query()
		narrow(q)
		return q.add("order[id]", "asc").add("limit", strconv.Itoa(limit)).add("page", strconv.Itoa(page))
	}
	l, err := s.c.sureList(ctx, s.place, ask)
	if err != nil {
		return false, err
	}
	if cur.Offset > 0 && (l.none || len(l.rows) > 0 && number(l.rows[0].ID) > cur.LastID && ascending(l.rows, byNumber)) {
		cur.Offset = max(0, cur.Offset-pageSize)
		return true, nil
	}
	before, fresh := cur.Offset, 0
	for i := range l.rows {
		if id := number(l.rows[i].ID); id > cur.LastID || !ascending(l.rows, byNumber) {
			s.take(&l.rows[i])
			fresh++
		}
	}
	for i := range l.rows {
		cur.LastID = max(cur.LastID, number(l.rows[i].ID))
	}
	cur.Offset = (page-1)*limit + l.raw
	if l.next && fresh == 0 && cur.Offset <= before {
		return false, model.Errorf(model.ClassTemporary, model.CauseIncomplete, "amoCRM's list of %s does not go on after %d rows", s.place.name, before)
	}
	return l.next, nil
}

// pageFor gives the page that begins latest among those that hold the row before
// offset.
func pageFor(offset int) (limit, page int) {
	if offset <= 0 {
		return pageSize, 1
	}
	limit, target := pageSize, offset-1
	for l := pageSize; l > pageSize*4/5; l-- {
		if target%l < target%limit {
			limit = l
		}
	}
	return limit, target/limit + 1
}

func (s *step) changes(ctx context.Context) error {
	cur := &s.cur
	if cur.To == 0 {
		cur.To = s.c.deps.Now().Unix()
		cur.Full = !s.c.filters(s.account)
		cur.rewind()
	}
	switch {
	case cur.Full:
		return s.newestFirst(ctx)
	case cur.Tie:
		return s.tie(ctx)
	}
	return s.window(ctx)
}

// window reads changes from From on by their time. Going on from the time of the
// last row instead of the next page, nothing is skipped when rows change meanwhile.
func (s *step) window(ctx context.Context) error {
	cur := &s.cur
	ask := func() *query {
		return s.between(cur.From, cur.To).add("order[updated_at]", "asc").add("limit", strconv.Itoa(pageSize))
	}
	read := s.c.sureList
	if !cur.Mid { // an account without changes answers so every time
		read = func(ctx context.Context, p place, ask func() *query) (listing, error) { return s.c.list(ctx, p, ask()) }
	}
	l, err := read(ctx, s.place, ask)
	if err != nil {
		return err
	}
	for i := range l.rows {
		if at := l.rows[i].UpdatedAt.Unix(); at < cur.From || at > cur.To {
			return s.giveUpFilters()
		}
	}
	if l.next && !ascending(l.rows, byTime) {
		return s.giveUpFilters()
	}
	for i := range l.rows {
		s.take(&l.rows[i])
	}
	if !l.next || len(l.rows) == 0 {
		cur.finish()
		return nil
	}
	last := l.rows[len(l.rows)-1].UpdatedAt.Unix()
	cur.Tie, cur.From, cur.Mid = last == cur.From, last, true
	cur.rewind()
	s.page.More = true
	return nil
}

func (s *step) between(from, to int64) *query {
	return s.place.query().
		add("filter[updated_at][from]", strconv.FormatInt(from, 10)).
		add("filter[updated_at][to]", strconv.FormatInt(to, 10))
}

// tie reads a second in which more rows changed than a page holds.
func (s *step) tie(ctx context.Context) error {
	cur := &s.cur
	more, err := s.byID(ctx, func(q *query) {
		at := strconv.FormatInt(cur.From, 10)
		q.add("filter[updated_at][from]", at).add("filter[updated_at][to]", at)
	})
	if err != nil {
		return err
	}
	if !more {
		cur.Tie, cur.From = false, cur.From+1
		cur.rewind()
		if cur.From > cur.To {
			cur.finish()
			return nil
		}
	}
	s.page.More = true
	return nil
}

// giveUpFilters begins this poll anew without filters.
func (s *step) giveUpFilters() error {
	s.c.ignoresFilters()
	s.cur.Full, s.cur.Tie = true, false
	s.cur.rewind()
	s.page = connectors.Page{More: true}
	return nil
}

// newestFirst reads the list back to From, for accounts that ignore filters
// (amocrm §5.2). Rows that change meanwhile come to the front and are read at the
// next poll; rows that vanish are noticed as in byID.
func (s *step) newestFirst(ctx context.Context) error {
	cur := &s.cur
	limit, page := pageFor(cur.Offset)
	l, err := s.c.sureList(ctx, s.place, func() *query {
		return s.place.query().add("order[updated_at]", "desc").add("limit", strconv.Itoa(limit)).add("page", strconv.Itoa(page))
	})
	if err != nil {
		return err
	}
	sorted := ascending(l.rows, func(e *entity) int64 { return -byTime(e) })
	if cur.Offset > 0 && (l.none || sorted && len(l.rows) > 0 && byTime(&l.rows[0]) < cur.LastTime) {
		cur.Offset, s.page.More = max(0, cur.Offset-pageSize), true
		return nil
	}
	before := cur.Offset
	for i := range l.rows {
		if byTime(&l.rows[i]) >= cur.From {
			s.take(&l.rows[i])
		}
		cur.LastTime = byTime(&l.rows[i])
	}
	cur.Offset = (page-1)*limit + l.raw
	if !l.next || sorted && len(l.rows) > 0 && cur.LastTime < cur.From {
		cur.finish()
		return nil
	}
	if cur.Offset <= before {
		return model.Errorf(model.ClassTemporary, model.CauseIncomplete, "amoCRM's list of %s does not go on after %d rows", s.place.name, before)
	}
	s.page.More = true
	return nil
}

func ascending(rows []entity, key func(*entity) int64) bool {
	for i := 1; i < len(rows); i++ {
		if key(&rows[i]) < key(&rows[i-1]) {
			return false
		}
	}
	return true
}

func byNumber(e *entity) int64 { return number(e.ID) }
func byTime(e *entity) int64   { return e.UpdatedAt.Unix() }

func number[T ~string](id T) int64 {
	n, err := strconv.ParseInt(string(id), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
