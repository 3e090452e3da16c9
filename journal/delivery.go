package journal

import (
	"encoding/json"
	"net/http"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/store"
)

// Delivery is what connectors see of a journal entry.
func Delivery(entry *store.Entry) connectors.Delivery {
	d := connectors.Delivery{
		ID: entry.ID, ReceivedAt: entry.ReceivedAt, Method: entry.Method,
		Query: entry.Query, Body: entry.Body, Header: http.Header{},
	}
	if len(entry.Header) > 0 {
		_ = json.Unmarshal(entry.Header, &d.Header) // ours; a broken one reads as none
	}
	return d
}
