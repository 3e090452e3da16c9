package amocrm

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Options of a flow that sends leads.
const (
	optionIDField      = "id_field"      // lead's field for the source record's id, by id, code or name
	optionCommentField = "comment_field" // lead's field for the comment
)

// Bounds of one request (amocrm §4.1).
const (
	maxLeads  = 50
	maxFields = 40
)

// uploadLine is one row of an encoded upload, a line of JSON.
type uploadLine struct {
	Key    string      `json:"key"`
	Lead   leadBody    `json:"lead"`
	Person *personBody `json:"person,omitempty"`
}

type leadBody struct {
	Name        string      `json:"name,omitempty"`
	Price       json.Number `json:"price,omitempty"`
	PipelineID  int64       `json:"pipeline_id,omitempty"`
	StatusID    int64       `json:"status_id,omitempty"`
	Responsible int64       `json:"responsible_user_id,omitempty"`
	Fields      []fieldBody `json:"custom_fields_values,omitempty"`
	Tags        []string    `json:"tags,omitempty"`
}

type personBody struct {
	Name     string      `json:"name,omitempty"`
	LastName string      `json:"last_name,omitempty"`
	Phones   []string    `json:"phones,omitempty"`
	Emails   []string    `json:"emails,omitempty"`
	Fields   []fieldBody `json:"fields,omitempty"`
}

type fieldBody struct {
	ID     int64       `json:"field_id,omitempty"`
	Code   string      `json:"field_code,omitempty"`
	Values []valueBody `json:"values"`
}

type valueBody struct {
	Value any    `json:"value"`
	Enum  string `json:"enum_code,omitempty"`
}

// Plan implements connectors.Uploader.
func (c *Connector) Plan(string) connectors.UploadPlan {
	return connectors.UploadPlan{MaxRows: maxLeads, MaxBytes: 4 << 20}
}

// Group implements connectors.Uploader: all rows may share an upload.
func (c *Connector) Group(connectors.Upload, *model.Row) string { return "" }

// Encode implements connectors.Uploader. It asks for the account's fields, so
// that a field that is not there is named before anything is sent: amoCRM refuses
// a whole request for it.
func (c *Connector) Encode(ctx context.Context, u connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	a, err := c.facts(ctx)
	if err != nil {
		return nil, err
	}
	e := &encoder{zone: a.Zone, columns: u.Columns, out: json.NewEncoder(w), targets: make([]target, len(u.Columns))}
	leads, _ := placeOf(model.KindDeal)
	contacts, _ := placeOf(model.KindContact)
	for i, column := range u.Columns {
		name := column.Name
		switch {
		case column.Attribute && strings.HasPrefix(name, "contact."):
			e.targets[i].person = true
			e.targets[i].field, err = c.needField(ctx, contacts, strings.TrimPrefix(name, "contact."), "the attribute "+name)
		case column.Attribute:
			e.targets[i].field, err = c.needField(ctx, leads, name, "the attribute "+name)
		case name == "id" && u.Options[optionIDField] != "":
			e.targets[i].field, err = c.needField(ctx, leads, u.Options[optionIDField], "the option "+optionIDField)
		case name == "comment" && u.Options[optionCommentField] != "":
			e.targets[i].field, err = c.needField(ctx, leads, u.Options[optionCommentField], "the option "+optionCommentField)
		case contains(trackingNames, name):
			e.targets[i].field, err = c.trackingField(ctx, leads, name)
		}
		if err != nil {
			return nil, err
		}
	}
	return e, nil
}

// target is the field that a column fills; nil for the system's own members.
type target struct {
	field  *fieldAnswer
	person bool
}

type encoder struct {
	zone    *time.Location // the account's
	columns []model.Column
	targets []target
	out     *json.Encoder
}

// Close implements connectors.RowWriter.
func (e *encoder) Close() error { return nil }

// Write implements connectors.RowWriter.
func (e *encoder) Write(row *model.Row) error {
	line := uploadLine{Key: row.Key}
	person := personBody{}
	for i, value := range row.Values {
		if value == nil || i >= len(e.columns) {
			continue
		}
		if t := e.targets[i]; t.field != nil {
			body, err := t.field.body(value, e.zone)
			if err != nil {
				return err
			}
			if body == nil {
				continue
			}
			if t.person {
				person.Fields = append(person.Fields, *body)
			} else {
				line.Lead.Fields = append(line.Lead.Fields, *body)
			}
			continue
		}
		if err := member(&line.Lead, &person, e.columns[i].Name, value); err != nil {
			return err
		}
	}
	if len(line.Lead.Fields) > maxFields || len(person.Fields)+2 > maxFields {
		return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "amoCRM takes at most %d fields in a lead or contact: map fewer", maxFields)
	}
	if person.Name == "" && person.LastName == "" {
		person.Name = firstOf(person.Phones, person.Emails)
	}
	if person.Name != "" || person.LastName != "" {
		line.Person = &person
	}
	return e.out.Encode(line)
}

func firstOf(lists ...[]string) string {
	for _, list := range lists {
		if len(list) > 0 {
			return list[0]
		}
	}
	return ""
}

