package sandbox

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The kinds of entities, as their names stand in the API.
const (
	Companies = "companies"
	Contacts  = "contacts"
	Leads     = "leads"
)

// Entity is a lead, a contact or a company.
type Entity struct {
	ID          int64              `json:"id"`
	Name        string             `json:"name"`
	FirstName   string             `json:"first_name,omitempty"`
	LastName    string             `json:"last_name,omitempty"`
	Price       string             `json:"price,omitempty"` // of leads; "" is 0
	PipelineID  int64              `json:"pipeline_id,omitempty"`
	StatusID    int64              `json:"status_id,omitempty"`
	Responsible int64              `json:"responsible_user_id,omitempty"`
	CreatedBy   int64              `json:"created_by,omitempty"`
	CreatedAt   int64              `json:"created_at"`
	UpdatedAt   int64              `json:"updated_at"`
	ClosedAt    int64              `json:"closed_at,omitempty"`
	Deleted     bool               `json:"deleted,omitempty"`
	Fields      map[int64][]string `json:"fields,omitempty"`
	Tags        []string           `json:"tags,omitempty"`
	ContactIDs  []int64            `json:"contact_ids,omitempty"` // of leads; the first is the main one
	CompanyID   int64              `json:"company_id,omitempty"`
	hidden      bool               // unsorted and not accepted yet
}

func (e *Entity) clone() Entity {
	c := *e
	c.Fields = make(map[int64][]string, len(e.Fields))
	for id, values := range e.Fields {
		c.Fields[id] = slices.Clone(values)
	}
	c.Tags, c.ContactIDs = slices.Clone(e.Tags), slices.Clone(e.ContactIDs)
	return c
}

// Field is a custom field.
type Field struct {
	ID    int64
	Name  string
	Code  string
	Type  string
	Enums []Enum
}

// Enum is one choice of a field.
type Enum struct {
	ID    int64
	Value string
	Code  string
}

// Pipeline is a pipeline with its statuses besides 142 and 143.
type Pipeline struct {
	ID       int64
	Name     string
	Main     bool
	Statuses []Status
}

// Status is a stage of a pipeline.
type Status struct {
	ID       int64
	Name     string
	Unsorted bool
}

// User is an employee.
type User struct {
	ID     int64
	Name   string
	Email  string
	Active bool
}

// Ids of the furniture that tests and samples name.
const (
	MainPipeline    = 7883550
	SecondPipeline  = 7883554
	StatusNew       = 64831342
	StatusWork      = 64831346
	StatusWon       = 142
	StatusLost      = 143
	LeadUTMSource   = 271301
	LeadUTMMedium   = 271303
	LeadUTMCampaign = 271305
	LeadYMUID       = 271316
	LeadRoistat     = 271318
	LeadGCLID       = 271319
	LeadYCLID       = 271320
	LeadSvodID      = 271330 // the communication id that our uploads may be given
	LeadDelivery    = 271340
	LeadChannel     = 271342
	ContactPosition = 735647
	ContactPhone    = 735649
	ContactEmail    = 735651
	ContactBirthday = 735655
	CompanyPhone    = 735659
	CompanyEmail    = 735661
	CompanyLegal    = 735663
	UserAdmin       = 886363
	UserManager     = 886367
)

type table struct {
	kind    string
	order   []int64 // ascending
	rows    map[int64]*Entity
	fields  []Field
	byPhone map[string][]int64
}

func (t *table) all() []Entity {
	out := make([]Entity, 0, len(t.order))
	for _, id := range t.order {
		out = append(out, t.rows[id].clone())
	}
	return out
}

func (t *table) field(id int64) *Field {
	for i := range t.fields {
		if t.fields[i].ID == id {
			return &t.fields[i]
		}
	}
	return nil
}

func (t *table) coded(code string) *Field {
	for i := range t.fields {
		if t.fields[i].Code == code {
			return &t.fields[i]
		}
	}
	return nil
}

