package flow

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm/runtime"
	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/model"
)

const (
	// divisionDigits is the precision of a quotient behind the point; a Decimal
	// takes no more.
	divisionDigits = 12
	// maxDigits bounds products: sums of money are far from it.
	maxDigits = 60
)

// failure is an error of an expression whose words are ours and hold nothing
// personal.
type failure string

func (f failure) Error() string { return string(f) }

// operators maps the operators that work on decimals to the functions that the
// compiler puts in their place.
var operators = map[string]string{
	"+": "__add", "-": "__subtract", "*": "__multiply", "/": "__divide",
	"<": "__less", "<=": "__less_or_equal", ">": "__more", ">=": "__more_or_equal",
	"==": "__equal", "!=": "__not_equal",
}

func compares(operator string) bool { return strings.Contains("< <= > >= == !=", operator) }

// operate applies an operator to operands that are only known now. Decimals and
// numbers meet as decimals, where an absent one counts as 0; all else follows the
// rules of the expression language.
func operate(operator string, a, b any) (any, error) {
	_, decimalA := a.(model.Decimal)
	_, decimalB := b.(model.Decimal)
	if decimalA || decimalB {
		x, okX := toDecimal(a)
		y, okY := toDecimal(b)
		switch {
		case okX && okY:
			return onDecimals(operator, x, y)
		case operator == "==":
			return false, nil
		case operator == "!=":
			return true, nil
		}
		return nil, failure(fmt.Sprintf("%s %s %s: not two numbers", describe(a), operator, describe(b)))
	}
	return onOthers(operator, a, b)
}

func onDecimals(operator string, x, y decimal.Decimal) (any, error) {
	switch operator {
	case "<":
		return x.LessThan(y), nil
	case "<=":
		return x.LessThanOrEqual(y), nil
	case ">":
		return x.GreaterThan(y), nil
	case ">=":
		return x.GreaterThanOrEqual(y), nil
	case "==":
		return x.Equal(y), nil
	case "!=":
		return !x.Equal(y), nil
	}
	var result decimal.Decimal
	switch operator {
	case "+":
		result = x.Add(y)
	case "-":
		result = x.Sub(y)
	case "*":
		result = x.Mul(y)
	case "/":
		if y.IsZero() {
			return nil, failure("division by zero")
		}
		result = x.DivRound(y, divisionDigits)
	}
	if result.NumDigits() > maxDigits {
		return nil, failure("the result has more than 60 digits")
	}
	return model.NewDecimal(result), nil
}

// onOthers hands over to the expression language, whose functions panic on what
// they cannot do; its machine turns that into an error.
func onOthers(operator string, a, b any) (any, error) {
	switch operator {
	case "+":
		return runtime.Add(a, b), nil
	case "-":
		return runtime.Subtract(a, b), nil
	case "*":
		return runtime.Multiply(a, b), nil
	case "/":
		return runtime.Divide(a, b), nil
	case "<":
		return runtime.Less(a, b), nil
	case "<=":
		return runtime.LessOrEqual(a, b), nil
	case ">":
		return runtime.More(a, b), nil
	case ">=":
		return runtime.MoreOrEqual(a, b), nil
	case "==":
		return runtime.Equal(a, b), nil
	}
	return !runtime.Equal(a, b), nil
}

// toDecimal reads any number; an absent Decimal is 0.
func toDecimal(v any) (decimal.Decimal, bool) {
	switch v := v.(type) {
	case model.Decimal:
		return v.Decimal, true
	case decimal.Decimal:
		return v, true
	case int:
		return decimal.NewFromInt(int64(v)), true
	case int64:
		return decimal.NewFromInt(v), true
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) || math.Abs(v) > 1e18 {
			return decimal.Decimal{}, false
		}
		return decimal.NewFromFloat(v), true
	}
	return decimal.Decimal{}, false
}

// describe names the type of a value in a user's words.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string, model.Date, model.Kind:
		return "text"
	case bool:
		return "yes or no"
	case time.Time:
		return "a time"
	case model.Decimal, int, int64, float64:
		return "a number"
	case []string, []any, []model.Product, []model.GoalHit:
		return "a list"
	}
	return "a value of another type"
}
