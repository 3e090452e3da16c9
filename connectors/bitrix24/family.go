package bitrix24

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// entity is one kind of CRM object in both families of methods (§7.1).
type entity struct {
	kind   model.Kind
	name   string // in crm.deal.list
	typeID int    // in crm.item.list
}

var entities = []entity{
	{kind: model.KindContact, name: "contact", typeID: 3},
	{kind: model.KindCompany, name: "company", typeID: 4},
	{kind: model.KindLead, name: "lead", typeID: 1},
	{kind: model.KindDeal, name: "deal", typeID: 2},
}

func entityOf(kind model.Kind) (entity, bool) {
	for _, e := range entities {
		if e.kind == kind {
			return e, true
		}
	}
	return entity{}, false
}

// memoryFamily keeps readClassic once the universal methods were missing.
const memoryFamily = "read_with"

// family says which methods to read with.
func (c *Connector) family(ctx context.Context) (string, error) {
	if c.cfg.ReadWith != readAuto {
		return c.cfg.ReadWith, nil
	}
	kept, err := c.deps.Memory.Recall(ctx, memoryFamily)
	if err != nil {
		return "", err
	}
	if kept == readClassic {
		return readClassic, nil
	}
	return readItem, nil
}

// fallBack switches to the classic methods if that may help.
func (c *Connector) fallBack(ctx context.Context, family string, f *fault) (bool, error) {
	if f == nil || !f.methodMissing() || family != readItem || c.cfg.ReadWith != readAuto {
		return false, nil
	}
	c.deps.Log.Info("the portal has no crm.item.list; reading with the classic methods")
	return true, c.deps.Memory.Remember(ctx, memoryFamily, readClassic)
}

// listing is one page of a list, by ascending id and without a total (§7.9).
type listing struct {
	ids   []string  // only these
	after string    // ids above this one; may be a reference to another result
	since time.Time // changed since
	count bool      // only count: start 0 makes the portal tell the total
}

func fields(pairs ...any) []phpform.Field {
	var out []phpform.Field
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		out = append(out, phpform.Field{Name: name, Value: pairs[i+1]})
	}
	return out
}

// isoTime is how times go into filters: with an offset, always (§9).
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

// list makes the command for a page of entities.
func (e entity) list(family string, l listing) command {
	id, changed := "id", "updatedTime"
	if family == readClassic {
		id, changed = "ID", "DATE_MODIFY"
	}
	var filter []phpform.Field
	if l.ids != nil {
		filter = append(filter, phpform.Field{Name: "@" + id, Value: l.ids})
	}
	if l.after != "" {
		filter = append(filter, phpform.Field{Name: ">" + id, Value: l.after})
	}
	if !l.since.IsZero() {
		filter = append(filter, phpform.Field{Name: ">=" + changed, Value: isoTime(l.since)})
	}
	// Phones and e-mails come with "*" in one family, by name in the other (§7.2).
	columns := []string{"*", "UF_*"}
	if family == readClassic {
		columns = append(columns, "PHONE", "EMAIL", "WEB", "IM")
	}
	start := "-1"
	if l.count {
		columns, start = []string{id}, "0"
	}
	query := fields("order", fields(id, "ASC"), "filter", filter, "select", columns, "start", start)
	if family == readClassic {
		return command{method: "crm." + e.name + ".list", query: query}
	}
	query = append(fields("entityTypeId", strconv.Itoa(e.typeID), "useOriginalUfNames", "Y"), query...)
	return command{method: "crm.item.list", query: query}
}

// history makes the command for a page of the stage history.
func (e entity) history(l listing) command {
	var filter []phpform.Field
	if l.after != "" {
		filter = append(filter, phpform.Field{Name: ">ID", Value: l.after})
	}
	if !l.since.IsZero() {
		filter = append(filter, phpform.Field{Name: ">=CREATED_TIME", Value: isoTime(l.since)})
	}
	start := "-1"
	if l.count {
		start = "0"
	}
	return command{method: "crm.stagehistory.list", query: fields(
		"entityTypeId", strconv.Itoa(e.typeID), "order", fields("ID", "ASC"), "filter", filter, "start", start)}
}

// rows takes the list out of a result: {items: […]} or the list itself.
func rows(result json.RawMessage) ([]json.RawMessage, error) {
	var wrapped struct {
		Items *loosejson.List[json.RawMessage] `json:"items"`
	}
	if len(result) > 0 && result[0] == '{' && loosejson.Unmarshal(result, &wrapped) == nil && wrapped.Items != nil {
		return *wrapped.Items, nil
	}
	var plain loosejson.List[json.RawMessage]
	if err := loosejson.Unmarshal(result, &plain); err != nil {
		return nil, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "the portal's list cannot be read: %w", err)
	}
	return plain, nil
}

// rowID reads the id of a row under either name.
func rowID(raw json.RawMessage) int64 {
	var r struct {
		Lower loosejson.Int `json:"id"`
		Upper loosejson.Int `json:"ID"`
	}
	if loosejson.Unmarshal(raw, &r) != nil {
		return 0
	}
	if r.Lower.Set {
		return r.Lower.Value
	}
	return r.Upper.Value
}
