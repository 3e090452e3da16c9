package loosejson

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/svod-hub/svod/model"
)

// MaxDepth is the nesting that Unmarshal takes (webhook-security §4.3).
const MaxDepth = 64

// CheckDepth refuses JSON that is nested deeper than limit, with
// model.CauseTooLarge. It looks at brackets only and takes broken JSON too.
func CheckDepth(data []byte, limit int) error {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{', c == '[':
			if depth++; depth > limit {
				return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "the JSON is nested deeper than %d levels", limit)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return nil
}

// CheckSize refuses data of more than limit bytes, with model.CauseTooLarge.
func CheckSize(data []byte, limit int) error {
	if len(data) > limit {
		return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "the JSON has %d bytes, more than %d", len(data), limit)
	}
	return nil
}

// Unmarshal is json.Unmarshal for foreign data: it takes a byte order mark,
// refuses what is nested deeper than MaxDepth, and its error, a *model.Error with
// CauseTooLarge or CauseBadPayload, does not show the data.
func Unmarshal(data []byte, into any) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := CheckDepth(data, MaxDepth); err != nil {
		return err
	}
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	var (
		known  *model.Error
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &syntax):
		return model.Errorf(model.ClassPermanent, model.CauseBadPayload, "not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return model.Errorf(model.ClassPermanent, model.CauseBadPayload,
			"unexpected JSON at byte %d: field %q is of another type than %s", kind.Offset, kind.Field, kind.Type)
	}
	return model.Errorf(model.ClassPermanent, model.CauseBadPayload, "the JSON does not have the expected form")
}
