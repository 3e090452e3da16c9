package config

import (
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/svod-hub/svod/internal/spelling"
)

// Load reads, completes and checks a configuration. All problems are told at
// once, in the file's order; the configuration is nil when one of them is more
// than a warning. Without kinds, kinds of connections and their settings are
// taken as they are.
func Load(path string, lookup Env, kinds Kinds) (*Config, Problems) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		return nil, Problems{{File: path, Message: "the file is larger than 2 MiB"}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		reason := "cannot be read; check who may read it"
		if os.IsNotExist(err) {
			reason = "is not there; make it, or name another one with --config"
		}
		return nil, Problems{{File: path, Message: "the configuration file " + reason}}
	}
	return Parse(path, data, lookup, kinds)
}

// Parse is Load of a text; path is where it is from.
func Parse(path string, data []byte, lookup Env, kinds Kinds) (*Config, Problems) {
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	r := &reader{file: path, lookup: lookup}
	root := r.read(data)
	if root == nil {
		return nil, r.problems
	}
	c := &Config{File: path}
	d := &decoder{file: path, problems: r.problems}
	l := &loader{decoder: d, kinds: kinds, root: root, config: c}
	l.decode()
	c.WithDefaults()
	l.validate()
	slices.SortStableFunc(d.problems, func(a, b Problem) int { return a.Line - b.Line })
	if d.problems.Failed() {
		return nil, d.problems
	}
	return c, d.problems
}

// loader goes through one file.
type loader struct {
	*decoder
	kinds  Kinds
	root   *node
	config *Config
}

// decode fills the configuration. Projects are taken apart by hand: their
// connections carry settings that only connectors understand.
func (l *loader) decode() {
	l.into(l.root, reflect.ValueOf(l.config).Elem(), map[string]bool{"projects": true})
	projects := l.root.child("projects")
	if projects == nil || projects.shape == isNull || !l.expect(projects, isSequence) {
		return
	}
	for _, item := range projects.items {
		p := Project{Line: item.line}
		l.into(item, reflect.ValueOf(&p).Elem(), map[string]bool{"connections": true, "flows": true})
		p.Line = item.line
		if item.shape == isMapping {
			p.Connections = l.connections(item.child("connections"))
			p.Flows = l.flows(item.child("flows"))
		}
		l.config.Projects = append(l.config.Projects, p)
	}
}

// commonKeys are the keys that every connection has.
var commonKeys, _ = fields(reflect.TypeFor[Connection]())

func (l *loader) connections(list *node) []Connection {
	if list == nil || list.shape == isNull || !l.expect(list, isSequence) {
		return nil
	}
	common := make(map[string]bool, len(commonKeys))
	for _, key := range commonKeys {
		common[key] = true
	}
	connections := make([]Connection, len(list.items))
	for i, item := range list.items {
		c := &connections[i]
		c.Line = item.line
		c.Settings = &Settings{file: l.file, root: item, common: common}
		if !l.expect(item, isMapping) {
			c.Settings.root = &node{shape: isMapping, key: item.key, line: item.line}
			continue
		}
		settings := make(map[string]bool)
		for _, key := range item.keys {
			if !common[key] {
				settings[key] = true
			}
		}
		l.into(item, reflect.ValueOf(c).Elem(), settings)
		l.settings(item, c.Kind, settings)
	}
	return connections
}

// settings checks the names of a connection's own keys.
func (l *loader) settings(item *node, kind string, given map[string]bool) {
	if l.kinds == nil || !l.kinds.Known(kind) {
		return
	}
	known := slices.Concat(commonKeys, l.kinds.Settings(kind))
	for _, key := range item.keys {
		if given[key] && !slices.Contains(known, key) {
			hint := spelling.Hint(key, known)
			if hint == "" {
				hint = "; " + kind + " takes " + strings.Join(l.kinds.Settings(kind), ", ")
			}
			l.problems = append(l.problems, Problem{File: l.file, Line: item.lines[key], Key: joinKey(item.key, key), Message: "unknown key" + hint})
		}
	}
}

func (l *loader) flows(list *node) []Flow {
	if list == nil || list.shape == isNull || !l.expect(list, isSequence) {
		return nil
	}
	flows := make([]Flow, len(list.items))
	for i, item := range list.items {
		f := &flows[i]
		l.into(item, reflect.ValueOf(f).Elem(), nil)
		f.Line, f.Lines = item.line, make(map[string]int)
		for _, key := range item.keys {
			f.Lines[key] = item.lines[key]
			places(item.values[key], item.key+".", f.Lines)
		}
	}
	return flows
}

// places notes the lines of everything below a node, by its key without prefix.
func places(n *node, prefix string, lines map[string]int) {
	for _, item := range n.items {
		lines[strings.TrimPrefix(item.key, prefix)] = item.line
		places(item, prefix, lines)
	}
	for _, key := range n.keys {
		child := n.values[key]
		lines[strings.TrimPrefix(child.key, prefix)] = n.lines[key]
		places(child, prefix, lines)
	}
}
