package admin

import (
	"encoding/json"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// asked says that work was put where it is picked up.
type asked struct {
	Asked bool `json:"asked"`
}

// matched says how many things were, or would be, put back to work.
type matched struct {
	Matched int  `json:"matched"`
	DryRun  bool `json:"dry_run"`
}

func (a *API) send(r *request) (any, error) {
	var body struct {
		All bool `json:"all"`
	}
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok {
		return nil, store.ErrNotFound
	}
	if err := r.body(&body); err != nil {
		return nil, err
	}
	act, action := a.opts.Actions.SendNow, "send"
	if body.All {
		act, action = a.opts.Actions.SendAll, "send_all"
	}
	if err := act(r.Request().Context(), r.project.ID, flow.ID); err != nil {
		return nil, err
	}
	r.note(action, flow.ID)
	return asked{Asked: true}, nil
}

func (a *API) statuses(r *request) (any, error) {
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok {
		return nil, store.ErrNotFound
	}
	if !flow.HasStatuses {
		return nil, badParameter("flow", "The flow has no statuses: add some in svod.yaml.")
	}
	if err := a.opts.Actions.SendStatuses(r.Request().Context(), r.project.ID, flow.ID); err != nil {
		return nil, err
	}
	r.note("send_statuses", flow.ID)
	return asked{Asked: true}, nil
}

// journalFilter selects journal entries; at least one member must be given.
type journalFilter struct {
	IDs        []int64     `json:"ids,omitempty"`
	Connection string      `json:"connection,omitempty"`
	States     []string    `json:"states,omitempty"`
	Cause      model.Cause `json:"cause,omitempty"`
	Since      time.Time   `json:"since,omitzero"`
	Until      time.Time   `json:"until,omitzero"`
	Text       string      `json:"text,omitempty"`
	// All takes the place of a filter.
	All bool `json:"all,omitempty"`
}

func (a *API) replay(r *request) (any, error) {
	var body struct {
		Filter journalFilter `json:"filter"`
		DryRun bool          `json:"dry_run"`
	}
	if err := r.body(&body); err != nil {
		return nil, err
	}
	f := body.Filter
	subject, err := subjectOf(f)
	if err != nil {
		return nil, err
	}
	states, err := entryStates(f.States)
	if err != nil {
		return nil, err
	}
	n, err := a.opts.Actions.Replay(r.Request().Context(), store.JournalFilter{
		Project: r.project.ID, IDs: f.IDs, Connection: f.Connection, States: states, Cause: f.Cause,
		Since: f.Since.UTC(), Until: f.Until.UTC(), Text: f.Text,
	}, body.DryRun)
	if err != nil {
		return nil, err
	}
	if !body.DryRun {
		r.note("replay", subject)
	}
	return matched{Matched: n, DryRun: body.DryRun}, nil
}

// deliveryFilter selects rows; at least one member must be given.
type deliveryFilter struct {
	Flow     string      `json:"flow,omitempty"`
	States   []string    `json:"states,omitempty"`
	Cause    model.Cause `json:"cause,omitempty"`
	Text     string      `json:"text,omitempty"`
	Since    time.Time   `json:"since,omitzero"`
	Until    time.Time   `json:"until,omitzero"`
	IDs      []string    `json:"ids,omitempty"`
	RowKeys  []string    `json:"row_keys,omitempty"`
	UploadID int64       `json:"upload_id,omitempty"`
	// All takes the place of a filter.
	All bool `json:"all,omitempty"`
}

func (a *API) resend(r *request) (any, error) {
	var body struct {
		Filter deliveryFilter `json:"filter"`
		DryRun bool           `json:"dry_run"`
	}
	if err := r.body(&body); err != nil {
		return nil, err
	}
	f := body.Filter
	subject, err := subjectOf(f)
	if err != nil {
		return nil, err
	}
	states, err := deliveryStates(f.States)
	if err != nil {
		return nil, err
	}
	n, err := a.opts.Actions.Resend(r.Request().Context(), store.DeliveryFilter{
		Project: r.project.ID, Flow: f.Flow, States: states, Cause: f.Cause, Text: f.Text, Since: f.Since.UTC(),
		Until: f.Until.UTC(), IDs: f.IDs, RowKeys: f.RowKeys, UploadID: f.UploadID,
	}, body.DryRun)
	if err != nil {
		return nil, err
	}
	if !body.DryRun {
		r.note("resend", subject)
	}
	return matched{Matched: n, DryRun: body.DryRun}, nil
}

// subjectOf renders a filter for the audit log and refuses one that selects
// everything without saying so.
func subjectOf(filter any) (string, error) {
	data, err := json.Marshal(filter)
	if err != nil {
		return "", err
	}
	if string(data) == "{}" {
		return "", badParameter("filter", `The filter is empty. Name what to put back to work, or write {"filter": {"all": true}}.`)
	}
	return string(data), nil
}
