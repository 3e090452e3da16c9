package yandexmetrica

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/model"
)

// Every rule here is one that Metrica checks, or is likely to (yandex-metrica
// §5.9, §16.7 to 16.9): one bad cell may cost the whole file. Messages name the
// parameter and never the value, which may be personal.

func refuse(col *column, cause model.Cause, why string) error {
	return model.Errorf(model.ClassPermanent, cause, "parameter %s: %s", col.name, why)
}

// filled reports whether a value makes a cell that is not empty.
func filled(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return strings.TrimSpace(v) != ""
	case model.Date:
		// §5.9 takes nothing before 1970. A birthday before it is usual and only an
		// attribute of the client: it is left out rather than the client.
		return v >= "1970"
	case time.Time:
		return !v.IsZero()
	case model.Decimal:
		return v.Set
	case []string:
		for _, s := range v {
			if strings.TrimSpace(s) != "" {
				return true
			}
		}
		return false
	case []model.Product:
		for i := range v {
			if counts(&v[i]) {
				return true
			}
		}
		return false
	case []model.GoalHit:
		return len(v) > 0
	}
	return true
}

// append writes one value.
func (c *cell) append(buf []byte, col *column, v any) ([]byte, error) {
	if !filled(v) {
		return buf, nil
	}
	switch v := v.(type) {
	case string:
		return appendScalar(buf, col, v)
	case time.Time:
		return c.appendTime(buf, col, v)
	case model.Date:
		return appendDate(buf, col, v)
	case model.Decimal:
		return appendDecimal(buf, v.Decimal), nil
	case []string:
		return appendList(buf, col, v)
	case []model.Product:
		return appendProducts(buf, v), nil
	case []model.GoalHit:
		return appendGoals(buf, col, v)
	case int64:
		return strconv.AppendInt(buf, v, 10), nil
	case bool:
		return strconv.AppendBool(buf, v), nil
	}
	return buf, model.Errorf(model.ClassPermanent, model.CauseInternal, "parameter %s holds a %T, which Metrica's files have no form for", col.name, v)
}

func appendScalar(buf []byte, col *column, v string) ([]byte, error) {
	v = strings.TrimSpace(v)
	switch col.typ {
	case model.TypeCurrency:
		if !currencyLike(v) {
			return buf, refuse(col, model.CauseCurrency, "not an ISO 4217 code such as RUB")
		}
	case model.TypeStatus:
		if col.check != nil {
			if e := col.check(v); e != nil {
				return buf, e
			}
		}
	case model.TypePhones, model.TypeEmails, model.TypeMD5s, model.TypeClientIDs, model.TypeTexts:
		return appendList(buf, col, []string{v})
	case model.TypePhone:
		if !phoneLike(v) {
			return buf, refuse(col, model.CauseBadValue, "not a phone of 10 to 15 digits with country code")
		}
	}
	return appendText(buf, v), nil
}

// appendTime writes the counter's wall clock (§5.9).
func (c *cell) appendTime(buf []byte, col *column, t time.Time) ([]byte, error) {
	t = t.In(c.zone)
	year, month, day := t.Date()
	if year < 1970 || year > 9999 {
		return buf, refuse(col, model.CauseBadValue, "the time is before 1970 or after 9999; correct it in the source or leave it out of the map")
	}
	hour, minute, second := t.Clock()
	// By hand, since a third of the whole encoding went into time's layouts.
	buf = appendPair(buf, year/100)
	buf = append(appendPair(buf, year%100), '-')
	buf = append(appendPair(buf, int(month)), '-')
	buf = append(appendPair(buf, day), ' ')
	buf = append(appendPair(buf, hour), ':')
	buf = append(appendPair(buf, minute), ':')
	return appendPair(buf, second), nil
}

func appendPair(buf []byte, n int) []byte {
	return append(buf, byte('0'+n/10), byte('0'+n%10))
}

func appendDate(buf []byte, col *column, d model.Date) ([]byte, error) {
	if _, err := time.Parse(time.DateOnly, string(d)); err != nil {
		return buf, refuse(col, model.CauseBadValue, "not a calendar day")
	}
	return append(buf, d...), nil
}

// appendDecimal writes without exponent and, in the common case, without
// allocation.
func appendDecimal(buf []byte, d decimal.Decimal) []byte {
	exp := int(d.Exponent())
	if d.NumDigits() > 18 || exp > 0 || exp < -18 {
		return append(buf, d.String()...)
	}
	n := d.CoefficientInt64()
	if exp == 0 {
		return strconv.AppendInt(buf, n, 10)
	}
	if n < 0 {
		buf, n = append(buf, '-'), -n
	}
	unit := int64(1)
	for range -exp {
		unit *= 10
	}
	buf = strconv.AppendInt(buf, n/unit, 10)
	fraction := n % unit
	if fraction == 0 {
		return buf
	}
	buf = append(buf, '.')
	for unit /= 10; fraction > 0; unit /= 10 {
		buf = append(buf, byte('0'+fraction/unit))
		fraction %= unit
	}
	return buf
}

// appendList writes several values into one quoted cell (§5.9).
func appendList(buf []byte, col *column, values []string) ([]byte, error) {
	valid, why := listRule(col.typ)
	start := len(buf)
	several := false
	buf = append(buf, '"')
	for i, v := range values {
		v = strings.TrimSpace(v)
		if v == "" || repeated(values[:i], v) {
			continue
		}
		if !valid(v) {
			return buf, refuse(col, model.CauseBadValue, why)
		}
		if len(buf) > start+1 {
			buf, several = append(buf, ','), true
		}
		buf = appendClean(buf, v)
	}
	if several || bytes.IndexByte(buf[start+1:], '"') >= 0 {
		return append(buf, '"'), nil
	}
	copy(buf[start:], buf[start+1:])
	return buf[:len(buf)-1], nil
}

