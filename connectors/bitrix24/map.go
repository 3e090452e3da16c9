package bitrix24

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// mapper turns items of one kind into records. A value that cannot be read
// leaves its member empty; its text stays in Fields.
type mapper struct {
	connection string
	kind       model.Kind
	names      namer
	readAt     time.Time
	region     string
	tracking   trackingCodes
	zone       *time.Location // for times without an offset
}

func (c *Connector) mapper(kind model.Kind, tracking tracking, readAt time.Time) *mapper {
	return &mapper{
		connection: c.deps.Connection, kind: kind, names: namer{kind: kind, codes: map[string]string{}}, readAt: readAt,
		region: c.cfg.PhoneRegion, tracking: tracking[kind], zone: c.zone(),
	}
}

func (c *Connector) zone() *time.Location {
	if c.deps.Zone == nil {
		return time.UTC
	}
	return c.deps.Zone
}

// record maps one entity; the error says that it has no id or is no object.
func (m *mapper) record(raw json.RawMessage) (model.Record, error) {
	it, err := m.names.readItem(raw)
	if err != nil {
		return nil, err
	}
	base := m.base(it)
	if base.ID == "" {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "a %s in the portal's answer has no id", m.kind)
	}
	switch m.kind {
	case model.KindCompany:
		return &model.Company{Base: base, Name: it.text("TITLE"), Phones: m.phones(it), Emails: identity.Emails(it.multi("EMAIL"))}, nil
	case model.KindContact:
		return m.contact(base, it), nil
	case model.KindDeal:
		return m.deal(base, it), nil
	case model.KindLead:
		return m.lead(base, it), nil
	}
	return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "records of kind %s are not mapped", m.kind)
}

func (m *mapper) base(it item) model.Base {
	b := model.Base{
		Kind: m.kind, Connection: m.connection, ID: it.id("ID"), ReadAt: m.readAt,
		CreatedAt: m.time(it, "DATE_CREATE"), UpdatedAt: m.time(it, "DATE_MODIFY"),
		Source: it.text("SOURCE_ID"), Comment: it.text("COMMENTS"), Fields: it.fields(),
	}
	b.Links = model.Links{
		CompanyID: it.id("COMPANY_ID"), ContactID: it.id("CONTACT_ID"), EmployeeID: it.id("ASSIGNED_BY_ID"), LeadID: it.id("LEAD_ID"),
	}
	b.UTM = model.UTM{
		Source: it.text("UTM_SOURCE"), Medium: it.text("UTM_MEDIUM"), Campaign: it.text("UTM_CAMPAIGN"),
		Content: it.text("UTM_CONTENT"), Term: it.text("UTM_TERM"),
	}
	m.tracking.fill(&b)
	return b
}

func (m *mapper) contact(b model.Base, it item) *model.Contact {
	r := &model.Contact{
		Base: b, FirstName: it.text("NAME"), LastName: it.text("LAST_NAME"), MiddleName: it.text("SECOND_NAME"),
		Phones: m.phones(it), Emails: identity.Emails(it.multi("EMAIL")),
	}
	r.Name = joined(r.FirstName, r.MiddleName, r.LastName)
	// A date is the day that the server wrote, whatever the offset behind it.
	if day, err := model.ParseDate(it.text("BIRTHDATE")); err == nil {
		r.BirthDate = day
	}
	if r.ClientID != "" {
		r.ClientIDs = []string{r.ClientID}
	}
	if r.UserID != "" {
		r.UserIDs = []string{r.UserID}
	}
	return r
}

