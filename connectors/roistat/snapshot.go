package roistat

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/svod-hub/svod/model"
)

// A list is read in pages, and the protocol names neither the run nor the page:
// only action, date and offset. So the ids of a list are laid down when its first
// page is asked for, and the later pages are cut from that, whatever changes
// meanwhile (roistat §2.4, rule 4).
//
// When the data changed and the first page is asked for again while another run
// is under way (two runs at once, or a run that was broken off), there are two
// lists under one date. A page belongs to the run that waits for exactly this
// offset; to make that telling, a run beside another one gets a page that is
// shorter by one. Roistat goes on by the limit that we answer.
const (
	listLives    = 2 * time.Hour
	listServes   = time.Hour // younger ones may be taken up by a new run
	runIdles     = 10 * time.Minute
	runRepeats   = time.Minute
	chunkEntries = 10000
	maxRuns      = 12
	batchSize    = 1000
)

// entry is one line of a list: a record, and the order id that was promised for
// it.
type entry struct {
	key      model.Key
	promised string
}

// run is one reading of a list.
type run struct {
	List    int64     `json:"list"` // names the chunks
	Sum     string    `json:"sum"`  // of the entries
	Total   int       `json:"total"`
	Limit   int       `json:"limit"`
	Next    int       `json:"next"`    // offset that it will ask for next
	Made    time.Time `json:"made"`    // the list
	Touched time.Time `json:"touched"` // the run
}

func (r *run) underWay(now time.Time) bool {
	return r.Next < r.Total && now.Sub(r.Touched) < runIdles
}

// page is a part of a list.
type page struct {
	entries []entry
	offset  int
	limit   int
	total   int
}

// list names a list: the action and the date.
type list struct {
	name string
	// make works out the entries, or refuses.
	make func(ctx context.Context) ([]entry, error)
}

// page gives the part of a list that begins at offset.
func (c *call) page(ctx context.Context, l list) (page, error) {
	offset, err := c.params.whole("offset", 0)
	if err != nil {
		return page{}, err
	}
	wish, err := c.params.whole("limit", 0)
	if err != nil || wish == 0 || wish > c.PageSize {
		wish = c.PageSize
	}
	c.lists.Lock()
	defer c.lists.Unlock()
	runs, err := c.loadRuns(ctx, l.name)
	if err != nil {
		return page{}, err
	}
	r := pick(runs, offset, c.now)
	if r == nil {
		if r, runs, err = c.begin(ctx, l, runs, wish); err != nil {
			return page{}, err
		}
	}
	limit := min(r.Limit, wish)
	p := page{offset: offset, limit: limit, total: r.Total}
	if p.entries, err = c.cut(ctx, l.name, r, offset, limit); err != nil {
		return page{}, err
	}
	r.Next, r.Touched = offset+limit, c.now
	return p, c.saveRuns(ctx, l.name, runs)
}

// pick finds the run that a later page belongs to.
func pick(runs []*run, offset int, now time.Time) *run {
	if offset == 0 || len(runs) == 0 {
		return nil
	}
	var waiting, fitting *run
	for _, r := range runs {
		if r.Next == offset && r.underWay(now) && (waiting == nil || r.Touched.After(waiting.Touched)) {
			waiting = r
		}
		if offset%r.Limit == 0 {
			fitting = r // the newest one: a page that is asked for again
		}
	}
	switch {
	case waiting != nil:
		return waiting
	case fitting != nil:
		return fitting
	}
	return runs[len(runs)-1]
}

// begin lays a list down, or takes the newest one up when nothing has changed.
func (c *call) begin(ctx context.Context, l list, runs []*run, limit int) (*run, []*run, error) {
	entries, err := l.make(ctx)
	if err != nil {
		return nil, nil, err
	}
	chunks, sum := encodeEntries(entries)
	for taken(runs, limit, c.now) {
		limit--
	}
	for i := len(runs) - 1; i >= 0; i-- {
		if r := runs[i]; r.Sum == sum && c.now.Sub(r.Made) < listServes {
			// The same list, but a run of its own: two that shared one would be told
			// apart by nothing.
			again := &run{List: r.List, Sum: sum, Total: r.Total, Limit: limit, Made: r.Made}
			return again, append(runs, again), nil
		}
	}
	r := &run{List: c.now.UnixNano(), Sum: sum, Total: len(entries), Limit: limit, Made: c.now}
	for slices.ContainsFunc(runs, func(other *run) bool { return other.List == r.List }) {
		r.List++
	}
	for n, chunk := range chunks {
		if err := c.desk.SaveSnapshot(ctx, chunkName(l.name, r.List, n), chunk, c.now.Add(listLives)); err != nil {
			return nil, nil, fmt.Errorf("keep the list: %w", err)
		}
	}
	return r, append(runs, r), nil
}

