package hooks_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/handlers/hooks"
	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// A sender that writes more than is taken hears so, and is not cut off.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		limit int64
		body  int
		want  int
	}{
		{"at the limit", 1 << 10, 1 << 10, http.StatusOK},
		{"over a small limit", 1 << 10, 1<<10 + 1, http.StatusRequestEntityTooLarge},
		{"far over the limit", 1 << 20, 20 << 20, http.StatusRequestEntityTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var kept []*store.Entry
			j := journal.New(journal.Options{
				Append: func(_ context.Context, entries []*store.Entry) error { kept = append(kept, entries...); return nil },
				Wake:   func(string, string) {},
			})
			j.Start()
			defer j.Stop()
			e := echo.New()
			hooks.New(hooks.Options{
				Journal: j, MaxBody: test.limit, Log: zap.NewNop(), Now: time.Now,
				Lookup: func(string, string) (hooks.Target, bool) { return hooks.Target{Secret: "secret"}, true },
			}).Register(e)
			server := httptest.NewServer(e)
			defer server.Close()
			resp, err := server.Client().Post(server.URL+"/hooks/shop/b24/secret", "text/plain", strings.NewReader(strings.Repeat("x", test.body)))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("answered with %d, not with %d", resp.StatusCode, test.want)
			}
			if len(kept) != 1 {
				t.Fatalf("%d entries in the journal", len(kept))
			}
			if refused := kept[0].Cause == model.CauseTooLarge; refused != (test.want != http.StatusOK) || refused && len(kept[0].Body) > 4<<10 {
				t.Errorf("the entry has cause %q and %d bytes", kept[0].Cause, len(kept[0].Body))
			}
		})
	}
}
