package view

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
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
		b.Form, b.Text = BodyJSON, hideInJSON(indent(trimmed))
	case isForm(trimmed):
		b.Form, b.Text = BodyForms, formLines(string(trimmed))
	case !utf8.Valid(raw):
		b.Form, b.Text = BodyBinary, hideInJSON(string(raw))
	default:
		b.Form, b.Text = BodyText, hideInJSON(string(raw))
	}
	b.Text = strings.ToValidUTF8(b.Text, "\uFFFD")
	if len(b.Text) > maxShown {
		b.Text, b.Truncated = strings.ToValidUTF8(b.Text[:maxShown], ""), true
	}
	return b
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

var (
	jsonMember = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"(\s*:\s*)("(?:[^"\\]|\\.)*"|[^\s,{}\[\]"]+)`)
	secretWord = regexp.MustCompile(`(?i)(token|secret|passw|api[_-]?key|authorization|cookie|signature|^auth_id$|^refresh_id$|^sign$|^pass$|^pwd$)`)
)

// hideInJSON hides the values of members that are named like credentials. It
// works on text, so that order, numbers and broken JSON stay as they came.
func hideInJSON(text string) string {
	return jsonMember.ReplaceAllStringFunc(text, func(member string) string {
		m := jsonMember.FindStringSubmatch(member)
		if !secretName(m[1]) || m[3] == `""` || m[3] == "null" {
			return member
		}
		return `"` + m[1] + `"` + m[2] + `"` + hidden + `"`
	})
}

// Hide hides credentials in a JSON document, which stays one.
func Hide(document []byte) []byte { return []byte(hideInJSON(string(document))) }

// secretName reports whether a member, a form field (auth[application_token])
// or a header is named like a credential.
func secretName(name string) bool {
	if i := strings.LastIndexByte(strings.TrimRight(name, "]"), '['); i >= 0 {
		name = strings.Trim(name[i:], "[]")
	}
	return secretWord.MatchString(name)
}
