package amocrm

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// wantedEvents are read from the history (amocrm §5.5): steps of deals, and what
// a list by modification time does not show, deletions and links.
var wantedEvents = []string{
	"lead_status_changed", "lead_deleted", "lead_restored", "lead_linked", "contact_deleted", "company_deleted",
}

// oldDeletion is how far before the import's begin a deletion is of no interest:
// what it deleted was not imported.
const oldDeletion = 7 * 24 * time.Hour

// event is one entry of the history.
type event struct {
	ID         loosejson.Text `json:"id"`
	Type       loosejson.Text `json:"type"`
	EntityID   loosejson.Int  `json:"entity_id"`
	EntityType loosejson.Text `json:"entity_type"`
	CreatedBy  loosejson.Text `json:"created_by"`
	CreatedAt  loosejson.Time `json:"created_at"`
	After      eventValues    `json:"value_after"`
	Before     eventValues    `json:"value_before"`
}

type eventStatus struct {
	ID         loosejson.Text `json:"id"`
	PipelineID loosejson.Text `json:"pipeline_id"`
}

type eventValues []json.RawMessage

// UnmarshalJSON takes anything; what is no list holds no values.
func (v *eventValues) UnmarshalJSON(data []byte) error {
	var list loosejson.List[json.RawMessage]
	if json.Unmarshal(data, &list) == nil {
		*v = eventValues(list)
	}
	return nil
}

// status is the status that a change led to or from.
func (v eventValues) status() eventStatus {
	for _, raw := range v {
		var value struct {
			Status eventStatus `json:"lead_status"`
		}
		if json.Unmarshal(raw, &value) == nil && value.Status.ID != "" {
			return value.Status
		}
	}
	return eventStatus{}
}

// pollEvents reads one page of the history. Entries are only ever added, so pages
// of a window that has ended do not lose rows; late ones are caught by the
// overlap.
func (c *Connector) pollEvents(ctx context.Context, a account, cur cursor) (connectors.Page, error) {
	if cur.To == 0 {
		cur.To = c.deps.Now().Unix()
		cur.rewind()
	}
	m := c.mapper(a)
	number := cur.Offset + 1
	q := c.eventsQuery(cur.From, cur.To).add("limit", strconv.Itoa(eventsPageSize)).add("page", strconv.Itoa(number))
	rows, more, found, err := c.page(ctx, "/events", "events", q)
	if err != nil {
		return connectors.Page{}, err
	}
	if !found && number > 1 && cur.Empty < 2 {
		// There was a "next": such an answer was seen by mistake (amocrm §4.2).
		cur.Empty++
		return connectors.Page{Cursor: cur.text(), More: true, Importing: cur.Phase == phaseImport, Done: cur.Done}, nil
	}
	out := connectors.Page{More: more}
	foreign := 0
	seen := map[model.Ref]bool{}
	for _, row := range rows {
		var e event
		if json.Unmarshal(row, &e) != nil || e.ID == "" || !e.EntityID.Set {
			c.deps.Log.Warn("entry of the history not readable")
			continue
		}
		if at := e.CreatedAt.Unix(); !slices.Contains(wantedEvents, string(e.Type)) || at < cur.From || at > cur.To {
			foreign++
			continue
		}
		takeEvent(m, &e, cur.Start, seen, &out)
	}
	if foreign > 0 {
		c.deps.Log.Warn("history holds entries that were not asked for: check the setting events", zap.Int("entries", foreign))
	}
	cur.Done += len(out.Records)
	cur.Offset, cur.Empty = number, 0
	if !more {
		if cur.Phase == phaseImport {
			cur.Phase = phaseChanges
		}
		cur.finish()
	}
	out.Cursor, out.Done, out.Importing = cur.text(), cur.Done, cur.Phase == phaseImport
	return out, nil
}

// eventsQuery writes lists and ranges as the system's own client does, with
// commas, or in the form that documentation shows too (amocrm §11.11).
func (c *Connector) eventsQuery(from, to int64) *query {
	q := new(query)
	first, last := strconv.FormatInt(from, 10), strconv.FormatInt(to, 10)
	if c.cfg.Events == eventsArray {
		for _, name := range wantedEvents {
			q.add("filter[type][]", name)
		}
		return q.add("filter[created_at][from]", first).add("filter[created_at][to]", last)
	}
	return q.add("filter[type]", strings.Join(wantedEvents, ",")).add("filter[created_at]", first+","+last)
}

func takeEvent(m *mapper, e *event, start int64, seen map[model.Ref]bool, out *connectors.Page) {
	if e.Type == "lead_status_changed" {
		if e.After.status().ID != "" {
			out.Records = append(out.Records, m.stageChange(e))
		}
		return
	}
	if e.CreatedAt.Unix() < start-int64(oldDeletion/time.Second) {
		return
	}
	kind := map[string]model.Kind{
		"company_deleted": model.KindCompany, "contact_deleted": model.KindContact,
		"lead_deleted": model.KindDeal, "lead_linked": model.KindDeal, "lead_restored": model.KindDeal,
	}[string(e.Type)]
	if e.Type == "lead_linked" && e.EntityType != "lead" {
		return
	}
	// It may have been restored since: the re-reading decides.
	ref := model.Ref{Kind: kind, ID: strconv.FormatInt(e.EntityID.Value, 10)}
	if !seen[ref] {
		seen[ref] = true
		out.Refs = append(out.Refs, ref)
	}
}
