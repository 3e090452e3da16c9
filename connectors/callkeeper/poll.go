package callkeeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

const (
	streamCalls = "call"

	phaseImport  = "import"
	phaseChanges = "changes"

	// recent is how far back every reading looks; deepEvery is how often it looks
	// back as far as the setting says. The list cannot be asked for changes, only
	// for calls of a time (§3.1).
	recent    = 48 * time.Hour
	deepEvery = 24 * time.Hour
	// maxPages ends a list that does not end by itself: five million calls.
	maxPages = 5000
)

// cursor is where the list stands: which page of the calls between From and To
// is next. To is zero between readings.
type cursor struct {
	Phase string    `json:"phase"`
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Page  int       `json:"page,omitempty"`
	Last  string    `json:"last,omitempty"` // mark of the page before
	Done  int       `json:"done,omitempty"`
	// Deep says that this reading goes back as far as the setting says; DeepAt is
	// when the next such one is due.
	Deep   bool      `json:"deep,omitempty"`
	DeepAt time.Time `json:"deep_at,omitzero"`
	Until  time.Time `json:"until,omitzero"` // end of the last whole reading
	// Seen are the versions that are known; Fresh are those of a deep reading that
	// goes on, which replace them when it ends: older ones are forgotten so.
	Seen  string `json:"seen,omitempty"`
	Fresh string `json:"fresh,omitempty"`
}

func parseCursor(text string) (cur cursor, known, fresh seen, err error) {
	if text == "" {
		return cursor{Phase: phaseImport}, seen{}, seen{}, nil
	}
	ok := loosejson.Unmarshal([]byte(text), &cur) == nil && (cur.Phase == phaseImport || cur.Phase == phaseChanges) && cur.Page >= 0
	if ok {
		known, ok = parseSeen(cur.Seen)
	}
	if ok {
		fresh, ok = parseSeen(cur.Fresh)
	}
	if !ok {
		return cur, nil, nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "the place where reading stopped cannot be understood; clear it to import anew")
	}
	return cur, known, fresh, nil
}

// Streams implements connectors.Poller. Without a key there is nothing to poll.
func (c *Connector) Streams() []string {
	if c.cfg.Key == "" {
		return nil
	}
	return []string{streamCalls}
}

// Poll implements connectors.Poller: one page of up to a thousand calls.
func (c *Connector) Poll(ctx context.Context, stream, text string) (connectors.Page, error) {
	if stream != streamCalls || c.cfg.Key == "" {
		return connectors.Page{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "CallKeeper has no list %q without a key or under this name", streamCalls)
	}
	cur, known, fresh, err := parseCursor(text)
	if err != nil {
		return connectors.Page{}, err
	}
	now := c.deps.Now().UTC()
	c.begin(&cur, now)
	rows, end, err := c.list(ctx, cur.Page, cur.From, cur.To)
	if err != nil {
		return connectors.Page{}, err
	}
	// A list that knows no pages would give the first one for ever.
	mark := markOf(rows)
	if end || mark == cur.Last || cur.Page >= maxPages {
		rows, end = nil, true
	}
	var page connectors.Page
	for _, raw := range rows {
		call, err := c.listed(raw)
		if err != nil {
			c.deps.Log.Warn("a call of the list cannot be read", zap.Error(err))
			continue
		}
		cur.Done++
		if call == nil {
			continue
		}
		news, err := c.news(call, cur, known, fresh, now)
		if err != nil {
			return connectors.Page{}, err
		}
		if news {
			page.Records = append(page.Records, call)
		}
	}
	cur.Last = mark
	c.advance(&cur, known, fresh, end, &page)
	return page, nil
}

// begin says what the next reading is about, unless one goes on.
func (c *Connector) begin(cur *cursor, now time.Time) {
	if !cur.To.IsZero() {
		return
	}
	cur.To, cur.Page, cur.Last, cur.Done = now, 0, "", 0
	switch {
	case cur.Phase == phaseImport:
		cur.From = c.cfg.historyFrom
	case !now.Before(cur.DeepAt):
		cur.Deep, cur.DeepAt = true, now.Add(deepEvery)
		cur.From = now.Add(-c.cfg.recheck)
	default:
		cur.From = now.Add(-recent)
	}
	// What began while nobody asked is not missed, however long that was.
	if back := cur.Until.Add(-recent); cur.Phase == phaseChanges && back.Before(cur.From) && !cur.Until.IsZero() {
		cur.From = back
	}
}

// news reports whether a call is new or has changed, and gives it its time: the
// list has none, so it is when the version was seen first, and whatever the
// clocks say it is later than what hooks tell.
func (c *Connector) news(call *model.Call, cur cursor, known, fresh seen, now time.Time) (bool, error) {
	id, content, err := entryOf(call)
	if err != nil {
		return false, err
	}
	news := cur.Phase == phaseImport || (!known.has(id, content) && !fresh.has(id, content))
	if cur.Phase == phaseImport || cur.Deep {
		if cur.Phase == phaseChanges || call.StartedAt.After(cur.To.Add(-c.cfg.recheck)) {
			fresh[id] = content
		}
	} else {
		known[id] = content
	}
	call.UpdatedAt = now
	if last := versionOf(call.StartedAt, true); !now.After(last) {
		call.UpdatedAt = last.Add(time.Second)
	}
	return news, nil
}

// advance writes where to go on.
func (c *Connector) advance(cur *cursor, known, fresh seen, end bool, page *connectors.Page) {
	importing := cur.Phase == phaseImport
	page.More, page.Importing, page.Done = !end, importing && !end, cur.Done
	cur.Page++
	if end {
		if importing || cur.Deep {
			known, fresh = fresh, seen{}
		}
		cur.Phase, cur.Deep, cur.Until = phaseChanges, false, cur.To
		cur.From, cur.To, cur.Page, cur.Last, cur.Done = time.Time{}, time.Time{}, 0, "", 0
	}
	cur.Seen, cur.Fresh = known.String(), fresh.String()
	page.Cursor = cur.String()
}

func (cur cursor) String() string {
	data, err := json.Marshal(cur)
	if err != nil {
		return "" // times out of range, which no clock gives: begin anew
	}
	return string(data)
}

// markOf tells pages apart by their first and last rows.
func markOf(rows []json.RawMessage) string {
	if len(rows) == 0 {
		return ""
	}
	h := sha256.New()
	h.Write(rows[0])
	h.Write(rows[len(rows)-1])
	return hex.EncodeToString(h.Sum(nil)[:8])
}
