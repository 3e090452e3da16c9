package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// Redacted writes the configuration in force as YAML, defaults included, without
// secrets. Of a connection's own settings only the names are told: what among
// them is secret, its connector alone knows.
func (c *Config) Redacted() string {
	shown := *c
	shown.Database = hidePassword(c.Database)
	shown.Redis = hidePassword(c.Redis)
	var w dump
	w.structure(reflect.ValueOf(shown), 0)
	return w.String()
}

// hidePassword takes the password out of an address, and the parameters, which
// may hold one.
func hidePassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		scheme, _, _ := strings.Cut(address, ":")
		return scheme + ":<secret>"
	}
	if u.User == nil && u.RawQuery == "" {
		return address
	}
	if name := u.User.Username(); name != "" {
		u.User = url.User(name)
	} else {
		u.User = nil
	}
	u.RawQuery = ""
	return u.String()
}

// dump writes YAML.
type dump struct{ strings.Builder }

func (w *dump) indent(level int) { w.WriteString(strings.Repeat("  ", level)) }

func (w *dump) structure(v reflect.Value, level int) {
	names, index := fields(v.Type())
	for _, name := range names {
		w.entry(name, v.FieldByIndex(index[name]), level)
	}
	if settings := v.FieldByName("Settings"); settings.IsValid() {
		if s, ok := settings.Interface().(*Settings); ok && s != nil {
			for _, key := range s.Keys() {
				w.indent(level)
				fmt.Fprintf(w, "%s: <set>\n", yamlText(key))
			}
		}
	}
}

func (w *dump) entry(name string, v reflect.Value, level int) {
	if text, ok := scalarText(v); ok {
		if text != "" {
			w.indent(level)
			fmt.Fprintf(w, "%s: %s\n", yamlText(name), text)
		}
		return
	}
	if v.Kind() == reflect.Pointer {
		if !v.IsNil() {
			w.entry(name, v.Elem(), level)
		}
		return
	}
	if v.IsZero() || v.Kind() != reflect.Struct && v.Len() == 0 {
		return
	}
	w.indent(level)
	w.WriteString(yamlText(name) + ":\n")
	w.block(v, level+1)
}

func (w *dump) block(v reflect.Value, level int) {
	switch v.Kind() {
	case reflect.Struct:
		w.structure(v, level)
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			w.entry(key.String(), v.MapIndex(key), level)
		}
	case reflect.Slice:
		for i := range v.Len() {
			element := v.Index(i)
			if text, ok := scalarText(element); ok {
				w.indent(level)
				w.WriteString("- " + text + "\n")
				continue
			}
			var inner dump
			inner.block(element, level+1)
			w.indent(level)
			w.WriteString("- " + strings.TrimLeft(inner.String(), " "))
		}
	}
}

// scalarText writes what stands on one line; "" for what is not set.
func scalarText(v reflect.Value) (string, bool) {
	switch value := v.Interface().(type) {
	case model.Secret:
		return value.String(), true
	case time.Duration:
		return durationText(value), true
	case netip.Prefix:
		return value.String(), true
	case model.Schedule:
		return scheduleText(value), true
	}
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return "", true
		}
		return yamlText(v.String()), true
	case reflect.Bool:
		if !v.Bool() {
			return "", true
		}
		return "true", true
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	}
	return "", false
}

// durationText writes what parseDuration reads, the short way.
func durationText(length time.Duration) string {
	const day = 24 * time.Hour
	if length > 0 && length%day == 0 {
		return strconv.FormatInt(int64(length/day), 10) + "d"
	}
	text := length.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func scheduleText(s model.Schedule) string {
	var parts []string
	if s.Every > 0 {
		parts = append(parts, "every: "+durationText(s.Every))
	}
	if s.Daily != "" {
		parts = append(parts, "daily: "+strconv.Quote(s.Daily))
	}
	if s.MaxRows > 0 {
		parts = append(parts, "max_rows: "+strconv.Itoa(s.MaxRows))
	}
	if s.PreviousDay {
		parts = append(parts, "previous_day: true")
	}
	if len(s.Again) > 0 {
		parts = append(parts, "again: "+strings.ReplaceAll(fmt.Sprint(s.Again), " ", ", "))
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_/.-]*$`)

// yamlText quotes a text unless it is a plain word.
func yamlText(text string) string {
	if !plainWord.MatchString(text) {
		return strconv.Quote(text)
	}
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strconv.Quote(text)
	}
	return text
}
