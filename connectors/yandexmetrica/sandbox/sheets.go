package sandbox

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	iso "golang.org/x/text/currency"
)

// Forms of the cells of offline data and expenses; they follow those of CRM data.
const (
	unixTime form = iota + 100
	visitorID
	clickID
	flag
	seconds
	plusPhone
	webAddress
	threeLetters
	chatPlatform
	dateOrRange
	trafficSource
	plainDecimal
)

// conversionsSheet is §6.1.
func conversionsSheet() *sheet {
	return &sheet{
		name: "conversions",
		columns: []sheetColumn{
			{name: "ClientId", other: "ClientID", form: visitorID}, {name: "UserId", other: "UserID", form: anyText},
			{name: "Yclid", other: "yclid", form: clickID}, {name: "PurchaseId", other: "PurchaseID", form: anyText},
			{name: "Target", form: nonEmpty, required: true}, {name: "DateTime", form: unixTime, required: true},
			{name: "Price", form: plainDecimal}, {name: "Currency", form: threeLetters},
		},
		key:   []string{"ClientId", "UserId", "Yclid", "PurchaseId", "Target", "DateTime"},
		check: needVisitor,
	}
}

// callsSheet is §7. By what a call is known again is not documented (§19): we
// take its identifiers, its number and its time.
func callsSheet() *sheet {
	return &sheet{
		name: "calls",
		columns: []sheetColumn{
			{name: "ClientId", other: "ClientID", form: visitorID}, {name: "UserId", other: "UserID", form: anyText}, {name: "Yclid", other: "yclid", form: clickID},
			{name: "DateTime", form: unixTime, required: true}, {name: "StaticCall", form: flag},
			{name: "Price", form: plainDecimal}, {name: "Currency", form: threeLetters}, {name: "PhoneNumber", form: plusPhone},
			{name: "TalkDuration", form: seconds}, {name: "HoldDuration", form: seconds}, {name: "CallMissed", form: flag},
			{name: "Tag", form: anyText}, {name: "FirstTimeCaller", form: flag}, {name: "URL", form: webAddress}, {name: "CallTrackerURL", form: webAddress},
		},
		key: []string{"ClientId", "UserId", "Yclid", "PhoneNumber", "DateTime"},
		check: func(row sheetValues) string {
			if row.get("StaticCall") == "1" {
				return ""
			}
			return needVisitor(row)
		},
	}
}

// chatsSheet is §8.
func chatsSheet() *sheet {
	return &sheet{
		name: "chats", extras: true,
		columns: []sheetColumn{
			{name: "ClientID", other: "ClientId", form: visitorID}, {name: "UserID", other: "UserId", form: anyText},
			{name: "Yclid", other: "yclid", form: clickID}, {name: "PurchaseID", other: "PurchaseId", form: anyText},
			{name: "DateTime", form: unixTime, required: true}, {name: "ChatPlatform", form: chatPlatform, required: true},
			{name: "ChatUsername", form: anyText}, {name: "ChatUserID", form: anyText}, {name: "PhoneNumber", form: plusPhone},
		},
		key: []string{"ClientID", "UserID", "Yclid", "PurchaseID", "ChatPlatform", "ChatUsername", "ChatUserID", "PhoneNumber", "DateTime"},
		check: func(row sheetValues) string {
			if row.get("ChatUsername") == "" && row.get("ChatUserID") == "" && row.get("PhoneNumber") == "" {
				return "none of ChatUsername, ChatUserID, PhoneNumber is filled"
			}
			return ""
		},
	}
}

