package callkeeper

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/callkeeper/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a connector before a sandbox.
type rig struct {
	*Connector
	service *sandbox.Service
	server  *httptest.Server
	clock   *connectortest.Clock
	limiter *connectortest.Limiter
}

func newRig(tb testing.TB, options map[string]string, settings map[string]any) *rig {
	tb.Helper()
	r := &rig{clock: connectortest.NewClock()}
	r.limiter = connectortest.NewLimiter(r.clock)
	service, err := sandbox.New(connectors.SandboxOptions{Now: r.clock.Now, Seed: 7, Options: options})
	if err != nil {
		tb.Fatal(err)
	}
	r.service, r.server = service, httptest.NewServer(service)
	tb.Cleanup(func() {
		if err := service.Close(); err != nil {
			tb.Error(err)
		}
		r.server.Close()
	})
	given := service.Settings(r.server.URL)
	for key, value := range settings {
		given[key] = value
	}
	c, err := Type().New(connectortest.Settings(tb, given), connectors.Deps{
		Project: "shop", Connection: "ck", Zone: time.FixedZone("MSK", 3*3600), Currency: "RUB",
		HTTP: connectortest.HTTP(tb), Limiter: r.limiter, Now: r.clock.Now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	r.Connector = c.(*Connector)
	return r
}

func (r *rig) wantNoViolations(tb testing.TB) {
	tb.Helper()
	for _, v := range r.service.Violations() {
		tb.Errorf("against the protocol: %s", v)
	}
}

// offline is a connector that calls nobody.
func offline(tb testing.TB, settings string) *Connector {
	tb.Helper()
	c, err := newConnector(connectortest.YAML(settings), connectors.Deps{Connection: "ck", Now: connectortest.NewClock().Now})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	return connectortest.File(tb, filepath.Join("testdata", name))
}

// delivery reads a file hook-*: method and content type, query, body.
func delivery(tb testing.TB, name string) connectors.Delivery {
	tb.Helper()
	parts := bytes.SplitN(sample(tb, name), []byte("\n"), 3)
	method, kind, _ := strings.Cut(string(parts[0]), " ")
	d := connectors.Delivery{
		ID: 1, ReceivedAt: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC),
		Method: method, Query: string(parts[1]), Header: http.Header{},
	}
	if len(parts) > 2 {
		d.Body = parts[2]
	}
	if kind != "" {
		d.Header.Set("Content-Type", kind)
	}
	return d
}

// golden compares a value, as indented JSON, with its file.
func golden(tb testing.TB, name string, value any) {
	tb.Helper()
	connectortest.Golden(tb, *update, filepath.Join("testdata", name+".golden"), connectortest.JSON(tb, value))
}

// book is a store of records that keeps the newest version of each.
type book map[model.Key]model.Record

// take stores what is newer and reports how many versions were.
func (b book) take(records []model.Record, readAt time.Time) int {
	n := 0
	for _, r := range records {
		base := r.Meta()
		base.ReadAt = readAt
		if old, ok := b[base.Key()]; !ok || model.Newer(base, old.Meta()) {
			b[base.Key()] = r
			n++
		}
	}
	return n
}
