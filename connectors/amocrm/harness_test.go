package amocrm

import (
	"encoding/json"
	"flag"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a connector and the account that it is connected to.
type bench struct {
	*Connector
	account *sandbox.Account
	server  *outboundtest.Server
	clock   *connectortest.Clock
	memory  *connectortest.Memory
	tokens  *connectortest.Tokens
	limiter *connectortest.Limiter
	extra   map[string]any
}

// newBench connects a connector to a fresh account; settings overwrite those of
// the account.
func newBench(t testing.TB, options map[string]string, settings map[string]any) *bench {
	t.Helper()
	b := &bench{clock: connectortest.NewClock(), memory: &connectortest.Memory{}, tokens: &connectortest.Tokens{}, extra: settings}
	b.limiter = connectortest.NewLimiter(b.clock)
	b.limiter.Spread = true // so that the sandbox's own limit holds without waiting
	var err error
	if b.account, err = sandbox.New(connectors.SandboxOptions{Now: b.clock.Now, Options: options}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.account.Close() })
	b.server = outboundtest.New(t, b.account)
	b.Connector = b.connect(t, b.server.URL)
	return b
}

func (b *bench) connect(t testing.TB, base string) *Connector {
	t.Helper()
	given := b.account.Settings(base)
	for name, value := range b.extra {
		if given[name] = value; value == nil {
			delete(given, name)
		}
	}
	c, err := New(connectortest.Settings(t, given), connectors.Deps{
		Project: "shop", Connection: "amo", Zone: time.UTC, Currency: "RUB", OAuthURL: sandbox.RedirectURI,
		HTTP: b.server.Client(), Limiter: b.limiter, Memory: b.memory, Tokens: b.tokens, Now: b.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// obeys fails the test for everything that was done against the protocol.
func (b *bench) obeys(t testing.TB) {
	t.Helper()
	for _, v := range b.account.Violations() {
		t.Errorf("violation: %s", v)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	return connectortest.File(t, filepath.Join("testdata", "samples", name))
}

// golden compares a value with testdata/golden/NAME.json.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	connectortest.Golden(t, *update, filepath.Join("testdata", "golden", name+".json"), append(got, '\n'))
}

// described is a record with the parts that its JSON leaves out.
func described(r model.Record) map[string]any {
	data, err := model.Encode(r)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	return map[string]any{"key": r.Meta().Key().String(), "record": json.RawMessage(data)}
}

// drain polls a stream until it has no more and gives the records by id.
func (b *bench) drain(t testing.TB, stream, cursor string) (pages []connectors.Page, last string) {
	t.Helper()
	for range 2000 {
		page, err := b.Poll(t.Context(), stream, cursor)
		if err != nil {
			t.Fatalf("poll %s: %v", stream, err)
		}
		pages, cursor = append(pages, page), page.Cursor
		if !page.More {
			return pages, cursor
		}
	}
	t.Fatalf("poll %s does not end", stream)
	return nil, ""
}

func idsOf(pages []connectors.Page) map[string]int {
	out := map[string]int{}
	for _, p := range pages {
		for _, r := range p.Records {
			out[r.Meta().ID]++
		}
	}
	return out
}

func classOf(t testing.TB, err error, class model.Class, cause model.Cause) {
	t.Helper()
	if err == nil || model.ClassOf(err) != class || model.CauseOf(err) != cause {
		t.Errorf("error is %v (%s, %s), want %s, %s", err, model.ClassOf(err), model.CauseOf(err), class, cause)
	}
}

func sortedRefs(refs []model.Ref) []string {
	var out []string
	for _, r := range refs {
		out = append(out, string(r.Kind)+" "+r.ID)
	}
	slices.Sort(out)
	return out
}

func answerOf(status int, contentType, body string) outbound.Response {
	return outbound.Response{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(strings.TrimSpace(body))}
}