// taken reports whether a page of this length would be mistaken for one of a run
// that goes on, or that has just ended and may ask for a page again.
func taken(runs []*run, limit int, now time.Time) bool {
	return limit > 1 && slices.ContainsFunc(runs, func(r *run) bool {
		return r.Limit == limit && (r.underWay(now) || now.Sub(r.Touched) < runRepeats)
	})
}

func (c *call) loadRuns(ctx context.Context, name string) ([]*run, error) {
	data, err := c.desk.Snapshot(ctx, name)
	if err != nil || data == nil {
		return nil, err
	}
	var runs []*run
	if err := json.Unmarshal(data, &runs); err != nil {
		return nil, fmt.Errorf("read the list of runs: %w", err)
	}
	return slices.DeleteFunc(runs, func(r *run) bool { return r.Limit < 1 || c.now.Sub(r.Made) >= listLives }), nil
}

func (c *call) saveRuns(ctx context.Context, name string, runs []*run) error {
	data, err := json.Marshal(runs[max(0, len(runs)-maxRuns):])
	if err != nil {
		return err
	}
	return c.desk.SaveSnapshot(ctx, name, data, c.now.Add(listLives))
}

// cut reads a part of a list. A part that is gone is a failure, not an empty
// page.
func (c *call) cut(ctx context.Context, name string, r *run, offset, limit int) ([]entry, error) {
	end := min(r.Total, offset+limit)
	if offset >= end {
		return nil, nil
	}
	part := make([]entry, 0, end-offset)
	for n := offset / chunkEntries; n*chunkEntries < end; n++ {
		data, err := c.desk.Snapshot(ctx, chunkName(name, r.List, n))
		if err != nil {
			return nil, err
		}
		entries, err := decodeEntries(data)
		if err != nil {
			return nil, fmt.Errorf("read part %d of the list: %w", n, err)
		}
		from, to := max(offset-n*chunkEntries, 0), min(end-n*chunkEntries, chunkEntries)
		if to > len(entries) {
			return nil, fmt.Errorf("part %d of the list has %d entries in place of %d", n, len(entries), to)
		}
		part = append(part, entries[from:to]...)
	}
	return part, nil
}

func chunkName(name string, list int64, n int) string {
	return name + ":" + strconv.FormatInt(list, 36) + ":" + strconv.Itoa(n)
}

// encodeEntries packs a list into chunks: each text with its length before it.
func encodeEntries(entries []entry) (chunks [][]byte, sum string) {
	hash := sha256.New()
	for part := range slices.Chunk(entries, chunkEntries) {
		chunk := make([]byte, 0, len(part)*24)
		for _, e := range part {
			for _, text := range [...]string{e.key.Connection, string(e.key.Kind), e.key.ID, e.promised} {
				chunk = binary.AppendUvarint(chunk, uint64(len(text)))
				chunk = append(chunk, text...)
			}
		}
		hash.Write(chunk)
		chunks = append(chunks, chunk)
	}
	return chunks, hex.EncodeToString(hash.Sum(nil))
}

func decodeEntries(data []byte) ([]entry, error) {
	entries := make([]entry, 0, min(len(data)/8, chunkEntries))
	for len(data) > 0 {
		var texts [4]string
		for i := range texts {
			size, n := binary.Uvarint(data)
			if n <= 0 || size > uint64(len(data)-n) {
				return nil, fmt.Errorf("cut short after %d entries", len(entries))
			}
			texts[i] = string(data[n : n+int(size)])
			data = data[n+int(size):]
		}
		entries = append(entries, entry{
			key:      model.Key{Connection: texts[0], Kind: model.Kind(texts[1]), ID: texts[2]},
			promised: texts[3],
		})
	}
	return entries, nil
}
