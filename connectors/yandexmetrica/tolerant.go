package yandexmetrica

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// Scalars of answers come in other types than documented now and then
// (yandex-metrica §1, §18).

// text takes a string, a number or null.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
		return nil
	}
	*t = text(bytes.TrimSpace(data))
	return nil
}

// count takes a number or a string of digits.
type count int

// UnmarshalJSON implements json.Unmarshaler.
func (c *count) UnmarshalJSON(data []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(data), `" `))
	if err != nil {
		return err
	}
	*c = count(n)
	return nil
}

// texts takes an array of anything, one string or null.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(data []byte) error {
	*t = nil
	var list []text
	if json.Unmarshal(data, &list) == nil {
		for _, one := range list {
			*t = append(*t, string(one))
		}
		return nil
	}
	var one text
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	if one != "" && one != "null" {
		*t = texts{string(one)}
	}
	return nil
}
