package flow

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

// Limits of one expression. Loops go over the record's own lists only, so that
// these bound the work.
const (
	maxNodes     = 400
	maxDepth     = 2 // of loops within loops
	maxVariables = 8
)

// usage is what an expression looks at.
type usage struct {
	roots  map[model.Kind]bool
	status bool // the flow's status scheme
	ids    bool // ids of records
}

// survey walks an expression as its author wrote it, notes what it uses and
// finds what it must not.
type survey struct {
	usage
	declared []string // by let
	callees  map[ast.Node]bool
	depth    int
	problems []string
}

// look surveys the tree. The problems name what is wrong and near matches.
func look(tree ast.Node) (usage, []string) {
	s := &survey{usage: usage{roots: make(map[model.Kind]bool)}, callees: make(map[ast.Node]bool)}
	ast.Walk(&tree, declarations{s})
	ast.Walk(&tree, s)
	if len(s.declared) > maxVariables {
		s.problem("more than %d variables; write it with fewer let", maxVariables)
	}
	if nested(tree) > maxDepth {
		s.problem("loops within loops within loops; write it with at most %d levels", maxDepth)
	}
	return s.usage, s.problems
}

func (s *survey) problem(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.problems, text) {
		s.problems = append(s.problems, text)
	}
}

// declarations notes variables and called names before anything is judged.
type declarations struct{ *survey }

// Visit implements ast.Visitor.
func (d declarations) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.VariableDeclaratorNode:
		d.declared = append(d.declared, n.Name)
	case *ast.CallNode:
		d.callees[n.Callee] = true
	}
}

// Visit implements ast.Visitor.
func (s *survey) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		s.identifier(n)
	case *ast.MemberNode:
		s.member(n)
	case *ast.BinaryNode:
		if n.Operator == ".." {
			s.problem("ranges (..) are not allowed; loop over a list of the record")
		}
	}
}

func (s *survey) identifier(n *ast.IdentifierNode) {
	name := n.Value
	if slices.Contains(s.declared, name) {
		return
	}
	if s.callees[n] {
		if !slices.Contains(helperNames, name) {
			s.problem("there is no function %s%s", name, spelling.Hint(name, functionNames()))
		}
		return
	}
	if _, ok := member(typeEnv, name); !ok {
		s.problem("there is no %s%s", name, spelling.Hint(name, members(typeEnv)))
		return
	}
	switch name {
	case "status":
		s.status = true
	case "project":
	default:
		s.roots[model.Kind(name)] = true
	}
}

func (s *survey) member(n *ast.MemberNode) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok {
		return
	}
	of, known := s.typeOf(n.Node)
	if of == typeFields {
		return
	}
	if !known {
		s.unknownOwner(property.Value)
		return
	}
	if of == typeTime || of == typeDuration {
		return // their methods are welcome: deal.created_at.Year()
	}
	if _, ok := member(of, property.Value); !ok {
		name := render(n.Node)
		hint := spelling.Hint(property.Value, members(of))
		if _, hasFields := member(of, "fields"); hint == "" && hasFields {
			hint = fmt.Sprintf("; a field of the source's own is written %s.fields[%q]", name, property.Value)
		}
		s.problem("%s has no member %s%s", name, property.Value, hint)
		return
	}
	if property.Value == "id" || strings.HasSuffix(property.Value, "_id") && recordLink(property.Value) {
		if reflect.PointerTo(deref(of)).Implements(typeRecord) {
			s.ids = true
		}
	}
}

// unknownOwner judges a member of a value whose type only the compiler knows:
// names with a capital are Go's own, of which only those of times are offered.
func (s *survey) unknownOwner(name string) {
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return
	}
	if _, ofTime := typeTime.MethodByName(name); !ofTime {
		s.problem("there is no member %s; a field of a record is written deal.fields.%s", name, name)
	}
}

// recordLink tells links to records from other ids.
func recordLink(name string) bool {
	_, ok := member(reflect.TypeFor[model.Links](), name)
	return ok
}

// typeOf finds the type of identifiers and of members of known types.
func (s *survey) typeOf(node ast.Node) (reflect.Type, bool) {
	switch n := node.(type) {
	case *ast.ChainNode:
		return s.typeOf(n.Node)
	case *ast.IdentifierNode:
		if slices.Contains(s.declared, n.Value) {
			return nil, false
		}
		return member(typeEnv, n.Value)
	case *ast.MemberNode:
		of, ok := s.typeOf(n.Node)
		if !ok {
			return nil, false
		}
		property, ok := n.Property.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		return member(of, property.Value)
	}
	return nil, false
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// render writes an identifier or member as the author did.
func render(node ast.Node) string {
	if node == nil {
		return ""
	}
	return node.String()
}

// nested counts how deep loops stand in each other.
func nested(node ast.Node) int {
	deepest := 0
	switch n := node.(type) {
	case *ast.PredicateNode:
		return 1 + nested(n.Node)
	case *ast.BuiltinNode:
		for _, argument := range n.Arguments {
			deepest = max(deepest, nested(argument))
		}
	case *ast.CallNode:
		deepest = nested(n.Callee)
		for _, argument := range n.Arguments {
			deepest = max(deepest, nested(argument))
		}
	case *ast.UnaryNode:
		return nested(n.Node)
	case *ast.BinaryNode:
		return max(nested(n.Left), nested(n.Right))
	case *ast.ChainNode:
		return nested(n.Node)
	case *ast.MemberNode:
		return max(nested(n.Node), nested(n.Property))
	case *ast.SliceNode:
		deepest = nested(n.Node)
		for _, end := range []ast.Node{n.From, n.To} {
			if end != nil {
				deepest = max(deepest, nested(end))
			}
		}
	case *ast.ConditionalNode:
		return max(nested(n.Cond), nested(n.Exp1), nested(n.Exp2))
	case *ast.VariableDeclaratorNode:
		return max(nested(n.Value), nested(n.Expr))
	case *ast.SequenceNode:
		for _, inner := range n.Nodes {
			deepest = max(deepest, nested(inner))
		}
	case *ast.ArrayNode:
		for _, inner := range n.Nodes {
			deepest = max(deepest, nested(inner))
		}
	case *ast.MapNode:
		for _, inner := range n.Pairs {
			deepest = max(deepest, nested(inner))
		}
	case *ast.PairNode:
		return max(nested(n.Key), nested(n.Value))
	}
	return deepest
}

// functionNames lists what may be called.
func functionNames() []string {
	names := slices.Clone(helperNames)
	for _, name := range builtin.Names {
		if !slices.Contains(without, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
