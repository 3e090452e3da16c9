package phpform

import (
	"slices"
	"strconv"
	"strings"

	"github.com/svod-hub/svod/model"
)

// Node is one place in a form: a value, or a map of further nodes. The zero Node
// does not exist; asking it for anything is safe.
type Node struct {
	tree *tree
	at   int32
}

// Pair is a child under its key.
type Pair struct {
	Key  string
	Node Node
}

// Get goes down by keys. What is not there is a Node that does not exist.
func (n Node) Get(path ...string) Node {
	for _, key := range path {
		if n.tree == nil {
			return Node{}
		}
		at := n.tree.find(n.at, key)
		if at == none {
			return Node{}
		}
		n.at = at
	}
	return n
}

// Exists reports whether the form has this node.
func (n Node) Exists() bool { return n.tree != nil }

// Text is the node's value, "" when it has children or does not exist.
func (n Node) Text() string {
	if n.tree == nil {
		return ""
	}
	return n.tree.nodes[n.at].text
}

// Children lists what is below, in the order of their numbers when all keys are
// numeric, else in the order in which they first appeared.
func (n Node) Children() []Pair {
	if n.tree == nil {
		return nil
	}
	self := &n.tree.nodes[n.at]
	if self.count == 0 {
		return nil
	}
	pairs, numeric, sorted, last := make([]Pair, 0, self.count), true, true, int64(-1)
	for at := self.first; at != none; at = n.tree.nodes[at].next {
		child := &n.tree.nodes[at]
		pairs = append(pairs, Pair{Key: child.key, Node: Node{tree: n.tree, at: at}})
		index, ok := indexOf(child.key)
		numeric, sorted, last = numeric && ok, sorted && index > last, index
	}
	if numeric && !sorted {
		slices.SortStableFunc(pairs, func(a, b Pair) int { return byNumber(a.Key, b.Key) })
	}
	return pairs
}

// Map gives the values directly below; deeper ones are left out.
func (n Node) Map() map[string]string {
	if n.tree == nil {
		return nil
	}
	self := &n.tree.nodes[n.at]
	values := make(map[string]string, self.count)
	for at := self.first; at != none; at = n.tree.nodes[at].next {
		if child := &n.tree.nodes[at]; child.count == 0 {
			values[child.key] = child.text
		}
	}
	return values
}

// indexOf reads a key that PHP would take for an index. Longer numbers stay
// plain keys.
func indexOf(key string) (int64, bool) {
	if len(key) == 0 || len(key) > 18 {
		return 0, false
	}
	for i := range len(key) {
		if key[i] < '0' || key[i] > '9' {
			return 0, false
		}
	}
	index, err := strconv.ParseInt(key, 10, 64)
	return index, err == nil
}

func byNumber(a, b string) int {
	x, _ := indexOf(a)
	y, _ := indexOf(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

const (
	none = int32(-1)
	// manyChildren is from where on children are looked up in a map, so that a form
	// of 20 000 fields at one place stays linear.
	manyChildren = 16
)

// tree holds all nodes of a form; the root is nodes[0]. Children are chained.
type tree struct {
	nodes []node
	index map[place]int32
}

type node struct {
	key, text   string
	first, last int32
	next        int32
	count       int32
	free        int64 // index that "[]" takes next
}

type place struct {
	parent int32
	key    string
}

func newTree(pairs int) *tree {
	t := &tree{nodes: make([]node, 1, 8+pairs+pairs/4)}
	t.nodes[0] = node{first: none, last: none, next: none}
	return t
}

// put stores one field.
func (t *tree) put(name, value string, maxDepth int) error {
	// PHP drops spaces before a name.
	if name = strings.TrimLeft(name, " "); name == "" {
		return nil
	}
	key, rest := name, ""
	if i := strings.IndexByte(name, '['); i > 0 && strings.IndexByte(name[i:], ']') > 0 {
		key, rest = name[:i], name[i:]
	}
	at := t.step(0, key)
	for depth := 1; rest != ""; depth++ {
		open := strings.IndexByte(rest, '[')
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest[open:], ']')
		if end < 0 {
			break
		}
		if depth == maxDepth {
			return model.Errorf(model.ClassPermanent, model.CauseTooLarge,
				"the form is nested deeper than %d steps", maxDepth)
		}
		key, rest = rest[open+1:open+end], rest[open+end+1:]
		if key == "" {
			key = strconv.FormatInt(t.nodes[at].free, 10)
		}
		at = t.step(at, key)
	}
	t.clear(at)
	t.nodes[at].text = value
	return nil
}

// step goes to a child, making it when it is new. A parent with children has no
// value of its own any more.
func (t *tree) step(parent int32, key string) int32 {
	if at := t.find(parent, key); at != none {
		return at
	}
	at := int32(len(t.nodes))
	t.nodes = append(t.nodes, node{key: key, first: none, last: none, next: none})
	p := &t.nodes[parent]
	p.text = ""
	if p.last == none {
		p.first = at
	} else {
		t.nodes[p.last].next = at
	}
	p.last = at
	p.count++
	if index, ok := indexOf(key); ok && index >= p.free {
		p.free = index + 1
	}
	switch {
	case p.count == manyChildren:
		t.indexAll(parent)
	case p.count > manyChildren:
		t.index[place{parent, key}] = at
	}
	return at
}

func (t *tree) indexAll(parent int32) {
	if t.index == nil {
		t.index = make(map[place]int32)
	}
	for at := t.nodes[parent].first; at != none; at = t.nodes[at].next {
		t.index[place{parent, t.nodes[at].key}] = at
	}
}

func (t *tree) find(parent int32, key string) int32 {
	p := &t.nodes[parent]
	if p.count >= manyChildren {
		if at, ok := t.index[place{parent, key}]; ok {
			return at
		}
		return none
	}
	// Fields come grouped: the one that was made last is the likeliest.
	if p.last != none && t.nodes[p.last].key == key {
		return p.last
	}
	for at := p.first; at != none; at = t.nodes[at].next {
		if t.nodes[at].key == key {
			return at
		}
	}
	return none
}

// clear cuts off what is below, when a later field puts a plain value in its
// place.
func (t *tree) clear(at int32) {
	n := &t.nodes[at]
	if n.count == 0 {
		return
	}
	for child := n.first; child != none && n.count >= manyChildren; child = t.nodes[child].next {
		delete(t.index, place{at, t.nodes[child].key})
	}
	n.first, n.last, n.count, n.free = none, none, 0, 0
}
