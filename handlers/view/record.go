package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// Record is a record as people and scripts are shown it.
type Record struct {
	Connection string          `json:"connection"`
	Kind       model.Kind      `json:"kind"`
	ID         string          `json:"id"`
	Seq        int64           `json:"seq"`
	CreatedAt  time.Time       `json:"created_at,omitzero"`
	UpdatedAt  time.Time       `json:"updated_at,omitzero"`
	ReadAt     time.Time       `json:"read_at,omitzero"`
	Deleted    bool            `json:"deleted"`
	Data       json.RawMessage `json:"data"`

	Label  string   `json:"-"` // title, name or what else tells it from others
	People []string `json:"-"` // phones and e-mails, masked
}

// NewRecord shows a record. Phones and e-mails are masked unless reveal is set.
func NewRecord(r model.Record, reveal bool) (Record, error) {
	data, err := model.Encode(r)
	if err != nil {
		return Record{}, err
	}
	if !reveal {
		if data, err = maskPeople(data); err != nil {
			return Record{}, fmt.Errorf("mask %s: %w", r.Meta().Key(), err)
		}
	}
	base := r.Meta()
	v := Record{
		Connection: base.Connection, Kind: base.Kind, ID: base.ID, Seq: base.Seq,
		CreatedAt: base.CreatedAt, UpdatedAt: base.UpdatedAt, ReadAt: base.ReadAt, Deleted: base.Deleted, Data: data,
	}
	phones, emails := v.describe(r)
	for _, p := range phones {
		if p != "" {
			v.People = append(v.People, identity.MaskPhone(p))
		}
	}
	for _, e := range emails {
		if e != "" {
			v.People = append(v.People, identity.MaskEmail(e))
		}
	}
	v.Label = maskText("", v.Label)
	return v, nil
}

// describe fills in the label and finds whom the record is about.
func (v *Record) describe(r model.Record) (phones, emails []string) {
	switch r := r.(type) {
	case *model.Call:
		v.Label = strings.TrimSpace(r.Direction + " " + r.Campaign)
		return []string{r.Phone}, nil
	case *model.Company:
		v.Label = r.Name
		return r.Phones, r.Emails
	case *model.Contact:
		v.Label = cmp.Or(r.Name, strings.Join(strings.Fields(r.LastName+" "+r.FirstName+" "+r.MiddleName), " "))
		return r.Phones, r.Emails
	case *model.Cost:
		v.Label = strings.TrimSpace(string(r.Date) + " " + cmp.Or(r.Campaign, r.CampaignID))
	case *model.Deal:
		v.Label = cmp.Or(r.Title, r.Name)
		return r.Phones, r.Emails
	case *model.Event:
		v.Label = cmp.Or(r.Name, r.Target, r.Messenger)
		return []string{r.Phone}, []string{r.Email}
	case *model.Reference:
		v.Label = r.Name
		return r.Phones, r.Emails
	case *model.StageChange:
		v.Label = r.StatusID
	case *model.Visit:
		v.Label = cmp.Or(r.Marker, r.City)
	}
	return nil, nil
}

// Indented gives the data for reading.
func (v Record) Indented() string { return indent(v.Data) }

// maskPeople masks phones and e-mails anywhere in a JSON document, by the names
// of members and by how values look.
func maskPeople(data []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(maskTree("", tree)); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func maskTree(name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for member, inner := range v {
			v[member] = maskTree(member, inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = maskTree(name, inner)
		}
	case string:
		return maskText(name, v)
	}
	return value
}

var (
	emailLike  = regexp.MustCompile(`[^\s@<>,;:"'()]+@[^\s@<>,;:"'()]+\.[^\s@<>,;:"'()]+`)
	phoneLike  = regexp.MustCompile(`\+\d[\d\s().-]{8,}\d|\b[78][\s(-]*9\d{2}[\s)-]*\d{3}[\s-]*\d{2}[\s-]*\d{2}\b`)
	phoneNames = regexp.MustCompile(`(?i)phone|tel\b|mobile|whatsapp`)
	// Identifiers look like phones at times; masking them would only hide what the
	// operator looks for.
	plainNames = regexp.MustCompile(`(?i)(^|_)(id|ids|at|client_ids|yclid|gclid|url|urls)$|^virtual_number$`)
)

func maskText(name, text string) string {
	switch {
	case text == "" || plainNames.MatchString(name):
		return text
	case phoneNames.MatchString(name):
		return identity.MaskPhone(text)
	}
	text = emailLike.ReplaceAllStringFunc(text, identity.MaskEmail)
	return phoneLike.ReplaceAllStringFunc(text, identity.MaskPhone)
}
