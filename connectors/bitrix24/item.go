package bitrix24

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// item is an entity as either family of methods gives it, under classic codes.
type item map[string]json.RawMessage

// itemCodes are the universal names that do not become their classic code by
// rule (§7.1).
var itemCodes = map[string]string{
	"createdBy":   "CREATED_BY_ID",
	"createdTime": "DATE_CREATE",
	"movedBy":     "MOVED_BY_ID",
	"updatedBy":   "MODIFY_BY_ID",
	"updatedTime": "DATE_MODIFY",
}

var itemCodesOf = map[model.Kind]map[string]string{
	model.KindCompany: {"typeId": "COMPANY_TYPE"},
	model.KindLead:    {"stageId": "STATUS_ID", "stageSemanticId": "STATUS_SEMANTIC_ID"},
}

// leftOut are members that say nothing of their own: the search index repeats
// phones and names, fm is unfolded, the rest repeats it.
var leftOut = map[string]bool{
	"fm": true, "searchContent": true, "entityTypeId": true,
	"phoneMobile": true, "phoneWork": true, "phoneMailing": true, "emailHome": true, "emailWork": true, "emailMailing": true,
}

// classicCode turns a name of the universal methods into the classic code:
// assignedById → ASSIGNED_BY_ID, ufCrm_1720 → UF_CRM_1720, parentId1222 →
// PARENT_ID_1222. Classic codes stay as they are.
func classicCode(kind model.Kind, name string) string {
	if strings.ToUpper(name) == name {
		return name
	}
	if code, ok := itemCodesOf[kind][name]; ok {
		return code
	}
	if code, ok := itemCodes[name]; ok {
		return code
	}
	var b strings.Builder
	var last rune
	for _, r := range name {
		boundary := unicode.IsUpper(r) || (unicode.IsDigit(r) && !unicode.IsDigit(last))
		if boundary && last != 0 && last != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
		last = r
	}
	return b.String()
}

// namer remembers the codes of names while one answer is read.
type namer struct {
	kind  model.Kind
	codes map[string]string
}

func (n *namer) code(name string) string {
	code, ok := n.codes[name]
	if !ok {
		code = classicCode(n.kind, name)
		n.codes[name] = code
	}
	return code
}

// readItem decodes one entity.
func (n *namer) readItem(raw json.RawMessage) (item, error) {
	var given map[string]json.RawMessage
	if err := loosejson.Unmarshal(raw, &given); err != nil {
		return nil, err
	}
	out := make(item, len(given))
	for name, value := range given {
		if !leftOut[name] {
			out[n.code(name)] = value
		}
	}
	if fm, ok := given["fm"]; ok {
		unfold(out, fm)
	}
	return out, nil
}

// unfold puts the universal methods' multi-fields under the classic codes
// PHONE, EMAIL, WEB, IM and LINK (§7.4).
func unfold(into item, fm json.RawMessage) {
	var all loosejson.List[struct {
		Type  string         `json:"typeId"`
		Value loosejson.Text `json:"value"`
	}]
	if loosejson.Unmarshal(fm, &all) != nil {
		return
	}
	byType := map[string][]string{}
	for _, one := range all {
		if one.Type != "" && one.Value != "" {
			byType[one.Type] = append(byType[one.Type], one.Value.String())
		}
	}
	delete(into, "PHONE") // lead items repeat the first of each under these names
	delete(into, "EMAIL")
	for code, values := range byType {
		if data, err := json.Marshal(values); err == nil {
			into[code] = data
		}
	}
}

// text is a scalar member, "" when it is absent, null or an empty object.
func (it item) text(code string) string {
	var t loosejson.Text
	if raw, ok := it[code]; !ok || t.UnmarshalJSON(raw) != nil {
		return ""
	}
	return strings.TrimSpace(t.String())
}

// id is the id of another object: 0 means none.
func (it item) id(code string) string {
	if id := it.text(code); plainID(id) {
		return id
	}
	return ""
}

// multi is a multi-field's values.
func (it item) multi(code string) []string {
	switch v := fieldValue(it[code]).(type) {
	case string:
		return []string{v}
	case []string:
		return v
	}
	return nil
}

// fields are all members that have a value, as model.Fields wants them.
func (it item) fields() model.Fields {
	out := make(model.Fields, len(it))
	for code, raw := range it {
		if v := fieldValue(raw); v != nil {
			out[code] = v
		}
	}
	return out
}

// fieldValue is a string, a []string, or nil for what is empty. Of multi-fields
// only the values are kept; other objects stay as their JSON.
func fieldValue(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	if raw[0] == '[' {
		var all loosejson.List[json.RawMessage]
		if loosejson.Unmarshal(raw, &all) != nil {
			return nil
		}
		var out []string
		for _, one := range all {
			if text := listed(one); text != "" {
				out = append(out, text)
			}
		}
		if out == nil {
			return nil
		}
		return slices.Clip(out)
	}
	var t loosejson.Text
	if t.UnmarshalJSON(raw) != nil || t == "" {
		return nil
	}
	return t.String()
}

// listed is one member of a list.
func listed(raw json.RawMessage) string {
	if len(raw) > 0 && raw[0] == '{' {
		var m struct {
			Value *loosejson.Text `json:"VALUE"`
		}
		if loosejson.Unmarshal(raw, &m) == nil && m.Value != nil {
			return m.Value.String()
		}
	}
	var t loosejson.Text
	if t.UnmarshalJSON(raw) != nil {
		return ""
	}
	return t.String()
}
