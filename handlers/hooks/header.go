package hooks

import (
	"encoding/json"
	"net/http"
	"slices"
)

// dropped are headers that carry credentials or say nothing about the delivery.
var dropped = map[string]bool{
	"Accept-Encoding": true, "Authorization": true, "Connection": true, "Content-Length": true, "Cookie": true,
	"Proxy-Authorization": true, "X-Forwarded-For": true, "X-Real-Ip": true,
}

// keptHeader renders the headers that are kept as a JSON object of lists, in
// the order of their names. It is on the way of every webhook: encoding/json
// takes three times as long, most of it to walk through the map.
func keptHeader(header http.Header) []byte {
	var few [24]string
	names, size := few[:0], 2
	for name, values := range header {
		if dropped[name] {
			continue
		}
		names = append(names, name)
		size += len(name) + 6
		for _, v := range values {
			size += len(v) + 3
		}
	}
	slices.Sort(names)
	out := append(make([]byte, 0, size), '{')
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, name), ':', '[')
		for k, value := range header[name] {
			if k > 0 {
				out = append(out, ',')
			}
			out = appendText(out, value)
		}
		out = append(out, ']')
	}
	return append(out, '}')
}

// appendText appends a JSON string.
func appendText(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(text)
			if err != nil { // can't happen: a string always marshals
				quoted = []byte(`""`)
			}
			return append(out, quoted...)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}