func (a *Account) furnish() {
	text := func(id int64, name, code, kind string) Field {
		return Field{ID: id, Name: name, Code: code, Type: kind}
	}
	work := []Enum{{718321, "Раб. тел.", "WORK"}, {718323, "Мобильный", "MOB"}, {718325, "Другой", "OTHER"}}
	mail := []Enum{{718333, "Раб. e-mail", "WORK"}, {718335, "Личный", "PRIV"}, {718337, "Другой", "OTHER"}}
	multi := func(id int64, name, code string, enums []Enum) Field {
		return Field{ID: id, Name: name, Code: code, Type: "multitext", Enums: enums}
	}
	a.tables = map[string]*table{}
	for kind, fields := range map[string][]Field{
		Leads: {
			text(LeadUTMSource, "utm_source", "UTM_SOURCE", "tracking_data"), text(LeadUTMMedium, "utm_medium", "UTM_MEDIUM", "tracking_data"),
			text(LeadUTMCampaign, "utm_campaign", "UTM_CAMPAIGN", "tracking_data"),
			text(LeadYMUID, "_ym_uid", "_YM_UID", "tracking_data"), text(LeadRoistat, "roistat", "ROISTAT", "tracking_data"),
			text(LeadGCLID, "gclid", "GCLID", "tracking_data"), text(LeadYCLID, "yclid", "YCLID", "tracking_data"),
			text(LeadSvodID, "Svod ID", "", "text"), text(LeadDelivery, "Дата доставки", "", "date"),
			{ID: LeadChannel, Name: "Канал", Type: "multiselect", Enums: []Enum{{718401, "Сайт", ""}, {718403, "Звонок", ""}}},
		},
		Contacts: {
			text(ContactPosition, "Должность", "POSITION", "text"), multi(ContactPhone, "Телефон", "PHONE", work),
			multi(ContactEmail, "Email", "EMAIL", mail), text(ContactBirthday, "День рождения", "", "birthday"),
		},
		Companies: {
			multi(CompanyPhone, "Телефон", "PHONE", work), multi(CompanyEmail, "Email", "EMAIL", mail),
			text(CompanyLegal, "Юр. лицо", "", "legal_entity"),
		},
	} {
		a.tables[kind] = &table{kind: kind, rows: map[int64]*Entity{}, fields: fields, byPhone: map[string][]int64{}}
	}
	a.pipelines = []Pipeline{
		{ID: MainPipeline, Name: "Воронка", Main: true, Statuses: []Status{
			{64831338, "Неразобранное", true}, {StatusNew, "Первичный контакт", false}, {StatusWork, "Переговоры", false}}},
		{ID: SecondPipeline, Name: "Повторные", Statuses: []Status{
			{64831360, "Неразобранное", true}, {64831362, "Новая", false}}},
	}
	a.users = []User{
		{UserAdmin, "Администратор", "admin@example.test", true},
		{UserManager, "Менеджер", "manager@example.test", true},
		{886371, "Уволенный", "former@example.test", false},
	}
}

// Add makes an entity, tells about it and gives its id.
func (a *Account) Add(kind string, e Entity) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.add(kind, e, true)
}

func (a *Account) add(kind string, e Entity, fire bool) int64 {
	t := a.tables[kind]
	at := a.now().Unix()
	a.lastID += 2
	e = e.clone()
	e.ID = a.lastID
	if e.CreatedAt == 0 {
		e.CreatedAt = at
	}
	e.UpdatedAt = max(at, e.CreatedAt)
	if e.Responsible == 0 {
		e.Responsible = UserAdmin
	}
	if kind == Leads {
		if e.PipelineID == 0 {
			e.PipelineID = MainPipeline
		}
		if e.StatusID == 0 {
			e.StatusID = a.firstStatus(e.PipelineID)
		}
		a.close(&e, at)
	}
	t.rows[e.ID] = &e
	t.order = append(t.order, e.ID)
	a.index(t, &e)
	a.note(kind, &e, "added", Entity{})
	if fire {
		a.fire(kind, "add", e, Entity{})
	}
	return e.ID
}

func (a *Account) firstStatus(pipeline int64) int64 {
	for _, p := range a.pipelines {
		for _, s := range p.Statuses {
			if p.ID == pipeline && !s.Unsorted {
				return s.ID
			}
		}
	}
	return StatusNew
}

