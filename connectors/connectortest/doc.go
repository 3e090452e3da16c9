// Package connectortest holds what the tests of all connectors share: fakes of
// what the hub lends to a connector, and a suite (Run) that every connector
// passes, whatever its system.
//
//	connectortest.Run(t, connectortest.Case{
//		Type: bitrix24.Type(),
//		Wrong: map[string]any{"url": "…/rest/1/another-secret/"},
//		Mistakes: []connectortest.Mistake{{Key: "read_with", Value: "x"}},
//	})
//
// A test in the registry's folder keeps every kind in the suite.
package connectortest
