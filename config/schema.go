package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"time"

	"github.com/svod-hub/svod/model"
)

// flowDocs documents the keys of a flow, whose types belong to the model.
var flowDocs = map[string]string{
	"FlowSpec.id":            "Id in commands: lower-case Latin letters, digits and hyphens.",
	"FlowSpec.from":          "Ids of the connections whose records are sent.",
	"FlowSpec.record":        "What is sent.",
	"FlowSpec.to":            "Id of the connection that it is sent to.",
	"FlowSpec.as":            "Kind of upload: contacts, orders, simple_orders, conversions, calls, chats, user_params, expenses…",
	"FlowSpec.mode":          "How the destination merges rows, for Metrica SAVE, UPDATE or APPEND. Defaults to the destination's first.",
	"FlowSpec.client_type":   "CONTACT or COMPANY: whose id orders carry. Defaults to CONTACT.",
	"FlowSpec.ids":           "raw sends ids as the source has them although the flow has several sources.",
	"FlowSpec.when":          "Expression that a record must fulfil. Everything is sent when left out.",
	"FlowSpec.map":           "Parameters of the destination and the expressions that fill them. Defaults to the documented map.",
	"FlowSpec.statuses":      "The status scheme: what the source's statuses are at the destination.",
	"FlowSpec.attributes":    "Custom attributes to declare at the destination.",
	"FlowSpec.schedule":      "When the flow sends. As often as the destination's quotas allow when left out.",
	"FlowSpec.hash":          "Parameters that are only sent as md5: phones, emails.",
	"FlowSpec.options":       "Settings of the destination's connector for this flow.",
	"FlowSpec.paused":        "true keeps the flow from sending.",
	"StatusPair.crm":         "The source's status id, or pipeline:status.",
	"StatusPair.id":          "What the destination is given: Latin letters, digits, _, - and :. Unique in the flow.",
	"StatusPair.name":        "Name for people. Defaults to the source's.",
	"StatusPair.metrica":     "The destination's type: IN_PROGRESS, PAID, CANCELLED, SPAM or OTHER.",
	"AttributeSpec.name":     "Name at the destination: Latin letters, digits, _, - and :.",
	"AttributeSpec.title":    "Name for people.",
	"AttributeSpec.type":     "text, decimal, date or time. Defaults to text.",
	"AttributeSpec.multiple": "true for several values.",
}

// requiredKeys are the keys without which a mapping is nothing.
var requiredKeys = map[string][]string{
	"Config": {"projects"}, "Connection": {"id", "kind"}, "Flow": {"id", "from", "record", "to", "as"}, "Project": {"id"},
	"AlertEmail": {"smtp", "from", "to"}, "AlertTelegram": {"token", "chat"}, "AlertWebhook": {"url"},
	"StatusPair": {"crm"}, "AttributeSpec": {"name"}, "Token": {"name", "token"}, "User": {"name", "password"},
}

// JSONSchema describes svod.yaml for editors.
func JSONSchema() []byte {
	root := schemaOf(reflect.TypeFor[Config](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "svod.yaml"
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil { // maps of texts always encode
		return nil
	}
	return out.Bytes()
}

type schema = map[string]any

// text is any scalar: ${NAME} may stand for it, and numbers are read as written.
func text() schema { return schema{"type": []string{"string", "number", "boolean"}} }

func schemaOf(t reflect.Type, unit string) schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return schema{"type": []string{"string", "integer"}, "pattern": `^(0|([0-9]+d)?([0-9.]+(ms|s|m|h))*|\$\{.+\})$`}
	case reflect.TypeFor[netip.Prefix](), reflect.TypeFor[model.Secret]():
		return schema{"type": "string"}
	case reflect.TypeFor[model.Schedule]():
		return scheduleSchema()
	case reflect.TypeFor[model.Kind]():
		return schema{"enum": model.Kinds()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), unit)
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		if unit == "size" {
			return schema{"type": []string{"integer", "string"}, "pattern": `^[0-9]+ ?([KMG]i?B)?$`}
		}
		return schema{"type": "integer"}
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem(), "")}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": text()}
	case reflect.Struct:
		return objectSchema(t)
	}
	return text()
}

func objectSchema(t reflect.Type) schema {
	properties := schema{}
	names, index := fields(t)
	for _, name := range names {
		field := t.FieldByIndex(index[name])
		property := schemaOf(field.Type, field.Tag.Get("as"))
		if doc := documentation(t, field, name); doc != "" {
			property["description"] = doc
		}
		properties[name] = property
	}
	object := schema{"type": "object", "properties": properties, "additionalProperties": t == reflect.TypeFor[Connection]()}
	if required := requiredKeys[t.Name()]; required != nil {
		object["required"] = required
	}
	return object
}

// documentation finds what a key is for: in its tag, or among the flow's.
func documentation(t reflect.Type, field reflect.StructField, name string) string {
	if doc := field.Tag.Get("doc"); doc != "" {
		return doc
	}
	owner := t.Name()
	if t == reflect.TypeFor[Flow]() {
		owner = "FlowSpec"
	}
	return flowDocs[owner+"."+name]
}

func scheduleSchema() schema {
	return schema{
		"type": "object", "additionalProperties": false,
		"properties": schema{
			"every":        schema{"type": "string", "description": "Length of time such as 1m or 1h, at least 1s."},
			"daily":        schema{"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$", "description": "Time of day in the project's zone, such as \"03:00\"."},
			"max_rows":     schema{"type": "integer", "minimum": 0, "description": "Most rows of one upload."},
			"previous_day": schema{"type": "boolean", "description": "Send a record only when the day of its creation is over, in the project's zone."},
			"again": schema{"type": "array", "items": schema{"type": "integer", "minimum": 1},
				"description": "Days after the day of creation on which changes to a sent row go again, such as [2, 7, 14, 20]. Left out, changes go as they come."},
		},
	}
}
