package yandexmetrica

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	const good = "counter: 12345678\ntoken: abc\n"
	tests := []struct {
		name, yaml string
		mistakes   []string // beginnings; empty: fine
	}{
		{"token", good, nil},
		{"oauth", "counter: \"1\"\noauth: {client_id: a, client_secret: b, refresh_token: c, redirect_uri: d}", nil},
		{"everything", good + "url: http://127.0.0.1:1/\noauth_url: http://x/\nulogin: boss\ntime_zone: Asia/Omsk\ndaily_requests: 100\nmax_rows: 5\nmax_bytes: 70000\ncolumns_mapping: off\n", nil},
		{"goals", good + "check_goals: off\ncreate_goals: true\nimport_goals: [order, 334423]\ncollect_url: http://127.0.0.1:1/collect\nms: abc\n", nil},
		{"switches of goals", good + "check_goals: maybe\ncreate_goals: perhaps\nimport_goals: [\"\"]\nms: a b\n", []string{"check_goals:", "create_goals:", "import_goals:", "ms:"}},
		{"switch as boolean", good + "columns_mapping: true\n", nil},
		{"nothing", "{}", []string{"counter:", "token:"}},
		{"counter is a name", "counter: shop\ntoken: a", []string{"counter:"}},
		{"token and oauth", good + "oauth: {client_id: a, client_secret: b}", []string{"token:"}},
		{"token with its scheme", "counter: 1\ntoken: OAuth abc", []string{"token:"}},
		{"half an application", "counter: 1\noauth: {}", []string{"oauth.client_id:", "oauth.client_secret:"}},
		{"address", good + "url: api-metrika.yandex.net\n", []string{"url:"}},
		{"zone", good + "time_zone: Moscow\n", []string{"time_zone:"}},
		{"limits", good + "daily_requests: 1\nmax_rows: 2000000\nmax_bytes: 1\n", []string{"daily_requests:", "max_rows:", "max_bytes:"}},
		{"switch", good + "columns_mapping: sometimes\n", []string{"columns_mapping:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Type().New(yamlSettings(tt.yaml), connectors.Deps{})
			if len(tt.mistakes) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.mistakes) {
				t.Fatalf("%d mistakes: %v", len(lines), err)
			}
			for _, want := range tt.mistakes {
				if !strings.Contains("\n"+err.Error(), "\n"+want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
		})
	}
	if _, err := Type().New(yamlSettings("counter: 1\ntoken: a\nkounter: 2"), connectors.Deps{}); err == nil {
		t.Error("an unknown key is taken")
	}
}

// Each setting that is read is described, and the other way round.
func TestSettingsAreDescribed(t *testing.T) {
	t.Parallel()
	for _, s := range Type().Settings {
		if s.Title.EN == "" || s.Title.RU == "" {
			t.Errorf("%s has no title", s.Key)
		}
		value := "x"
		if len(s.Keys) > 0 {
			value = "{}"
		}
		if s.Key == "import_goals" {
			value = "[order_paid, 334423]"
		}
		if strings.HasPrefix(s.Key, "max") || strings.HasPrefix(s.Key, "daily") {
			value = "1"
		}
		var into settings
		if err := yamlSettings(s.Key + ": " + value).Decode(&into); err != nil {
			t.Errorf("%s is not read: %v", s.Key, err)
		}
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, s := range Type().Schemas {
		if p, ok := s.Parameter(s.Key); !ok || !p.Required {
			t.Errorf("%s: key %s is not a required parameter", s.As, s.Key)
		}
		if s.RegistersStatuses != (s.As == asOrders) || s.StatusIsType != (s.As == asSimpleOrders) {
			t.Errorf("%s: statuses registered %v, carried by type %v", s.As, s.RegistersStatuses, s.StatusIsType)
		}
		seen := map[string]bool{}
		for _, p := range s.Parameters {
			if seen[p.Name] || p.Doc == "" {
				t.Errorf("%s.%s is repeated or has no words", s.As, p.Name)
			}
			seen[p.Name] = true
		}
		for kind, defaults := range s.Defaults {
			if !kind.Valid() {
				t.Errorf("%s: kind %q", s.As, kind)
			}
			for name := range defaults {
				if !seen[name] {
					t.Errorf("%s from %s maps the unknown %s", s.As, kind, name)
				}
			}
			for _, p := range s.Parameters {
				if p.Required && defaults[p.Name] == "" {
					t.Errorf("%s from %s leaves out %s", s.As, kind, p.Name)
				}
			}
		}
	}
}

func TestLoginKey(t *testing.T) {
	t.Parallel()
	key := func(yaml, connection string) string {
		c, err := newConnector(yamlSettings(yaml), connectors.Deps{Connection: connection})
		if err != nil {
			t.Fatal(err)
		}
		return c.login
	}
	if key("counter: 1\ntoken: abc", "a") != key("counter: 2\ntoken: abc", "b") {
		t.Error("one token, two budgets")
	}
	if key("counter: 1\ntoken: abc", "a") == key("counter: 1\ntoken: abd", "a") || strings.Contains(key("counter: 1\ntoken: abc", "a"), "abc") {
		t.Error("the key is not a hash of the token")
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"line 2: mail Ivan.Petrov@example.com is bad":   "line 2: mail <e-mail> is bad",
		"phone 79995551111, +7 (999) 555-11-11":         "phone <number>, <number>",
		"line 100500 of 300000: unknown status \"003\"": "line 100500 of 300000: unknown status \"003\"",
		"broken \xff": "broken \uFFFD",
	} {
		if got := redact(in); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
	if got := redact(strings.Repeat("й", 1000)); len([]rune(got)) != maxReason+1 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}

// Nobody who prints a connector or its settings sees a secret.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	c, err := newConnector(yamlSettings("counter: 1\noauth: {client_id: a, client_secret: s3cret-1, refresh_token: s3cret-2}"), connectors.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v", c.settings, *c.OAuth), fmt.Sprintf("%#v", *c.OAuth)} {
		if strings.Contains(text, "s3cret") {
			t.Errorf("printed %s", text)
		}
	}
}
