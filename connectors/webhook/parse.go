package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// Bounds of a payload (webhook-security §4.3). Its size in bytes is bounded where
// it is received; these are for what a few bytes can unfold to.
const (
	maxDepth  = 64
	maxValues = 20000
	maxParts  = 100
	maxBytes  = 8 << 20
)

func refuse(cause model.Cause, format string, args ...any) *model.Error {
	return model.Errorf(model.ClassPermanent, cause, format, args...)
}

// parseBody makes a tree of maps, lists and scalars out of whatever was sent.
func parseBody(d connectors.Delivery) (any, *model.Error) {
	if len(d.Body) > maxBytes {
		return nil, refuse(model.CauseTooLarge, "the body has %d bytes, more than %d", len(d.Body), maxBytes)
	}
	kind, parameters, _ := mime.ParseMediaType(d.Header.Get("Content-Type"))
	body := bytes.TrimSpace(d.Body)
	switch {
	case len(body) == 0:
		return parseForm([]byte(d.Query)) // a GET hook says everything in its address
	case kind == "multipart/form-data":
		return parseMultipart(d.Body, parameters["boundary"])
	case strings.HasSuffix(kind, "xml"):
		return nil, refuse(model.CauseBadPayload, "the body is XML; this connection takes JSON and forms")
	case kind == "application/x-www-form-urlencoded" && body[0] != '{' && body[0] != '[':
		return parseForm(body)
	case strings.HasSuffix(kind, "json") || looksLikeJSON(body):
		text, err := toUTF8(d.Body, parameters["charset"])
		if err != nil {
			return nil, err
		}
		return parseJSON(text)
	}
	return parseForm(body)
}

// looksLikeJSON recognises JSON whose sender declared something else, or
// nothing, which happens more often than not.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// toUTF8 reads texts of 1C and other old systems. Without a declaration, what is
// no UTF-8 is windows-1251.
func toUTF8(body []byte, label string) ([]byte, *model.Error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	if label = strings.ToLower(label); label == "" || label == "utf-8" || label == "utf8" {
		if utf8.Valid(body) {
			return body, nil
		}
		if label != "" {
			return nil, refuse(model.CauseBadEncoding, "the body says that it is UTF-8 and is not")
		}
		label = "windows-1251"
	}
	reader, err := charset.NewReaderLabel(label, bytes.NewReader(body))
	if err != nil {
		return nil, refuse(model.CauseBadEncoding, "the body is in a charset that nobody knows: %.40q", label)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, refuse(model.CauseBadEncoding, "the body is not in the charset that it declares: %.40q", label)
	}
	return text, nil
}

// tree builds values out of JSON tokens and counts them.
type tree struct {
	dec   *json.Decoder
	count int
}

var errTooLarge = errors.New("too large")

func parseJSON(text []byte) (any, *model.Error) {
	t := &tree{dec: json.NewDecoder(bytes.NewReader(text))}
	t.dec.UseNumber()
	value, err := t.value(0)
	if err == nil {
		if _, more := t.dec.Token(); more != io.EOF {
			err = errors.New("there is more behind it")
		}
	}
	switch {
	case errors.Is(err, errTooLarge):
		return nil, refuse(model.CauseTooLarge, "the body is nested deeper than %d or holds more than %d values", maxDepth, maxValues)
	case err != nil:
		return nil, refuse(model.CauseBadPayload, "the body is not valid JSON (byte %d)", t.dec.InputOffset())
	}
	return value, nil
}

func (t *tree) value(depth int) (any, error) {
	token, err := t.dec.Token()
	if err != nil {
		return nil, err
	}
	if t.count++; t.count > maxValues || depth > maxDepth {
		return nil, errTooLarge
	}
	switch v := token.(type) {
	case json.Number:
		return exact(v), nil
	case json.Delim:
		if v == '[' {
			return t.list(depth)
		}
		return t.object(depth)
	}
	return token, nil // string, bool or nil
}

func (t *tree) list(depth int) (any, error) {
	list := []any{}
	for t.dec.More() {
		one, err := t.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	_, err := t.dec.Token()
	return list, err
}

func (t *tree) object(depth int) (any, error) {
	object := map[string]any{}
	for t.dec.More() {
		token, err := t.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if object[name], err = t.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := t.dec.Token()
	return object, err
}

// parseForm reads plain forms and those of PHP, a[b][0]=v.
func parseForm(text []byte) (any, *model.Error) {
	form, err := phpform.Parse(mend(text), phpform.Limits{MaxBytes: maxBytes, MaxKeys: maxValues, Windows1251: true})
	if err != nil {
		return nil, refuse(model.CauseOf(err), "%w", err)
	}
	return fromForm(form, true), nil
}

// mend escapes lone percent signs: "100%" in one field must not cost the others.
func mend(text []byte) []byte {
	if bytes.IndexByte(text, '%') < 0 {
		return text
	}
	out := make([]byte, 0, len(text)+16)
	for i, c := range text {
		out = append(out, c)
		if c == '%' && !(i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2])) {
			out = append(out, "25"...)
		}
	}
	return out
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// fromForm makes a list of what has the keys 0, 1, 2…, and a map of the rest.
func fromForm(n phpform.Node, top bool) any {
	children := n.Children()
	if len(children) == 0 && !top {
		return n.Text()
	}
	object := make(map[string]any, len(children))
	list := make([]any, 0, len(children))
	for i, child := range children {
		value := fromForm(child.Node, false)
		object[child.Key] = value
		if child.Key == strconv.Itoa(i) {
			list = append(list, value)
		}
	}
	if len(list) == len(children) && !top {
		return list
	}
	return object
}

// parseMultipart reads a multipart form; files are left out.
func parseMultipart(body []byte, boundary string) (any, *model.Error) {
	if boundary == "" {
		return nil, refuse(model.CauseBadPayload, "a multipart form without a boundary")
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	var form strings.Builder
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parseForm([]byte(form.String()))
		}
		if err != nil {
			return nil, refuse(model.CauseBadPayload, "the multipart form is broken in part %d", n+1)
		}
		if n >= maxParts {
			return nil, refuse(model.CauseTooLarge, "the multipart form has more than %d parts", maxParts)
		}
		if part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, refuse(model.CauseBadPayload, "the multipart form is broken in part %d", n+1)
		}
		if form.Len() > 0 {
			form.WriteByte('&')
		}
		form.WriteString(url.QueryEscape(part.FormName()) + "=" + url.QueryEscape(string(value)))
	}
}

// headersOf gives the headers under their usual and their lower-case names.
func headersOf(h http.Header) map[string]any {
	out := make(map[string]any, 2*len(h))
	for name, values := range h {
		if len(values) > 0 {
			out[name], out[strings.ToLower(name)] = values[0], values[0]
		}
	}
	return out
}

// queryOf never refuses: what counts is in the body.
func queryOf(raw string) any {
	if value, err := parseForm([]byte(raw)); err == nil {
		return value
	}
	values, _ := connectors.ParseQuery(raw, maxParts)
	out := make(map[string]any, len(values))
	for name, all := range values {
		out[name] = strings.ToValidUTF8(all[len(all)-1], "\uFFFD")
	}
	return out
}
