package roistat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

const (
	// Roistat repeats a lead for two days (roistat §2.6); its id is good for ever.
	hashLives = 72 * time.Hour
	idLives   = 100 * 365 * 24 * time.Hour
	longestID = 100
)

type okAnswer struct {
	Status  string `json:"status"`
	OrderID string `json:"order_id,omitempty"`
	TaskID  string `json:"task_id,omitempty"`
	CallID  string `json:"call_id,omitempty"`
}

// lead takes a lead that Roistat pushes. The order id is given at once and for
// ever, before any CRM knows of it; the same lead again gets the same id
// (roistat §2.6).
func (c *call) lead(ctx context.Context) (any, string, error) {
	key, lives := c.leadKey()
	orderID, fresh, err := c.desk.Promise(ctx, key, c.now.Add(lives))
	if err != nil {
		return nil, "", err
	}
	answer := okAnswer{Status: "ok", OrderID: orderID}
	if !fresh {
		// It was promised before; but did we come as far as to keep the lead?
		kept, err := c.desk.Records(ctx, []model.Key{c.ownKey(orderID)})
		if err != nil {
			return nil, "", err
		}
		if kept[c.ownKey(orderID)] != nil {
			return answer, "lead again: order " + orderID, nil
		}
	}
	if err := c.desk.Put(ctx, []model.Record{c.leadRecord(orderID)}); err != nil {
		return nil, "", err
	}
	return answer, "lead: order " + orderID, nil
}

// leadKey tells a repeated lead from a new one.
func (c *call) leadKey() (string, time.Duration) {
	if id := c.params.text("id"); id != "" && len(id) <= longestID {
		return "lead:id:" + id, idLives
	}
	return "lead:sum:" + c.params.sum("id", "visit", "title", "phone", "email", "created_date"), hashLives
}

// sum hashes some parameters.
func (p params) sum(names ...string) string {
	values := make([]string, 0, len(names))
	for _, name := range names {
		values = append(values, p[name])
	}
	data, err := json.Marshal(values)
	if err != nil { // can't happen: texts only
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func (c *call) leadRecord(orderID string) *model.Deal {
	p := c.params
	d := &model.Deal{Base: c.base(model.KindLead, orderID, p.moment("created_date"))}
	d.Title, d.Name, d.Comment = p.text("title"), p.text("name"), p.text("text")
	d.EmployeeID = p.text("manager_id")
	d.Fields = p.data()
	d.Roistat = cmp.Or(p.text("visit"), visit(d.Fields.Text("roistat")))
	d.Phones = identity.Phones([]string{p.text("phone")}, c.PhoneRegion)
	d.Emails = identity.Emails([]string{p.text("email")})
	// What cannot be read as a phone or an address is kept for people.
	if raw := p.text("phone"); raw != "" && len(d.Phones) == 0 {
		d.Fields = with(d.Fields, "phone", raw)
	}
	if raw := p.text("email"); raw != "" && len(d.Emails) == 0 {
		d.Fields = with(d.Fields, "email", raw)
	}
	d.Fields = with(d.Fields, "roistat_id", p.text("id"))
	return d
}

// base begins a record of our own connection.
func (c *call) base(kind model.Kind, id string, created time.Time) model.Base {
	now := c.now.UTC()
	if created.IsZero() || created.After(now) {
		created = now
	}
	return model.Base{
		Kind: kind, Connection: c.deps.Connection, ID: id, Source: "roistat",
		CreatedAt: created, UpdatedAt: now, ReadAt: now,
	}
}

func with(fields model.Fields, code, value string) model.Fields {
	if value == "" {
		return fields
	}
	if fields == nil {
		fields = model.Fields{}
	}
	if _, taken := fields[code]; !taken {
		fields[code] = value
	}
	return fields
}
