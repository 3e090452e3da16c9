// Package sandbox is the strict fake of Roistat's side of the "own CRM"
// protocol: it reads our orders and clients as Roistat does, pushes leads, and
// reports everything that Roistat would have stumbled over or deleted.
package sandbox

import (
	"context"
	"net/http"

	"github.com/svod-hub/svod/connectors"
)

// Sandbox plays one Roistat project.
type Sandbox struct{}

// Report is what one exchange brought.
type Report struct{}

// New makes a sandbox.
func New(o connectors.SandboxOptions) (*Sandbox, error) { return &Sandbox{}, nil }

// Run makes one exchange with the hub's pull address.
func (s *Sandbox) Run(ctx context.Context, base string) (Report, error) { panic("not written yet") }

// ServeHTTP serves the pages under /__fake/.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// Settings are the keys of svod.yaml that make a hub answer this sandbox.
func (s *Sandbox) Settings(string) map[string]any { return nil }

// Violations lists what the hub did against the protocol.
func (s *Sandbox) Violations() []string { return nil }
