package model

import (
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Decimal is an amount of money or another exact number that may be absent.
// The zero value is absent, which is not the same as 0.
type Decimal struct {
	decimal.Decimal
	Set bool
}

// NewDecimal makes a present value.
func NewDecimal(d decimal.Decimal) Decimal { return Decimal{Decimal: d, Set: true} }

// ParseDecimal reads a decimal as people and systems write it: spaces and
// non-breaking spaces as thousands separators, comma or dot before the
// fraction. The empty text is the absent value. Exponents are accepted only
// as far as the result stays a sane amount (at most 18 digits before and 12
// after the point).
func ParseDecimal(text string) (Decimal, error) {
	clean := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\u00a0', '\u202f', '\t':
			return -1
		case ',':
			return '.'
		}
		return r
	}, text)
	if clean == "" {
		return Decimal{}, nil
	}
	if len(clean) > 40 {
		return Decimal{}, fmt.Errorf("%.40q… is not an amount", text)
	}
	d, err := decimal.NewFromString(clean)
	if err != nil {
		return Decimal{}, fmt.Errorf("%q is not an amount", text)
	}
	if exp := d.Exponent(); exp > 18 || exp < -12 || d.NumDigits()+int(exp) > 18 {
		return Decimal{}, fmt.Errorf("%q is too large or too exact for an amount", text)
	}
	return NewDecimal(d), nil
}

// IsZero lets encoding/json leave absent values out.
func (d Decimal) IsZero() bool { return !d.Set }

// String renders the value with a dot, or "" when it is absent.
func (d Decimal) String() string {
	if !d.Set {
		return ""
	}
	return d.Decimal.String()
}

// MarshalJSON writes a string, so that no reader turns the amount into a float.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if !d.Set {
		return []byte("null"), nil
	}
	return []byte(`"` + d.Decimal.String() + `"`), nil
}

// UnmarshalJSON reads a string, a number or null.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if text == "null" {
		*d = Decimal{}
		return nil
	}
	v, err := ParseDecimal(text)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Date is a calendar day, YYYY-MM-DD, without a zone; empty means none.
type Date string

// ParseDate checks and cleans a day given as YYYY-MM-DD or DD.MM.YYYY, with or
// without a time behind it.
func ParseDate(text string) (Date, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", nil
	}
	if len(text) > 10 {
		text = text[:10]
	}
	for _, layout := range []string{time.DateOnly, "02.01.2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			return Date(t.Format(time.DateOnly)), nil
		}
	}
	return "", fmt.Errorf("%q is not a date", text)
}

// Secret is a text that must not be shown: it prints, logs and marshals as
// "<secret>". Only Reveal gives it away.
type Secret string

const hidden = "<secret>"

// Reveal gives the text.
func (s Secret) Reveal() string { return string(s) }

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the text from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func joinComma(values []string) string { return strings.Join(values, ",") }
