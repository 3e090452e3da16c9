package roistat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type manager struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Phone string `json:"phone"`
	Email string `json:"email"`
}

// schemeAnswer always has all three lists (roistat §2.3).
type schemeAnswer struct {
	Statuses []named   `json:"statuses"`
	Fields   []named   `json:"fields"`
	Managers []manager `json:"managers"`
}

// utmFields must be there in any scheme (roistat §2.3).
var utmFields = []string{"utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"}

// Statuses and fields that deals carry and the source's own lists do not know
// are remembered, so that the scheme has them for ever after.
const (
	seenMemory = "seen_outside_scheme"
	maxSeen    = 1000
)

type seen struct {
	Statuses []place `json:"statuses,omitempty"`
	Fields   []place `json:"fields,omitempty"` // Status is the field's code
}

// book knows how to name what deals carry.
type book struct {
	naming
	sources  []string
	perConn  map[string]*sourceBook
	seen     seen
	newPlace bool // seen has grown
}

type sourceBook struct {
	statuses  []*model.Reference
	ids       map[string]bool // of the listed statuses, as exported
	pipelines map[string]string
	fields    map[string]*model.Reference
	codes     []string // of fields, in the source's order
	pipelined bool
}

// book reads the sources' own set-up.
func (c *call) book(ctx context.Context, sources []string) (*book, error) {
	b := &book{sources: sources, perConn: map[string]*sourceBook{}}
	var err error
	if b.naming, err = c.naming(ctx, sources); err != nil {
		return nil, err
	}
	text, err := c.recall(ctx, seenMemory)
	if err != nil {
		return nil, err
	}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &b.seen); err != nil {
			return nil, fmt.Errorf("read the statuses seen before: %w", err)
		}
	}
	for _, connection := range sources {
		s, err := c.sourceBook(ctx, connection)
		if err != nil {
			return nil, err
		}
		for _, r := range s.statuses {
			s.ids[b.refID(s, connection, r)] = true
		}
		b.perConn[connection] = s
	}
	return b, nil
}

func (c *call) sourceBook(ctx context.Context, connection string) (*sourceBook, error) {
	s := &sourceBook{ids: map[string]bool{}, pipelines: map[string]string{}, fields: map[string]*model.Reference{}}
	lists := map[model.Kind][]*model.Reference{}
	for _, kind := range []model.Kind{model.KindStatus, model.KindPipeline, model.KindField} {
		all, err := c.desk.References(ctx, connection, kind)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if r.Of == "" || r.Of == model.KindDeal {
				lists[kind] = append(lists[kind], r)
			}
		}
		slices.SortStableFunc(lists[kind], func(a, b *model.Reference) int {
			return cmp.Or(cmp.Compare(a.PipelineID, b.PipelineID), cmp.Compare(a.Sort, b.Sort), cmp.Compare(a.ID, b.ID))
		})
	}
	s.statuses = lists[model.KindStatus]
	switch c.StatusIDs {
	case statusPipelined:
		s.pipelined = true
	case idsAuto:
		s.pipelined = repeats(s.statuses)
	}
	for _, r := range lists[model.KindPipeline] {
		s.pipelines[r.ID] = r.Name
	}
	for _, r := range lists[model.KindField] {
		if code := cmp.Or(r.Code, r.ID); c.exportsField(code) && s.fields[code] == nil {
			s.fields[code] = r
			s.codes = append(s.codes, code)
		}
	}
	return s, nil
}

func (c *call) exportsField(code string) bool {
	return len(c.Fields) == 0 || slices.Contains(c.Fields, code)
}

// status names a deal's status and makes sure that the scheme has it.
func (b *book) status(d *model.Deal) string {
	s := b.perConn[d.Connection]
	at := place{Connection: d.Connection, Pipeline: d.PipelineID, Status: d.StatusID}
	if s == nil || at.Status == "" {
		return statusNone
	}
	if !s.pipelined {
		at.Pipeline = ""
	}
	id := b.statusID(at, s.pipelined)
	if !s.ids[id] && !slices.Contains(b.seen.Statuses, at) {
		if len(b.seen.Statuses) >= maxSeen {
			return statusNone
		}
		b.seen.Statuses = append(b.seen.Statuses, at)
		b.newPlace = true
	}
	return id
}

func (b *book) refID(s *sourceBook, connection string, r *model.Reference) string {
	return b.statusID(place{Connection: connection, Pipeline: r.PipelineID, Status: cmp.Or(r.StatusID, r.ID)}, s.pipelined)
}

// field gives the id under which a deal's field is exported, or "".
func (c *call) field(b *book, connection, code string) string {
	s := b.perConn[connection]
	if s == nil || !c.exportsField(code) {
		return ""
	}
	if s.fields[code] == nil {
		if len(s.fields) > 0 && !slices.Contains(c.Fields, code) {
			return "" // the source lists its fields, and this is none of them
		}
		at := place{Connection: connection, Status: code}
		if !slices.Contains(b.seen.Fields, at) {
			if len(b.seen.Fields) >= maxSeen {
				return ""
			}
			b.seen.Fields = append(b.seen.Fields, at)
			b.newPlace = true
		}
	}
	return b.id(connection, code)
}

