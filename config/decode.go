package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

func as(err error, target any) bool { return errors.As(err, target) }

// Settings is a connection's own part of the file.
type Settings struct {
	file   string
	root   *node
	common map[string]bool // keys that belong to the connection itself
}

// Keys lists the settings that are given, in the file's order.
func (s *Settings) Keys() []string {
	var keys []string
	for _, key := range s.root.keys {
		if !s.common[key] {
			keys = append(keys, key)
		}
	}
	return keys
}

// Decode fills a struct with yaml tags. Every mistake, unknown keys among them,
// is reported with its place in the file: the error joins errors that have a
// method Problem() Problem.
func (s *Settings) Decode(into any) error {
	value := reflect.ValueOf(into)
	if value.Kind() != reflect.Pointer || value.IsNil() {
		return errors.New("settings are decoded into a pointer")
	}
	d := &decoder{file: s.file, silent: true}
	d.into(s.root, value.Elem(), s.common)
	var all []error
	for _, problem := range d.problems {
		all = append(all, &problemError{problem})
	}
	return errors.Join(all...)
}

// decoder fills Go values from a tree and collects all mistakes.
type decoder struct {
	file     string
	silent   bool // show no values: any of them may be a secret
	problems Problems
}

func (d *decoder) fail(n *node, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: n.line, Key: n.key, Message: fmt.Sprintf(format, args...)})
}

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typePrefix   = reflect.TypeFor[netip.Prefix]()
	typeSchedule = reflect.TypeFor[model.Schedule]()
)

// into fills v from n. Keys in skip are not looked at.
func (d *decoder) into(n *node, v reflect.Value, skip map[string]bool) {
	if n == nil || n.shape == isNull {
		return
	}
	switch v.Type() {
	case typeDuration:
		d.duration(n, v)
		return
	case typePrefix:
		d.prefix(n, v)
		return
	case typeSchedule:
		d.schedule(n, v.Addr().Interface().(*model.Schedule))
		return
	}
	if d.custom(n, v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.into(n, v.Elem(), skip)
	case reflect.Struct:
		d.structure(n, v, skip)
	case reflect.Slice:
		d.list(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Interface:
		v.Set(reflect.ValueOf(plain(n)))
	default:
		d.scalar(n, v)
	}
}

// custom leaves types that read themselves to it.
func (d *decoder) custom(n *node, v reflect.Value) bool {
	if !v.CanAddr() {
		return false
	}
	switch target := v.Addr().Interface().(type) {
	case interface {
		UnmarshalYAML(func(any) error) error
	}:
		err := target.UnmarshalYAML(func(into any) error {
			d.into(n, reflect.ValueOf(into).Elem(), nil)
			return nil
		})
		if err != nil {
			d.fail(n, "%s", err)
		}
		return true
	case encoding.TextUnmarshaler:
		if !d.expect(n, isScalar) {
			return true
		}
		if err := target.UnmarshalText([]byte(n.text)); err != nil {
			d.fail(n, "%s cannot be read here", d.shown(n))
		}
		return true
	}
	return false
}

func (d *decoder) expect(n *node, want shape) bool {
	if n.shape == want {
		return true
	}
	d.fail(n, "this must be %s, not %s", want, n.shape)
	return false
}

// fields lists the keys of a struct and where they go.
func fields(t reflect.Type) (names []string, index map[string][]int) {
	index = make(map[string][]int)
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if !field.IsExported() || field.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(field.Name)
		}
		if _, have := index[name]; !have {
			names = append(names, name)
			index[name] = field.Index
		}
	}
	return names, index
}

func (d *decoder) structure(n *node, v reflect.Value, skip map[string]bool) {
	if !d.expect(n, isMapping) {
		return
	}
	names, index := fields(v.Type())
	for _, key := range n.keys {
		if skip[key] {
			continue
		}
		at, known := index[key]
		if !known {
			d.unknown(n, key, names)
			continue
		}
		d.into(n.values[key], v.FieldByIndex(at), nil)
	}
}

func (d *decoder) unknown(n *node, key string, names []string) {
	hint := spelling.Hint(key, names)
	if hint == "" {
		hint = "; there are " + strings.Join(names, ", ")
	}
	d.problems = append(d.problems, Problem{
		File: d.file, Line: n.lines[key], Key: joinKey(n.key, key), Message: "unknown key" + hint,
	})
}

// list also takes a single value for a list of one.
func (d *decoder) list(n *node, v reflect.Value) {
	items := n.items
	if n.shape == isScalar && v.Type().Elem().Kind() == reflect.String {
		items = []*node{n}
	} else if !d.expect(n, isSequence) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if item.shape == isNull {
			d.fail(item, "the element is empty; write it or leave it out")
			continue
		}
		d.into(item, v.Index(i), nil)
	}
}

func (d *decoder) mapping(n *node, v reflect.Value) {
	if !d.expect(n, isMapping) || v.Type().Key().Kind() != reflect.String {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.keys)))
	for _, key := range n.keys {
		value := reflect.New(v.Type().Elem()).Elem()
		d.into(n.values[key], value, nil)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), value)
	}
}

// shown is a scalar as a message may show it.
func (d *decoder) shown(n *node) string {
	if n.masked || d.silent {
		return "the value"
	}
	return strconv.Quote(short(n.text))
}

