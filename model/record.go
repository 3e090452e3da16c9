package model

import (
	"encoding/json"
	"fmt"
	"time"
)

// Record is one thing that a source knows. The concrete types are Call,
// Company, Contact, Cost, Deal (for leads and orders too), Event (chats,
// requests, goals), Reference (statuses, pipelines, fields, employees),
// StageChange and Visit.
type Record interface {
	// Meta gives the part that all records share; changes to it change the
	// record.
	Meta() *Base
}

// Base is what all records have. Times are UTC with whatever precision the
// source has; a zero time means that the source did not say.
type Base struct {
	Kind       Kind   `json:"-" expr:"-"`
	Connection string `json:"-" expr:"connection"`
	ID         string `json:"-" expr:"id"` // the source's id, as text

	CreatedAt time.Time `json:"created_at,omitzero" expr:"created_at"`
	// UpdatedAt is the source's own modification time. It decides which of two
	// versions of a record is newer.
	UpdatedAt time.Time `json:"updated_at,omitzero" expr:"updated_at"`
	// ReadAt is when we asked the source (or when it told us). Between versions
	// with equal UpdatedAt the one that was read later is newer.
	ReadAt  time.Time `json:"-" expr:"-"`
	Deleted bool      `json:"deleted,omitempty" expr:"deleted"`
	// Seq is the change number, given by the store; zero before that.
	Seq int64 `json:"-" expr:"seq"`

	Links
	Tracking

	Source  string   `json:"source,omitempty" expr:"source"` // the source's own name of where it came from
	Comment string   `json:"comment,omitempty" expr:"comment"`
	Tags    []string `json:"tags,omitempty" expr:"tags"`
	Fields  Fields   `json:"fields,omitempty" expr:"fields"`
}

// Meta implements Record.
func (b *Base) Meta() *Base { return b }

// Key names the record in its project.
func (b *Base) Key() Key { return Key{Connection: b.Connection, Kind: b.Kind, ID: b.ID} }

// Links are ids of related records of the same connection; empty means none.
type Links struct {
	CompanyID  string `json:"company_id,omitempty" expr:"company_id"`
	ContactID  string `json:"contact_id,omitempty" expr:"contact_id"` // the main contact
	DealID     string `json:"deal_id,omitempty" expr:"deal_id"`
	EmployeeID string `json:"employee_id,omitempty" expr:"employee_id"` // who is responsible
	LeadID     string `json:"lead_id,omitempty" expr:"lead_id"`         // the lead that a deal was made from
	VisitID    string `json:"visit_id,omitempty" expr:"visit_id"`
}

// UTM are the advertising tags of the visit behind a record.
type UTM struct {
	Source   string `json:"source,omitempty" expr:"source"`
	Medium   string `json:"medium,omitempty" expr:"medium"`
	Campaign string `json:"campaign,omitempty" expr:"campaign"`
	Content  string `json:"content,omitempty" expr:"content"`
	Term     string `json:"term,omitempty" expr:"term"`
}

// Tracking ties a record to visits and advertising.
type Tracking struct {
	UTM        UTM    `json:"utm,omitzero" expr:"utm"`
	ClientID   string `json:"client_id,omitempty" expr:"client_id"` // Yandex Metrica ClientID
	GAClientID string `json:"ga_client_id,omitempty" expr:"ga_client_id"`
	GCLID      string `json:"gclid,omitempty" expr:"gclid"`
	Roistat    string `json:"roistat,omitempty" expr:"roistat"` // visit number, promo code or marker
	UserID     string `json:"user_id,omitempty" expr:"user_id"` // the site's own user id
	YCLID      string `json:"yclid,omitempty" expr:"yclid"`
}

// Fields holds a source's own and custom fields under the source's code for
// them. A value is a string, or a []string where the field holds several. All
// scalars are text as the source gave them: numbers are not turned into floats.
type Fields map[string]any

// Text gives the field's value as one string; several values are joined by ",".
func (f Fields) Text(code string) string {
	switch v := f[code].(type) {
	case string:
		return v
	case []string:
		return joinComma(v)
	}
	return ""
}

// Contact is a person.
type Contact struct {
	Base
	Name       string   `json:"name,omitempty" expr:"name"`
	FirstName  string   `json:"first_name,omitempty" expr:"first_name"`
	LastName   string   `json:"last_name,omitempty" expr:"last_name"`
	MiddleName string   `json:"middle_name,omitempty" expr:"middle_name"`
	Phones     []string `json:"phones,omitempty" expr:"phones"` // digits with country code
	Emails     []string `json:"emails,omitempty" expr:"emails"` // lower case
	BirthDate  Date     `json:"birth_date,omitempty" expr:"birth_date"`
	ClientIDs  []string `json:"client_ids,omitempty" expr:"client_ids"`
	UserIDs    []string `json:"user_ids,omitempty" expr:"user_ids"`
}

