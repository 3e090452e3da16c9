// Package forget removes a person from the hub: it finds everything that speaks
// of a phone or an e-mail address, in whatever spelling, and lets the store drop
// it.
package forget

import (
	"bytes"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"

	"github.com/svod-hub/svod/identity"
)

// Person is who is to be forgotten.
type Person struct {
	numbers []string // digits of the phones, in every way to dial them
	emails  []string
	hashes  []string // MD5, as some destinations want them
}

// minNational is how long a number without its country code must be to tell
// people apart.
const minNational = 9

// NewPerson reads phones and e-mail addresses; region is the country of phones
// without a code.
func NewPerson(phones, emails []string, region string) (*Person, error) {
	p := &Person{}
	for i, text := range phones {
		digits, ok := identity.Phone(text, region)
		if !ok {
			return nil, errors.New("phone number " + strconv.Itoa(i+1) + " is none; write it with its country code, such as +7 999 555-11-11")
		}
		p.numbers = append(p.numbers, dialled(digits)...)
		p.hashes = append(p.hashes, identity.MD5(digits))
	}
	for i, text := range emails {
		email, ok := identity.Email(text)
		if !ok {
			return nil, errors.New("e-mail address " + strconv.Itoa(i+1) + " is none; write one such as name@example.ru")
		}
		p.emails = append(p.emails, email)
		p.hashes = append(p.hashes, identity.MD5(email))
	}
	if len(p.numbers)+len(p.emails) == 0 {
		return nil, errors.New("say who is to be forgotten: a phone or an e-mail address")
	}
	return p, nil
}

// dialled lists the ways to write a number: with its country code, from abroad,
// and inside its country with and without the digit before it.
func dialled(digits string) []string {
	ways := []string{digits, "00" + digits}
	number, err := phonenumbers.Parse("+"+digits, "")
	if err != nil {
		return ways
	}
	national := phonenumbers.GetNationalSignificantNumber(number)
	if len(national) < minNational {
		return ways
	}
	trunk := "0"
	if number.GetCountryCode() == 7 {
		trunk = "8"
	}
	return append(ways, national, trunk+national)
}

// maxDecodings bounds how often a text inside a text is looked into: JSON in a
// form in JSON.
const maxDecodings = 4

// In reports whether the data speaks of the person: as it is, percent-encoded, or
// with JSON's escapes, also one inside the other.
func (p *Person) In(data []byte) bool {
	for range maxDecodings {
		if p.in(data) {
			return true
		}
		decoded := unescape(data)
		if bytes.Equal(decoded, data) {
			return false
		}
		data = decoded
	}
	return p.in(data)
}

func (p *Person) in(data []byte) bool {
	for _, number := range p.numbers {
		if hasNumber(data, number) {
			return true
		}
	}
	if len(p.emails) == 0 && len(p.hashes) == 0 {
		return false
	}
	lower := bytes.ToLower(data)
	for _, email := range p.emails {
		if hasEmail(lower, email) {
			return true
		}
	}
	for _, hash := range p.hashes {
		if bytes.Contains(lower, []byte(hash)) {
			return true
		}
	}
	return false
}

// hasNumber finds the digits with anything usual between them. They must begin
// and end where a group of digits does, or every long id would hold somebody's
// number.
func hasNumber(data []byte, number string) bool {
	for i := 0; i < len(data); i++ {
		if data[i] != number[0] || i > 0 && isDigit(data[i-1]) {
			continue
		}
		if end, ok := follow(data[i:], number); ok && (i+end == len(data) || !isDigit(data[i+end])) {
			return true
		}
	}
	return false
}

// maxBetween is how many bytes may stand between two digits: ") - " and spaces of
// three bytes.
const maxBetween = 8

// follow reads the number's digits and gives the place behind the last one.
func follow(data []byte, number string) (int, bool) {
	at := 0
	for n := range len(number) {
		between := 0
		for at < len(data) && !isDigit(data[at]) {
			size := separator(data[at:])
			if n == 0 || size == 0 || between+size > maxBetween {
				return 0, false
			}
			at += size
			between += size
		}
		if at == len(data) || data[at] != number[n] {
			return 0, false
		}
		at++
	}
	return at, true
}

// separator gives the length of what people put between the digits of a phone,
// or 0.
func separator(data []byte) int {
	if strings.IndexByte(" \t()-./+_", data[0]) >= 0 {
		return 1
	}
	if data[0] < utf8.RuneSelf {
		return 0
	}
	r, size := utf8.DecodeRune(data)
	switch r {
	case '\u00a0', '\u2009', '\u202f', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014', '\u2212':
		return size
	}
	return 0
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// hasEmail finds the address, but not as a part of a longer one.
func hasEmail(lower []byte, email string) bool {
	for from := 0; ; {
		at := bytes.Index(lower[from:], []byte(email))
		if at < 0 {
			return false
		}
		at += from
		end := at + len(email)
		if !(at > 0 && inLocalPart(lower[at-1])) && !domainGoesOn(lower[end:]) {
			return true
		}
		from = at + 1
	}
}

func isWord(b byte) bool { return isDigit(b) || 'a' <= b && b <= 'z' }

func inLocalPart(b byte) bool { return isWord(b) || strings.IndexByte("._-", b) >= 0 }

func domainGoesOn(rest []byte) bool {
	if len(rest) == 0 {
		return false
	}
	return isWord(rest[0]) || rest[0] == '-' || rest[0] == '.' && len(rest) > 1 && isWord(rest[1])
}

// unescape decodes what of percent-encoding and JSON's escapes can be decoded,
// and leaves the rest.
func unescape(data []byte) []byte {
	if bytes.IndexByte(data, '%') < 0 && bytes.IndexByte(data, '\\') < 0 {
		return data
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		switch {
		case data[i] == '%' && i+2 < len(data):
			text, err := url.PathUnescape(string(data[i : i+3]))
			if err != nil {
				out = append(out, data[i])
				i++
				continue
			}
			out = append(out, text...)
			i += 3
		case data[i] == '\\' && i+1 < len(data):
			text, size := jsonEscape(data[i:])
			out = append(out, text...)
			i += size
		default:
			out = append(out, data[i])
			i++
		}
	}
	return out
}

// jsonEscape decodes one escape and says how long it was.
func jsonEscape(data []byte) (string, int) {
	switch data[1] {
	case 'u':
		if r, ok := hex4(data); ok {
			if utf16.IsSurrogate(r) {
				return "\uFFFD", 6
			}
			return string(r), 6
		}
		return `\`, 1
	case 'n', 'r', 't', 'b', 'f':
		return " ", 2
	case '"', '\\', '/':
		return string(data[1]), 2
	}
	return `\`, 1
}

func hex4(data []byte) (rune, bool) {
	if len(data) < 6 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(n), err == nil
}
