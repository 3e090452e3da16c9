package callkeeper

import (
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, settings, want string }{
		{"nothing is required", "", ""},
		{"all", "key: abcdefgh01234567\nurl: http://127.0.0.1:1/\nmethod: getWithRole\nhistory_from: 2024-01-31\nrecheck_days: 7\ntimezone: Europe/Moscow\ncallback_id: universal\ntracking_hooks: note\nunfinished: keep\nphone_region: KZ\n", ""},
		{"the other key", "key: 8abee9a093a4c8344ccfd761e1aba739", "key: is the key of api.callkeeper.ru"},
		{"short key", "key: secret7", "key: is not a key of ckct.ru"},
		{"address", "url: ckct.ru", "url: is not an address"},
		{"method", "method: all", "method: must be get or getByRole or getWithRole"},
		{"zone", "timezone: MSK+9", "timezone:"},
		{"day", "history_from: 31.01.2024", "history_from:"},
		{"days", "recheck_days: 0", "recheck_days: must be from 1 to 90"},
		{"id", "callback_id: phone", "callback_id: must be call or universal"},
		{"hooks", "tracking_hooks: sometimes", "tracking_hooks: must be auto or note or records"},
		{"unfinished", "unfinished: maybe", "unfinished: must be skip or keep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newConnector(connectortest.YAML(tt.settings), connectors.Deps{})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			case err != nil && (strings.Contains(err.Error(), "8abee9a0") || strings.Contains(err.Error(), "secret7")):
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	if _, err := newConnector(connectortest.YAML("apikey: x"), connectors.Deps{}); err == nil {
		t.Error("an unknown key was taken")
	}
}
