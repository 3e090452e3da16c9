package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// tree is a decoded request: string, bool, json.Number, nil, []any or
// map[string]any, whether it came as JSON or as a form with PHP keys.

// parseJSON reads a JSON body.
func parseJSON(body []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	out := map[string]any{}
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	var raw struct {
		Cmd json.RawMessage `json:"cmd"`
	}
	if json.Unmarshal(body, &raw) == nil && len(raw.Cmd) > 0 {
		out[commandOrder] = orderOf(raw.Cmd)
	}
	return out, nil
}

// commandOrder is the key under which the order of a batch's commands is kept:
// Go's maps forget it.
const commandOrder = "\x00order"

// orderOf lists the keys of a flat JSON object as they stand.
func orderOf(object []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var keys []string
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil
		}
		key, ok := t.(string)
		if !ok {
			return nil
		}
		keys = append(keys, key)
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return nil
		}
	}
	return keys
}

// parseForm reads a query or form whose keys may be PHP-style: a[b][0]=c.
func parseForm(text string) (map[string]any, error) {
	out := map[string]any{}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(rawKey)
		if err != nil {
			return nil, fmt.Errorf("bad escape in a key: %w", err)
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("bad escape in %q: %w", key, err)
		}
		put(out, splitKey(key), value)
	}
	return out, nil
}

func splitKey(key string) []string {
	name, rest, found := strings.Cut(key, "[")
	if !found {
		return []string{key}
	}
	parts := []string{name}
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "]"), "][") {
		parts = append(parts, part)
	}
	return parts
}

func put(at map[string]any, path []string, value string) {
	key := path[0]
	if key == "" { // PHP's "append"
		key = strconv.Itoa(len(at))
	}
	if len(path) == 1 {
		at[key] = value
		return
	}
	next, ok := at[key].(map[string]any)
	if !ok {
		next = map[string]any{}
		at[key] = next
	}
	put(next, path[1:], value)
}

// child finds a member by name, in any case of letters for the top-level names
// that the system accepts in both.
func child(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		if x, ok := v[name]; ok {
			return x
		}
		if x, ok := v[strings.ToUpper(name)]; ok {
			return x
		}
		return v[strings.ToLower(name)]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// text renders a scalar.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "1"
		}
		return "0"
	case json.Number:
		return v.String()
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// values lists the members of a list, or of a map in the order of its keys.
func values(v any) []any {
	switch v := v.(type) {
	case []any:
		return v
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out
	case map[string]any:
		var out []any
		for _, k := range keysInOrder(v) {
			out = append(out, v[k])
		}
		return out
	}
	return nil
}

// keysInOrder sorts numeric keys as numbers and puts them first.
func keysInOrder(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		na, errA := strconv.Atoi(a)
		nb, errB := strconv.Atoi(b)
		switch {
		case errA == nil && errB == nil:
			return na - nb
		case errA == nil:
			return -1
		case errB == nil:
			return 1
		}
		return strings.Compare(a, b)
	})
	return keys
}
