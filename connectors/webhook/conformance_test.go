package webhook_test

import (
	"testing"

	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/connectors/webhook"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	wrong := map[string]any{
		"timezone": "x", "split": "(", "answer": map[string]any{"status": 500},
		"records": []any{map[string]any{"kind": "x"}}, "signature": map[string]any{"scheme": "x"}, "token": map[string]any{"header": "X-Token"},
	}
	connectortest.Run(t, connectortest.Case{Type: webhook.Type(), Deaf: true, Mistakes: wrong})
}

// Without a signature every body reaches the expressions.
func TestConformanceUnsigned(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type: webhook.Type(), Deaf: true, Settings: map[string]any{"signature": nil},
		Mistakes: map[string]any{"records": []any{map[string]any{"kind": "deal", "map": map[string]any{"id": "("}}}},
	})
}
