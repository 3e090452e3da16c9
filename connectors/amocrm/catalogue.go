package amocrm

import (
	"context"
	"encoding/json"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

type pipelineAnswer struct {
	ID       loosejson.Text `json:"id"`
	Name     loosejson.Text `json:"name"`
	Sort     loosejson.Int  `json:"sort"`
	Embedded struct {
		Statuses loosejson.List[struct {
			ID   loosejson.Text `json:"id"`
			Name loosejson.Text `json:"name"`
			Sort loosejson.Int  `json:"sort"`
			Type loosejson.Int  `json:"type"`
		}] `json:"statuses"`
	} `json:"_embedded"`
}

type fieldAnswer struct {
	ID    loosejson.Text `json:"id"`
	Name  loosejson.Text `json:"name"`
	Code  loosejson.Text `json:"code"`
	Type  loosejson.Text `json:"type"`
	Sort  loosejson.Int  `json:"sort"`
	Enums loosejson.List[struct {
		ID    loosejson.Text `json:"id"`
		Value loosejson.Text `json:"value"`
	}] `json:"enums"`
}

type userAnswer struct {
	ID     loosejson.Text `json:"id"`
	Name   loosejson.Text `json:"name"`
	Email  loosejson.Text `json:"email"`
	Rights struct {
		Active loosejson.Bool `json:"is_active"`
	} `json:"rights"`
}

// Catalogue implements connectors.Cataloguer.
func (c *Connector) Catalogue(ctx context.Context) ([]model.Record, error) {
	pipelines, err := c.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	out := pipelines
	for _, p := range places {
		fields, err := c.fieldRecords(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, fields...)
	}
	users, err := c.users(ctx)
	if err != nil {
		return nil, err
	}
	return append(out, users...), nil
}

func (c *Connector) reference(kind model.Kind, id string) *model.Reference {
	r := &model.Reference{Base: model.Base{Kind: kind, Connection: c.deps.Connection, ID: id, ReadAt: c.deps.Now()}}
	return r
}

// pipelines lists pipelines and their statuses. 142 and 143 are in every one of
// them, so a status is unique only together with its pipeline (amocrm §3.4).
func (c *Connector) pipelines(ctx context.Context) ([]model.Record, error) {
	rows, err := c.all(ctx, "/leads/pipelines", "pipelines")
	if err != nil {
		return nil, err
	}
	var out []model.Record
	for _, row := range rows {
		var p pipelineAnswer
		if err := decode(row, &p); err != nil {
			return nil, err
		}
		pipeline := c.reference(model.KindPipeline, string(p.ID))
		pipeline.Of, pipeline.Name, pipeline.Sort = model.KindDeal, string(p.Name), int(p.Sort.Value)
		out = append(out, pipeline)
		for _, s := range p.Embedded.Statuses {
			status := c.reference(model.KindStatus, string(p.ID)+":"+string(s.ID))
			status.Of, status.Name, status.Sort = model.KindDeal, string(s.Name), int(s.Sort.Value)
			status.PipelineID, status.StatusID, status.Semantics = string(p.ID), string(s.ID), semantics(string(s.ID))
			if s.Type.Value == 1 {
				status.Type = "unsorted"
			}
			out = append(out, status)
		}
	}
	return out, nil
}

// fieldList is a kind's fields and when they were read.
type fieldList = cached[[]fieldAnswer]

func (c *Connector) readFields(ctx context.Context, p place) ([]fieldAnswer, error) {
	rows, err := c.all(ctx, p.path+"/custom_fields", "custom_fields")
	if err != nil {
		return nil, err
	}
	fields := make([]fieldAnswer, 0, len(rows))
	for _, row := range rows {
		var f fieldAnswer
		if err := decode(row, &f); err != nil {
			return nil, err
		}
		if f.ID != "" {
			fields = append(fields, f)
		}
	}
	c.mu.Lock()
	c.fields[p.name] = fieldList{value: fields, readAt: c.deps.Now()}
	c.mu.Unlock()
	return fields, nil
}

func (c *Connector) fieldRecords(ctx context.Context, p place) ([]model.Record, error) {
	fields, err := c.readFields(ctx, p)
	if err != nil {
		return nil, err
	}
	var out []model.Record
	for _, f := range fields {
		r := c.reference(model.KindField, string(p.kind)+":"+string(f.ID))
		r.Of, r.Name, r.Sort = p.kind, string(f.Name), int(f.Sort.Value)
		r.Code, r.Type = string(f.ID), string(f.Type)
		if f.Code != "" {
			r.Aliases = []string{string(f.Code)}
		}
		for _, choice := range f.Enums {
			if r.Choices == nil {
				r.Choices = map[string]string{}
			}
			r.Choices[string(choice.ID)] = string(choice.Value)
		}
		out = append(out, r)
	}
	return out, nil
}

// users lists employees. Only an administrator's token may; without the right
// the rest of the catalogue is still good.
func (c *Connector) users(ctx context.Context) ([]model.Record, error) {
	rows, err := c.all(ctx, "/users", "users")
	if model.CauseOf(err) == model.CauseForbidden && err != nil {
		c.deps.Log.Warn("employees not listed: the token is not an administrator's")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []model.Record
	for _, row := range rows {
		var u userAnswer
		if json.Unmarshal(row, &u) != nil || u.ID == "" {
			continue
		}
		r := c.reference(model.KindEmployee, string(u.ID))
		r.Name, r.Active = string(u.Name), u.Rights.Active.Value || !u.Rights.Active.Set
		r.Emails = identity.Emails([]string{string(u.Email)})
		out = append(out, r)
	}
	return out, nil
}
