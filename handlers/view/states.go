package view

import "github.com/svod-hub/svod/store"

// Names of states, as in filters, addresses and JSON.
var (
	entryStates = map[store.EntryState]string{
		store.EntryNew: "new", store.EntryDone: "done", store.EntryRefused: "refused", store.EntryPartly: "partly",
	}
	deliveryStates = map[store.DeliveryState]string{
		store.DeliveryNew: "new", store.DeliverySent: "sent", store.DeliverySending: "sending",
		store.DeliverySkipped: "skipped", store.DeliveryRefused: "refused", store.DeliveryWaiting: "waiting",
	}
)

// EntryState names the state of a journal entry.
func EntryState(s store.EntryState) string { return entryStates[s] }

// ParseEntryState is the reverse of EntryState.
func ParseEntryState(name string) (store.EntryState, bool) {
	for state, known := range entryStates {
		if known == name {
			return state, true
		}
	}
	return 0, false
}

// DeliveryState names the state of a delivery.
func DeliveryState(s store.DeliveryState) string { return deliveryStates[s] }

// ParseDeliveryState is the reverse of DeliveryState.
func ParseDeliveryState(name string) (store.DeliveryState, bool) {
	for state, known := range deliveryStates {
		if known == name {
			return state, true
		}
	}
	return 0, false
}
