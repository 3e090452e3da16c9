package webhook

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// Expressions calculate with numbers, and records must keep them exactly. So a
// JSON number is an int or a float64 where that loses nothing, and its text
// where it would.
func exact(n json.Number) any {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return int(i)
	}
	f, err := n.Float64()
	if err != nil || len(n) > 40 {
		return n.String()
	}
	want, err := decimal.NewFromString(n.String())
	if err != nil || want.Exponent() > 40 || want.Exponent() < -40 {
		return n.String()
	}
	if !decimal.NewFromFloat(f).Equal(want) {
		return n.String()
	}
	return f
}

// text renders a scalar as its source wrote it. Containers are no text.
func text(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return strings.TrimSpace(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case json.Number:
		return v.String(), nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	switch v := reflect.ValueOf(value); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32:
		return strconv.FormatFloat(v.Float(), 'f', -1, 32), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return "", nil // what PHP writes for nothing
		}
		return "", fmt.Errorf("is a list or an object where one value is wanted")
	}
	return "", fmt.Errorf("is not a value that a record can hold")
}

func texts(list []any) ([]string, error) {
	var out []string
	for _, value := range list {
		one, err := text(value)
		if err != nil {
			return nil, err
		}
		if one != "" {
			out = append(out, one)
		}
	}
	return out, nil
}

// truth reads a flag as systems write it.
func truth(value any) (bool, error) {
	if v, ok := value.(bool); ok {
		return v, nil
	}
	one, err := text(value)
	if err != nil {
		return false, err
	}
	var b loosejson.Bool
	if err := b.UnmarshalJSON([]byte(strconv.Quote(one))); err != nil || b.Err() != nil {
		return false, fmt.Errorf("is neither yes nor no")
	}
	return b.Value, nil
}

// whole reads a number of seconds, clicks and the like; a fraction is dropped.
func whole(one string) (int64, error) {
	if one == "" {
		return 0, nil
	}
	d, err := model.ParseDecimal(one)
	if err != nil {
		return 0, fmt.Errorf("is not a number")
	}
	return d.IntPart(), nil
}
