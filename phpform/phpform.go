// Package phpform reads and writes the forms that PHP systems speak:
// a[b][0][c]=v, a[]=v, with brackets percent-encoded or not.
//
// A form becomes a tree of nodes. Lists are not told from maps: amoCRM's
// indexes are numeric but not always dense (amocrm §3.3), so every step is a
// key, and Children brings numeric keys into their order. Foreign bodies are
// bounded in size, keys and depth, and never panic.
package phpform

import (
	"bytes"
	"cmp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/svod-hub/svod/model"
)

// Limits bound what Parse takes. The zero value means the defaults.
type Limits struct {
	MaxBytes int // of the undecoded form; defaults to 1 MiB
	MaxKeys  int // name=value pairs; defaults to 20 000
	MaxDepth int // steps of one name; defaults to 12
	// Windows1251 reads a form that is not valid UTF-8 as windows-1251 instead of
	// refusing it.
	Windows1251 bool
}

func (l Limits) withDefaults() Limits {
	l.MaxBytes = cmp.Or(l.MaxBytes, 1<<20)
	l.MaxKeys = cmp.Or(l.MaxKeys, 20_000)
	l.MaxDepth = cmp.Or(l.MaxDepth, 12)
	return l
}

// Parse reads a form body or a raw query. Names follow PHP's rules: they are
// percent-decoded first and taken apart at brackets then; "a[]" appends after the
// largest index; what stands between "]" and the next "[" is dropped; a name whose
// first bracket is never closed is taken as it is. Unlike PHP, dots and spaces in
// names stay. Of repeated names the last one wins.
//
// Errors are model.ClassPermanent: CauseBadEncoding for broken percent-encoding
// and for text in the wrong charset, CauseTooLarge for a form over a limit.
func Parse(body []byte, limits Limits) (Node, error) {
	limits = limits.withDefaults()
	if len(body) > limits.MaxBytes {
		return Node{}, model.Errorf(model.ClassPermanent, model.CauseTooLarge,
			"the form has %d bytes, more than %d", len(body), limits.MaxBytes)
	}
	text, pairs, err := decode(body, limits)
	if err != nil {
		return Node{}, err
	}
	t := newTree(len(pairs))
	for _, p := range pairs {
		name, value := text[p.name:p.nameEnd], text[p.nameEnd:p.valueEnd]
		if err := t.put(name, value, limits.MaxDepth); err != nil {
			return Node{}, err
		}
	}
	return Node{tree: t, at: 0}, nil
}

// span is where one pair lies in the decoded text: its value follows its name.
type span struct{ name, nameEnd, valueEnd int }

// decode undoes the percent-encoding of the whole form into one string, so that
// names and values cost one allocation together.
func decode(body []byte, limits Limits) (string, []span, error) {
	buf := make([]byte, 0, len(body))
	pairs := make([]span, 0, min(limits.MaxKeys, 1+bytes.Count(body, []byte("&"))))
	valid, rest := true, body
	for len(rest) > 0 {
		var pair []byte
		pair, rest = cut(rest, '&')
		name, value := cut(pair, '=')
		if len(name) == 0 {
			continue
		}
		if len(pairs) == limits.MaxKeys {
			return "", nil, model.Errorf(model.ClassPermanent, model.CauseTooLarge,
				"the form has more than %d fields", limits.MaxKeys)
		}
		p, ok := span{name: len(buf)}, true
		if buf, ok = unescape(buf, name); ok {
			p.nameEnd = len(buf)
			buf, ok = unescape(buf, value)
		}
		if !ok {
			return "", nil, model.Errorf(model.ClassPermanent, model.CauseBadEncoding,
				"field %d of the form has broken percent-encoding", len(pairs)+1)
		}
		p.valueEnd = len(buf)
		pairs = append(pairs, p)
		valid = valid && utf8.Valid(buf[p.name:p.nameEnd]) && utf8.Valid(buf[p.nameEnd:])
	}
	if valid {
		return string(buf), pairs, nil
	}
	if !limits.Windows1251 {
		return "", nil, model.Errorf(model.ClassPermanent, model.CauseBadEncoding, "the form is not UTF-8")
	}
	return fromWindows1251(buf, pairs)
}

func fromWindows1251(buf []byte, pairs []span) (string, []span, error) {
	var b strings.Builder
	b.Grow(2 * len(buf))
	write := func(raw []byte) int {
		for _, c := range raw {
			b.WriteRune(charmap.Windows1251.DecodeByte(c))
		}
		return b.Len()
	}
	for i, p := range pairs {
		at := b.Len()
		nameEnd := write(buf[p.name:p.nameEnd])
		pairs[i] = span{name: at, nameEnd: nameEnd, valueEnd: write(buf[p.nameEnd:p.valueEnd])}
	}
	return b.String(), pairs, nil
}

// cut is bytes.Cut with a nil second part when there is no separator.
func cut(s []byte, sep byte) (before, after []byte) {
	if i := bytes.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, nil
}

func unescape(buf, s []byte) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			buf = append(buf, ' ')
		case '%':
			if i+2 >= len(s) {
				return buf, false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return buf, false
			}
			buf = append(buf, hi<<4|lo)
			i += 2
		default:
			buf = append(buf, c)
		}
	}
	return buf, true
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
