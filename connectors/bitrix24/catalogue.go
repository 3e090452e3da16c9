package bitrix24

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// Catalogue implements connectors.Cataloguer: pipelines, statuses, fields and
// employees. For an application it also sees to its event handlers, which the
// portal drops now and then (§3.5).
func (c *Connector) Catalogue(ctx context.Context) ([]model.Record, error) {
	defs, err := c.fieldDefs(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.rememberTracking(ctx, defs); err != nil {
		return nil, err
	}
	directories, err := c.statuses(ctx)
	if err != nil {
		return nil, err
	}
	out := c.statusRecords(directories)
	pipelines, err := c.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	out = append(out, pipelines...)
	out = append(out, c.fieldRecords(defs, directories)...)
	people, err := c.employees(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.bindEvents(ctx); err != nil {
		c.deps.Log.Warn("event handlers not bound", logError(err))
	}
	return append(out, people...), nil
}

// listAll reads all pages of a list that is paged by start. f is the portal's
// refusal, so that the caller can do without.
func (c *Connector) listAll(ctx context.Context, one command) (all []json.RawMessage, f *fault, err error) {
	first := one
	first.query = append(slices.Clone(one.query), fields("start", "0")...)
	replies, _, err := c.batch(ctx, []command{first}, reading)
	if err != nil || replies[0].fault != nil {
		return nil, orNil(replies), err
	}
	total := replies[0].total
	if all, err = rows(replies[0].result); err != nil {
		return nil, nil, err
	}
	step := len(all)
	for step >= pageSize && len(all) < total {
		var more []command
		for start := len(all); start < total && len(more) < maxBatch; start += step {
			next := one
			next.query = append(slices.Clone(one.query), fields("start", strconv.Itoa(start))...)
			more = append(more, next)
		}
		if replies, _, err = c.batch(ctx, more, reading); err != nil {
			return nil, nil, err
		}
		before := len(all)
		for _, r := range replies {
			if r.fault != nil {
				return nil, r.fault, nil
			}
			part, err := rows(r.result)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, part...)
		}
		if len(all) == before {
			break
		}
	}
	return all, nil, nil
}

func orNil(replies []reply) *fault {
	if len(replies) == 0 {
		return nil
	}
	return replies[0].fault
}

// status is a row of crm.status.list (§7.8).
type status struct {
	Entity    string          `json:"ENTITY_ID"`
	ID        loosejson.Text  `json:"STATUS_ID"`
	Name      loosejson.Text  `json:"NAME"`
	Sort      loosejson.Int   `json:"SORT"`
	Category  loosejson.Text  `json:"CATEGORY_ID"`
	Semantics loosejson.Text  `json:"SEMANTICS"`
	Extra     json.RawMessage `json:"EXTRA"`
}

func (s status) semantics() string {
	var extra struct {
		Semantics loosejson.Text `json:"SEMANTICS"`
	}
	if len(s.Extra) > 0 && loosejson.Unmarshal(s.Extra, &extra) == nil && extra.Semantics != "" {
		return semantics(extra.Semantics.String())
	}
	return semantics(s.Semantics.String())
}

func (c *Connector) statuses(ctx context.Context) ([]status, error) {
	all, f, err := c.listAll(ctx, command{method: "crm.status.list", query: fields("order", fields("SORT", "ASC"))})
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, f.classify("crm.status.list", c.deps.Now())
	}
	return c.readStatuses(all), nil
}

func (c *Connector) readStatuses(all []json.RawMessage) []status {
	var out []status
	for _, raw := range all {
		var s status
		if err := loosejson.Unmarshal(raw, &s); err != nil || s.ID == "" {
			c.deps.Log.Warn("a status of the portal cannot be read")
			continue
		}
		out = append(out, s)
	}
	return out
}

const (
	leadDirectory = "STATUS"
	dealDirectory = "DEAL_STAGE"
)

// statusRecords are the stages of leads and deals. The pipeline comes from
// CATEGORY_ID, not from the prefix of the code (§7.8).
func (c *Connector) statusRecords(all []status) []model.Record {
	var out []model.Record
	for _, s := range all {
		r := &model.Reference{
			Base: c.referenceBase(model.KindStatus, ""), Name: s.Name.String(), Sort: int(s.Sort.Value),
			StatusID: s.ID.String(), Semantics: s.semantics(),
		}
		switch {
		case s.Entity == leadDirectory:
			r.Of, r.ID = model.KindLead, "lead:"+r.StatusID
		case s.Entity == dealDirectory || strings.HasPrefix(s.Entity, dealDirectory+"_"):
			r.Of, r.PipelineID = model.KindDeal, s.Category.String()
			if r.PipelineID == "" {
				r.PipelineID = strings.TrimPrefix(strings.TrimPrefix(s.Entity, dealDirectory), "_")
			}
			if r.PipelineID == "" {
				r.PipelineID = "0"
			}
			r.ID = "deal:" + r.PipelineID + ":" + r.StatusID
		default:
			continue // other directories are the choices of fields
		}
		out = append(out, r)
	}
	return out
}

