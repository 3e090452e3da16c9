package flow

import (
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// helpers are the functions that expressions may call besides those of the
// language.
type helpers struct {
	zone   *time.Location
	region string
}

// without lists functions of the language that a flow does not have: results
// that depend on the moment, loops without a bound, and ways round the others.
var without = []string{"fromBase64", "fromJSON", "get", "mean", "median", "now", "repeat", "timezone", "toBase64", "toJSON"}

// helperNames are for suggestions; a test keeps them true.
var helperNames = []string{
	"abs", "after", "before", "coalesce", "date", "emails", "empty", "first", "join", "local", "max", "md5", "min", "number",
	"phones", "round", "sum", "values",
}

func (h helpers) options() []expr.Option {
	options := []expr.Option{
		expr.Function("abs", h.abs, new(func(any) model.Decimal)),
		expr.Function("after", h.after, new(func(time.Time, time.Time) bool)),
		expr.Function("before", h.before, new(func(time.Time, time.Time) bool)),
		expr.Function("coalesce", h.coalesce, new(func(...any) any)),
		expr.Function("date", h.date, new(func(string) time.Time)),
		expr.Function("emails", h.emails, new(func(...any) []string)),
		expr.Function("empty", func(p ...any) (any, error) { return isEmpty(p[0]), nil }, new(func(any) bool)),
		expr.Function("first", h.first, new(func([]string) string), new(func([]model.Product) model.Product), new(func([]any) any)),
		expr.Function("join", h.join, new(func(any) string), new(func(any, string) string)),
		expr.Function("local", h.local, new(func(time.Time) time.Time)),
		expr.Function("max", h.greatest(1), new(func(any, ...any) model.Decimal)),
		expr.Function("md5", h.md5, new(func(string) string)),
		expr.Function("min", h.greatest(-1), new(func(any, ...any) model.Decimal)),
		expr.Function("number", h.number, new(func(any) model.Decimal)),
		expr.Function("phones", h.phones, new(func(...any) []string)),
		expr.Function("round", h.round, new(func(any) model.Decimal), new(func(any, int) model.Decimal)),
		expr.Function("sum", h.sum, new(func(any) model.Decimal)),
		expr.Function("values", fieldValues, new(func(model.Record, string) []string)),

		expr.Function("__field", fieldText, new(func(any, model.Record, string) string)),
		expr.Function("__values", fieldValues, new(func(any, model.Record, string) []string)),
		expr.Function("__pipeline", pipelineName, new(func(any, *model.Deal) string)),
		expr.Function("__status_name", statusName, new(func(any, *model.Deal) string)),
		expr.Function("__text", plainText, new(func(any) string)),
	}
	for operator, name := range operators {
		run := func(p ...any) (any, error) { return operate(operator, p[0], p[1]) }
		if compares(operator) {
			options = append(options, expr.Function(name, run, new(func(any, any) bool)))
			continue
		}
		// Two functions, since the type of the result must be known: one for where
		// a decimal takes part, one for operands of unknown type.
		options = append(options, expr.Function(name, run, new(func(any, any) model.Decimal)),
			expr.Function(name+"_any", run, new(func(any, any) any)))
	}
	for _, name := range without {
		options = append(options, expr.DisableBuiltin(name))
	}
	return options
}

func (h helpers) abs(p ...any) (any, error) {
	d, ok := toDecimal(p[0])
	if !ok {
		return nil, failure("abs wants a number, not " + describe(p[0]))
	}
	return model.NewDecimal(d.Abs()), nil
}

// after and before hold for no time that is missing.
func (h helpers) after(p ...any) (any, error) {
	a, b := p[0].(time.Time), p[1].(time.Time)
	return !a.IsZero() && !b.IsZero() && a.After(b), nil
}

func (h helpers) before(p ...any) (any, error) {
	a, b := p[0].(time.Time), p[1].(time.Time)
	return !a.IsZero() && !b.IsZero() && a.Before(b), nil
}

func (h helpers) coalesce(p ...any) (any, error) {
	for _, value := range p {
		if !isEmpty(value) {
			return value, nil
		}
	}
	return nil, nil
}

func (h helpers) date(p ...any) (any, error) {
	t, ok := parseTime(p[0].(string), h.zone)
	if !ok {
		return nil, failure("date cannot read the text as a date; write YYYY-MM-DD or YYYY-MM-DD HH:MM:SS")
	}
	return t, nil
}

func (h helpers) emails(p ...any) (any, error) {
	texts, err := flatten("emails", p)
	return identity.Emails(texts), err
}

func (h helpers) first(p ...any) (any, error) {
	switch list := p[0].(type) {
	case []string:
		if len(list) > 0 {
			return list[0], nil
		}
		return "", nil
	case []model.Product:
		if len(list) > 0 {
			return list[0], nil
		}
		return model.Product{}, nil
	case []any:
		if len(list) > 0 {
			return list[0], nil
		}
	}
	return nil, nil
}

func (h helpers) join(p ...any) (any, error) {
	separator := ","
	if len(p) > 1 {
		separator = p[1].(string)
	}
	texts, err := flatten("join", p[:1])
	return strings.Join(texts, separator), err
}

func (h helpers) local(p ...any) (any, error) { return p[0].(time.Time).In(h.zone), nil }

// md5 leaves the empty text empty: its hash would look like a value.
func (h helpers) md5(p ...any) (any, error) {
	if text := p[0].(string); text != "" {
		return identity.MD5(text), nil
	}
	return "", nil
}

// greatest makes max (sign 1) and min (sign -1) over numbers and lists of them.
func (h helpers) greatest(sign int) func(...any) (any, error) {
	return func(p ...any) (any, error) {
		numbers, err := flattenNumbers(p)
		if err != nil || len(numbers) == 0 {
			return model.Decimal{}, err
		}
		best := numbers[0]
		for _, n := range numbers[1:] {
			if n.Cmp(best) == sign {
				best = n
			}
		}
		return model.NewDecimal(best), nil
	}
}

func (h helpers) number(p ...any) (any, error) {
	switch v := p[0].(type) {
	case nil:
		return model.Decimal{}, nil
	case model.Decimal:
		return v, nil
	case string:
		d, err := model.ParseDecimal(strings.TrimSpace(v))
		if err != nil {
			return nil, failure("number cannot read the text as a number")
		}
		return d, nil
	}
	if d, ok := toDecimal(p[0]); ok {
		return model.NewDecimal(d), nil
	}
	return nil, failure("number wants text, not " + describe(p[0]))
}

func (h helpers) phones(p ...any) (any, error) {
	texts, err := flatten("phones", p)
	return identity.Phones(texts, h.region), err
}

func (h helpers) round(p ...any) (any, error) {
	places := 0
	if len(p) > 1 {
		places = max(-18, min(p[1].(int), divisionDigits))
	}
	if v, ok := p[0].(model.Decimal); ok && !v.Set {
		return v, nil
	}
	d, ok := toDecimal(p[0])
	if !ok {
		return nil, failure("round wants a number, not " + describe(p[0]))
	}
	return model.NewDecimal(d.Round(int32(places))), nil
}

func (h helpers) sum(p ...any) (any, error) {
	numbers, err := flattenNumbers(p)
	total := decimal.Zero
	for _, n := range numbers {
		total = total.Add(n)
	}
	return model.NewDecimal(total), err
}

// flatten collects texts from texts and lists of texts; empty ones are left out.
func flatten(function string, values []any) ([]string, error) {
	var texts []string
	for _, value := range values {
		switch v := value.(type) {
		case nil:
		case string:
			if v != "" {
				texts = append(texts, v)
			}
		case []string:
			for _, text := range v {
				if text != "" {
					texts = append(texts, text)
				}
			}
		case []any:
			inner, err := flatten(function, v)
			if err != nil {
				return nil, err
			}
			texts = append(texts, inner...)
		case model.Decimal:
			if v.Set {
				texts = append(texts, v.String())
			}
		case int:
			texts = append(texts, strconv.Itoa(v))
		default:
			return nil, failure(function + " wants texts or lists of texts, not " + describe(value))
		}
	}
	return texts, nil
}

func flattenNumbers(values []any) ([]decimal.Decimal, error) {
	var numbers []decimal.Decimal
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			continue
		case model.Decimal:
			if !v.Set {
				continue
			}
		case []any:
			inner, err := flattenNumbers(v)
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, inner...)
			continue
		}
		d, ok := toDecimal(value)
		if !ok {
			return nil, failure("not a number but " + describe(value))
		}
		numbers = append(numbers, d)
	}
	return numbers, nil
}

