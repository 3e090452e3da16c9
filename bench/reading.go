package main

import (
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/svod-hub/svod/store"
)

const pageRows = 1000

// measureExport: Roistat's pages of 1,000 deals, at any offset.
func (b *bench) measureExport(ctx context.Context, s *storage) error {
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, 1)
	if err != nil {
		return err
	}
	defer around.close()
	c.flows = nil // nothing is to be uploaded meanwhile
	c.connect("roistat", "roistat", map[string]any{"user": "hub", "password": "bench", "records_from": []string{"amo"}})
	if err := c.prepare(ctx, func(db *store.DB) error { return fillDeals(ctx, db, b.size) }); err != nil {
		return err
	}
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	sum := md5.Sum([]byte("hubbench"))
	limit := pageRows
	page := func(offset int) (time.Duration, error) {
		q := url.Values{"action": {"export"}, "user": {"hub"}, "token": {hex.EncodeToString(sum[:])}, "date": {"0"},
			"limit": {fmt.Sprint(limit)}, "offset": {fmt.Sprint(offset)}}
		start := time.Now()
		body, err := hub.get(ctx, "/pull/"+project+"/roistat/"+hookSecret+"?"+q.Encode())
		took := time.Since(start)
		if err != nil {
			return took, err
		}
		var got struct {
			Orders     []json.RawMessage `json:"orders"`
			Pagination struct {
				Limit int `json:"limit"`
			} `json:"pagination"`
		}
		err = json.Unmarshal(body, &got)
		// The hub may answer with a smaller limit, by which it tells readers apart.
		if limit = got.Pagination.Limit; err != nil || limit < pageRows/2 || len(got.Orders) != min(limit, b.size-offset) {
			return took, fmt.Errorf("the page at %d has %d deals, limit %d: %.100s", offset, len(got.Orders), limit, body)
		}
		return took, nil
	}
	first, err := page(0)
	if err != nil {
		return err
	}
	var waits []time.Duration
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		took, err := page((1 + random.IntN(max(1, b.size/limit-1))) * limit)
		if err != nil {
			return err
		}
		waits = append(waits, took)
	}
	slices.Sort(waits)
	found := loaded{waits: waits}
	floor, err := queryFloor(ctx, filepath.Join(c.dir, "floor.db"), b.size)
	if err != nil {
		return err
	}
	b.add(line{Figure: fmt.Sprintf("Roistat page of %d of %s deals, p99", pageRows, number(float64(b.size))), Storage: s.name, Unit: "ms",
		Value: milliseconds(found.quantile(0.99)), Floor: milliseconds(floor), Target: 30, Most: true,
		Note: fmt.Sprintf("p50 %.1f ms; the first page, which lays the list down: %.0f ms", milliseconds(found.quantile(0.5)), milliseconds(first))})
	return nil
}

// queryFloor reads pages of 1,000 rows by key out of a plain table, and gives
// the 99th percentile.
func queryFloor(ctx context.Context, path string, rows int) (time.Duration, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	const table = `CREATE TABLE deals (id INTEGER PRIMARY KEY, data TEXT NOT NULL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO deals SELECT i, printf('%%0500d', i) FROM n`
	if _, err := db.ExecContext(ctx, fmt.Sprintf(table, rows)); err != nil {
		return 0, err
	}
	var waits []time.Duration
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		start := time.Now()
		if err := readPage(ctx, db, random.IntN(max(1, rows/pageRows))*pageRows); err != nil {
			return 0, err
		}
		waits = append(waits, time.Since(start))
	}
	slices.Sort(waits)
	return loaded{waits: waits}.quantile(0.99), nil
}

func readPage(ctx context.Context, db *sql.DB, after int) error {
	page, err := db.QueryContext(ctx, "SELECT id, data FROM deals WHERE id > ? ORDER BY id LIMIT ?", after, pageRows)
	if err != nil {
		return err
	}
	defer page.Close()
	for page.Next() {
		var id int
		var data string
		if err := page.Scan(&id, &data); err != nil {
			return err
		}
	}
	return page.Err()
}

// measureSearch: the journal's list by text that one old entry holds, by fate,
// and by time.
func (b *bench) measureSearch(ctx context.Context, s *storage) error {
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, 1)
	if err != nil {
		return err
	}
	defer around.close()
	const needle = "needle-in-the-hay"
	at := b.entries / 10
	bodies := webhooks(around.leads)
	err = c.prepare(ctx, func(db *store.DB) error {
		return fillJournal(ctx, db, b.entries, func(i int) []byte {
			if i == at {
				return append(slices.Clone(bodies(0)), "&leads[add][0][name]="+needle...)
			}
			return bodies(i)
		}, func(i int, e *store.Entry) {
			if done(i, e); i%1000 == 7 {
				e.State, e.Cause, e.Error = store.EntryRefused, "bad_payload", "no event"
			}
		})
	})
	if err != nil {
		return err
	}
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	for _, search := range []struct {
		name, query string
		least       int
	}{
		{"text in any body", "text=" + needle, 1},
		{"refused entries", "state=refused", 50},
		{"one hour of a connection", "connection=amo&since=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), 50},
	} {
		var waits []float64
		for range b.runs {
			start := time.Now()
			body, err := hub.get(ctx, "/api/v1/projects/"+project+"/journal?"+search.query)
			if err != nil {
				return err
			}
			waits = append(waits, time.Since(start).Seconds())
			var list struct {
				Items []json.RawMessage `json:"items"`
			}
			if err := json.Unmarshal(body, &list); err != nil {
				return err
			}
			if len(list.Items) < min(search.least, b.entries/1000) {
				return fmt.Errorf("search for %s found %d entries", search.name, len(list.Items))
			}
		}
		b.add(line{Figure: fmt.Sprintf("journal search in %s entries: %s", number(float64(b.entries)), search.name), Storage: s.name,
			Unit: "s", Value: median(waits), Target: 1, Most: true})
	}
	return nil
}
