// Package identity brings phones, e-mails and Metrica ClientIDs to the one form
// in which records keep them and destinations compare them, and hashes and masks
// them.
//
// The rules are those of yandex-metrica §5.9. All functions are pure, accept any
// text and never panic; what cannot be used is reported as such, not mended.
package identity

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Bounds of a phone with its country code (yandex-metrica §5.9).
const (
	minPhoneDigits = 10
	maxPhoneDigits = 15
	maxPhoneText   = 100 // longer texts are no phones; keeps foreign input cheap
)

// Phone gives the digits of a phone with its country code, "79995551111", or
// false when the text holds no usable one. Region is the ISO 3166 country that
// numbers without a code belong to; "" knows none. An extension is dropped.
func Phone(text, region string) (string, bool) {
	if len(text) > maxPhoneText {
		return "", false
	}
	if clean(text) {
		return text, true
	}
	text = strings.TrimSpace(dropExtension(text))
	if text == "" {
		return "", false
	}
	if digits, ok := parsed(text, region); ok {
		return digits, true
	}
	return byDigits(text, region)
}

// Phones gives every usable phone of the list in its order and without
// duplicates. An element may hold several, divided by commas or semicolons.
func Phones(texts []string, region string) []string {
	var out []string
	for _, text := range texts {
		if clean(text) {
			out = appendNew(out, text)
			continue
		}
		for _, part := range strings.FieldsFunc(text, dividesPhones) {
			if phone, ok := Phone(part, region); ok {
				out = appendNew(out, phone)
			}
		}
	}
	return out
}

func dividesPhones(r rune) bool { return r == ',' || r == ';' || r == '\n' }

// clean recognises the form that Phone itself gives to Russian numbers, by far
// the most common input: it costs no parsing.
func clean(text string) bool {
	return len(text) == 11 && text[0] == '7' && onlyDigits(text)
}

func onlyDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// dropExtension cuts at the words that people put before an extension.
func dropExtension(text string) string {
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // a rune changed its length: positions do not match
		text = lower
	}
	for _, mark := range []string{"доб", "вн.", "внутр", "ext", "#", ";", ","} {
		if at := strings.Index(lower, mark); at >= 0 {
			text, lower = text[:at], lower[:at]
		}
	}
	return text
}

// parsed reads the text by the numbering plans of the world.
func parsed(text, region string) (string, bool) {
	number, err := phonenumbers.Parse(text, strings.ToUpper(region))
	if err != nil || !phonenumbers.IsValidNumber(number) {
		return "", false
	}
	digits := strings.TrimPrefix(phonenumbers.Format(number, phonenumbers.E164), "+")
	return digits, inBounds(digits)
}

// byDigits applies the plain rules of yandex-metrica §5.9 to numbers that no
// plan knows: new ranges, and test numbers.
func byDigits(text, region string) (string, bool) {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
	international := strings.HasPrefix(text, "+")
	if rest, ok := strings.CutPrefix(digits, "00"); ok {
		digits, international = rest, true
	}
	if !international && usesSeven(region) {
		switch {
		case len(digits) == 11 && digits[0] == '8':
			digits = "7" + digits[1:]
		case len(digits) == 10 && strings.IndexByte("489", digits[0]) >= 0:
			digits = "7" + digits
		}
	}
	return digits, inBounds(digits)
}

// usesSeven tells the countries of code 7, where 8 is dialled before a number.
func usesSeven(region string) bool {
	return strings.EqualFold(region, "RU") || strings.EqualFold(region, "KZ")
}

// inBounds also refuses a leading zero: no country code begins with it.
func inBounds(digits string) bool {
	return len(digits) >= minPhoneDigits && len(digits) <= maxPhoneDigits && digits[0] != '0'
}

func appendNew(list []string, value string) []string {
	for _, have := range list {
		if have == value {
			return list
		}
	}
	return append(list, value)
}
