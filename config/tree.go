package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits of a file. A configuration of a hundred clients has some 200 KB.
const (
	maxFile     = 2 << 20
	maxLine     = 16 << 10
	maxBrackets = 200
	maxTree     = 200_000 // nodes, with everything that anchors repeat
	maxLevels   = 100
	maxIncluded = 64 << 10 // bytes of ${file:…}
)

type shape int

const (
	isNull shape = iota
	isScalar
	isMapping
	isSequence
)

func (s shape) String() string {
	return [...]string{"nothing", "a single value", "keys with values", "a list"}[s]
}

// node is a piece of the file: what the parser's many node types come down to.
// Numbers stay the text that they are written as.
type node struct {
	shape  shape
	key    string // from the root
	line   int
	text   string // of a scalar
	masked bool   // the text came from outside the file and must not be shown
	keys   []string
	values map[string]*node
	lines  map[string]int // of the keys
	items  []*node
}

// child gives a mapping's value, or nil.
func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	return n.values[key]
}

// reader turns a file into a tree.
type reader struct {
	file     string
	lookup   Env
	problems Problems
	anchors  map[string]ast.Node
	open     map[string]bool // anchors being expanded
	count    int
}

func (r *reader) fail(line int, key, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Key: key, Message: fmt.Sprintf(format, args...)})
}

// read parses the text; the root is nil when it cannot be read at all.
func (r *reader) read(data []byte) *node {
	if line, message := oversize(data); message != "" {
		r.fail(line, "", "%s", message)
		return nil
	}
	file := r.parse(data)
	if file == nil {
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		r.fail(1, "", "the file is empty; see docs/configuration.md for an example")
		return nil
	case 1:
	default:
		r.fail(lineOf(bodies[1]), "", "the file has a second document; leave out the line ---")
		return nil
	}
	r.anchors, r.open = make(map[string]ast.Node), make(map[string]bool)
	ast.Walk(anchorFinder{r.anchors}, bodies[0])
	return r.convert(bodies[0], "", 0)
}

// parse guards against a parser that gives up: its input is a person's.
func (r *reader) parse(data []byte) (file *ast.File) {
	defer func() {
		if recover() != nil {
			file = nil
			r.fail(0, "", "the file is not YAML")
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err == nil {
		return file
	}
	var located yaml.Error
	line, message := 0, err.Error()
	if as(err, &located) {
		message = located.GetMessage()
		if token := located.GetToken(); token != nil && token.Position != nil {
			line = token.Position.Line
		}
	}
	r.fail(line, "", "the file is not YAML: %s", message)
	return nil
}

func oversize(data []byte) (line int, message string) {
	if len(data) > maxFile {
		return 0, "the file is larger than 2 MiB"
	}
	line, start, open := 1, 0, 0
	for i, c := range data {
		switch c {
		case '\n':
			line, start = line+1, i+1
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		}
		if open > maxBrackets {
			return line, "more than 200 open brackets"
		}
		if i-start > maxLine {
			return line, "the line is longer than 16 KiB"
		}
	}
	return 0, ""
}

type anchorFinder struct{ anchors map[string]ast.Node }

// Visit implements ast.Visitor.
func (f anchorFinder) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok && anchor.Name != nil {
		f.anchors[anchor.Name.String()] = anchor.Value
	}
	return f
}

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if token := n.GetToken(); token != nil && token.Position != nil {
		return token.Position.Line
	}
	return 0
}

func (r *reader) convert(n ast.Node, key string, level int) *node {
	r.count++
	line := lineOf(n)
	if r.count > maxTree || level > maxLevels {
		if r.count == maxTree+1 || level == maxLevels+1 {
			r.fail(line, key, "the file is too large or too deep")
		}
		return &node{key: key, line: line}
	}
	switch n := n.(type) {
	case nil:
		return &node{key: key, line: line}
	case *ast.NullNode:
		return &node{key: key, line: line}
	case *ast.AnchorNode:
		return r.convert(n.Value, key, level+1)
	case *ast.TagNode:
		return r.convert(n.Value, key, level+1)
	case *ast.AliasNode:
		return r.alias(n, key, level)
	case *ast.MappingNode:
		return r.mapping(n.Values, key, lineOf(n), level)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n}, key, lineOf(n.Key), level)
	case *ast.SequenceNode:
		out := &node{shape: isSequence, key: key, line: line}
		for i, value := range n.Values {
			out.items = append(out.items, r.convert(value, fmt.Sprintf("%s[%d]", key, i), level+1))
		}
		return out
	case *ast.LiteralNode:
		return r.scalar(n.Value.Value, key, line)
	case *ast.StringNode:
		return r.scalar(n.Value, key, line)
	case ast.ScalarNode:
		return r.scalar(strings.TrimSpace(n.GetToken().Value), key, line)
	}
	r.fail(line, key, "this is neither a value nor keys with values nor a list")
	return &node{key: key, line: line}
}

