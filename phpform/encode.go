package phpform

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Field is a named value for Encode, where the order matters.
type Field struct {
	Name  string
	Value any
}

// Encode writes a form as PHP's http_build_query does, with percent-encoded
// brackets. It takes a Node, []Field, maps with string keys (written in the order
// of their keys, numbers first), slices, and plain values; nil is left out, true
// is 1 and false 0.
func Encode(form any) []byte {
	var b strings.Builder
	encode(&b, "", form)
	return []byte(b.String())
}

func encode(b *strings.Builder, name string, value any) {
	switch v := value.(type) {
	case nil:
	case Node:
		encodeNode(b, name, v)
	case []Field:
		for _, f := range v {
			encode(b, below(name, f.Name), f.Value)
		}
	case map[string]any:
		encodeMap(b, name, v)
	case map[string]string:
		encodeMap(b, name, v)
	case []any:
		encodeList(b, name, v)
	case []map[string]any:
		encodeList(b, name, v)
	case []string:
		encodeList(b, name, v)
	case string:
		write(b, name, v)
	case bool:
		if v {
			write(b, name, "1")
		} else {
			write(b, name, "0")
		}
	default:
		write(b, name, fmt.Sprint(v))
	}
}

func encodeNode(b *strings.Builder, name string, n Node) {
	if !n.Exists() {
		return
	}
	children := n.Children()
	if len(children) == 0 && name != "" {
		write(b, name, n.Text())
	}
	for _, p := range children {
		encodeNode(b, below(name, p.Key), p.Node)
	}
}

func encodeMap[V any](b *strings.Builder, name string, values map[string]V) {
	keys := slices.SortedFunc(maps.Keys(values), func(x, y string) int {
		i, xNumeric := indexOf(x)
		j, yNumeric := indexOf(y)
		switch {
		case xNumeric && yNumeric && i != j:
			return byNumber(x, y)
		case xNumeric && !yNumeric:
			return -1
		case !xNumeric && yNumeric:
			return 1
		}
		return strings.Compare(x, y)
	})
	for _, key := range keys {
		encode(b, below(name, key), values[key])
	}
}

func encodeList[V any](b *strings.Builder, name string, values []V) {
	for i, v := range values {
		encode(b, below(name, strconv.Itoa(i)), v)
	}
}

func below(name, key string) string {
	if name == "" {
		return url.QueryEscape(key)
	}
	return name + "%5B" + url.QueryEscape(key) + "%5D"
}

// write appends one field; its name is escaped already.
func write(b *strings.Builder, name, value string) {
	if b.Len() > 0 {
		b.WriteByte('&')
	}
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(url.QueryEscape(value))
}
