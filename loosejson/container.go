package loosejson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/svod-hub/svod/model"
)

// Map takes an object. What PHP writes for an empty one ([], null, "" or false)
// is nil; a list becomes a map with the keys "0", "1"…
type Map[V any] map[string]V

// UnmarshalJSON implements json.Unmarshaler.
func (m *Map[V]) UnmarshalJSON(data []byte) error {
	*m = nil
	data = bytes.TrimSpace(data)
	if empty(data) {
		return nil
	}
	if data[0] != '[' {
		var values map[string]V
		if err := json.Unmarshal(data, &values); err != nil {
			return err
		}
		*m = values
		return nil
	}
	var list []V
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*m = make(Map[V], len(list))
	for i, v := range list {
		(*m)[strconv.Itoa(i)] = v
	}
	return nil
}

// List takes a list, or an object with numeric keys, which is put in the order
// of its numbers. null, {}, "" and false are nil. Use List[json.RawMessage] where
// a single bad row must not refuse the others.
type List[V any] []V

// UnmarshalJSON implements json.Unmarshaler.
func (l *List[V]) UnmarshalJSON(data []byte) error {
	*l = nil
	data = bytes.TrimSpace(data)
	if empty(data) {
		return nil
	}
	if data[0] != '{' {
		var values []V
		if err := json.Unmarshal(data, &values); err != nil {
			return err
		}
		*l = values
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	keys := make([]int, 0, len(object))
	for key := range object {
		n, err := strconv.Atoi(key)
		if err != nil || strconv.Itoa(n) != key {
			return model.Errorf(model.ClassPermanent, model.CauseBadPayload,
				"an object with names stands where a list is expected")
		}
		keys = append(keys, n)
	}
	slices.Sort(keys)
	values := make(List[V], len(keys))
	for i, key := range keys {
		if err := json.Unmarshal(object[strconv.Itoa(key)], &values[i]); err != nil {
			return err
		}
	}
	*l = values
	return nil
}

// empty recognises what stands for an empty map or list.
func empty(data []byte) bool {
	switch string(data) {
	case "", "null", `""`, "false":
		return true
	}
	return (data[0] == '{' || data[0] == '[') && len(bytes.TrimSpace(data[1:])) == 1
}