func (r *reader) alias(n *ast.AliasNode, key string, level int) *node {
	name := strings.TrimPrefix(n.String(), "*")
	if n.Value != nil {
		name = n.Value.String()
	}
	target, ok := r.anchors[name]
	if !ok || r.open[name] {
		r.fail(lineOf(n), key, "there is no anchor &%s before this line", short(name))
		return &node{key: key, line: lineOf(n)}
	}
	r.open[name] = true
	defer delete(r.open, name)
	return r.convert(target, key, level+1)
}

// mapping converts keys with values. A merge key (<<) fills in what the mapping
// does not say itself.
func (r *reader) mapping(pairs []*ast.MappingValueNode, key string, line, level int) *node {
	out := &node{shape: isMapping, key: key, line: line, values: make(map[string]*node), lines: make(map[string]int)}
	var merged []*node
	for _, pair := range pairs {
		if pair.Key == nil {
			continue
		}
		if pair.Key.IsMergeKey() {
			merged = append(merged, r.convert(pair.Value, key, level+1))
			continue
		}
		name := keyText(pair.Key)
		if _, repeated := out.values[name]; repeated {
			r.fail(lineOf(pair.Key), joinKey(key, name), "the key stands here a second time; keep one")
			continue
		}
		out.put(name, r.convert(pair.Value, joinKey(key, name), level+1), lineOf(pair.Key))
	}
	for _, m := range merged {
		sources := m.items
		if m.shape == isMapping {
			sources = []*node{m}
		}
		for _, source := range sources {
			for _, name := range source.keys {
				if _, own := out.values[name]; !own {
					out.put(name, source.values[name], source.lines[name])
				}
			}
		}
	}
	return out
}

func (n *node) put(name string, value *node, line int) {
	if value.line == 0 || value.shape == isNull {
		value.line = line
	}
	n.keys = append(n.keys, name)
	n.values[name] = value
	n.lines[name] = line
}

func keyText(key ast.MapKeyNode) string {
	switch k := key.(type) {
	case *ast.StringNode:
		return k.Value
	case *ast.MappingKeyNode:
		if k.Value != nil {
			return strings.TrimSpace(k.Value.String())
		}
	}
	if token := key.GetToken(); token != nil {
		return strings.TrimSpace(token.Value)
	}
	return ""
}

func joinKey(parent, name string) string {
	if !plainKey.MatchString(name) {
		name = strconv.Quote(short(name))
	}
	if parent == "" {
		return name
	}
	return parent + "." + name
}

var plainKey = regexp.MustCompile(`^[\p{L}\p{N}_-]+$`)

var reference = regexp.MustCompile(`\$?\$\{[^}]*\}`)

// scalar puts what ${NAME} and ${file:PATH} stand for in their place; $${ writes
// ${ itself.
func (r *reader) scalar(text, key string, line int) *node {
	out := &node{shape: isScalar, key: key, line: line, text: text}
	if !strings.Contains(text, "${") {
		return out
	}
	out.text = reference.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		out.masked = true
		name := found[2 : len(found)-1]
		if path, isFile := strings.CutPrefix(name, "file:"); isFile {
			return r.include(path, key, line)
		}
		if !variable.MatchString(name) {
			r.fail(line, key, "%q is no name of an environment variable; write ${NAME} or ${file:PATH}, or $${ for the text ${", short(name))
			return ""
		}
		value, ok := r.lookup(name)
		if !ok {
			r.fail(line, key, "the environment variable %s is not set; set it, or write the value here", name)
		}
		return value
	})
	return out
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// include reads a file, such as a secret of the container's platform; a path is
// taken from the folder of the configuration.
func (r *reader) include(path, key string, line int) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.file), path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.fail(line, key, "the file %s cannot be read; make it, or name another one", short(path))
		return ""
	case !info.Mode().IsRegular() || info.Size() > maxIncluded:
		r.fail(line, key, "%s is no plain file of at most 64 KiB; name another one", short(path))
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		r.fail(line, key, "the file %s cannot be read; check who may read it", short(path))
		return ""
	}
	return strings.TrimRight(string(data), "\r\n")
}

// short cuts a text of the file for a message.
func short(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
