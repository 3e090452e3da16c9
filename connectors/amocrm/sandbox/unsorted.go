package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// unsorted is a request that nobody has accepted yet (§9.12).
type unsorted struct {
	lead, contact int64
	pipeline      int64
}

var unsortedNeeds = map[string][]string{
	"forms": {"form_id", "form_name", "form_page", "form_sent_at"},
	"sip":   {"from", "phone", "called_at", "duration", "link", "service_code", "uniq", "is_call_event_needed"},
}

func (a *Account) addUnsorted(category string, list []object) reply {
	if a.options["unsorted"] == "off" {
		return problem(http.StatusUnprocessableEntity, "Unprocessable Entity", "unsorted is switched off")
	}
	errs := map[int][]elementError{}
	for i, o := range list {
		meta, _ := o["metadata"].(map[string]any)
		for _, name := range unsortedNeeds[category] {
			if _, ok := meta[name]; !ok {
				errs[i] = append(errs[i], elementError{"FieldMissing", "metadata." + name})
			}
		}
		for _, name := range []string{"source_name", "source_uid"} {
			if text, ok := o[name].(string); !ok || text == "" {
				errs[i] = append(errs[i], elementError{"FieldMissing", name})
			}
		}
	}
	if len(errs) > 0 {
		return refuse(errs, list)
	}
	var out []any
	for i, o := range list {
		u := &unsorted{pipeline: MainPipeline}
		if id, ok := integer(o["pipeline_id"]); ok {
			u.pipeline = id
		}
		for _, c := range embedded(o, "contacts") {
			e := Entity{Fields: map[int64][]string{}, hidden: true}
			a.apply(a.tables[Contacts], &e, c)
			u.contact = a.add(Contacts, e, false)
		}
		lead := Entity{Fields: map[int64][]string{}, hidden: true, PipelineID: u.pipeline}
		for _, l := range embedded(o, "leads") {
			a.apply(a.tables[Leads], &lead, l)
		}
		if u.contact != 0 {
			lead.ContactIDs = []int64{u.contact}
		}
		u.lead = a.add(Leads, lead, false)
		uid := fmt.Sprintf("%032x", u.lead)
		a.unsorted[uid] = u
		out = append(out, map[string]any{
			"uid": uid, "account_id": AccountID, "request_id": o.requestID(i),
			"_embedded": map[string]any{"leads": []any{map[string]any{"id": u.lead}}, "contacts": []any{}, "companies": []any{}},
		})
	}
	return reply{status: http.StatusOK, body: map[string]any{"_embedded": map[string]any{"unsorted": out}}}
}

func (a *Account) decideUnsorted(uid string, body []byte, accept bool) reply {
	u := a.unsorted[uid]
	if u == nil {
		return problem(http.StatusNotFound, "Not Found", "")
	}
	var in struct {
		Status int64 `json:"status_id"`
	}
	if len(body) > 0 && json.Unmarshal(body, &in) != nil {
		return problem(http.StatusBadRequest, "Bad Request", "")
	}
	lead := a.tables[Leads].rows[u.lead]
	if !accept {
		delete(a.unsorted, uid)
		lead.Deleted, lead.hidden = true, false
		return reply{status: http.StatusOK, body: map[string]any{"uid": uid}}
	}
	if in.Status != 0 {
		o := object{"pipeline_id": json.Number(itoa(u.pipeline)), "status_id": json.Number(itoa(in.Status))}
		if len(a.checkStage(o)) > 0 {
			return problem(http.StatusBadRequest, "Bad Request", "status_id")
		}
		lead.StatusID = in.Status
	}
	delete(a.unsorted, uid)
	lead.hidden, lead.UpdatedAt = false, a.now().Unix()
	if c := a.tables[Contacts].rows[u.contact]; c != nil {
		c.hidden, c.UpdatedAt = false, lead.UpdatedAt
		a.fire(Contacts, "add", c.clone(), Entity{})
	}
	a.fire(Leads, "add", lead.clone(), Entity{})
	return reply{status: http.StatusOK, body: map[string]any{"uid": uid}}
}
