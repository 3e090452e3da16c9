package roistat

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

type pagination struct {
	TotalCount int `json:"total_count"`
	Limit      int `json:"limit"`
}

// order is a deal as Roistat wants it (roistat §2.4). Ids are always texts.
type order struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	DateCreate int64             `json:"date_create"`
	DateUpdate int64             `json:"date_update,omitempty"`
	Status     string            `json:"status"`
	Price      json.Number       `json:"price,omitempty"`
	Cost       json.Number       `json:"cost,omitempty"`
	Roistat    string            `json:"roistat"`
	ClientID   string            `json:"client_id,omitempty"`
	ManagerID  string            `json:"manager_id,omitempty"`
	Fields     map[string]string `json:"fields"` // {} when empty, never a list
	Products   []product         `json:"products,omitempty"`
}

type product struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Price    json.Number `json:"price,omitempty"`
	Quantity json.Number `json:"quantity,omitempty"`
}

type ordersAnswer struct {
	Orders     []order    `json:"orders"`
	Pagination pagination `json:"pagination"`
}

func (c *call) export(ctx context.Context) (any, string, error) {
	a, note, err := c.orders(ctx)
	if err != nil {
		return nil, "", err
	}
	return a, note, nil
}

// orders answers one page of the list of orders.
func (c *call) orders(ctx context.Context) (*ordersAnswer, string, error) {
	since, err := c.params.since(c.now, c.window)
	if err != nil {
		return nil, "", err
	}
	p, err := c.page(ctx, list{name: "export:" + c.params.date(), make: func(ctx context.Context) ([]entry, error) {
		sources, err := c.complete(ctx)
		if err != nil {
			return nil, err
		}
		entries, err := c.orderEntries(ctx, connectionsOf(sources), since)
		if err != nil {
			return nil, err
		}
		return entries, c.guard(ctx, since, len(entries))
	}})
	if err != nil {
		return nil, "", err
	}
	orders, err := c.ordersOf(ctx, p.entries)
	if err != nil {
		return nil, "", err
	}
	return &ordersAnswer{Orders: orders, Pagination: pagination{TotalCount: p.total, Limit: p.limit}},
		fmt.Sprintf("orders from %d: %d of %d", p.offset, len(orders), p.total), nil
}

// ordersOf turns a part of the list into orders. A record that is deleted since
// the list was made goes out once more with its last data, so that the count
// stays true; the next list leaves it out.
func (c *call) ordersOf(ctx context.Context, entries []entry) ([]order, error) {
	orders := make([]order, 0, len(entries))
	if len(entries) == 0 {
		return orders, nil
	}
	sources, err := c.desk.Sources(ctx)
	if err != nil {
		return nil, err
	}
	b, err := c.book(ctx, connectionsOf(sources))
	if err != nil {
		return nil, err
	}
	records, err := c.recordsOf(ctx, entries)
	if err != nil {
		return nil, err
	}
	contacts, err := c.contactsOf(ctx, records)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		d, ok := records[e.key].(*model.Deal)
		if !ok {
			return nil, refuse(http.StatusServiceUnavailable, model.CauseIncomplete, "A part of the list cannot be read any more, please begin again")
		}
		o := c.order(b, d, contacts)
		if e.promised != "" {
			o.ID = e.promised
			if lead, ok := records[c.ownKey(e.promised)].(*model.Deal); ok && o.Roistat == "" {
				o.Roistat = lead.Roistat
			}
		}
		orders = append(orders, o)
	}
	return orders, c.keep(ctx, b)
}

// ownKey names the record that we made of a lead.
func (c *call) ownKey(orderID string) model.Key {
	return model.Key{Connection: c.deps.Connection, Kind: model.KindLead, ID: orderID}
}

// recordsOf reads a page's deals, and the leads that became them.
func (c *call) recordsOf(ctx context.Context, entries []entry) (map[model.Key]model.Record, error) {
	keys := make([]model.Key, 0, len(entries))
	for _, e := range entries {
		keys = append(keys, e.key)
		if e.promised != "" && e.key != c.ownKey(e.promised) {
			keys = append(keys, c.ownKey(e.promised))
		}
	}
	return c.desk.Records(ctx, keys)
}

