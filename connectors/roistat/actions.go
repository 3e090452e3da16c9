package roistat

import (
	"cmp"
	"context"
	"strconv"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
)

// message takes a message that belongs to an earlier lead (roistat §2.7).
func (c *call) message(ctx context.Context) (any, string, error) {
	p := c.params
	e := &model.Event{Base: c.base(model.KindRequest, "message-"+p.sum("leadId", "title", "message"), p.moment("date"))}
	e.Name, e.Text, e.Target = p.text("title"), p.text("message"), "message"
	if err := c.about(ctx, &e.Base, cmp.Or(p.text("leadId"), p.text("lead_id"))); err != nil {
		return nil, "", err
	}
	if err := c.putOnce(ctx, e); err != nil {
		return nil, "", err
	}
	return okAnswer{Status: "ok"}, "message " + e.ID, nil
}

// task takes a task for a person at the CRM (roistat §2.7).
func (c *call) task(ctx context.Context) (any, string, error) {
	p := c.params
	e := &model.Event{Base: c.base(model.KindRequest, "task-"+p.sum("element_id", "deadline", "text"), p.moment("date"))}
	e.Text, e.Target = p.text("text"), "task"
	if deadline := p.moment("deadline"); !deadline.IsZero() {
		e.Fields = with(e.Fields, "deadline", deadline.Format("2006-01-02T15:04:05Z"))
	}
	if err := c.about(ctx, &e.Base, p.text("element_id")); err != nil {
		return nil, "", err
	}
	if err := c.putOnce(ctx, e); err != nil {
		return nil, "", err
	}
	return okAnswer{Status: "ok", TaskID: e.ID}, "task " + e.ID, nil
}

// putOnce keeps a record unless it is there already: Roistat repeats what it
// takes for lost.
func (c *call) putOnce(ctx context.Context, r model.Record) error {
	kept, err := c.desk.Records(ctx, []model.Key{r.Meta().Key()})
	if err != nil || kept[r.Meta().Key()] != nil {
		return err
	}
	return c.desk.Put(ctx, []model.Record{r})
}

// about ties a record to the order that Roistat names. Links stay inside a
// connection, so an order of a CRM goes into a field.
func (c *call) about(ctx context.Context, b *model.Base, orderID string) error {
	if orderID == "" {
		return nil
	}
	own, err := c.desk.Records(ctx, []model.Key{c.ownKey(orderID)})
	if err != nil {
		return err
	}
	if own[c.ownKey(orderID)] != nil {
		b.LeadID = orderID
	}
	b.Fields = with(b.Fields, "order_id", orderID)
	return nil
}

// answered is the one status of a call that took place (roistat §2.7).
const answered = "ANSWER"

// phoneCall takes a call. It repeats with the same id, at the beginning and at
// the end of the call; the later one adds to the earlier one (roistat §2.7).
func (c *call) phoneCall(ctx context.Context) (any, string, error) {
	p := c.params
	id := p.text("id")
	if id == "" || len(id) > longestID {
		id = "call-" + p.sum("id", "caller", "callee", "date")
	}
	started := p.moment("date")
	r := &model.Call{Base: c.base(model.KindCall, id, started), StartedAt: started, Direction: "in"}
	kept, err := c.desk.Records(ctx, []model.Key{r.Key()})
	if err != nil {
		return nil, "", err
	}
	if before, ok := kept[r.Key()].(*model.Call); ok {
		now := r.Base
		*r = *before
		r.UpdatedAt, r.ReadAt, r.Deleted = now.UpdatedAt, now.ReadAt, false
		if !started.IsZero() {
			r.CreatedAt, r.StartedAt = now.CreatedAt, started
		}
	}
	c.describe(r)
	if err := c.about(ctx, &r.Base, p.text("order_id")); err != nil {
		return nil, "", err
	}
	if err := c.desk.Put(ctx, []model.Record{r}); err != nil {
		return nil, "", err
	}
	return okAnswer{Status: "ok", CallID: id}, "call " + id, nil
}

func (c *call) describe(r *model.Call) {
	p := c.params
	set := func(into *string, value string) {
		if value != "" {
			*into = value
		}
	}
	set(&r.Phone, phone(p.text("caller"), c.PhoneRegion))
	set(&r.VirtualNumber, phone(p.text("callee"), c.PhoneRegion))
	set(&r.Roistat, cmp.Or(p.text("visit"), p.text("marker")))
	if status := p.text("status"); status != "" {
		r.Missed = status != answered
		r.Fields = with(without(r.Fields, "status"), "status", status)
	}
	if seconds, err := strconv.Atoi(p.text("duration")); err == nil && seconds >= 0 {
		// A call that nobody answered has a duration too: that of waiting
		// (roistat §5.1).
		r.TalkDuration, r.WaitDuration = seconds, 0
		if r.Missed {
			r.TalkDuration, r.WaitDuration = 0, seconds
		}
	}
	if url := p.text("file_url"); url != "" {
		r.RecordURLs = []string{url}
	}
	r.Fields = with(r.Fields, "marker", p.text("marker"))
}

// without gives a copy: the record read from the store is not ours to change.
func without(fields model.Fields, code string) model.Fields {
	rest := model.Fields{}
	for name, value := range fields {
		if name != code {
			rest[name] = value
		}
	}
	return rest
}

// phone brings a number into our form, or leaves what is none (a SIP name) as it
// is.
func phone(text, region string) string {
	if clean, ok := identity.Phone(text, region); ok {
		return clean
	}
	return text
}
