package amocrm

import (
	"context"
	"encoding/json"
	"strconv"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

const (
	pageSize       = 250 // amocrm §4.1
	eventsPageSize = 100
)

// place is where a kind of record is listed.
type place struct {
	kind model.Kind
	path string
	name string // of the member of _embedded
	with string
}

var places = []place{
	{kind: model.KindContact, path: "/contacts", name: "contacts"},
	{kind: model.KindCompany, path: "/companies", name: "companies", with: "contacts"},
	{kind: model.KindDeal, path: "/leads", name: "leads", with: "contacts,loss_reason,source"},
}

func placeOf(kind model.Kind) (place, bool) {
	for _, p := range places {
		if p.kind == kind {
			return p, true
		}
	}
	return place{}, false
}

func (p place) query() *query {
	q := new(query)
	if p.with != "" {
		q.add("with", p.with)
	}
	return q
}

// listing is one page of a list.
type listing struct {
	rows []entity
	raw  int  // rows in the answer, readable or not
	next bool // the system says that there is more
	none bool // 204
}

// answer is a page of any list.
type answer struct {
	Links struct {
		Next json.RawMessage `json:"next"`
	} `json:"_links"`
	Embedded loosejson.Map[json.RawMessage] `json:"_embedded"`
}

func (a *answer) more() bool {
	text := string(a.Links.Next)
	return text != "" && text != "null" && text != "[]" && text != "{}"
}

// page reads one page as raw objects.
func (c *Connector) page(ctx context.Context, path, name string, q *query) (rows []json.RawMessage, more, found bool, err error) {
	var a answer
	found, err = c.get(ctx, path, q, &a)
	if err != nil || !found {
		return nil, false, found, err
	}
	var list loosejson.List[json.RawMessage]
	if member, ok := a.Embedded[name]; !ok || json.Unmarshal(member, &list) != nil {
		return nil, false, true, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure,
			"amoCRM's answer holds no list of %s; it is asked again", name)
	}
	return list, a.more(), true, nil
}

// list reads one page of leads, contacts or companies.
func (c *Connector) list(ctx context.Context, p place, q *query) (listing, error) {
	rows, more, found, err := c.page(ctx, p.path, p.name, q)
	if err != nil {
		return listing{}, err
	}
	l := listing{raw: len(rows), next: more, none: !found}
	for _, row := range rows {
		e, err := readEntity(row)
		if err != nil {
			c.deps.Log.Warn("object of a list not readable", zap.String("list", p.name), logError(err))
			continue
		}
		l.rows = append(l.rows, e)
	}
	return l, nil
}

// sureList reads a page once more when it is said to be empty: such an answer was
// seen by mistake (amocrm §4.2).
func (c *Connector) sureList(ctx context.Context, p place, ask func() *query) (listing, error) {
	l, err := c.list(ctx, p, ask())
	if err != nil || !l.none {
		return l, err
	}
	return c.list(ctx, p, ask())
}

// all reads every page of a list of reference data.
func (c *Connector) all(ctx context.Context, path, name string) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for page := 1; ; page++ {
		q := new(query).add("limit", strconv.Itoa(pageSize)).add("page", strconv.Itoa(page))
		rows, more, found, err := c.page(ctx, path, name, q)
		if err == nil && !found && page > 1 { // never the end: there was a "next"
			rows, more, _, err = c.page(ctx, path, name, q)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
		if !more {
			return out, nil
		}
	}
}

// mapper makes the mapper for what is read from now on.
func (c *Connector) mapper(a account) *mapper {
	return &mapper{connection: c.deps.Connection, account: a, tracking: c.cfg.Tracking, readAt: c.deps.Now()}
}
