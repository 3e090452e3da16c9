package webhook

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// environment is what expressions see. Everything from the payload may be
// anything.
var environment = types.Map{
	"body":        types.Any,
	"headers":     types.Any,
	"item":        types.Any,
	"method":      types.String,
	"query":       types.Any,
	"received_at": types.TypeOf(time.Time{}),
}

// maxNodes bounds an expression; maxWork bounds what one run of it may allocate.
const (
	maxNodes = 1000
	maxWork  = 100000
)

// compile checks an expression and makes it ready. A mistake is told with its
// key and place.
func (c *Connector) compile(key, source string, wrong *mistakes) *vm.Program {
	program, err := expr.Compile(source,
		expr.Env(environment),
		expr.MaxNodes(maxNodes),
		expr.Patch(forgiving{}),
		expr.DisableBuiltin("now"), // the same delivery gives the same records whenever it is read; there is received_at
		expr.Function("at", func(p ...any) (any, error) { return at(p[0], p[1]), nil }, new(func(any, any) any)),
		expr.Function("json", func(p ...any) (any, error) { return jsonInside(p[0]) }, new(func(any) any)),
		expr.Function("number", func(p ...any) (any, error) { return numberOf(p[0]) }, new(func(any) any)),
		expr.Function("phone", func(p ...any) (any, error) { return c.phoneOf(p[0]) }, new(func(any) any)),
		expr.Function("yes", func(p ...any) (any, error) { return truth(p[0]) }, new(func(any) bool)),
		expr.Function("text", func(p ...any) (any, error) { return text(p[0]) }, new(func(any) string)),
	)
	if err != nil {
		problem, _, _ := strings.Cut(err.Error(), "\n")
		hint := ""
		if strings.HasPrefix(problem, "unknown name") {
			hint = "; expressions know body, item, query, headers, method and received_at, and a fixed text stands in quotes: '\"RUB\"'"
		}
		wrong.add(key, "%s%s", problem, hint)
		return nil
	}
	return program
}

// values are what may be a part of the payload in the engine's errors: texts in
// quotes and in brackets, long numbers, addresses.
var values = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\([^()]*[^()\d:][^()]*\)|\S*(?:@|\d{5})\S*`)

// scrub takes values out of an error, which may be somebody's.
func scrub(text string) string { return values.ReplaceAllString(text, "(…)") }

// run evaluates an expression. A panic of the engine is an error of this
// expression and nothing more.
func run(program *vm.Program, env map[string]any) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	machine := vm.VM{MemoryBudget: maxWork}
	value, err = machine.Run(program, env)
	if err != nil {
		// The first line only: the rest draws the expression.
		line, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(scrub(line))
	}
	return value, nil
}

// forgiving makes a.b and a[b] nothing where there is nothing, instead of an
// error: payloads leave out what is empty.
type forgiving struct{}

// Visit implements ast.Visitor; children come before their parents.
func (forgiving) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.MemberNode:
		if id, ok := n.Node.(*ast.IdentifierNode); ok && (id.Value == "$env" || id.Value == "received_at") {
			return // ours, and received_at has methods
		}
		ast.Patch(node, &ast.CallNode{
			Callee:    &ast.IdentifierNode{Value: "at"},
			Arguments: []ast.Node{n.Node, n.Property},
		})
	case *ast.ConditionalNode:
		n.Cond = yes(n.Cond)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			n.Node = yes(n.Node)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "||", "and", "or":
			n.Left, n.Right = yes(n.Left), yes(n.Right)
		}
	case *ast.CallNode:
		// A method, of what an expression made: received_at.UTC().Unix().
		if callee, ok := n.Callee.(*ast.CallNode); ok && len(callee.Arguments) == 2 {
			if id, ok := callee.Callee.(*ast.IdentifierNode); ok && id.Value == "at" {
				n.Callee = &ast.MemberNode{Node: callee.Arguments[0], Property: callee.Arguments[1]}
			}
		}
	}
}

// yes makes a condition of what may be nothing, 1 or "yes".
func yes(node ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: "yes"}, Arguments: []ast.Node{node}}
}

// at is a.b and a[b] for anything.
func at(value, key any) any {
	switch v := value.(type) {
	case map[string]any:
		name, err := text(key)
		if err != nil {
			return nil
		}
		return v[name]
	case []any:
		name, err := text(key)
		if err != nil {
			return nil
		}
		i, err := strconv.Atoi(name)
		if err != nil {
			return nil
		}
		if i < 0 {
			i += len(v)
		}
		if i < 0 || i >= len(v) {
			return nil
		}
		return v[i]
	}
	return nil
}

// jsonInside reads JSON that a sender put into one field of a form.
func jsonInside(value any) (any, error) {
	one, err := text(value)
	if err != nil || one == "" {
		return value, nil // it is no text: somebody has read it already
	}
	tree, refused := parseJSON([]byte(one))
	if refused != nil {
		return nil, fmt.Errorf("the text is not JSON")
	}
	return tree, nil
}

// numberOf makes texts of forms fit to calculate with.
func numberOf(value any) (any, error) {
	switch v := value.(type) {
	case int, float64:
		return v, nil
	}
	one, err := text(value)
	if err != nil || one == "" {
		return 0, err
	}
	d, err := model.ParseDecimal(one)
	if err != nil {
		return nil, fmt.Errorf("the text is not a number")
	}
	if d.IsInteger() && d.NumDigits() < 18 {
		return int(d.IntPart()), nil
	}
	f, _ := d.Float64()
	return f, nil
}

func (c *Connector) phoneOf(value any) (any, error) {
	one, err := text(value)
	if err != nil {
		return nil, err
	}
	clean, ok := identity.Phone(one, c.region)
	if !ok {
		return nil, nil
	}
	return clean, nil
}

// elements gives what split found, one by one.
func elements(value any) ([]any, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	case map[string]any:
		return mapElements(v), nil
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		list := make([]any, 0, v.Len())
		for i := range v.Len() {
			list = append(list, v.Index(i).Interface())
		}
		return list, nil
	}
	return nil, fmt.Errorf("gives neither a list nor an object")
}

// mapElements takes an object with numeric keys, as PHP writes lists with holes,
// for a list; any other object is one element.
func mapElements(m map[string]any) []any {
	keys := make([]int, 0, len(m))
	for name := range m {
		n, err := strconv.Atoi(name)
		if err != nil {
			return []any{m}
		}
		keys = append(keys, n)
	}
	slices.Sort(keys)
	list := make([]any, 0, len(keys))
	for _, n := range keys {
		if one, ok := m[strconv.Itoa(n)]; ok {
			list = append(list, one)
		}
	}
	return list
}
