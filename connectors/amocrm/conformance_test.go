package amocrm_test

import (
	"net/url"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

var excuses = []connectortest.Excuse{
	{From: 300, To: 399, Classes: []model.Class{model.ClassTemporary}, Why: "an account that moves answers so until its new address is known (amocrm §1)"},
	{From: 402, To: 402, Classes: []model.Class{model.ClassQuota}, Why: "an account that is not paid is tried again every hour (amocrm §4.3)"},
	{From: 403, To: 403, Classes: []model.Class{model.ClassQuota}, Why: "a 403 that is no JSON blocks the address for a while (amocrm §4.1)"},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type:  amocrm.Type(),
		Wrong: func(string) map[string]any { return map[string]any{"token": "another-token"} },
		Bare:  "/api/v4/account",
		Row:   withoutIDs,
		Mistakes: map[string]any{
			"url": "https://www.amocrm.ru/x", "rate": 8, "advanced_filter": "x", "events": "x", "account_id": "x", "tracking": map[string]any{"x": "y"},
		},
		Excuses: excuses,
		Refs:    refs,
	})
}

var refs = []model.Ref{{Kind: model.KindDeal, ID: "1"}, {Kind: model.KindContact, ID: "1"}}

// withoutIDs leaves out ids that the account does not have.
func withoutIDs(_ string, values map[string]any) {
	for _, name := range []string{"pipeline", "status", "responsible"} {
		delete(values, name)
	}
}

func TestConformanceIntegration(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type: amocrm.Type(), Brief: true,
		Sandbox:  map[string]string{"auth": "oauth", "redirect_uri": "https://hub.example/oauth/callback"},
		Settings: map[string]any{"oauth": map[string]any{"client_id": sandbox.ClientID, "client_secret": sandbox.ClientSecret, "redirect_uri": "https://hub.example/oauth/callback"}},
		Browser: func(s connectors.Sandbox) url.Values {
			return url.Values{"code": {s.(*sandbox.Account).Code()}, "client_id": {sandbox.ClientID}, "platform": {"1"}}
		},
		Wrong: func(string) map[string]any {
			return map[string]any{"oauth": map[string]any{"client_id": sandbox.ClientID, "client_secret": "another-secret"}}
		},
		Bare: "/api/v4/account", Row: withoutIDs, Refs: refs, Excuses: excuses,
		Mistakes: map[string]any{"oauth": map[string]any{"client_id": ""}, "rate": -1},
	})
}
