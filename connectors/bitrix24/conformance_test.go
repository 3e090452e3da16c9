package bitrix24_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

var mistakes = map[string]any{
	"url": "https://portal.example", "read_with": "x", "tracking": map[string]any{"x": "UF_CRM_X"},
}

var excuses = []connectortest.Excuse{
	{From: 503, To: 503, Classes: []model.Class{model.ClassQuota}, Why: "QUERY_LIMIT_EXCEEDED comes with 503 (bitrix24 §5.1)"},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type: bitrix24.Type(),
		Wrong: func(base string) map[string]any {
			return map[string]any{"url": strings.TrimRight(base, "/") + "/rest/1/anothersecret1234/"}
		},
		Row:      func(_ string, values map[string]any) { delete(values, "status") }, // no code of the portal
		Excuses:  excuses,
		Bare:     "/rest/crm.deal.list",
		Mistakes: mistakes,
		Refs:     []model.Ref{{Kind: model.KindDeal, ID: "1"}, {Kind: model.KindContact, ID: "1"}},
	})
}

func TestConformanceApplication(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type:    bitrix24.Type(),
		Brief:   true,
		Sandbox: map[string]string{"auth": "oauth", "redirect_url": "https://hub.example/oauth/callback"},
		Browser: func(s connectors.Sandbox) url.Values {
			return url.Values{"code": {s.(*sandbox.Portal).NewCode()}, "state": {"s"}, "member_id": {sandbox.MemberID}, "server_domain": {"oauth.bitrix.info"}}
		},
		Wrong: func(base string) map[string]any {
			return map[string]any{"oauth": map[string]any{"client_id": sandbox.ClientID, "client_secret": "another-secret", "portal": base, "oauth_server": base}}
		},
		Row:      func(_ string, values map[string]any) { delete(values, "status") }, // no code of the portal
		Excuses:  excuses,
		Bare:     "/rest/crm.deal.list",
		Mistakes: map[string]any{"oauth": map[string]any{"portal": "x y"}, "read_with": "x"},
		Refs:     []model.Ref{{Kind: model.KindDeal, ID: "1"}, {Kind: model.KindContact, ID: "1"}},
	})
}
