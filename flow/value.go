package flow

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/currency"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// trouble is a value that a parameter cannot take; text holds nothing of it.
type trouble struct {
	cause model.Cause
	text  string
}

func bad(format string, args ...any) *trouble {
	return &trouble{model.CauseBadValue, fmt.Sprintf(format, args...)}
}

// conversion turns what an expression gave into what a parameter takes.
type conversion struct {
	zone   *time.Location
	region string
}

// convert gives the value in the Go type of the parameter's type, or nil when it
// is empty.
func (c conversion) convert(value any, as model.ValueType) (any, *trouble) {
	if isEmpty(value) {
		return nil, nil
	}
	switch as {
	case model.TypeID, model.TypeText:
		return c.text(value)
	case model.TypeStatus:
		return c.status(value)
	case model.TypeCurrency:
		return c.currency(value)
	case model.TypeTime:
		return c.time(value)
	case model.TypeDate:
		return c.date(value)
	case model.TypeDecimal:
		return c.decimal(value)
	case model.TypeInteger:
		return c.integer(value)
	case model.TypeFlag:
		return c.flag(value)
	case model.TypeProducts:
		if products, ok := value.([]model.Product); ok {
			return products, nil
		}
		return nil, bad("wants products, got %s", describe(value))
	case model.TypeGoals:
		return c.goals(value)
	}
	return c.lists(value, as)
}

// lists converts to the types that are made from texts; what cannot be used of a
// list is left out.
func (c conversion) lists(value any, as model.ValueType) (any, *trouble) {
	texts, err := c.texts(value)
	if err != nil {
		return nil, err
	}
	switch as {
	case model.TypeTexts:
		return nonEmpty(texts), nil
	case model.TypePhones:
		return nonEmpty(identity.Phones(texts, c.region)), nil
	case model.TypeEmails:
		return nonEmpty(identity.Emails(texts)), nil
	case model.TypePhone:
		if phones := identity.Phones(texts, c.region); len(phones) > 0 {
			return phones[0], nil
		}
		return nil, nil
	case model.TypeMD5s:
		return nonEmpty(keep(texts, func(text string) (string, bool) {
			text = strings.ToLower(strings.TrimSpace(text))
			return text, identity.IsMD5(text)
		})), nil
	case model.TypeClientIDs:
		return nonEmpty(keep(texts, identity.ClientID)), nil
	}
	return nil, bad("is of the unknown type %s", as)
}

// keep divides texts at commas and keeps what check accepts, each once.
func keep(texts []string, check func(string) (string, bool)) []string {
	var out []string
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			if good, ok := check(part); ok && !slices.Contains(out, good) {
				out = append(out, good)
			}
		}
	}
	return out
}

// nonEmpty makes the empty list nothing, since a nil slice in an any is not nil.
func nonEmpty(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (c conversion) texts(value any) ([]string, *trouble) {
	switch v := value.(type) {
	case []string:
		if !slices.ContainsFunc(v, blankText) {
			return v, nil
		}
		return slices.DeleteFunc(slices.Clone(v), blankText), nil
	case []any:
		var texts []string
		for _, element := range v {
			if isEmpty(element) {
				continue
			}
			inner, err := c.texts(element)
			if err != nil {
				return nil, err
			}
			texts = append(texts, inner...)
		}
		return texts, nil
	}
	text, err := c.text(value)
	if err != nil || text == nil {
		return nil, err
	}
	return []string{text.(string)}, nil
}

func blankText(text string) bool { return strings.TrimSpace(text) == "" }

// text writes any scalar; the result is a string, or nil when nothing is left.
func (c conversion) text(value any) (any, *trouble) {
	var text string
	switch v := value.(type) {
	case string:
		text = v
	case model.Date:
		text = string(v)
	case model.Kind:
		text = string(v)
	case model.Decimal:
		text = v.String()
	case int:
		text = strconv.Itoa(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case float64:
		d, err := c.decimal(v)
		if err != nil {
			return nil, err
		}
		text = d.(model.Decimal).String()
	case bool:
		text = strconv.FormatBool(v)
	case time.Time:
		text = v.In(c.zone).Format(time.RFC3339)
	case []string:
		text = strings.Join(v, ",")
	case []any:
		texts, err := c.texts(v)
		if err != nil {
			return nil, err
		}
		text = strings.Join(texts, ",")
	default:
		return nil, bad("wants text, got %s", describe(value))
	}
	text = strings.TrimSpace(cleanText(text))
	if text == "" {
		return nil, nil
	}
	return text, nil
}

// cleanText drops what no destination can store: broken UTF-8 and NUL.
func cleanText(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "")
	}
	return text
}

func (c conversion) status(value any) (any, *trouble) {
	text, err := c.text(value)
	if err != nil || text == nil {
		return nil, err
	}
	if !statusID.MatchString(text.(string)) {
		return nil, bad("wants a status id of Latin letters, digits, _, - and :")
	}
	return text, nil
}

func (c conversion) currency(value any) (any, *trouble) {
	text, ok := value.(string)
	if !ok {
		return nil, &trouble{model.CauseCurrency, "wants an ISO 4217 code such as RUB, got " + describe(value)}
	}
	code, ok := currencyCode(text)
	if !ok {
		return nil, &trouble{model.CauseCurrency, "wants an ISO 4217 code such as RUB, and the text is none"}
	}
	return code, nil
}

