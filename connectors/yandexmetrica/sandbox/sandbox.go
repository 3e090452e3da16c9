// Package sandbox is a strict fake of Yandex Metrica's CRM data import, made from
// "What a strict fake server must check" (yandex-metrica §16).
package sandbox

import (
	"net/http"

	"github.com/svod-hub/svod/connectors"
)

// Sandbox is the fake.
type Sandbox struct{}

// New makes a sandbox.
func New(opts connectors.SandboxOptions) (*Sandbox, error) { return &Sandbox{}, nil }

// ServeHTTP implements http.Handler.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// Settings implements connectors.Sandbox.
func (s *Sandbox) Settings(base string) map[string]any { return map[string]any{"url": base} }

// Violations implements connectors.Sandbox.
func (s *Sandbox) Violations() []string { return nil }