func (m *mapper) deal(b model.Base, it item) *model.Deal {
	r := &model.Deal{
		Base: b, Title: it.text("TITLE"), Amount: amount(it), Currency: currencyOf(it),
		PipelineID: it.text("CATEGORY_ID"), StatusID: it.text("STAGE_ID"),
	}
	if r.PipelineID == "" && r.StatusID != "" {
		r.PipelineID = "0"
	}
	final := isFinal(it.text("STAGE_SEMANTIC_ID"))
	if !final && !strings.EqualFold(it.text("CLOSED"), "Y") {
		return r
	}
	// CLOSEDATE is a plan until the deal is closed, and only a day then; the move
	// into the final stage is the moment itself (§7.3).
	if final {
		r.ClosedAt = m.time(it, "MOVED_TIME")
	}
	if r.ClosedAt.IsZero() {
		r.ClosedAt = m.time(it, "CLOSEDATE")
	}
	return r
}

func (m *mapper) lead(b model.Base, it item) *model.Deal {
	r := &model.Deal{
		Base: b, Title: it.text("TITLE"), Amount: amount(it), Currency: currencyOf(it), StatusID: it.text("STATUS_ID"),
		Name:   joined(it.text("NAME"), it.text("SECOND_NAME"), it.text("LAST_NAME")),
		Phones: m.phones(it), Emails: identity.Emails(it.multi("EMAIL")),
	}
	if isFinal(it.text("STATUS_SEMANTIC_ID")) {
		if r.ClosedAt = m.time(it, "DATE_CLOSED"); r.ClosedAt.IsZero() {
			r.ClosedAt = m.time(it, "MOVED_TIME")
		}
	}
	return r
}

// stageChange maps a row of crm.stagehistory.list (§7.8). The histories of deals
// and leads number their rows apart.
func (m *mapper) stageChange(of model.Kind, raw json.RawMessage) (*model.StageChange, error) {
	it, err := m.names.readItem(raw)
	if err != nil {
		return nil, err
	}
	id := it.id("ID")
	if id == "" {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "a step in the portal's stage history has no id")
	}
	r := &model.StageChange{Base: model.Base{
		Kind: model.KindStageChange, Connection: m.connection, ID: string(of) + ":" + id, ReadAt: m.readAt,
		CreatedAt: m.time(it, "CREATED_TIME"), UpdatedAt: m.time(it, "CREATED_TIME"), Fields: it.fields(),
	}}
	if of == model.KindLead {
		r.LeadID, r.StatusID = it.id("OWNER_ID"), it.text("STATUS_ID")
		r.Semantics = semantics(it.text("STATUS_SEMANTIC_ID"))
		return r, nil
	}
	r.DealID, r.StatusID, r.PipelineID = it.id("OWNER_ID"), it.text("STAGE_ID"), it.text("CATEGORY_ID")
	r.Semantics = semantics(it.text("STAGE_SEMANTIC_ID"))
	return r, nil
}

// semantics translates the portal's letters and words (§7.8).
func semantics(code string) string {
	switch strings.ToLower(code) {
	case "s", "success":
		return model.SemanticsWon
	case "f", "failure", "apology":
		return model.SemanticsLost
	}
	return model.SemanticsOpen
}

func isFinal(semantic string) bool { return semantics(semantic) != model.SemanticsOpen }

func (m *mapper) phones(it item) []string { return identity.Phones(it.multi("PHONE"), m.region) }

// time reads a moment; a value without an offset is taken as the project's time,
// because the server's zone is not known (§9).
func (m *mapper) time(it item, code string) time.Time {
	t, err := loosejson.ParseTime(it.text(code), m.zone)
	if err != nil || t.Year() < 1900 || t.Year() > 2200 {
		return time.Time{}
	}
	return t
}

func amount(it item) model.Decimal {
	d, err := model.ParseDecimal(it.text("OPPORTUNITY"))
	if err != nil {
		return model.Decimal{}
	}
	return d
}

// currencyOf keeps codes that are not of ISO 4217 too: portals may have
// currencies of their own making, and a flow that needs a real one refuses the
// record with that as its cause rather than send an amount without a currency.
func currencyOf(it item) string {
	return strings.ToUpper(strings.TrimSpace(it.text("CURRENCY_ID")))
}

func joined(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
