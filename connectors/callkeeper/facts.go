package callkeeper

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

const (
	maxFacts = 500      // of one call; the real ones have about 70
	maxValue = 16 << 10 // bytes of one value
)

// facts are what a source says of one call or form, by the source's names;
// members of objects are joined by dots: visit_info.current.src. What is empty
// is left out.
type facts model.Fields

// factsOf flattens a JSON object. Values of any type are taken as text.
func factsOf(object map[string]json.RawMessage) facts {
	f := facts{}
	for _, name := range sortedKeys(object) {
		f.add(name, object[name])
	}
	return f
}

func sortedKeys(object map[string]json.RawMessage) []string {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f facts) add(name string, raw json.RawMessage) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || len(f) >= maxFacts || len(name) > 200 {
		return
	}
	switch raw[0] {
	case '{':
		var members map[string]json.RawMessage
		if loosejson.Unmarshal(raw, &members) == nil {
			for _, member := range sortedKeys(members) {
				f.add(name+"."+member, members[member])
			}
		}
	case '[':
		f.addList(name, raw)
	default:
		var text loosejson.Text
		if loosejson.Unmarshal(raw, &text) != nil {
			return
		}
		// Whether visit_info is an object or the text of one is not known (§7.2).
		if name == "visit_info" && strings.HasPrefix(strings.TrimSpace(text.String()), "{") {
			f.add(name, json.RawMessage(text))
			return
		}
		f.set(name, text.String())
	}
}

// addList takes lists of values; lists of objects say nothing of the call.
func (f facts) addList(name string, raw json.RawMessage) {
	var all []json.RawMessage
	if loosejson.Unmarshal(raw, &all) != nil {
		return
	}
	var values []string
	for _, one := range all {
		if one = bytes.TrimSpace(one); len(one) == 0 || one[0] == '{' || one[0] == '[' {
			continue
		}
		var text loosejson.Text
		if loosejson.Unmarshal(one, &text) != nil {
			continue
		}
		if value := strings.TrimSpace(text.String()); value != "" && len(value) <= maxValue && len(values) < maxFacts {
			values = append(values, value)
		}
	}
	if len(values) > 0 {
		f[name] = values
	}
}

// set takes one value. A single blank stands for none (§1.5).
func (f facts) set(name, value string) {
	value = strings.TrimSpace(strings.ToValidUTF8(value, ""))
	if value == "" || name == "" || len(value) > maxValue || len(f) >= maxFacts {
		return
	}
	f[name] = value
}

// text gives the first of the named facts that is there.
func (f facts) text(names ...string) string {
	for _, name := range names {
		if value := model.Fields(f).Text(name); value != "" {
			return value
		}
	}
	return ""
}

// named is text without the values that mean none in cookies of UTM trackers
// (§1.8).
func (f facts) named(names ...string) string {
	for _, name := range names {
		switch value := f.text(name); strings.ToLower(value) {
		case "", "(none)", "(not set)", "(not provided)", "null", "undefined":
		default:
			return value
		}
	}
	return ""
}

// list gives a fact as a list; a text is divided by commas.
func (f facts) list(name string) []string {
	values, ok := f[name].([]string)
	if !ok {
		values = strings.Split(f.text(name), ",")
	}
	var out []string
	for _, value := range values {
		if value = strings.TrimSpace(value); value != "" && !slices.Contains(out, value) {
			out = append(out, value)
		}
	}
	return out
}

// clickID looks for a click id in the addresses of the visit.
func (f facts) clickID(parameter string) string {
	for _, name := range []string{"callPage", "entryPointQuery", "entryPoint", "visit_info.session.cpg", "session.cpg", "current_page"} {
		address := f.text(name)
		if !strings.Contains(strings.ToLower(address), parameter) {
			continue
		}
		query := address
		if _, after, ok := strings.Cut(address, "?"); ok {
			query = after
		}
		query, _, _ = strings.Cut(query, "#")
		values, _ := url.ParseQuery(query) // the pairs before a broken one are good
		for key := range values {
			if value := strings.TrimSpace(values.Get(key)); strings.EqualFold(key, parameter) && plain(value) {
				return value
			}
		}
	}
	return ""
}

// plain reports whether a text can be an identifier.
func plain(text string) bool {
	if text == "" || len(text) > 100 {
		return false
	}
	for _, r := range text {
		if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_.:", r)) {
			return false
		}
	}
	return true
}
