package flow

import (
	"reflect"

	"github.com/expr-lang/expr/ast"
)

// lookups puts calls in the place of members that need more than the record:
// fields by any of their names, names from reference data, texts of named types.
type lookups struct{}

// Visit implements ast.Visitor.
func (lookups) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		visitMember(node, n)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == "values" {
			ast.Patch(node, call("__values", append([]ast.Node{environment()}, n.Arguments...)...))
		}
	}
}

func visitMember(node *ast.Node, n *ast.MemberNode) {
	if n.Node.Type() == typeFields {
		if owner, ok := fieldsOwner(n.Node); ok {
			ast.Patch(node, call("__field", environment(), owner, n.Property))
		}
		return
	}
	property, _ := n.Property.(*ast.StringNode)
	switch {
	case property != nil && n.Node.Type() == typeDeal && property.Value == "pipeline":
		ast.Patch(node, call("__pipeline", environment(), n.Node))
	case property != nil && n.Node.Type() == typeDeal && property.Value == "status_name":
		ast.Patch(node, call("__status_name", environment(), n.Node))
	case n.Type() == typeDate || n.Type() == typeKind:
		text := call("__text", n)
		text.SetType(reflect.TypeFor[string]())
		*node = text
	}
}

// fieldsOwner finds X in X.fields.
func fieldsOwner(node ast.Node) (ast.Node, bool) {
	switch n := node.(type) {
	case *ast.ChainNode:
		return fieldsOwner(n.Node)
	case *ast.MemberNode:
		return n.Node, true
	}
	return nil, false
}

// arithmetic puts our functions in the place of operators on decimals, and of
// operators whose operands are only known when the record is there. Types of
// outer operations follow from inner ones, so it runs until nothing changes.
type arithmetic struct{ applied bool }

// Reset and ShouldRepeat make the compiler repeat the walk.
func (a *arithmetic) Reset() { a.applied = false }

// ShouldRepeat implements the compiler's protocol of repeated walks.
func (a *arithmetic) ShouldRepeat() bool { return a.applied }

// Visit implements ast.Visitor.
func (a *arithmetic) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.UnaryNode:
		if n.Operator == "-" && n.Node.Type() == typeDecimal {
			a.replace(node, call(operators["-"], &ast.IntegerNode{Value: 0}, n.Node), typeDecimal)
		}
	case *ast.BinaryNode:
		name, ours := operators[n.Operator]
		if !ours {
			return
		}
		left, right := operandType(n.Left), operandType(n.Right)
		exact := left == typeDecimal && numeric(right) || right == typeDecimal && numeric(left)
		unknown := isUnknown(left) || isUnknown(right)
		switch {
		case !exact && !unknown:
		case compares(n.Operator):
			a.replace(node, call(name, n.Left, n.Right), reflect.TypeFor[bool]())
		case exact:
			a.replace(node, call(name, n.Left, n.Right), typeDecimal)
		default:
			a.replace(node, call(name+"_any", n.Left, n.Right), reflect.TypeFor[any]())
		}
	}
}

func (a *arithmetic) replace(node *ast.Node, with *ast.CallNode, result reflect.Type) {
	with.SetType(result)
	ast.Patch(node, with)
	a.applied = true
}

func operandType(node ast.Node) reflect.Type {
	if _, isNil := node.(*ast.NilNode); isNil {
		return reflect.TypeFor[struct{}]() // comparing with nil is the language's business
	}
	return node.Type()
}

func isUnknown(t reflect.Type) bool { return t == nil || t.Kind() == reflect.Interface }

func numeric(t reflect.Type) bool {
	if t == typeDecimal || isUnknown(t) {
		return true
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return t != typeDuration
	}
	return false
}

func call(name string, arguments ...ast.Node) *ast.CallNode {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: arguments}
}

func environment() ast.Node { return &ast.IdentifierNode{Value: "$env"} }