// member fills one of the system's own members.
func member(lead *leadBody, person *personBody, name string, value any) error {
	text, _ := value.(string)
	list, _ := value.([]string)
	var err error
	switch name {
	case "title":
		lead.Name = text
	case "name":
		person.Name = text
	case "last_name":
		person.LastName = text
	case "phones":
		person.Phones = list
	case "emails":
		person.Emails = list
	case "tags":
		lead.Tags = list
	case "amount":
		if d, ok := value.(model.Decimal); ok && d.Set {
			lead.Price = json.Number(d.String())
		}
	case "pipeline":
		lead.PipelineID, err = idOf(name, text)
	case "status":
		if pipeline, status, ok := strings.Cut(text, ":"); ok {
			if lead.PipelineID, err = idOf("pipeline", pipeline); err != nil {
				return err
			}
			text = status
		}
		lead.StatusID, err = idOf(name, text)
	case "responsible":
		lead.Responsible, err = idOf(name, text)
	}
	return err
}

func idOf(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, model.Errorf(model.ClassPermanent, model.CauseBadValue, "%s must be the number of one in amoCRM", name)
	}
	return n, nil
}

// body writes a value as the field's type wants it (amocrm §7.1); nil leaves the
// field out.
func (f *fieldAnswer) body(value any, zone *time.Location) (*fieldBody, error) {
	texts := textsOf(value, zone)
	if len(texts) == 0 {
		return nil, nil
	}
	id, err := idOf("field", string(f.ID))
	if err != nil {
		return nil, err
	}
	b := &fieldBody{ID: id}
	for _, text := range texts {
		v := valueBody{Value: text}
		switch f.Type {
		case "checkbox":
			v.Value = text == "true" || text == "1"
		case "birthday", "date", "date_time":
			at, err := parseMoment(text, zone)
			if err != nil {
				return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "field %s takes dates", f.ID)
			}
			if at = at.In(zone); f.Type != "date_time" { // midnight of the account's zone (amocrm §7.3)
				at = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone)
			}
			v.Value = at.Unix()
		case "monetary", "numeric", "price":
			d, err := model.ParseDecimal(text)
			if err != nil {
				return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "field %s takes numbers", f.ID)
			}
			v.Value = d.String()
		case "multitext":
			v.Enum = "WORK"
		}
		b.Values = append(b.Values, v)
	}
	switch f.Type {
	case "multiselect", "multitext":
	default:
		if len(b.Values) > 1 {
			b.Values = []valueBody{{Value: strings.Join(texts, ", ")}}
		}
	}
	return b, nil
}

func parseMoment(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.ParseInLocation(time.DateOnly, text, zone)
}

// textsOf renders a row's value (the Go types stand in model.ValueType).
func textsOf(value any, zone *time.Location) []string {
	text := ""
	switch v := value.(type) {
	case string:
		text = v
	case []string:
		return v
	case model.Decimal:
		text = v.String()
	case model.Date:
		text = string(v)
	case time.Time:
		if !v.IsZero() {
			text = v.In(zone).Format(time.RFC3339)
		}
	case int64:
		text = strconv.FormatInt(v, 10)
	case bool:
		text = strconv.FormatBool(v)
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

// fieldsOf gives a kind's fields, at most ten minutes old.
func (c *Connector) fieldsOf(ctx context.Context, p place) ([]fieldAnswer, error) {
	c.mu.Lock()
	known := c.fields[p.name]
	c.mu.Unlock()
	if known.value != nil && c.deps.Now().Sub(known.readAt) < factsLast {
		return known.value, nil
	}
	return c.readFields(ctx, p)
}

func (c *Connector) needField(ctx context.Context, p place, name, what string) (*fieldAnswer, error) {
	fields, err := c.fieldsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	if f := findField(fields, name); f != nil {
		return f, nil
	}
	return nil, model.Errorf(model.ClassPermanent, model.CauseRequestRejected,
		"%s names a field that %s of the account do not have: make it in amoCRM, or correct the flow", what, p.name)
}

// trackingField finds the field for a tracking member; an account without it
// gets the lead without it.
func (c *Connector) trackingField(ctx context.Context, p place, name string) (*fieldAnswer, error) {
	fields, err := c.fieldsOf(ctx, p)
	if err != nil {
		return nil, err
	}
	if wanted := c.cfg.Tracking[name]; wanted != "" {
		return findField(fields, wanted), nil
	}
	for i := range fields {
		if f := &fields[i]; f.Type == "tracking_data" && trackingCodes[strings.ToUpper(string(f.Code))] == name {
			return f, nil
		}
	}
	return nil, nil
}

// findField looks a field up by id, then code, then name.
func findField(fields []fieldAnswer, name string) *fieldAnswer {
	for _, matches := range []func(*fieldAnswer) bool{
		func(f *fieldAnswer) bool { return string(f.ID) == name },
		func(f *fieldAnswer) bool { return f.Code != "" && strings.EqualFold(string(f.Code), name) },
		func(f *fieldAnswer) bool { return strings.EqualFold(string(f.Name), name) },
	} {
		for i := range fields {
			if matches(&fields[i]) {
				return &fields[i]
			}
		}
	}
	return nil
}
