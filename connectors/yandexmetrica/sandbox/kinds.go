package sandbox

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// form is what a cell must look like (§16.7 to 16.9).
type form int

const (
	anyText form = iota
	nonEmpty
	dateForm
	timeForm
	clientIDs
	userIDs
	mails
	phones
	hashes
	amount
	currency
	status
	simpleStatus
	clientType
	products
	goals
	numeric // of custom attributes
	datetime
)

type attributeRule struct {
	name     string
	form     form
	required bool
}

// kind is one kind of upload.
type kind struct {
	name       string // as Svod calls it
	subtype    string // our guess of entity_subtype, which is not documented
	entity     string // of schema/attributes
	key        string
	attributes []attributeRule
	extras     bool // unknown columns are ignored (§5.5) and not refused
}

var contactsKind = &kind{
	name: "contacts", subtype: "CONTACTS", entity: "CONTACT", key: "uniq_id",
	attributes: []attributeRule{
		{"uniq_id", nonEmpty, true}, {"name", anyText, false}, {"birth_date", dateForm, false},
		{"create_date_time", timeForm, false}, {"update_date_time", timeForm, false},
		{"client_ids", clientIDs, false}, {"user_ids", userIDs, false}, {"emails", mails, false}, {"phones", phones, false},
		{"emails_md5", hashes, false}, {"phones_md5", hashes, false}, {"company_uniq_id", anyText, false}, {"user_comment", anyText, false},
	},
}

var ordersKind = &kind{
	name: "orders", subtype: "ORDERS", entity: "ORDER", key: "id",
	attributes: []attributeRule{
		{"id", nonEmpty, true}, {"client_uniq_id", nonEmpty, true}, {"client_type", clientType, true},
		{"create_date_time", timeForm, true}, {"update_date_time", timeForm, false}, {"finish_date_time", timeForm, false},
		{"order_status", status, true}, {"revenue", amount, false}, {"cost", amount, false}, {"currency", currency, false},
		{"products", products, false}, {"goals", goals, false}, {"user_comment", anyText, false},
	},
}

var simpleKind = &kind{
	name: "simple_orders", subtype: "SIMPLE_ORDERS", entity: "SIMPLE_ORDER", key: "id", extras: true,
	attributes: []attributeRule{
		{"id", anyText, false}, {"create_date_time", timeForm, true}, {"client_uniq_id", anyText, false},
		{"client_ids", clientIDs, false}, {"emails", mails, false}, {"phones", phones, false},
		{"emails_md5", hashes, false}, {"phones_md5", hashes, false}, {"order_status", simpleStatus, false},
		{"revenue", amount, false}, {"cost", amount, false}, {"goals", goals, false}, {"currency", currency, false},
	},
}

func (k *kind) rule(name string) (attributeRule, bool) {
	for _, a := range k.attributes {
		if a.name == name {
			return a, true
		}
	}
	return attributeRule{}, false
}

// known is what the checks of one upload are made against: a copy, so that a
// long file is read without a lock.
type known struct {
	statuses map[string]bool
	goals    map[string]bool
	company  bool
	json     bool // dates of JSON uploads have fewer forms (§5.9)

	// Of offline data and expenses.
	now     int64
	maxRows int
	dropBad bool
	keepAll bool
	poison  map[string]bool
}

var defaultStatuses = map[string]bool{"PAID": true, "IN_PROGRESS": true, "CANCELLED": true, "SPAM": true}

// check says what is wrong with a filled cell, or "".
func (k known) check(f form, v string) string {
	switch f {
	case dateForm:
		if !isDate(v, k.json) {
			return "is not a date from 1970 on"
		}
	case timeForm, datetime:
		if !isTime(v, k.json) {
			return "is not a date-time from 1970 on"
		}
	case clientIDs:
		return each(v, isClientID, "holds something that is no ClientID")
	case userIDs:
		return each(v, func(s string) bool { return s != "" }, "holds an empty value")
	case mails:
		return each(v, isMail, "holds something that is no lower-case e-mail address")
	case phones:
		return each(v, func(s string) bool { return len(s) >= 10 && len(s) <= 15 && allDigits(s) }, "holds something that is no phone of 10 to 15 digits")
	case hashes:
		return each(v, isMD5, "holds something that is no MD5")
	case amount, numeric:
		if !isAmount(v) {
			return "is not a decimal with a dot"
		}
	case currency:
		if len(v) != 3 || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return "is not an ISO 4217 code"
		}
	case status:
		if !k.statuses[v] && !defaultStatuses[v] && !k.goals[v] {
			return "is neither a registered status nor a JavaScript goal"
		}
	case simpleStatus:
		if v == "CANCELED" {
			return "is spelled CANCELLED"
		}
		if !defaultStatuses[v] && !k.goals[v] {
			return "is neither a status nor a JavaScript goal"
		}
	case clientType:
		if v != "CONTACT" && (v != "COMPANY" || !k.company) {
			return "is not CONTACT"
		}
	case products:
		return each(v, isProduct, "is not name:qty,name:qty")
	case goals:
		return each(v, isGoal, "is not id[:price],id[:price]")
	default:
		return k.checkSheet(f, v)
	}
	return ""
}

func each(list string, ok func(string) bool, why string) string {
	for one := range strings.SplitSeq(list, ",") {
		if !ok(one) {
			return why
		}
	}
	return ""
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isClientID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && allDigits(s)
}

func isMail(s string) bool {
	name, domain, ok := strings.Cut(s, "@")
	if !ok || name == "" || domain == "" || strings.Contains(domain, "@") {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= utf8.RuneSelf || s[i] >= 'A' && s[i] <= 'Z' {
			return false
		}
	}
	return true
}

func isMD5(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}

func isAmount(s string) bool {
	whole, fraction, dotted := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return allDigits(whole) && (!dotted || allDigits(fraction))
}

func isProduct(s string) bool {
	name, qty, ok := strings.Cut(s, ":")
	return ok && name != "" && isAmount(qty) && !strings.HasPrefix(qty, "-")
}

func isGoal(s string) bool {
	name, price, priced := strings.Cut(s, ":")
	return name != "" && (!priced || isAmount(price))
}

var dateLayouts = []string{time.DateOnly, "02.01.2006", "02.01.06"}

func isDate(s string, json bool) bool {
	for i, layout := range dateLayouts {
		if json && i > 0 {
			return false
		}
		if t, err := time.Parse(layout, s); err == nil && len(s) == len(layout) {
			return t.Year() >= 1970
		}
	}
	return false
}

// isTime takes a date with or without a time behind it.
func isTime(s string, json bool) bool {
	day, clock, timed := strings.Cut(s, " ")
	if !isDate(day, json) {
		return false
	}
	if !timed {
		return true
	}
	if len(clock) == len("15:04") && !json {
		_, err := time.Parse("15:04", clock)
		return err == nil
	}
	_, err := time.Parse(time.TimeOnly, clock)
	return err == nil && len(clock) == len(time.TimeOnly)
}

// wordLike is ^[\w-:]+$, 1 to 255 long.
func wordLike(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == ':') {
			return false
		}
	}
	return true
}