// Company is an organisation.
type Company struct {
	Base
	Name   string   `json:"name,omitempty" expr:"name"`
	Phones []string `json:"phones,omitempty" expr:"phones"`
	Emails []string `json:"emails,omitempty" expr:"emails"`
	TaxID  string   `json:"tax_id,omitempty" expr:"tax_id"`
}

// Deal is a CRM lead (KindLead), a deal or an order (KindDeal).
type Deal struct {
	Base
	Title      string    `json:"title,omitempty" expr:"title"`
	Amount     Decimal   `json:"amount,omitzero" expr:"amount"`
	Cost       Decimal   `json:"cost,omitzero" expr:"cost"`
	Currency   string    `json:"currency,omitempty" expr:"currency"` // ISO 4217
	PipelineID string    `json:"pipeline_id,omitempty" expr:"pipeline_id"`
	Pipeline   string    `json:"pipeline,omitempty" expr:"pipeline"` // its name, filled from reference data on reading
	StatusID   string    `json:"status_id,omitempty" expr:"status_id"`
	StatusName string    `json:"status_name,omitempty" expr:"status_name"` // filled from reference data on reading
	ClosedAt   time.Time `json:"closed_at,omitzero" expr:"closed_at"`
	Products   []Product `json:"products,omitempty" expr:"products"`

	// Leads, and orders of shops without contacts, carry the person in themselves.
	Name   string   `json:"name,omitempty" expr:"name"`
	Phones []string `json:"phones,omitempty" expr:"phones"`
	Emails []string `json:"emails,omitempty" expr:"emails"`
}

// Product is one line of a deal.
type Product struct {
	ID       string  `json:"id" expr:"id"`
	Name     string  `json:"name,omitempty" expr:"name"`
	Quantity Decimal `json:"quantity,omitzero" expr:"quantity"`
	Price    Decimal `json:"price,omitzero" expr:"price"`
}

// Call is a telephone call. Durations are whole seconds.
type Call struct {
	Base
	Direction     string    `json:"direction,omitempty" expr:"direction"` // in, out
	CallKind      string    `json:"call_kind,omitempty" expr:"kind"`      // static, dynamic, callback
	StartedAt     time.Time `json:"started_at,omitzero" expr:"started_at"`
	Phone         string    `json:"phone,omitempty" expr:"phone"`
	VirtualNumber string    `json:"virtual_number,omitempty" expr:"virtual_number"`
	TalkDuration  int       `json:"talk_duration,omitempty" expr:"talk_duration"`
	WaitDuration  int       `json:"wait_duration,omitempty" expr:"wait_duration"`
	Missed        bool      `json:"missed,omitempty" expr:"missed"`
	First         bool      `json:"first,omitempty" expr:"first"`
	Campaign      string    `json:"campaign,omitempty" expr:"campaign"`
	Scenario      string    `json:"scenario,omitempty" expr:"scenario"`
	PageURL       string    `json:"page_url,omitempty" expr:"page_url"`
	ReportURL     string    `json:"report_url,omitempty" expr:"report_url"`
	RecordURLs    []string  `json:"record_urls,omitempty" expr:"record_urls"`
	StatusID      string    `json:"status_id,omitempty" expr:"status_id"`
}

// Event is a chat (KindChat), a request such as a form or quiz (KindRequest),
// or a goal that was reached (KindGoal).
type Event struct {
	Base
	Name      string `json:"name,omitempty" expr:"name"`
	Phone     string `json:"phone,omitempty" expr:"phone"`
	Email     string `json:"email,omitempty" expr:"email"`
	Text      string `json:"text,omitempty" expr:"text"`
	Messenger string `json:"messenger,omitempty" expr:"messenger"`
	Lost      bool   `json:"lost,omitempty" expr:"lost"`
	First     bool   `json:"first,omitempty" expr:"first"`
	Campaign  string `json:"campaign,omitempty" expr:"campaign"`
	PageURL   string `json:"page_url,omitempty" expr:"page_url"`
	Target    string `json:"target,omitempty" expr:"target"` // the goal's identifier
}

