package roistat

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"mime"
	"strconv"
	"strings"
)

// Serving XML is an experiment: the documentation says that the integration
// speaks it and shows no sample. The names are ours (roistat §2.8).

// items names the elements of lists.
var items = map[string]string{
	"clients": "client", "fields": "field", "managers": "manager",
	"orders": "order", "products": "product", "statuses": "status",
}

// wantsXML reports whether the request asks for XML rather than JSON. A browser
// lists XML too, but would rather have HTML.
func wantsXML(p params, accept string) bool {
	switch p["format"] {
	case "xml":
		return true
	case "json":
		return false
	}
	xmlWeight, otherWeight := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			weight = q
		}
		switch kind {
		case "application/xml", "text/xml":
			xmlWeight = max(xmlWeight, weight)
		case "application/json", "text/html", "*/*", "application/*":
			otherWeight = max(otherWeight, weight)
		}
	}
	return xmlWeight > otherWeight
}

// toXML writes our own JSON as XML under the root <response>.
func toXML(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out bytes.Buffer
	out.WriteString(xml.Header)
	element(&out, dec, "response", "")
	return out.Bytes()
}

// element writes the decoder's next value as one element. Keys of a deal's
// fields are CRM codes and need not be XML names: they go into an attribute.
func element(out *bytes.Buffer, dec *json.Decoder, name, attribute string) {
	token, err := dec.Token()
	if err != nil {
		return // can't happen: the data is ours
	}
	out.WriteString("<" + name)
	if attribute != "" {
		out.WriteString(` id="`)
		_ = xml.EscapeText(out, []byte(attribute))
		out.WriteByte('"')
	}
	out.WriteByte('>')
	switch v := token.(type) {
	case json.Delim:
		for dec.More() {
			switch {
			case v == '[':
				element(out, dec, itemName(name), "")
			case name == "fields":
				element(out, dec, items[name], key(dec))
			default:
				element(out, dec, key(dec), "")
			}
		}
		_, _ = dec.Token() // the closing bracket
	case json.Number:
		out.WriteString(v.String())
	case string:
		_ = xml.EscapeText(out, []byte(v))
	case bool:
		out.WriteString(strconv.FormatBool(v))
	}
	out.WriteString("</" + name + ">")
}

func itemName(list string) string {
	if name, ok := items[list]; ok {
		return name
	}
	return "item"
}

func key(dec *json.Decoder) string {
	token, err := dec.Token()
	if err != nil {
		return "item"
	}
	name, _ := token.(string)
	return name
}
