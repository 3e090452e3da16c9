package pulls_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/roistat"
	"github.com/svod-hub/svod/handlers/pulls"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// BenchmarkExport reads pages of 1000 orders out of 200,000 on SQLite: the first
// page, which lays the list down, and others from anywhere in it.
func BenchmarkExport(b *testing.B) {
	const deals = 200_000
	h := &hub{path: filepath.Join(b.TempDir(), "svod.db"), now: start, sources: []string{"b24"}}
	var err error
	if h.db, err = store.Open(b.Context(), "sqlite:"+h.path, store.Options{Now: h.clock}); err != nil {
		b.Fatal(err)
	}
	defer h.db.Close()
	if err := h.db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	batch := []model.Record{status("b24", "0", "NEW", "Новая")}
	for id := 1; id <= deals; id++ {
		batch = append(batch, deal("b24", id, 0))
		if len(batch) >= 5000 || id == deals {
			if _, err := h.db.ApplyRecords(b.Context(), project, batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	if err := h.db.SavePollState(b.Context(), store.PollState{Project: project, Connection: "b24", Stream: "deals", Cursor: "c", LastRun: start}); err != nil {
		b.Fatal(err)
	}
	if h.roistat, err = roistat.New(yamlSettings("{}"), connectors.Deps{Project: project, Connection: own, Memory: memory{h}, Now: h.clock}); err != nil {
		b.Fatal(err)
	}
	e := echo.New()
	pulls.New(pulls.Options{Store: h.db, Lookup: h.lookup, Now: h.clock}).Register(e)
	page := func(date, offset int) {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/pull/shop/roistat/%s?action=export&user=&token=d41d8cd98f00b204e9800998ecf8427e&date=%d&offset=%d", secret, date, offset), nil)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			body, _ := io.ReadAll(w.Body)
			b.Fatalf("%d %s", w.Code, body)
		}
	}
	b.Run("first", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			page(n, 0)
		}
	})
	b.Run("any", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			page(0, 1000+n*7%199*1000)
		}
	})
}
