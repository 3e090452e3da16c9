package roistat_test

import (
	"testing"

	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/connectors/roistat"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, password := range []string{"", "password-of-roistat"} {
		connectortest.Run(t, connectortest.Case{
			Type: roistat.Type(), Deaf: true, Sandbox: map[string]string{"user": "hub", "password": password},
			Mistakes: map[string]any{
				"drop_guard": 30, "max_age": "soon", "window": "-1h", "page_size": 100000, "ids": "x", "status_ids": "x",
			},
		})
	}
}
