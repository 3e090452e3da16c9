package flow

import (
	"errors"
	"reflect"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// memoryBudget bounds what one evaluation may allocate, in elements.
const memoryBudget = 100_000

// maxSource bounds the text of an expression.
const maxSource = 4000

// expression is one compiled text of a flow.
type expression struct {
	source  string
	program *vm.Program
	uses    usage
	result  reflect.Type // nil: known only when the record is there
	literal string       // the value of an expression that is a plain text
	isText  bool
}

// compiler compiles the expressions of one flow.
type compiler struct{ options []expr.Option }

func newCompiler(h helpers) *compiler {
	options := append(h.options(), expr.Env(&env{}), expr.MaxNodes(maxNodes), expr.Patch(lookups{}), expr.Patch(&arithmetic{}))
	return &compiler{options: options}
}

// compile gives the expression, or what is wrong with it in the author's words.
func (c *compiler) compile(source string, options ...expr.Option) (*expression, []string) {
	if strings.TrimSpace(source) == "" {
		return nil, []string{"the expression is empty; write one or leave the key out"}
	}
	if len(source) > maxSource {
		return nil, []string{"the expression is too long; 4000 characters are allowed"}
	}
	options = append(options, c.options...)
	config := conf.CreateNew()
	for _, option := range options {
		option(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	tree, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, []string{firstWords(err)}
	}
	uses, problems := look(tree.Node)
	if len(problems) > 0 {
		return nil, problems
	}
	text, isText := tree.Node.(*ast.StringNode)
	program, err := expr.Compile(source, options...)
	if err != nil {
		return nil, []string{firstWords(err)}
	}
	e := &expression{source: source, program: program, uses: uses, isText: isText}
	if isText {
		e.literal = text.Value
	}
	if result := program.Node().Type(); result != nil && result.Kind() != reflect.Interface {
		e.result = result
	}
	return e, nil
}

// eval runs the expression. The error's text is fit for a message.
func (e *expression) eval(m *machine) (any, error) {
	value, err := m.vm.Run(e.program, &m.env)
	if err != nil {
		return nil, failure(runtimeWords(err))
	}
	return value, nil
}

// firstWords is an error of the language without its drawing of the place.
func firstWords(err error) string {
	var located *file.Error
	if errors.As(err, &located) {
		return plainTypes.Replace(located.Message)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return plainTypes.Replace(text)
}

// plainTypes puts the user's words in the place of Go's types.
var plainTypes = strings.NewReplacer("*model.", "", "model.Decimal", "number", "model.", "", "time.Time", "time", "[]string", "list of texts", "types string", "types text",
	"and string", "and text", "types int", "types number", "and int", "and number", "types float64", "types number", "and float64", "and number")

// runtimeWords is what may be said of an evaluation that failed. The language's
// own texts hold values of the record, so that only their gist is told.
func runtimeWords(err error) string {
	var ours failure
	if errors.As(err, &ours) {
		return string(ours)
	}
	text := firstWords(err)
	for _, gist := range gists {
		if strings.Contains(text, gist.mark) {
			return gist.words
		}
	}
	return "a value is not what the expression needs"
}

var gists = []struct{ mark, words string }{
	{"index out of range", "it asks for more elements than a list has"},
	{"memory budget", "it needs too much memory"},
	{"integer divide by zero", "division by zero"},
	{"cannot fetch", "it asks for a member of something that is not there"},
	{"invalid operation", "an operation does not suit the type of a value"},
	{"interface conversion", "an operation does not suit the type of a value"},
}