func listRule(t model.ValueType) (func(string) bool, string) {
	switch t {
	case model.TypePhones:
		return phoneLike, "not a phone of 10 to 15 digits with country code"
	case model.TypeEmails:
		return mailAddress, "not an e-mail address in lower-case Latin letters"
	case model.TypeMD5s:
		return md5Like, "not an MD5 of 32 lower-case hexadecimal digits"
	case model.TypeClientIDs:
		return clientIDLike, "not a Metrica ClientID: digits only, up to 20"
	}
	return listText, "a value of a list holds a comma, by which Metrica would take it apart"
}

func repeated(before []string, v string) bool {
	for _, b := range before {
		if strings.TrimSpace(b) == v {
			return true
		}
	}
	return false
}

func listText(s string) bool { return !strings.ContainsAny(s, ",\r\n") }

func phoneLike(s string) bool { return len(s) >= 10 && len(s) <= 15 && digits(s) }

func clientIDLike(s string) bool {
	if !digits(s) || len(s) > 20 {
		return false
	}
	if len(s) < 19 {
		return true
	}
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

func md5Like(s string) bool {
	if len(s) != 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func mailAddress(s string) bool {
	at := strings.IndexByte(s, '@')
	if at < 1 || at != strings.LastIndexByte(s, '@') {
		return false
	}
	domain := s[at+1:]
	if dot := strings.LastIndexByte(domain, '.'); dot < 1 || dot == len(domain)-1 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f, c >= 'A' && c <= 'Z', c == ',', c == '"', c == ';', c == '<', c == '>':
			return false
		}
	}
	return true
}

func currencyLike(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range 3 {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// wordLike is ^[\w-:]+$ without the Cyrillic, of which it is not known whether
// the server's \w takes it (§5.6, §19.4).
func wordLike(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '_', c == '-', c == ':':
		default:
			return false
		}
	}
	return true
}

// statusCheck gives the rule for the status of an order.
func statusCheck(as string, p model.Parameter) func(string) *model.Error {
	if p.Type != model.TypeStatus {
		return nil
	}
	return func(s string) *model.Error {
		// Old documents spell it with one L (§5.5).
		if s == "CANCELED" {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue, "parameter %s: CANCELED is spelled CANCELLED", p.Name)
		}
		if as == asOrders && !wordLike(s) {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"parameter %s: ids of statuses consist of Latin letters, digits, _, - and :; correct the status scheme", p.Name)
		}
		return nil
	}
}

// counts reports whether a line of an order can be written: it has a name and
// something was bought.
func counts(p *model.Product) bool {
	if strings.TrimSpace(p.ID) == "" && strings.TrimSpace(p.Name) == "" {
		return false
	}
	return !p.Quantity.Set || p.Quantity.Sign() > 0
}

// appendProducts writes name:qty,name:qty (§5.4). Lines of one product are added
// up; what would break the form is replaced, since an order is worth more than
// the punctuation of its products.
func appendProducts(buf []byte, products []model.Product) []byte {
	buf = append(buf, '"')
	first := true
	for i := range products {
		p := &products[i]
		if !counts(p) || namedBefore(products[:i], p) {
			continue
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = appendClean(buf, productName(p))
		buf = append(buf, ':')
		buf = appendDecimal(buf, quantity(products[i:], productName(p)))
	}
	return append(buf, '"')
}

var productMarks = strings.NewReplacer(",", "_", ":", "_", ";", "_", `"`, "_")

func productName(p *model.Product) string {
	name := strings.TrimSpace(p.ID)
	if name == "" {
		name = strings.TrimSpace(p.Name)
	}
	return productMarks.Replace(name)
}

func namedBefore(before []model.Product, p *model.Product) bool {
	for i := range before {
		if counts(&before[i]) && productName(&before[i]) == productName(p) {
			return true
		}
	}
	return false
}

var one = decimal.NewFromInt(1)

func quantity(products []model.Product, name string) decimal.Decimal {
	total := decimal.Decimal{}
	for i := range products {
		p := &products[i]
		if !counts(p) || productName(p) != name {
			continue
		}
		if p.Quantity.Set {
			total = total.Add(p.Quantity.Decimal)
		} else {
			total = total.Add(one)
		}
	}
	return total
}

// appendGoals writes id[:price],id[:price] (§5.4).
func appendGoals(buf []byte, col *column, goals []model.GoalHit) ([]byte, error) {
	buf = append(buf, '"')
	for i, g := range goals {
		id := strings.TrimSpace(g.ID)
		if id == "" || strings.ContainsAny(id, ",:;\"\r\n") {
			return buf, refuse(col, model.CauseBadValue, "an identifier of a JavaScript goal is empty or holds a comma, colon or quote")
		}
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendClean(buf, id)
		if g.Price.Set {
			buf = append(buf, ':')
			buf = appendDecimal(buf, g.Price.Decimal)
		}
	}
	return append(buf, '"'), nil
}

// appendText writes a cell, quoted where RFC 4180 asks for it.
func appendText(buf []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"") {
		return appendClean(buf, s)
	}
	buf = append(buf, '"')
	buf = appendClean(buf, s)
	return append(buf, '"')
}

// appendClean writes the inside of a cell: quotes doubled, line breaks and other
// control characters as spaces (no document promises that cells of several lines
// are understood), broken UTF-8 replaced.
func appendClean(buf []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(buf, s...)
	}
	for _, r := range s {
		switch {
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			buf = append(buf, ' ')
		case r == '"':
			buf = append(buf, '"', '"')
		default:
			buf = utf8.AppendRune(buf, r) // range gives U+FFFD for broken bytes
		}
	}
	return buf
}
