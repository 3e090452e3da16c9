package connectortest

import (
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// strict demands of the sandbox that it lets nobody in without the credential,
// refuses in its protocol's words and remembers who did not keep to it.
func strict(t *testing.T, c Case) {
	t.Run("what the connector does is within the protocol", func(t *testing.T) {
		r := newRig(t, c)
		u := r.connect(t, r.given())
		if text, err := u.Check(t.Context()); err != nil || text == "" {
			t.Errorf("Check says %q, %v", text, err)
		}
		for _, v := range r.sandbox.Violations() {
			t.Errorf("against the protocol: %s", v)
		}
	})
	t.Run("a wrong credential is refused", func(t *testing.T) {
		application := c.Browser
		c.Browser = nil
		r := newRig(t, c)
		given := maps.Clone(r.given())
		for key, value := range r.Wrong(r.server.URL) {
			if given[key] = value; value == nil {
				delete(given, key)
			}
		}
		u := r.connect(t, given)
		var err error
		if application != nil {
			err = u.Connector.(connectors.Authorizer).Exchange(t.Context(), application(r.sandbox))
		} else {
			_, err = u.Check(t.Context())
		}
		if model.ClassOf(err) != model.ClassReauth {
			t.Errorf("the answer is %v (%s)", err, model.ClassOf(err))
		}
		for _, secret := range u.secrets(c.Type.Settings) {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the credential: %v", err)
			}
		}
		if seen, _ := r.progress(); seen == 0 {
			t.Error("the sandbox was not asked")
		}
	})
	t.Run("a call without a credential is refused", func(t *testing.T) {
		r := newRig(t, c)
		resp, err := r.client.Do(t.Context(), outbound.Request{URL: r.server.URL + c.Bare})
		if err != nil || resp.Status < 400 && !strings.Contains(string(resp.Body), `"error"`) {
			t.Errorf("answered %d %s, %v", resp.Status, resp.Body, err)
		}
		if len(r.sandbox.Violations()) == 0 {
			t.Error("the sandbox notes nothing")
		}
	})
	t.Run("an unknown path is refused", func(t *testing.T) {
		r := newRig(t, c)
		resp, err := r.client.Do(t.Context(), outbound.Request{Method: "POST", URL: r.server.URL + "/no/such/path", Body: io.Reader(strings.NewReader("{}"))})
		if err != nil || resp.Status < 400 {
			t.Errorf("answered %d, %v", resp.Status, err)
		}
		if len(r.sandbox.Violations()) == 0 {
			t.Error("the sandbox notes nothing")
		}
	})
}
