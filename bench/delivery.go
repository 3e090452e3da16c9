package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/svod-hub/svod/store"
)

// sink stands before the counter. Once it swallows, it takes uploads as fast as
// the socket gives them, so that only the hub's pace shows.
type sink struct {
	to       http.Handler
	swallows atomic.Bool
	uploads  atomic.Int64
	taken    chan swallowed
}

type swallowed struct {
	rows  int
	bytes int64
	first time.Time // byte
	last  time.Time
}

// ServeHTTP implements http.Handler.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.swallows.Load() || !strings.Contains(r.URL.Path, "/data/") {
		s.to.ServeHTTP(w, r)
		return
	}
	got, err := swallow(r.Body)
	if err != nil {
		http.Error(w, "the body broke off", http.StatusBadRequest)
		return
	}
	answer, err := json.Marshal(map[string]any{"uploading": map[string]any{
		"uploading_id": strconv.FormatInt(s.uploads.Add(1), 10), "datetime": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"api_validation_status": "PASSED", "elements_count": got.rows, "entity_type": "SYSTEM", "entity_subtype": "ORDER",
		"uploading_format": "CSV", "uploading_source": "API", "api_validation_errors": []string{}, "uploading_title": "",
	}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // who has gone needs no answer
	select {
	case s.taken <- got:
	default:
	}
}

// framing are the lines of a multipart body that are no rows: a boundary, two
// headers, an empty line, the names of the columns, and the end of the part and
// of the body.
const framing = 7

func swallow(body io.Reader) (swallowed, error) {
	got := swallowed{}
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 && got.first.IsZero() {
			got.first = time.Now()
		}
		got.bytes += int64(n)
		got.rows += bytes.Count(buf[:n], []byte("\n"))
		if errors.Is(err, io.EOF) {
			got.last, got.rows = time.Now(), got.rows-framing
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// measureDelivery: from the start of a hub whose flow has everything before it
// to the last byte of its first upload, read from a multipart socket.
func (b *bench) measureDelivery(ctx context.Context, s *storage) error {
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, 1)
	if err != nil {
		return err
	}
	defer around.close()
	around.sink.swallows.Store(true)
	n := min(b.size, 300_000) // the most that one upload holds
	if err := c.prepare(ctx, func(db *store.DB) error { return fillDeals(ctx, db, n) }); err != nil {
		return err
	}
	start := time.Now()
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	var got swallowed
	select {
	case got = <-around.sink.taken:
	case <-time.After(90 * time.Second):
		st, err := hub.status(ctx)
		return errors.Join(fmt.Errorf("nothing was uploaded: %+v", st.Projects), err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	cpu := hub.usage().cpu
	floor, err := csvFloor(got.rows)
	if err != nil {
		return err
	}
	b.add(line{Figure: "rows/s from database to multipart socket", Storage: s.name, Unit: "/s", Floor: floor,
		Value: float64(got.rows) / got.last.Sub(start).Seconds(),
		Note: fmt.Sprintf("%d of %d rows, %.1f MB, in %.1f s with start and fan-out; %.0f µs of CPU each",
			got.rows, n, float64(got.bytes)/1e6, got.last.Sub(start).Seconds(), float64(cpu.Microseconds())/float64(got.rows))})
	b.add(line{Figure: "peak memory of that delivery", Storage: s.name, Unit: "MiB", Value: hub.usage().peak})
	return nil
}

// csvFloor writes rows of the same columns to a multipart socket, and says how
// many a second.
func csvFloor(rows int) (float64, error) {
	s := &sink{taken: make(chan swallowed, 1)}
	s.swallows.Store(true)
	serving := &surroundings{}
	defer serving.close()
	base, err := serving.serve(s)
	if err != nil {
		return 0, err
	}
	in, out := io.Pipe()
	form := multipart.NewWriter(out)
	start := time.Now()
	go func() { out.CloseWithError(writeRows(form, rows)) }()
	answer, err := http.Post(base+"/data/floor", form.FormDataContentType(), in)
	if err != nil {
		return 0, err
	}
	return float64(rows) / time.Since(start).Seconds(), answer.Body.Close()
}

func writeRows(form *multipart.Writer, rows int) error {
	part, err := form.CreateFormFile("file", "rows.csv")
	if err != nil {
		return err
	}
	w := csv.NewWriter(part)
	for i := range rows {
		id := strconv.Itoa(i)
		if err := w.Write([]string{id, "1", "CONTACT", "2026-01-01 03:00:00", "2026-01-01 03:00:01", "", id + ".00", "RUB", "work"}); err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(w.Error(), form.Close())
}
