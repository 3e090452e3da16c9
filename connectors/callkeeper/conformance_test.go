package callkeeper_test

import (
	"testing"

	"github.com/svod-hub/svod/connectors/callkeeper"
	"github.com/svod-hub/svod/connectors/connectortest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type:  callkeeper.Type(),
		Wrong: func(string) map[string]any { return map[string]any{"key": "WrongKeyWrongKey"} },
		Bare:  "/api/?json/v3//call/get/0/1/2",
		Mistakes: map[string]any{
			"key": "short", "url": "x", "method": "x", "history_from": "x", "recheck_days": 0, "timezone": "x",
			"callback_id": "x", "tracking_hooks": "x", "unfinished": "x",
		},
	})
}