// currencyCode checks a code of ISO 4217. RUR is what many systems still write
// for the rouble.
func currencyCode(text string) (string, bool) {
	code := strings.ToUpper(strings.TrimSpace(text))
	switch code {
	case "RUB", "RUR":
		return "RUB", true
	}
	if len(code) != 3 {
		return "", false
	}
	if _, err := currency.ParseISO(code); err != nil {
		return "", false
	}
	return code, true
}

func (c conversion) time(value any) (any, *trouble) {
	var t time.Time
	switch v := value.(type) {
	case time.Time:
		t = v
	case string:
		parsed, ok := parseTime(v, c.zone)
		if !ok {
			return nil, bad("wants a time and cannot read the text as one; write YYYY-MM-DD HH:MM:SS")
		}
		t = parsed
	case model.Date:
		parsed, ok := parseTime(string(v), c.zone)
		if !ok {
			return nil, bad("wants a time and cannot read the date")
		}
		t = parsed
	case int:
		t = time.Unix(int64(v), 0)
	case int64:
		t = time.Unix(v, 0)
	case model.Decimal:
		if !v.IsInteger() || v.Decimal.NumDigits() > 18 {
			return nil, bad("wants a time in whole Unix seconds")
		}
		t = time.Unix(v.IntPart(), 0)
	default:
		return nil, bad("wants a time, got %s", describe(value))
	}
	t = t.UTC()
	if year := t.Year(); year < 1 || year > 9999 {
		return nil, bad("holds a time outside the calendar (milliseconds instead of seconds?)")
	}
	return t, nil
}

func (c conversion) date(value any) (any, *trouble) {
	switch v := value.(type) {
	case time.Time:
		return model.Date(v.In(c.zone).Format(time.DateOnly)), nil
	case model.Date:
		value = string(v)
	}
	text, ok := value.(string)
	if !ok {
		return nil, bad("wants a date, got %s", describe(value))
	}
	day, err := model.ParseDate(text)
	if err != nil {
		return nil, bad("wants a date and cannot read the text as one; write YYYY-MM-DD")
	}
	return day, nil
}

func (c conversion) decimal(value any) (any, *trouble) {
	switch v := value.(type) {
	case model.Decimal:
		return v, nil
	case string:
		d, err := model.ParseDecimal(strings.TrimSpace(v))
		if err != nil {
			return nil, bad("wants a number and cannot read the text as one")
		}
		return d, nil
	}
	d, ok := toDecimal(value)
	if !ok {
		return nil, bad("wants a number, got %s", describe(value))
	}
	return model.NewDecimal(d), nil
}

func (c conversion) integer(value any) (any, *trouble) {
	switch v := value.(type) {
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	}
	number, err := c.decimal(value)
	if err != nil {
		return nil, err
	}
	d := number.(model.Decimal)
	if !d.IsInteger() || !d.BigInt().IsInt64() {
		return nil, bad("wants a whole number")
	}
	return d.IntPart(), nil
}

func (c conversion) flag(value any) (any, *trouble) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case int:
		return v != 0, nil
	case int64:
		return v != 0, nil
	case model.Decimal:
		return !v.IsZero() && !v.Decimal.IsZero(), nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "1", "y", "yes", "true", "да":
			return true, nil
		case "0", "n", "no", "false", "нет":
			return false, nil
		}
	}
	return nil, bad("wants yes or no, got %s", describe(value))
}

// goals reads goals as hits or as texts "id" and "id:price"; the id of a goal
// has no colon (yandex-metrica §5.4).
func (c conversion) goals(value any) (any, *trouble) {
	if hits, ok := value.([]model.GoalHit); ok {
		return hits, nil
	}
	texts, err := c.texts(value)
	if err != nil {
		return nil, err
	}
	var hits []model.GoalHit
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			id, price, _ := strings.Cut(strings.TrimSpace(part), ":")
			if id == "" {
				continue
			}
			amount, parseErr := model.ParseDecimal(price)
			if parseErr != nil {
				return nil, bad("wants goals as id or id:price")
			}
			hits = append(hits, model.GoalHit{ID: id, Price: amount})
		}
	}
	if len(hits) == 0 {
		return nil, nil
	}
	return hits, nil
}

// fits reports whether values of a static type may ever suit a parameter, so
// that a hopeless map is told before the first record.
func fits(t reflect.Type, as model.ValueType) bool {
	if isUnknown(t) {
		return true
	}
	list := t.Kind() == reflect.Slice
	number := numeric(t)
	isText := t.Kind() == reflect.String
	switch as {
	case model.TypeProducts:
		return t == reflect.TypeFor[[]model.Product]() || t == reflect.TypeFor[[]any]()
	case model.TypeGoals:
		return isText || list
	case model.TypeTime:
		return t == typeTime || isText || number
	case model.TypeDate:
		return t == typeTime || isText
	case model.TypeDecimal:
		return number || isText
	case model.TypeInteger:
		return number || isText || t.Kind() == reflect.Bool
	case model.TypeFlag:
		return number || isText || t.Kind() == reflect.Bool
	case model.TypeCurrency, model.TypeStatus:
		return isText
	case model.TypePhone, model.TypePhones, model.TypeEmails, model.TypeMD5s, model.TypeClientIDs:
		return isText || list || number
	}
	return isText || list || number || t.Kind() == reflect.Bool || t == typeTime
}