// contactsOf reads the contacts of deals; only live ones are in the list of
// clients, and only what is there may be pointed to (roistat §9).
func (c *call) contactsOf(ctx context.Context, deals map[model.Key]model.Record) (map[model.Key]model.Record, error) {
	var keys []model.Key
	asked := map[model.Key]bool{}
	for _, r := range deals {
		if key, ok := contactKey(r); ok && !asked[key] {
			asked[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	return c.desk.Records(ctx, keys)
}

func contactKey(r model.Record) (model.Key, bool) {
	m := r.Meta()
	return model.Key{Connection: m.Connection, Kind: model.KindContact, ID: m.ContactID}, m.Kind == model.KindDeal && m.ContactID != ""
}

func (c *call) order(b *book, d *model.Deal, contacts map[model.Key]model.Record) order {
	o := order{
		ID:         b.id(d.Connection, d.ID),
		Name:       d.Title,
		DateCreate: firstUnix(d.CreatedAt, d.UpdatedAt, d.ReadAt),
		DateUpdate: firstUnix(d.UpdatedAt),
		Roistat:    visit(d.Roistat),
		Fields:     map[string]string{},
	}
	if d.Connection == c.deps.Connection { // a lead of Roistat that no CRM has made an order of
		o.Status, o.ManagerID = statusNew, d.EmployeeID
		return o
	}
	o.Status = b.status(d)
	o.Price, o.Cost = number(d.Amount), number(d.Cost)
	o.ManagerID = b.id(d.Connection, d.EmployeeID)
	if key, ok := contactKey(d); ok {
		if contact := contacts[key]; contact != nil && !contact.Meta().Deleted {
			o.ClientID = b.id(d.Connection, d.ContactID)
		}
	}
	c.fill(b, o.Fields, d)
	for _, p := range d.Products {
		o.Products = append(o.Products, product{ID: p.ID, Name: p.Name, Price: number(p.Price), Quantity: number(p.Quantity)})
	}
	return o
}

// fill writes the deal's fields and its UTM tags, which the scheme always has.
func (c *call) fill(b *book, fields map[string]string, d *model.Deal) {
	for code, value := range d.Fields {
		id := c.field(b, d.Connection, code)
		if id == "" {
			continue
		}
		if text := labels(b.perConn[d.Connection].fields[code], value); text != "" {
			fields[id] = text
		}
	}
	for i, value := range [...]string{d.UTM.Source, d.UTM.Medium, d.UTM.Campaign, d.UTM.Content, d.UTM.Term} {
		if value != "" {
			fields[utmFields[i]] = value
		}
	}
}

// labels renders a field's value; the ids of a list's options become what people
// see.
func labels(field *model.Reference, value any) string {
	label := func(text string) string {
		if field != nil {
			if name, ok := field.Choices[text]; ok {
				return name
			}
		}
		return text
	}
	switch v := value.(type) {
	case string:
		return label(v)
	case []string:
		all := make([]string, 0, len(v))
		for _, text := range v {
			all = append(all, label(text))
		}
		return strings.Join(all, ", ")
	case []any: // as decoded from the store
		all := make([]string, 0, len(v))
		for _, text := range v {
			if text, ok := text.(string); ok {
				all = append(all, label(text))
			}
		}
		return strings.Join(all, ", ")
	}
	return ""
}

// visit is what Roistat ties the order to: a visit number, a promo code or a
// marker; a placeholder that nobody filled is none (roistat §6).
func visit(text string) string {
	text = strings.TrimSpace(text)
	if placeholder.MatchString(text) {
		return ""
	}
	return text
}

func number(d model.Decimal) json.Number { return json.Number(d.String()) }

// firstUnix gives the first time that is known.
func firstUnix(times ...time.Time) int64 {
	for _, t := range times {
		if !t.IsZero() {
			return t.Unix()
		}
	}
	return 0
}

// orderEntries lists the orders since a date: the deals of all sources, all
// pipelines and statuses (roistat §2.4, rule 1), deleted ones left out, and the
// leads that Roistat pushed and the CRM has not made deals of. A deal that such a
// lead became goes by the promised id, once.
func (c *call) orderEntries(ctx context.Context, sources []string, since time.Time) ([]entry, error) {
	keys, err := c.desk.ChangedKeys(ctx, sources, model.KindDeal, since)
	if err != nil {
		return nil, err
	}
	promises, err := c.promises(ctx, sources)
	if err != nil {
		return nil, err
	}
	leads, err := c.desk.ChangedKeys(ctx, []string{c.deps.Connection}, model.KindLead, since)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(keys)+len(leads))
	listed := make(map[string]bool, len(leads))
	for _, key := range keys {
		id := promises[key]
		entries = append(entries, entry{key: key, promised: id})
		if id != "" {
			listed[id] = true
		}
	}
	more, err := c.leadEntries(ctx, leads, promises, listed)
	return append(entries, more...), err
}

// leadEntries lists the pushed leads that are not in the list as deals yet.
func (c *call) leadEntries(ctx context.Context, leads []model.Key, promises map[model.Key]string, listed map[string]bool) ([]entry, error) {
	became := make(map[string]model.Key, len(promises))
	for key, id := range promises {
		if at, ok := became[id]; !ok || at.Kind != model.KindDeal {
			became[id] = key
		}
	}
	var linked []model.Key
	for _, lead := range leads {
		if key, ok := became[lead.ID]; ok && !listed[lead.ID] {
			linked = append(linked, key)
		}
	}
	records := map[model.Key]model.Record{}
	for batch := range slices.Chunk(linked, batchSize) {
		part, err := c.desk.Records(ctx, batch)
		if err != nil {
			return nil, err
		}
		for key, r := range part {
			records[key] = r
		}
	}
	var entries []entry
	for _, lead := range leads {
		if listed[lead.ID] {
			continue
		}
		key := became[lead.ID]
		switch r := records[key]; {
		case r != nil && r.Meta().Deleted:
			// The CRM has deleted what the lead became.
		case r != nil && key.Kind == model.KindDeal:
			// An older deal that the lead was added to: not changed since the date, but
			// Roistat knows it as an order of now.
			entries = append(entries, entry{key: key, promised: lead.ID})
		default:
			entries = append(entries, entry{key: lead, promised: lead.ID})
		}
	}
	return entries, nil
}
