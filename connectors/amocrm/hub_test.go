package amocrm

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

// hub keeps the webhooks that it gets.
type hub struct {
	server *outboundtest.Server
	mu     sync.Mutex
	got    []connectors.Delivery
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{}
	h.server = outboundtest.New(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, connectors.Delivery{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body})
	}))
	return h
}

func (h *hub) deliveries() []connectors.Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]connectors.Delivery(nil), h.got...)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
