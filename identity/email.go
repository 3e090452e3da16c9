package identity

import (
	"strings"
)

// maxEmail is the longest address of RFC 5321 §4.5.3.1.3.
const maxEmail = 254

// Email gives an address in lower case and without spaces around, or false when
// the text is none: it must be ASCII with one @ and a domain
// (yandex-metrica §5.9).
func Email(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) > 5*maxEmail {
		return "", false
	}
	if at := strings.LastIndexByte(text, '<'); at >= 0 && strings.HasSuffix(text, ">") {
		text = text[at+1 : len(text)-1] // "Имя <mail@example.ru>"
	}
	text = strings.ToLower(text)
	text = strings.TrimSpace(strings.TrimPrefix(text, "mailto:"))
	local, domain, found := strings.Cut(text, "@")
	if !found || local == "" || len(text) > maxEmail || !validDomain(domain) {
		return "", false
	}
	for i := range len(local) {
		if c := local[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`,;:<>()[]"\`, c) >= 0 {
			return "", false
		}
	}
	return text, true
}

// Emails gives every usable address of the list in its order and without
// duplicates. An element may hold several, divided by commas, semicolons or
// spaces.
func Emails(texts []string) []string {
	var out []string
	for _, text := range texts {
		if email, ok := Email(text); ok {
			out = appendNew(out, email)
			continue
		}
		for _, part := range strings.FieldsFunc(text, dividesEmails) {
			if email, ok := Email(part); ok {
				out = appendNew(out, email)
			}
		}
	}
	return out
}

func dividesEmails(r rune) bool {
	return r == ',' || r == ';' || r == ' ' || r == '\n' || r == '\t' || r == '\r'
}

func validDomain(domain string) bool {
	labels := 0
	for label := range strings.SplitSeq(domain, ".") {
		labels++
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return labels >= 2
}
