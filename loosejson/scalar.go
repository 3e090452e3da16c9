package loosejson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/model"
)

// Text takes a string, or a number or bool as it is written. null, {} and []
// are "". Any other object or list is kept as its JSON.
type Text string

// String gives the text.
func (t Text) String() string { return string(t) }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	text, form := scalar(data)
	if form == absent {
		text = ""
	}
	*t = Text(text)
	return nil
}

// Int takes a whole number, also as text or as 15.0. null, "", {}, [] and false
// are absent, true is 1.
type Int struct {
	Value int64
	Set   bool
	Raw   string // what was not a whole number
}

// Err tells that the value could not be read.
func (i Int) Err() error { return unreadable(i.Raw, "a whole number") }

// MarshalJSON writes a number, or null when the value is absent.
func (i Int) MarshalJSON() ([]byte, error) {
	if !i.Set {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, i.Value, 10), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(data []byte) error {
	*i = Int{}
	text, form := scalar(data)
	text = strings.TrimSpace(text)
	switch {
	case form == absent, text == "", form == literal && text == "false":
		return nil
	case form == literal && text == "true":
		*i = Int{Value: 1, Set: true}
		return nil
	case form == composite:
		i.Raw = text
		return nil
	}
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		*i = Int{Value: v, Set: true}
		return nil
	}
	d, err := model.ParseDecimal(text)
	if err != nil || !d.Set || !d.IsInteger() {
		i.Raw = text
		return nil
	}
	*i = Int{Value: d.IntPart(), Set: true}
	return nil
}

// Decimal takes an amount as number or text. null, "", {}, [] and false are
// absent, which is not the same as 0.
type Decimal struct {
	model.Decimal
	Raw string // what was not an amount
}

// Err tells that the value could not be read.
func (d Decimal) Err() error { return unreadable(d.Raw, "an amount") }

// UnmarshalJSON implements json.Unmarshaler.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	*d = Decimal{}
	text, form := scalar(data)
	if form == absent || form == literal && text == "false" {
		return nil
	}
	v, err := model.ParseDecimal(text)
	if err != nil && form == literal {
		v, err = fromFloat(text)
	}
	if err != nil || form == composite {
		d.Raw = text
		return nil
	}
	d.Decimal = v
	return nil
}

// fromFloat reads what a sender's floating point made of an amount:
// 1234.5600000000001.
func fromFloat(text string) (model.Decimal, error) {
	d, err := decimal.NewFromString(text)
	if err != nil || len(text) > 40 || d.Exponent() >= -12 || d.Exponent() < -40 {
		return model.Decimal{}, errors.New("not an amount")
	}
	return model.ParseDecimal(d.Round(8).String())
}

// Bool takes true and false, 1 and 0, and as text also "Y" and "N", "yes" and
// "no", "on" and "off" in any case. null, "", {} and [] are absent.
type Bool struct {
	Value bool
	Set   bool
	Raw   string // what was neither
}

// Err tells that the value could not be read.
func (b Bool) Err() error { return unreadable(b.Raw, "yes or no") }

// MarshalJSON writes true or false, or null when the value is absent.
func (b Bool) MarshalJSON() ([]byte, error) {
	if !b.Set {
		return []byte("null"), nil
	}
	return strconv.AppendBool(nil, b.Value), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bool) UnmarshalJSON(data []byte) error {
	*b = Bool{}
	text, form := scalar(data)
	text = strings.TrimSpace(text)
	if form == absent || text == "" {
		return nil
	}
	switch strings.ToLower(text) {
	case "1", "on", "true", "y", "yes":
		*b = Bool{Value: true, Set: true}
	case "0", "false", "n", "no", "off":
		*b = Bool{Set: true}
	default:
		b.Raw = text
	}
	return nil
}

// form is how a value was written.
type form int

const (
	absent    form = iota // null, {} or []
	quoted                // a string
	literal               // a number, true or false
	composite             // a non-empty object or list
)

// scalar gives a value's text: a string's content, or the JSON itself.
func scalar(data []byte) (string, form) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return "", absent
	}
	switch data[0] {
	case '"':
		return unquote(data), quoted
	case '{', '[':
		if len(bytes.TrimSpace(data[1:])) == 1 {
			return "", absent
		}
		var compact bytes.Buffer
		if json.Compact(&compact, data) == nil {
			data = compact.Bytes()
		}
		return string(data), composite
	}
	return string(data), literal
}

func unquote(data []byte) string {
	if len(data) >= 2 && bytes.IndexByte(data, '\\') < 0 && data[len(data)-1] == '"' && utf8.Valid(data) {
		return string(data[1 : len(data)-1])
	}
	var text string
	if json.Unmarshal(data, &text) != nil {
		return strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return text
}

// unreadable makes the error of a kept value. It does not show the value, which
// may be somebody's.
func unreadable(raw, want string) error {
	if raw == "" {
		return nil
	}
	return model.Errorf(model.ClassPermanent, model.CauseBadValue, "the value is not %s", want)
}