// expensesSheet is §10. Provider is not a column of files: it comes with the
// upload.
func expensesSheet() *sheet {
	return &sheet{
		name: "expenses",
		columns: []sheetColumn{
			{name: "Date", form: dateOrRange, required: true},
			{name: "UTMSource", form: anyText}, {name: "UTMMedium", form: anyText}, {name: "UTMCampaign", form: anyText},
			{name: "UTMTerm", form: anyText}, {name: "UTMContent", form: anyText},
			{name: "TrafficSource", form: trafficSource}, {name: "TrafficSourceDetail", form: anyText},
			{name: "Expenses", form: plainDecimal, required: true}, {name: "Currency", form: threeLetters}, {name: "Clicks", form: seconds},
		},
		key: []string{"Date", "UTMSource", "UTMMedium", "UTMCampaign", "UTMTerm", "UTMContent", "TrafficSource", "TrafficSourceDetail"},
		check: func(row sheetValues) string {
			if row.get("UTMSource") == "" && row.get("TrafficSource") == "" {
				return "neither UTMSource nor TrafficSource is filled"
			}
			return ""
		},
	}
}

// removalsSheet is the file of expense/delete: no sums.
func removalsSheet() *sheet {
	sh := expensesSheet()
	sh.name = "removals of expenses"
	sh.columns, sh.check = sh.columns[:8], nil
	return sh
}

func identifiers() []string { return []string{"ClientId", "UserId", "Yclid", "PurchaseId"} }

func needVisitor(row sheetValues) string {
	for _, name := range identifiers() {
		if row.get(name) != "" {
			return ""
		}
	}
	return "no identifier of the visitor is filled"
}

const (
	futureTime  = "DateTime lies in the future" // fails the whole file (§6.1)
	lastSecond  = 100_000_000_000               // catches milliseconds (§16.14)
	phoneDigits = 15
)

// checkSheet goes on from check with the forms of this file.
func (k known) checkSheet(f form, v string) string {
	switch f {
	case unixTime:
		n, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil || !allDigits(v) || n <= 0:
			return "is not a Unix time in seconds"
		case n >= lastSecond:
			return "is too large for seconds: milliseconds?"
		case n > k.now:
			return strings.TrimPrefix(futureTime, "DateTime ")
		}
	case visitorID, clickID:
		if !isClientID(v) {
			return "is not a number"
		}
	case flag:
		if v != "0" && v != "1" {
			return "is neither 0 nor 1"
		}
	case seconds:
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || !allDigits(v) || n < 0 {
			return "is not a whole number from 0 on"
		}
	case plusPhone:
		if !isPlusPhone(v) {
			return "is not a phone with + and 10 to 15 digits"
		}
	case threeLetters:
		if len(v) != 3 || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return "is not an ISO 4217 code"
		}
	case plainDecimal:
		if !isAmount(v) {
			return "is not a decimal with a dot"
		}
	case chatPlatform:
		if !slices.Contains([]string{"whatsapp", "telegram", "viber"}, v) {
			return "is none of whatsapp, telegram, viber"
		}
	case dateOrRange:
		if _, _, ok := dateRange(v); !ok {
			return "is neither yyyy-MM-dd nor a range of two with a slash"
		}
	case trafficSource:
		if !slices.Contains([]string{"internal", "direct", "referral", "organic", "ad", "saved", "undefined", "email", "social", "messenger", "qrcode", "recommend"}, v) {
			return "is not a known source"
		}
	}
	return ""
}

// isPlusPhone takes +70123456789, also without or with masked last two digits:
// how a number is masked is not documented (§19.13).
func isPlusPhone(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	if !ok {
		return false
	}
	masked := strings.TrimRight(digits, "*Xx")
	hidden := len(digits) - len(masked)
	return allDigits(masked) && hidden <= 4 && len(digits) >= 8 && len(digits) <= phoneDigits
}

func isWebAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.ContainsAny(s, " \t\n")
}

func isISO(code string) bool {
	_, err := iso.ParseISO(code)
	return err == nil
}

// dateRange reads yyyy-MM-dd and yyyy-MM-dd/yyyy-MM-dd.
func dateRange(s string) (from, to string, ok bool) {
	from, to, ranged := strings.Cut(s, "/")
	if !ranged {
		to = from
	}
	for _, day := range []string{from, to} {
		if t, err := time.Parse(time.DateOnly, day); err != nil || t.Year() < 1970 {
			return "", "", false
		}
	}
	return from, to, from <= to
}
