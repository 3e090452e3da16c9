// Package registry lists the connectors that this hub has, one line each.
package registry

import (
	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm"
	"github.com/svod-hub/svod/connectors/bitrix24"
	"github.com/svod-hub/svod/connectors/callkeeper"
	"github.com/svod-hub/svod/connectors/roistat"
	"github.com/svod-hub/svod/connectors/webhook"
	"github.com/svod-hub/svod/connectors/yandexmetrica"
)

// Registry knows every kind of connection.
type Registry struct {
	types []connectors.Type
}

// New makes the registry.
func New() *Registry {
	return &Registry{types: []connectors.Type{
		amocrm.Type(),
		bitrix24.Type(),
		callkeeper.Type(),
		roistat.Type(),
		webhook.Type(),
		yandexmetrica.Type(),
	}}
}

// Types lists all kinds.
func (r *Registry) Types() []connectors.Type { return r.types }

// Type finds a kind.
func (r *Registry) Type(kind string) (connectors.Type, bool) {
	for _, t := range r.types {
		if t.Kind == kind {
			return t, true
		}
	}
	return connectors.Type{}, false
}

// Known reports whether the hub has the kind.
func (r *Registry) Known(kind string) bool {
	_, ok := r.Type(kind)
	return ok
}

// Kinds lists the names of all kinds.
func (r *Registry) Kinds() []string {
	names := make([]string, len(r.types))
	for i, t := range r.types {
		names[i] = t.Kind
	}
	return names
}

// Settings lists the keys that a connection of the kind takes besides the
// common ones.
func (r *Registry) Settings(kind string) []string {
	t, _ := r.Type(kind)
	keys := make([]string, len(t.Settings))
	for i, s := range t.Settings {
		keys[i] = s.Key
	}
	return keys
}