// Cost is what one day of one advertisement cost.
type Cost struct {
	Base
	Date        Date    `json:"date,omitempty" expr:"date"`
	Engine      string  `json:"engine,omitempty" expr:"engine"`
	Account     string  `json:"account,omitempty" expr:"account"`
	CampaignID  string  `json:"campaign_id,omitempty" expr:"campaign_id"`
	Campaign    string  `json:"campaign,omitempty" expr:"campaign"`
	Group       string  `json:"group,omitempty" expr:"group"`
	Ad          string  `json:"ad,omitempty" expr:"ad"`
	Keyword     string  `json:"keyword,omitempty" expr:"keyword"`
	Impressions int64   `json:"impressions,omitempty" expr:"impressions"`
	Clicks      int64   `json:"clicks,omitempty" expr:"clicks"`
	Amount      Decimal `json:"amount,omitzero" expr:"amount"`
	Currency    string  `json:"currency,omitempty" expr:"currency"`
}

// Visit is a visit to the site.
type Visit struct {
	Base
	PageURL  string `json:"page_url,omitempty" expr:"page_url"`
	Referrer string `json:"referrer,omitempty" expr:"referrer"`
	City     string `json:"city,omitempty" expr:"city"`
	Marker   string `json:"marker,omitempty" expr:"marker"`
}

// StageChange is one step of a deal or lead: it entered StatusID at CreatedAt.
// DealID or LeadID (in Links) says whose step it is.
type StageChange struct {
	Base
	PipelineID string `json:"pipeline_id,omitempty" expr:"pipeline_id"`
	StatusID   string `json:"status_id,omitempty" expr:"status_id"`
	Semantics  string `json:"semantics,omitempty" expr:"semantics"`
}

// What a status means for the deal, in Reference.Semantics.
const (
	SemanticsOpen = "open"
	SemanticsWon  = "won"
	SemanticsLost = "lost"
)

// Reference is a piece of the source's own set-up: a status, a pipeline, a
// field or an employee.
type Reference struct {
	Base
	Name string `json:"name,omitempty" expr:"name"`
	Sort int    `json:"sort,omitempty" expr:"sort"`
	// Of is the kind of record that the status, pipeline or field belongs to.
	Of Kind `json:"of,omitempty" expr:"of"`

	// Statuses: ID is unique in the connection; StatusID is what deals carry.
	PipelineID string `json:"pipeline_id,omitempty" expr:"pipeline_id"`
	StatusID   string `json:"status_id,omitempty" expr:"status_id"`
	Semantics  string `json:"semantics,omitempty" expr:"semantics"`

	// Fields: Code is the key in Record.Fields; Aliases are other names that a
	// person may use for it (symbolic code, numeric id); Name is the label.
	Code    string            `json:"code,omitempty" expr:"code"`
	Aliases []string          `json:"aliases,omitempty" expr:"aliases"`
	Type    string            `json:"type,omitempty" expr:"type"`
	Choices map[string]string `json:"choices,omitempty" expr:"choices"` // option id → label

	// Employees.
	Phones []string `json:"phones,omitempty" expr:"phones"`
	Emails []string `json:"emails,omitempty" expr:"emails"`
	Active bool     `json:"active,omitempty" expr:"active"`
}

// New makes an empty record of the kind.
func New(kind Kind) (Record, error) {
	var r Record
	switch kind {
	case KindCall:
		r = new(Call)
	case KindChat, KindGoal, KindRequest:
		r = new(Event)
	case KindCompany:
		r = new(Company)
	case KindContact:
		r = new(Contact)
	case KindCost:
		r = new(Cost)
	case KindDeal, KindLead:
		r = new(Deal)
	case KindEmployee, KindField, KindPipeline, KindStatus:
		r = new(Reference)
	case KindStageChange:
		r = new(StageChange)
	case KindVisit:
		r = new(Visit)
	default:
		return nil, fmt.Errorf("unknown record kind %q", kind)
	}
	r.Meta().Kind = kind
	return r, nil
}

// Encode renders what the store keeps of a record besides its key, its times of
// reading and its change number. Equal records give equal bytes.
func Encode(r Record) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Meta().Key(), err)
	}
	return data, nil
}

// Decode is the reverse of Encode; the caller fills in key, ReadAt and Seq.
func Decode(kind Kind, data []byte) (Record, error) {
	r, err := New(kind)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind, err)
	}
	return r, nil
}

// Newer reports whether version a replaces the stored version b of the same
// record: by the source's modification time, and between equal ones by the time
// of reading. A deletion carries no modification time of its own, so there the
// time of reading decides alone.
func Newer(a, b *Base) bool {
	if a.Deleted || b.Deleted {
		return a.ReadAt.After(b.ReadAt)
	}
	if !a.UpdatedAt.Equal(b.UpdatedAt) {
		return a.UpdatedAt.After(b.UpdatedAt)
	}
	return !a.ReadAt.Before(b.ReadAt)
}
