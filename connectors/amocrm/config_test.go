package amocrm

import (
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
)

func TestSettingsMistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, yaml string
		want       []string // parts of the error; none: it is right
	}{
		{"long-lived token", "{url: https://example.amocrm.ru, token: t}", nil},
		{"numbers as text or number", "{url: https://example.amocrm.ru/, token: t, account_id: 31612010}", nil},
		{"oauth", "{url: https://example.kommo.com, oauth: {client_id: a, client_secret: b, redirect_uri: https://h/o, code: c}}", nil},
		{"tracking by number", "{url: https://example.amocrm.ru, token: t, tracking: {client_id: 271316}}", nil},
		{"nothing", "{}", []string{"url:", "token or oauth:"}},
		{"both", "{url: https://example.amocrm.ru, token: t, oauth: {client_id: a, client_secret: b}}", []string{"only one"}},
		{"half an integration", "{url: https://example.amocrm.ru, oauth: {}}", []string{"oauth.client_id", "oauth.client_secret"}},
		{"path in url", "{url: https://example.amocrm.ru/leads, token: t}", []string{"url: only the host"}},
		{"www", "{url: https://www.amocrm.ru, token: t}", []string{"url: www"}},
		{"account", "{url: https://example.amocrm.ru, token: t, account_id: abc}", []string{"account_id:"}},
		{"rate", "{url: https://example.amocrm.ru, token: t, rate: 50}", []string{"rate: 50"}},
		{"switches", "{url: https://example.amocrm.ru, token: t, advanced_filter: yep, events: all}", []string{"advanced_filter:", "events:"}},
		{"tracking", "{url: https://example.amocrm.ru, token: t, tracking: {ym: 1}}", []string{"tracking.ym:"}},
		{"unknown key", "{url: https://example.amocrm.ru, token: t, tokne: x}", []string{"tokne"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(connectortest.YAML(tc.yaml), connectors.Deps{})
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, part := range tc.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
		})
	}
}

func TestTrustedHosts(t *testing.T) {
	t.Parallel()
	s := settings{URL: "http://127.0.0.1:9", TrustedHosts: []string{"crm.example.test"}}
	for host, want := range map[string]bool{
		"a.amocrm.ru": true, "A.AMOCRM.RU": true, "a.kommo.com": true, "127.0.0.1:9": true, "crm.example.test": true,
		"amocrm.ru": false, "www.amocrm.ru": false, "amocrm.ru.evil.test": false, "evil.test/.amocrm.ru": false,
		"evil.test?.amocrm.ru": false, "u@a.amocrm.ru": false, "evilamocrm.ru": false, "a.amocrm.ru:8080": false, "": false, ".amocrm.ru": false,
	} {
		if got := s.trusted(host); got != want {
			t.Errorf("trusted(%q) = %v", host, got)
		}
	}
}