func (c *Connector) referenceBase(kind model.Kind, id string) model.Base {
	return model.Base{Kind: kind, Connection: c.deps.Connection, ID: id, ReadAt: c.deps.Now()}
}

// category is a pipeline as either method gives it.
type category struct {
	ID        loosejson.Text `json:"id"`
	Name      loosejson.Text `json:"name"`
	Sort      loosejson.Int  `json:"sort"`
	UpperID   loosejson.Text `json:"ID"`
	UpperName loosejson.Text `json:"NAME"`
	UpperSort loosejson.Int  `json:"SORT"`
}

// pipelines lists those of deals; id 0 is the default one.
func (c *Connector) pipelines(ctx context.Context) ([]model.Record, error) {
	replies, _, err := c.batch(ctx, []command{{method: "crm.category.list", query: fields("entityTypeId", "2")}}, reading)
	if err != nil {
		return nil, err
	}
	switch f := replies[0].fault; {
	case f == nil:
		var wrapped struct {
			Categories loosejson.List[category] `json:"categories"`
		}
		if err := loosejson.Unmarshal(replies[0].result, &wrapped); err != nil {
			return nil, err
		}
		return c.pipelineRecords(wrapped.Categories), nil
	case !f.methodMissing():
		return nil, f.classify("crm.category.list", c.deps.Now())
	}
	// An old box: its list leaves the default pipeline out (§7.8).
	all, f, err := c.listAll(ctx, command{method: "crm.dealcategory.list"})
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, f.classify("crm.dealcategory.list", c.deps.Now())
	}
	found := []category{{ID: "0", Name: "0"}}
	for _, raw := range all {
		var one category
		if loosejson.Unmarshal(raw, &one) == nil {
			found = append(found, one)
		}
	}
	return c.pipelineRecords(found), nil
}

func (c *Connector) pipelineRecords(found []category) []model.Record {
	var out []model.Record
	for _, one := range found {
		if one.ID == "" {
			one.ID, one.Name, one.Sort = one.UpperID, one.UpperName, one.UpperSort
		}
		if one.ID == "" {
			continue
		}
		out = append(out, &model.Reference{
			Base: c.referenceBase(model.KindPipeline, one.ID.String()), Name: one.Name.String(), Sort: int(one.Sort.Value),
			Of: model.KindDeal, PipelineID: one.ID.String(),
		})
	}
	return out
}

// employees lists users. Which keys come depends on the rights (§7.12); without
// any right to users there are no employees, and the rest goes on.
func (c *Connector) employees(ctx context.Context) ([]model.Record, error) {
	all, f, err := c.listAll(ctx, command{method: "user.get", query: fields("sort", "ID", "order", "ASC")})
	if err != nil {
		return nil, err
	}
	if f != nil {
		if f.denied() || f.methodMissing() {
			c.deps.Log.Warn("employees are not read: the webhook or application lacks the right user")
			return nil, nil
		}
		return nil, f.classify("user.get", c.deps.Now())
	}
	return c.employeeRecords(all), nil
}

func (c *Connector) employeeRecords(all []json.RawMessage) []model.Record {
	var out []model.Record
	for _, raw := range all {
		var u struct {
			ID     loosejson.Text `json:"ID"`
			Active loosejson.Bool `json:"ACTIVE"`
			Name   loosejson.Text `json:"NAME"`
			Second loosejson.Text `json:"SECOND_NAME"`
			Last   loosejson.Text `json:"LAST_NAME"`
			Email  loosejson.Text `json:"EMAIL"`
			Work   loosejson.Text `json:"WORK_PHONE"`
			Mobile loosejson.Text `json:"PERSONAL_MOBILE"`
		}
		if loosejson.Unmarshal(raw, &u) != nil || u.ID == "" {
			c.deps.Log.Warn("an employee of the portal cannot be read")
			continue
		}
		out = append(out, &model.Reference{
			Base:   c.referenceBase(model.KindEmployee, u.ID.String()),
			Name:   joined(u.Name.String(), u.Second.String(), u.Last.String()),
			Active: u.Active.Value || !u.Active.Set,
			Phones: identity.Phones([]string{u.Work.String(), u.Mobile.String()}, c.cfg.PhoneRegion),
			Emails: identity.Emails([]string{u.Email.String()}),
		})
	}
	return out
}

// fieldRecords describe the fields of each kind, directories as choices.
func (c *Connector) fieldRecords(defs map[model.Kind][]fieldDef, directories []status) []model.Record {
	choices := map[string]map[string]string{}
	for _, s := range directories {
		if choices[s.Entity] == nil {
			choices[s.Entity] = map[string]string{}
		}
		choices[s.Entity][s.ID.String()] = s.Name.String()
	}
	var out []model.Record
	for _, e := range entities {
		for _, d := range defs[e.kind] {
			r := &model.Reference{
				Base: c.referenceBase(model.KindField, e.name+":"+d.code), Name: d.name, Of: e.kind,
				Code: d.code, Aliases: d.aliases, Type: d.typ, Choices: d.choices,
			}
			if r.Choices == nil && d.directory != "" {
				r.Choices = maps.Clone(choices[d.directory])
			}
			out = append(out, r)
		}
	}
	return out
}
