package sandbox_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/webhook"
	"github.com/svod-hub/svod/connectors/webhook/sandbox"
	"github.com/svod-hub/svod/model"
)

type settings map[string]any

func (s settings) Decode(into any) error {
	text, err := yaml.Marshal(map[string]any(s))
	if err != nil {
		return err
	}
	return yaml.UnmarshalWithOptions(text, into, yaml.Strict())
}

// The shop's orders arrive signed and become deals and contacts.
func TestOrdersBecomeRecords(t *testing.T) {
	t.Parallel()
	var c *webhook.Connector
	var taken connectors.Intake
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d := connectors.Delivery{ReceivedAt: time.Now(), Method: r.Method, Header: r.Header, Body: body}
		if taken, err = c.Receive(d); err != nil {
			t.Error(err)
		}
		status, contentType, text := c.Respond(d)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(text)
	}))
	defer hub.Close()
	shop, err := sandbox.New(connectors.SandboxOptions{HookURL: hub.URL, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	if c, err = webhook.New(settings(shop.Settings("")), connectors.Deps{Connection: "shop"}); err != nil {
		t.Fatal(err)
	}
	orders, err := shop.Post(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(taken.Records) != 6 || len(taken.Refused) != 0 {
		t.Fatalf("got %d records, refused %v", len(taken.Records), taken.Refused)
	}
	want, err := model.ParseDecimal(orders[0].Total.String())
	if err != nil {
		t.Fatal(err)
	}
	d := taken.Records[0].(*model.Deal)
	if d.ID != strconv.Itoa(orders[0].ID) || !d.Amount.Equal(want.Decimal) || d.ContactID != strconv.Itoa(orders[0].Client.ID) {
		t.Errorf("order %+v became %+v", orders[0], d)
	}
	if v := shop.Violations(); len(v) != 0 {
		t.Error(v)
	}
}

// A hub that answers anything else than what the shop wants is told of.
func TestItIsStrict(t *testing.T) {
	t.Parallel()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer hub.Close()
	shop, err := sandbox.New(connectors.SandboxOptions{HookURL: hub.URL})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	shop.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/__fake/orders?n=2", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"number":"S-2"`) || len(shop.Violations()) != 1 {
		t.Errorf("answered %d %s, violations %v", w.Code, w.Body, shop.Violations())
	}
}