// fieldText, fieldValues, pipelineName, statusName: called by what the compiler
// puts in the place of X.fields["CODE"], values(X, "CODE"), X.pipeline and
// X.status_name; the environment stands before the arguments of the author.

func fieldText(p ...any) (any, error) {
	e, base := p[0].(*env), p[1].(model.Record).Meta()
	code := p[2].(string)
	if _, exact := base.Fields[code]; !exact {
		if other, ok := e.catalogue.Alias(base.Connection, base.Kind, code); ok {
			code = other
		}
	}
	return base.Fields.Text(code), nil
}

func fieldValues(p ...any) (any, error) {
	e, base := p[0].(*env), p[1].(model.Record).Meta()
	code := p[2].(string)
	value, exact := base.Fields[code]
	if !exact {
		if other, ok := e.catalogue.Alias(base.Connection, base.Kind, code); ok {
			value = base.Fields[other]
		}
	}
	switch v := value.(type) {
	case []string:
		return v, nil
	case string:
		if v != "" {
			return []string{v}, nil
		}
	}
	return []string(nil), nil
}

func pipelineName(p ...any) (any, error) {
	e, deal := p[0].(*env), p[1].(*model.Deal)
	if deal.Pipeline != "" || deal.PipelineID == "" {
		return deal.Pipeline, nil
	}
	return e.catalogue.PipelineName(deal.Connection, deal.PipelineID), nil
}

func statusName(p ...any) (any, error) {
	e, deal := p[0].(*env), p[1].(*model.Deal)
	if deal.StatusName != "" || deal.StatusID == "" {
		return deal.StatusName, nil
	}
	return e.catalogue.StatusName(deal.Connection, deal.Kind, deal.PipelineID, deal.StatusID), nil
}

// plainText turns the named text types of records into texts.
func plainText(p ...any) (any, error) {
	switch v := p[0].(type) {
	case model.Date:
		return string(v), nil
	case model.Kind:
		return string(v), nil
	}
	return "", nil
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return strings.TrimSpace(v) == ""
	case model.Date:
		return v == ""
	case model.Decimal:
		return !v.Set
	case time.Time:
		return v.IsZero()
	case []string:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case []model.Product:
		return len(v) == 0
	case []model.GoalHit:
		return len(v) == 0
	}
	return false
}

// maxTimeText is longer than any of the layouts.
const maxTimeText = 40

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
	"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "02.01.2006 15:04:05", "02.01.2006 15:04", "02.01.2006",
}

// parseTime reads a moment: with a zone, in the project's zone, or in Unix
// seconds. The empty text is the missing time.
func parseTime(text string, zone *time.Location) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, true
	}
	if len(text) > maxTimeText {
		return time.Time{}, false
	}
	if len(text) >= 9 && len(text) <= 11 {
		if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
			return time.Unix(seconds, 0).UTC(), true
		}
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