func (a *Account) close(e *Entity, at int64) {
	if e.StatusID != StatusWon && e.StatusID != StatusLost {
		e.ClosedAt = 0
	} else if e.ClosedAt == 0 {
		e.ClosedAt = at
	}
}

// index keeps phones, to notice people who are made twice (§9.17).
func (a *Account) index(t *table, e *Entity) {
	f := t.coded("PHONE")
	if f == nil {
		return
	}
	for _, phone := range e.Fields[f.ID] {
		key := onlyDigits(phone)
		if !slices.Contains(t.byPhone[key], e.ID) {
			t.byPhone[key] = append(t.byPhone[key], e.ID)
		}
	}
}

func onlyDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}

// Change changes an entity and tells about it. It is false when there is none.
func (a *Account) Change(kind string, id int64, change func(*Entity)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.change(kind, id, change)
}

func (a *Account) change(kind string, id int64, change func(*Entity)) bool {
	t := a.tables[kind]
	e := t.rows[id]
	if e == nil || e.Deleted {
		return false
	}
	before, at := e.clone(), a.now().Unix()
	after := e.clone()
	change(&after)
	after.ID, after.UpdatedAt = id, max(at, before.UpdatedAt)
	if kind == Leads {
		a.close(&after, at)
	}
	*e = after
	a.index(t, e)
	if before.StatusID != after.StatusID || before.PipelineID != after.PipelineID {
		a.note(kind, e, "status_changed", before)
		a.fire(kind, "status", after, before)
	}
	if before.Responsible != after.Responsible {
		a.fire(kind, "responsible", after, before)
	}
	if len(after.ContactIDs) != len(before.ContactIDs) {
		a.note(kind, e, "linked", before)
	}
	a.fire(kind, "update", after, before)
	return true
}

// Delete puts an entity into the bin.
func (a *Account) Delete(kind string, id int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.tables[kind].rows[id]
	if e == nil || e.Deleted {
		return false
	}
	e.Deleted = true
	a.note(kind, e, "deleted", *e)
	a.fire(kind, "delete", e.clone(), Entity{})
	return true
}

// Restore takes an entity out of the bin.
func (a *Account) Restore(kind string, id int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.tables[kind].rows[id]
	if e == nil || !e.Deleted {
		return false
	}
	e.Deleted, e.UpdatedAt = false, max(a.now().Unix(), e.UpdatedAt)
	a.note(kind, e, "restored", *e)
	a.fire(kind, "restore", e.clone(), Entity{})
	return true
}

// Get gives an entity.
func (a *Account) Get(kind string, id int64) (Entity, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.tables[kind].rows[id]
	if e == nil {
		return Entity{}, false
	}
	return e.clone(), true
}

// All lists the entities of a kind, deleted ones too, by id.
func (a *Account) All(kind string) []Entity {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tables[kind].all()
}

// event is an entry of the history.
type event struct {
	id, kind, entity string
	entityID, at     int64
	after, before    any
}

// singular names of entities in events and webhooks.
var singular = map[string]string{Companies: "company", Contacts: "contact", Leads: "lead"}

func (a *Account) note(kind string, e *Entity, what string, before Entity) {
	name := "lead_"
	if kind != Leads {
		name = singular[kind] + "_"
	}
	ev := event{
		id: fmt.Sprintf("01hr%022d", len(a.events)+1), kind: name + what, entity: singular[kind],
		entityID: e.ID, at: a.now().Unix(), after: []any{}, before: []any{},
	}
	switch what {
	case "status_changed":
		ev.after, ev.before = statusValue(e), statusValue(&before)
	case "linked":
		if n := len(e.ContactIDs); n > 0 {
			ev.after = []any{map[string]any{"link": map[string]any{"entity": map[string]any{"type": "contact", "id": e.ContactIDs[n-1]}}}}
		}
	}
	a.events = append(a.events, ev)
}

func statusValue(e *Entity) any {
	return []any{map[string]any{"lead_status": map[string]any{"id": e.StatusID, "pipeline_id": e.PipelineID}}}
}

// sortedFields gives the ids of an entity's fields in the table's order.
func (t *table) sortedFields(e *Entity) []int64 {
	return slices.Sorted(maps.Keys(e.Fields))
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
