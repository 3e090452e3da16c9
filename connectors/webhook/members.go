package webhook

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// member is one thing of a record that a map may fill: where it is in the
// struct, or a key of Fields.
type member struct {
	index []int
	field string
}

// members are those of one kind, under the names that expressions know them by.
type members map[string]member

// untouchable are members that the hub fills itself.
var untouchable = []string{"connection", "seq"}

// membersOf walks over the kind's struct: what expressions of flows may read of a
// record is what maps may write.
func membersOf(kind model.Kind) members {
	record, err := model.New(kind)
	if err != nil {
		return nil
	}
	m := members{}
	m.walk(reflect.TypeOf(record).Elem(), nil, "")
	return m
}

func (m members) walk(t reflect.Type, index []int, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		name := f.Tag.Get("expr")
		switch {
		case f.Anonymous:
			m.walk(f.Type, at, prefix)
		case name == "" || name == "-" || slices.Contains(untouchable, name):
		case f.Type == reflect.TypeFor[model.UTM]():
			m.walk(f.Type, at, name+".")
		case f.Type == reflect.TypeFor[model.Fields]() || f.Type == reflect.TypeFor[map[string]string]():
		default:
			m[prefix+name] = member{index: at}
		}
	}
}

func (m members) find(name string) (member, bool) {
	if code, ok := strings.CutPrefix(name, "fields."); ok && code != "" {
		return member{field: code}, true
	}
	found, ok := m[name]
	return found, ok
}

func (m members) names() []string { return slices.Sorted(maps.Keys(m)) }

// fill sets a member from an expression's value; nothing leaves it empty.
func (c *Connector) fill(r model.Record, name string, to member, value any) error {
	if value == nil {
		return nil
	}
	if to.field != "" {
		return fillField(r.Meta(), to.field, value)
	}
	target := reflect.ValueOf(r).Elem().FieldByIndex(to.index)
	made, err := c.coerce(name, target.Type(), value)
	if err != nil {
		return err
	}
	target.Set(reflect.ValueOf(made).Convert(target.Type()))
	return nil
}

func fillField(b *model.Base, code string, value any) error {
	if b.Fields == nil {
		b.Fields = model.Fields{}
	}
	if list, ok := value.([]any); ok {
		all, err := texts(list)
		if err != nil {
			return err
		}
		if len(all) > 0 {
			b.Fields[code] = all
		}
		return nil
	}
	one, err := text(value)
	if err != nil {
		return err
	}
	if one != "" {
		b.Fields[code] = one
	}
	return nil
}

// coerce makes what the member holds out of what the sender wrote.
func (c *Connector) coerce(name string, want reflect.Type, value any) (any, error) {
	switch want {
	case reflect.TypeFor[time.Time]():
		return c.moment(value)
	case reflect.TypeFor[[]model.Product]():
		return products(value)
	case reflect.TypeFor[[]string]():
		return c.list(name, value)
	case reflect.TypeFor[bool]():
		return truth(value)
	}
	one, err := text(value)
	if err != nil {
		return nil, err
	}
	switch want {
	case reflect.TypeFor[model.Decimal]():
		return amount(one)
	case reflect.TypeFor[model.Date]():
		day, err := model.ParseDate(one)
		if err != nil {
			return nil, fmt.Errorf("is not a date")
		}
		return day, nil
	}
	switch want.Kind() {
	case reflect.Int, reflect.Int64:
		return whole(one)
	case reflect.String:
		return c.single(name, one), nil
	}
	return nil, fmt.Errorf("cannot be filled from a payload")
}

// single brings phones and addresses into our form; what is none stays for
// people to see.
func (c *Connector) single(name, one string) string {
	switch name {
	case "phone", "virtual_number":
		if clean, ok := identity.Phone(one, c.region); ok {
			return clean
		}
	case "email":
		if clean, ok := identity.Email(one); ok {
			return clean
		}
	case "currency":
		return strings.ToUpper(one)
	}
	return one
}

func (c *Connector) list(name string, value any) ([]string, error) {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	all, err := texts(values)
	if err != nil {
		return nil, err
	}
	switch name {
	case "phones":
		return identity.Phones(all, c.region), nil
	case "emails":
		return identity.Emails(all), nil
	case "tags":
		if !ok && len(all) == 1 { // one text, as forms send it
			return clean(strings.Split(all[0], ",")), nil
		}
	}
	return all, nil
}

func clean(list []string) []string {
	var out []string
	for _, one := range list {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// moment reads a time however it is written; without an offset it is in the
// payload's zone.
func (c *Connector) moment(value any) (time.Time, error) {
	if t, ok := value.(time.Time); ok {
		return t.UTC(), nil
	}
	one, err := text(value)
	if err != nil {
		return time.Time{}, err
	}
	// Unix seconds with a fraction are met in the wild.
	if whole, _, found := strings.Cut(one, "."); found && isDigits(whole) && len(whole) >= 9 {
		one = whole
	}
	t, err := loosejson.ParseTime(one, c.zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("is not a time")
	}
	return t, nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// products reads a deal's lines; their members are found by the usual names.
func products(value any) ([]model.Product, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	var out []model.Product
	for i, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("line %d is not an object with id, name, quantity and price", i+1)
		}
		var p model.Product
		var err error
		if p.ID, err = text(oneOf(m, "id", "product_id", "sku", "article", "externalid")); err != nil {
			return nil, fmt.Errorf("id of line %d: %w", i+1, err)
		}
		if p.Name, err = text(oneOf(m, "name", "title", "product_name")); err != nil {
			return nil, fmt.Errorf("name of line %d: %w", i+1, err)
		}
		if p.Quantity, err = amount(oneOf(m, "quantity", "count", "qty")); err != nil {
			return nil, fmt.Errorf("quantity of line %d: %w", i+1, err)
		}
		if p.Price, err = amount(oneOf(m, "price", "cost", "amount")); err != nil {
			return nil, fmt.Errorf("price of line %d: %w", i+1, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func oneOf(m map[string]any, names ...string) any {
	for _, name := range names {
		if v, ok := m[name]; ok && v != nil {
			return v
		}
	}
	return nil
}

func amount(value any) (model.Decimal, error) {
	one, err := text(value)
	if err != nil {
		return model.Decimal{}, err
	}
	d, err := model.ParseDecimal(one)
	if err != nil {
		return model.Decimal{}, fmt.Errorf("is not an amount") // without the value, which may be anything
	}
	return d, nil
}
