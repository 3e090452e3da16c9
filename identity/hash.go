package identity

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MD5 hashes a normalised value as destinations want it: lower-case hex of its
// UTF-8 bytes (yandex-metrica §5.9).
func MD5(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// IsMD5 reports whether the text is a hash as MD5 gives it.
func IsMD5(text string) bool {
	if len(text) != 2*md5.Size {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// Bounds of a Metrica ClientID (yandex-metrica §5.3).
const (
	minClientID = 10
	maxClientID = 20
)

// ClientID gives a Metrica ClientID without spaces around, or false when the
// text cannot be one.
func ClientID(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) < minClientID || len(text) > maxClientID || !onlyDigits(text) || text[0] == '0' {
		return "", false
	}
	if _, err := strconv.ParseUint(text, 10, 64); err != nil {
		return "", false
	}
	return text, true
}

// MaskPhone shows enough of a phone to recognise it and too little to dial it,
// for logs and lists: "7999*****11".
func MaskPhone(phone string) string {
	const head, tail = 4, 2
	if utf8.RuneCountInString(phone) < head+tail+3 || len(phone) != utf8.RuneCountInString(phone) {
		return strings.Repeat("*", min(utf8.RuneCountInString(phone), maxPhoneDigits))
	}
	return phone[:head] + strings.Repeat("*", len(phone)-head-tail) + phone[len(phone)-tail:]
}

// MaskEmail keeps the first letter and the domain: "m***@yandex.ru".
func MaskEmail(email string) string {
	local, domain, found := strings.Cut(email, "@")
	if !found || local == "" {
		return strings.Repeat("*", min(utf8.RuneCountInString(email), 4))
	}
	first, _ := utf8.DecodeRuneInString(local)
	return string(first) + "***@" + domain
}
