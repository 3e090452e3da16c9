package main

import (
	"regexp"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/identity"
)

// What in a text says who somebody is.
var (
	emailLike = regexp.MustCompile(`(?i)[^\s@<>,;:"'()=&]+(?:@|%40)[^\s@<>,;:"'()=&]+\.[^\s@<>,;:"'()=&]+`)
	phoneLike = regexp.MustCompile(`(?:\+|%2B|\\u002[bB])?\b(?:00)?\d(?:[\s().+-]|%20|%28|%29|%2D){0,3}\d{2,4}(?:(?:[\s().+-]|%20|%28|%29|%2D){0,3}\d){6,10}\b`)
	// A member of JSON, or a line or a pair of a form, that is called like a name.
	nameMember = regexp.MustCompile(`(?i)("(?:[a-z_]*_)?(?:first|last|second|middle|full|user|visitor|client|contact)?_?(?:name|fio|фио|имя)"\s*:\s*)"(?:[^"\\]|\\.)*"`)
	nameLine   = regexp.MustCompile(`(?im)^([^\n=]*(?:name|fio|фио|имя)\]? = ).+$`)
)

// veil hides phones, e-mail addresses and what is called a name.
func veil(text string) string {
	text = nameMember.ReplaceAllString(text, `${1}"***"`)
	text = nameLine.ReplaceAllString(text, `${1}***`)
	text = emailLike.ReplaceAllStringFunc(text, identity.MaskEmail)
	return phoneLike.ReplaceAllStringFunc(text, identity.MaskPhone)
}

// secretPair is a credential in a form or a query, as view.Hide finds them in
// JSON.
var secretPair = regexp.MustCompile(`(?i)([^&=\s"{}]*(?:token|secret|passw|api_?-?key|authorization|cookie|sign|auth_id|refresh_id|pwd)[^&=\s"{}]*)=([^&\s"{}]*)`)

// discreet hides credentials and people in a raw body or query, which keeps its
// form.
func discreet(raw string) string {
	return veil(secretPair.ReplaceAllString(string(view.Hide([]byte(raw))), "${1}=<secret>"))
}
