package view

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// hidden stands where a credential stood.
const hidden = "<secret>"

// maxShown bounds how much of a body is shown, in bytes.
const maxShown = 256 << 10

// BodyForm says how a body is shown.
type BodyForm string

// The forms of bodies.
const (
	BodyEmpty  BodyForm = "empty"
	BodyJSON   BodyForm = "json"
	BodyForms  BodyForm = "form"
	BodyText   BodyForm = "text"
	BodyBinary BodyForm = "binary" // not UTF-8; what is not text is replaced
)

// Body is a raw body made readable, without the credentials that systems send
// along with their hooks.
type Body struct {
	Form      BodyForm `json:"form"`
	Text      string   `json:"text"`
	Bytes     int      `json:"bytes"`
	Truncated bool     `json:"truncated,omitempty"`
}

// NewBody makes a body readable: JSON is indented, forms get a line per pair.
func NewBody(raw []byte) Body {
	b := Body{Bytes: len(raw)}
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(trimmed) == 0:
		b.Form = BodyEmpty
	case json.Valid(trimmed) && (trimmed[0] == '{' || trimmed[0] == '['):
		b.Form = BodyJSON
		b.Text, b.Truncated = shown(indent(trimmed))
		b.Text = hideInJSON(b.Text)
	case isForm(trimmed):
		b.Form = BodyForms
		b.Text, b.Truncated = shown(formLines(string(trimmed)))
	default:
		b.Form = BodyText
		if !utf8.Valid(raw) {
			b.Form = BodyBinary
		}
		b.Text, b.Truncated = shown(string(raw))
		b.Text = hideInJSON(b.Text)
	}
	return b
}

// shown makes a text fit to be shown.
func shown(text string) (string, bool) {
	if len(text) <= maxShown {
		return strings.ToValidUTF8(text, "\uFFFD"), false
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return strings.ToValidUTF8(text[:cut], "\uFFFD"), true
}

// Header is one header of a delivery.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// NewHeaders reads the headers that the journal kept, sorted by name.
func NewHeaders(raw []byte) []Header {
	var kept map[string]any
	if json.Unmarshal(raw, &kept) != nil {
		return nil
	}
	list := make([]Header, 0, len(kept))
	for name, value := range kept {
		h := Header{Name: name}
		switch v := value.(type) {
		case string:
			h.Value = v
		case []any:
			var parts []string
			for _, p := range v {
				if text, ok := p.(string); ok {
					parts = append(parts, text)
				}
			}
			h.Value = strings.Join(parts, ", ")
		}
		if secretName(name) {
			h.Value = hidden
		}
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// NewQuery makes a query string readable.
func NewQuery(raw string) string {
	if raw == "" {
		return ""
	}
	return strings.ToValidUTF8(formLines(raw), "\uFFFD")
}

func indent(raw []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// isForm recognises a=b&c=d: a name before the first "=", and nothing that a
// form would have percent-encoded.
func isForm(body []byte) bool {
	name, _, found := bytes.Cut(body, []byte("="))
	return found && len(name) > 0 && !bytes.ContainsAny(body, " \t\r\n<>{}\"")
}

func formLines(raw string) string {
	var out strings.Builder
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, found := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if secretName(name) && value != "" {
			value = hidden
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(name)
		if found {
			out.WriteString(" = ")
			out.WriteString(value)
		}
	}
	return out.String()
}

func unescape(text string) string {
	if clean, err := url.QueryUnescape(text); err == nil {
		return clean
	}
	return text
}

// hideInJSON hides the values of members that are named like credentials. It
// works on text, so that order, numbers and broken JSON stay as they came; what
// is cut off in the middle of a credential is hidden to the end.
func hideInJSON(text string) string {
	var out strings.Builder
	kept := 0 // up to here text is in out
	for i := 0; i < len(text); {
		if text[i] != '"' {
			i++
			continue
		}
		nameStart, nameEnd := i, stringEnd(text, i)
		colon := skipSpace(text, nameEnd)
		if colon >= len(text) || text[colon] != ':' {
			i = nameEnd
			continue
		}
		value := skipSpace(text, colon+1)
		end := scalarEnd(text, value)
		i = max(end, colon+1)
		name := strings.Trim(text[nameStart:nameEnd], `"`)
		if scalar := text[value:end]; scalar == "" || scalar == `""` || scalar == "null" || !secretName(name) {
			continue
		}
		out.WriteString(text[kept:value])
		out.WriteString(`"` + hidden + `"`)
		kept = end
	}
	out.WriteString(text[kept:])
	return out.String()
}

// stringEnd gives the place behind the string that begins at i.
func stringEnd(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func skipSpace(text string, i int) int {
	for i < len(text) && strings.IndexByte(" \t\r\n", text[i]) >= 0 {
		i++
	}
	return i
}

// scalarEnd gives the place behind the string, number or word that begins at
// i; i itself before an object or a list.
func scalarEnd(text string, i int) int {
	if i < len(text) && text[i] == '"' {
		return stringEnd(text, i)
	}
	for i < len(text) && strings.IndexByte(" \t\r\n,{}[]\"", text[i]) < 0 {
		i++
	}
	return i
}

// Hide hides credentials in a JSON document, which stays one.
func Hide(document []byte) []byte { return []byte(hideInJSON(string(document))) }

// secretParts and secretNames tell credentials by name.
var (
	secretParts = []string{"token", "secret", "passw", "apikey", "api_key", "api-key", "authorization", "cookie", "signature"}
	secretNames = []string{"auth_id", "pass", "pwd", "refresh_id", "sign"}
)

// secretName reports whether a member, a form field (auth[application_token])
// or a header is named like a credential.
func secretName(name string) bool {
	if i := strings.LastIndexByte(strings.TrimRight(name, "]"), '['); i >= 0 {
		name = strings.Trim(name[i:], "[]")
	}
	name = strings.ToLower(name)
	return slices.Contains(secretNames, name) ||
		slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}