// keep remembers what was seen outside of the scheme.
func (c *call) keep(ctx context.Context, b *book) error {
	if !b.newPlace {
		return nil
	}
	text, err := json.Marshal(b.seen)
	if err != nil {
		return err
	}
	return c.remember(ctx, seenMemory, string(text))
}

func (c *call) importScheme(ctx context.Context) (any, string, error) {
	s, err := c.scheme(ctx)
	if err != nil {
		return nil, "", err
	}
	return s, fmt.Sprintf("scheme: %d statuses, %d fields, %d managers", len(s.Statuses), len(s.Fields), len(s.Managers)), nil
}

func (c *call) scheme(ctx context.Context) (*schemeAnswer, error) {
	sources, err := c.desk.Sources(ctx)
	if err != nil {
		return nil, err
	}
	b, err := c.book(ctx, connectionsOf(sources))
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if s.Importing && len(b.perConn[s.Connection].statuses) == 0 {
			return nil, c.incomplete(ctx, "Connection "+s.Connection+" is still loading its statuses")
		}
	}
	if err := c.lookForStatuses(ctx, b); err != nil {
		return nil, err
	}
	managers, err := c.managers(ctx, b)
	if err != nil {
		return nil, err
	}
	return &schemeAnswer{Statuses: b.listStatuses(), Fields: b.listFields(), Managers: managers}, nil
}

// lookForStatuses goes through the newest deals, so that a status which the
// source's list lacks is in the scheme before an order carries it. Older deals
// bring theirs when they are exported.
func (c *call) lookForStatuses(ctx context.Context, b *book) error {
	keys, err := c.desk.ChangedKeys(ctx, b.sources, model.KindDeal, c.now.Add(-2*c.window))
	if err != nil {
		return err
	}
	const enough = 20000
	keys = keys[max(0, len(keys)-enough):]
	for batch := range slices.Chunk(keys, batchSize) {
		records, err := c.desk.Records(ctx, batch)
		if err != nil {
			return err
		}
		for _, r := range records {
			if d, ok := r.(*model.Deal); ok {
				b.status(d)
			}
		}
	}
	return c.keep(ctx, b)
}

func (b *book) listStatuses() []named {
	list := []named{{ID: statusNew, Name: "Новая заявка, ещё не в CRM"}, {ID: statusNone, Name: "Без статуса"}}
	have := map[string]bool{statusNew: true, statusNone: true}
	add := func(id, name string) {
		if !have[id] {
			have[id] = true
			list = append(list, named{ID: id, Name: name})
		}
	}
	for _, connection := range b.sources {
		s := b.perConn[connection]
		for _, r := range s.statuses {
			add(b.refID(s, connection, r), b.statusName(connection, s, r.PipelineID, cmp.Or(r.Name, r.StatusID, r.ID)))
		}
	}
	for _, at := range b.seen.Statuses {
		if s := b.perConn[at.Connection]; s != nil {
			add(b.statusID(at, s.pipelined), b.statusName(at.Connection, s, at.Pipeline, at.Status))
		}
	}
	return list
}

// statusName tells the statuses of several pipelines and sources apart, as a
// bridge does: "Новая (Воронка 1)" (roistat §2.3).
func (b *book) statusName(connection string, s *sourceBook, pipeline, name string) string {
	var where []string
	if pipeline != "" && len(s.pipelines) != 1 {
		where = append(where, cmp.Or(s.pipelines[pipeline], pipeline))
	}
	if len(b.sources) > 1 {
		where = append(where, connection)
	}
	if len(where) == 0 {
		return name
	}
	return name + " (" + strings.Join(where, ", ") + ")"
}

func (b *book) listFields() []named {
	list := []named{}
	have := map[string]bool{}
	add := func(id, name string) {
		if !have[id] {
			have[id] = true
			list = append(list, named{ID: id, Name: name})
		}
	}
	for _, code := range utmFields {
		add(code, code)
	}
	for _, connection := range b.sources {
		s := b.perConn[connection]
		for _, code := range s.codes {
			add(b.id(connection, code), cmp.Or(s.fields[code].Name, code))
		}
	}
	for _, at := range b.seen.Fields {
		if s := b.perConn[at.Connection]; s != nil && s.fields[at.Status] == nil {
			add(b.id(at.Connection, at.Status), at.Status)
		}
	}
	return list
}

func (c *call) managers(ctx context.Context, b *book) ([]manager, error) {
	list := []manager{}
	for _, connection := range b.sources {
		employees, err := c.desk.References(ctx, connection, model.KindEmployee)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(employees, func(x, y *model.Reference) int { return cmp.Compare(x.ID, y.ID) })
		for _, e := range employees {
			list = append(list, manager{
				ID: b.id(connection, e.ID), Name: cmp.Or(e.Name, e.ID), Phone: first(e.Phones), Email: first(e.Emails),
			})
		}
	}
	return list, nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func connectionsOf(sources []connectors.PullSource) []string {
	list := make([]string, 0, len(sources))
	for _, s := range sources {
		list = append(list, s.Connection)
	}
	return list
}