func (d *decoder) scalar(n *node, v reflect.Value) {
	if !d.expect(n, isScalar) {
		return
	}
	text := strings.TrimSpace(n.text)
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			v.SetBool(true)
		case "false", "no", "off":
			v.SetBool(false)
		default:
			d.fail(n, "%s is neither true nor false", d.shown(n))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		number, ok := wholeNumber(text)
		if !ok || v.OverflowInt(number) {
			d.fail(n, "%s is no whole number", d.shown(n))
			return
		}
		v.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := strconv.ParseUint(strings.ReplaceAll(text, "_", ""), 10, 64)
		if err != nil || v.OverflowUint(number) {
			d.fail(n, "%s is no whole number from 0", d.shown(n))
			return
		}
		v.SetUint(number)
	case reflect.Float32, reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || number != number || v.OverflowFloat(number) {
			d.fail(n, "%s is no number", d.shown(n))
			return
		}
		v.SetFloat(number)
	default:
		d.fail(n, "this key cannot be set in the file")
	}
}

// wholeNumber reads a number, or a size such as 512KiB or 10MiB.
func wholeNumber(text string) (int64, bool) {
	factor := int64(1)
	for _, unit := range []struct {
		name   string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1000}, {"MB", 1000 * 1000}, {"GB", 1000 * 1000 * 1000}} {
		if rest, found := strings.CutSuffix(text, unit.name); found {
			text, factor = strings.TrimSpace(rest), unit.factor
			break
		}
	}
	number, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil || number > 1<<62/factor || number < -(1<<62)/factor {
		return 0, false
	}
	return number * factor, true
}

func (d *decoder) duration(n *node, v reflect.Value) {
	if !d.expect(n, isScalar) {
		return
	}
	length, ok := parseDuration(n.text)
	if !ok {
		d.fail(n, "%s is no length of time; write one such as 30s, 10m, 1h or 30d", d.shown(n))
		return
	}
	v.SetInt(int64(length))
}

// maxDays keeps lengths of time within what a time.Duration holds.
const maxDays = 36500

// parseDuration reads Go's durations and days.
func parseDuration(text string) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	var days time.Duration
	if whole, rest, found := strings.Cut(text, "d"); found {
		number, err := strconv.Atoi(whole)
		if err != nil || number < 0 || number > maxDays {
			return 0, false
		}
		days = time.Duration(number) * 24 * time.Hour
		if rest == "" {
			return days, true
		}
		text = rest
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < 0 || length > maxDays*24*time.Hour {
		return 0, false
	}
	return days + length, true
}

func (d *decoder) prefix(n *node, v reflect.Value) {
	if !d.expect(n, isScalar) {
		return
	}
	text := strings.TrimSpace(n.text)
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, addressErr := netip.ParseAddr(text)
		if addressErr != nil {
			d.fail(n, "%s is no network; write one such as 10.1.0.0/16, or one address", d.shown(n))
			return
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	v.Set(reflect.ValueOf(prefix.Masked()))
}

// schedule is {every: 1m} or {daily: "03:00"}, each with max_rows, previous_day
// and again.
func (d *decoder) schedule(n *node, into *model.Schedule) {
	var s struct {
		Every       *time.Duration `yaml:"every"`
		Daily       string         `yaml:"daily"`
		MaxRows     int            `yaml:"max_rows"`
		PreviousDay bool           `yaml:"previous_day"`
		Again       []int          `yaml:"again"`
	}
	d.into(n, reflect.ValueOf(&s).Elem(), nil)
	if n.shape != isMapping {
		return
	}
	if s.Every != nil {
		into.Every = *s.Every
		if *s.Every < time.Second {
			d.fail(n.child("every"), "a flow runs at most every second; write 1s or more, or leave the key out to send as often as the destination allows")
		}
	}
	if s.Daily != "" {
		at, err := time.Parse("15:04", strings.TrimSpace(s.Daily))
		if err != nil {
			d.fail(n.child("daily"), "%s is no time of day; write one such as \"03:00\"", d.shown(n.child("daily")))
		} else {
			into.Daily = at.Format("15:04")
		}
		if s.Every != nil {
			d.fail(n, "the schedule has every and daily; keep one of them")
		}
	}
	if s.MaxRows < 0 {
		d.fail(n.child("max_rows"), "the number of rows is less than 0; write 1 or more, or leave the key out")
	}
	into.MaxRows, into.PreviousDay, into.Again = s.MaxRows, s.PreviousDay, s.Again
	for i, day := range s.Again {
		if day < 1 || i > 0 && day <= s.Again[i-1] {
			d.fail(n.child("again"), "the days on which changes go again are numbers from 1 on, each larger than the one before, such as [2, 7, 14, 20]")
			break
		}
	}
}

// plain gives a node as Go's general types; scalars are text.
func plain(n *node) any {
	switch n.shape {
	case isScalar:
		return n.text
	case isSequence:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = plain(item)
		}
		return list
	case isMapping:
		values := make(map[string]any, len(n.keys))
		for _, key := range n.keys {
			values[key] = plain(n.values[key])
		}
		return values
	}
	return ""
}
