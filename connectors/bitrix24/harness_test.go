package bitrix24

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a connector before a sandbox.
type rig struct {
	*Connector
	portal  *sandbox.Portal
	server  *httptest.Server
	clock   *connectortest.Clock
	limiter *connectortest.Limiter
	memory  *connectortest.Memory
	tokens  *connectortest.Tokens
}

type rigOptions struct {
	sandbox  map[string]string
	settings map[string]any
	hookURL  string
	deps     func(*connectors.Deps)
}

func newRig(tb testing.TB, o rigOptions) *rig {
	tb.Helper()
	r := &rig{clock: connectortest.NewClock(), memory: &connectortest.Memory{}, tokens: &connectortest.Tokens{}}
	r.limiter = connectortest.NewLimiter(r.clock)
	portal, err := sandbox.New(connectors.SandboxOptions{Now: r.clock.Now, Seed: 7, Options: o.sandbox})
	if err != nil {
		tb.Fatal(err)
	}
	r.portal = portal
	r.server = httptest.NewServer(portal)
	tb.Cleanup(func() {
		r.server.Close()
		if err := portal.Close(); err != nil {
			tb.Error(err)
		}
	})
	given := portal.Settings(r.server.URL)
	for key, value := range o.settings {
		given[key] = value
	}
	r.Connector = r.connect(tb, given, o)
	return r
}

func (r *rig) connect(tb testing.TB, given map[string]any, o rigOptions) *Connector {
	tb.Helper()
	deps := connectors.Deps{
		Project: "shop", Connection: "b24", Zone: time.FixedZone("MSK", 3*3600), Currency: "RUB", HookURL: o.hookURL,
		HTTP: connectortest.HTTP(tb), Limiter: r.limiter, Memory: r.memory, Tokens: r.tokens, Now: r.clock.Now,
	}
	if o.deps != nil {
		o.deps(&deps)
	}
	c, err := Type().New(connectortest.Settings(tb, given), deps)
	if err != nil {
		tb.Fatal(err)
	}
	return c.(*Connector)
}

func (r *rig) wantNoViolations(tb testing.TB) {
	tb.Helper()
	for _, v := range r.portal.Violations() {
		tb.Errorf("against the protocol: %s", v)
	}
}

// offline is a connector that calls nobody.
func offline(tb testing.TB, settings string) *Connector {
	tb.Helper()
	c, err := newConnector(connectortest.YAML(settings), connectors.Deps{
		Connection: "b24", Zone: time.FixedZone("MSK", 3*3600), Now: connectortest.NewClock().Now, Memory: &connectortest.Memory{}})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

const webhookSettings = "url: https://example.bitrix24.ru/rest/1/abcdef0123456789/\n"

func sample(tb testing.TB, name string) []byte {
	tb.Helper()
	return connectortest.File(tb, filepath.Join("testdata", name))
}

// golden compares a value, as indented JSON, with its file.
func golden(tb testing.TB, name string, value any) {
	tb.Helper()
	connectortest.Golden(tb, *update, filepath.Join("testdata", name+".golden"), connectortest.JSON(tb, value))
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}
