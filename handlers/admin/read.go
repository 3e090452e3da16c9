package admin

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// status shows the projects that the token opens.
func (a *API) status(r *request) (any, error) {
	var open []view.Project
	for _, p := range a.opts.Projects {
		if r.token.opens(p.ID) {
			open = append(open, p)
		}
	}
	return view.Build(r.Request().Context(), a.opts.Store, open, a.opts.Now())
}

// entry is one raw delivery.
type entry struct {
	ID         int64       `json:"id"`
	Connection string      `json:"connection"`
	ReceivedAt time.Time   `json:"received_at"`
	SettledAt  time.Time   `json:"settled_at,omitzero"`
	State      string      `json:"state"`
	Cause      model.Cause `json:"cause,omitempty"`
	Error      string      `json:"error,omitempty"`
	Note       string      `json:"note,omitempty"`
	Method     string      `json:"method"`
	Remote     string      `json:"remote,omitempty"`

	Query   string        `json:"query,omitempty"`
	Headers []view.Header `json:"headers,omitempty"`
	Body    *view.Body    `json:"body,omitempty"`
}

func newEntry(e store.Entry) entry {
	return entry{
		ID: e.ID, Connection: e.Connection, ReceivedAt: e.ReceivedAt, SettledAt: e.SettledAt,
		State: view.EntryState(e.State), Cause: e.Cause, Error: e.Error, Note: e.Note, Method: e.Method, Remote: e.Remote,
	}
}

func (a *API) journal(r *request) (any, error) {
	q := &query{r: r}
	states, err := entryStates(q.list("state"))
	filter := store.JournalFilter{
		Project: r.project.ID, Connection: q.text("connection"), States: states, Cause: model.Cause(q.text("cause")),
		Since: q.time("since"), Until: q.time("until"), Text: q.text("text"), BeforeID: q.cursor().ID, Limit: q.limit(),
	}
	if err != nil || q.err != nil {
		return nil, firstError(err, q.err)
	}
	list, err := a.opts.Store.Journal(r.Request().Context(), filter)
	if err != nil {
		return nil, err
	}
	p := page[entry]{Items: []entry{}}
	for _, e := range list {
		p.Items = append(p.Items, newEntry(e))
	}
	if len(list) == filter.Limit {
		p.Next = cursor{ID: list[len(list)-1].ID}.String()
	}
	return p, nil
}

func (a *API) journalEntry(r *request) (any, error) {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return nil, store.ErrNotFound
	}
	e, err := a.opts.Store.JournalEntry(r.Request().Context(), r.project.ID, id)
	if err != nil {
		return nil, err
	}
	full, body := newEntry(e), view.NewBody(e.Body)
	full.Query, full.Headers, full.Body = view.NewQuery(e.Query), view.NewHeaders(e.Header), &body
	return full, nil
}

func (a *API) uploads(r *request) (any, error) {
	q := &query{r: r}
	filter := store.UploadFilter{
		Project: r.project.ID, Flow: q.text("flow"), Parent: q.number("parent"), BeforeID: q.cursor().ID, Limit: q.limit(),
	}
	for _, status := range q.list("status") {
		filter.Statuses = append(filter.Statuses, store.UploadStatus(status))
	}
	if q.err != nil {
		return nil, q.err
	}
	list, err := a.opts.Store.Uploads(r.Request().Context(), filter)
	if err != nil {
		return nil, err
	}
	p := page[view.UploadStatus]{Items: []view.UploadStatus{}}
	for _, u := range list {
		p.Items = append(p.Items, view.NewUploadStatus(u))
	}
	if len(list) == filter.Limit {
		p.Next = cursor{ID: list[len(list)-1].ID}.String()
	}
	return p, nil
}

// fullUpload is an upload with the destination's answer.
type fullUpload struct {
	view.UploadStatus
	Answer json.RawMessage `json:"answer,omitempty"`
}

func (a *API) upload(r *request) (any, error) {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return nil, store.ErrNotFound
	}
	u, err := a.opts.Store.Upload(r.Request().Context(), r.project.ID, id)
	if err != nil {
		return nil, err
	}
	full := fullUpload{UploadStatus: view.NewUploadStatus(u)}
	if json.Valid(u.Details) {
		full.Answer = view.Hide(u.Details)
	}
	return full, nil
}

// delivery is the memory of one row.
type delivery struct {
	Flow       string      `json:"flow"`
	Connection string      `json:"connection"`
	Kind       model.Kind  `json:"kind"`
	ID         string      `json:"id"`
	RowKey     string      `json:"row_key,omitempty"`
	State      string      `json:"state"`
	Due        bool        `json:"due"`
	WantedSeq  int64       `json:"wanted_seq"`
	DoneSeq    int64       `json:"done_seq"`
	Needs      string      `json:"needs,omitempty"`
	UploadID   int64       `json:"upload_id,omitempty"`
	RemoteID   string      `json:"remote_id,omitempty"`
	Cause      model.Cause `json:"cause,omitempty"`
	Error      string      `json:"error,omitempty"`
	Attempts   int         `json:"attempts"`
	SentAt     time.Time   `json:"sent_at,omitzero"`
	UpdatedAt  time.Time   `json:"updated_at,omitzero"`
}

func newDelivery(d store.Delivery) delivery {
	return delivery{
		Flow: d.Flow, Connection: d.Connection, Kind: d.Kind, ID: d.ID, RowKey: d.RowKey,
		State: view.DeliveryState(d.State), Due: d.DoneSeq < d.WantedSeq, WantedSeq: d.WantedSeq, DoneSeq: d.DoneSeq,
		Needs: d.Needs, UploadID: d.UploadID, RemoteID: d.RemoteID, Cause: d.Cause, Error: d.Error,
		Attempts: d.Attempts, SentAt: d.SentAt, UpdatedAt: d.UpdatedAt,
	}
}

func (a *API) deliveries(r *request) (any, error) {
	q := &query{r: r}
	states, err := deliveryStates(q.list("state"))
	at := q.cursor()
	filter := store.DeliveryFilter{
		Project: r.project.ID, Flow: q.text("flow"), States: states, Cause: model.Cause(q.text("cause")),
		Text: q.text("text"), Since: q.time("since"), Until: q.time("until"), IDs: q.list("id"), RowKeys: q.list("row_key"),
		UploadID: q.number("upload_id"), AfterFlow: at.Flow, AfterID: at.Key, Limit: q.limit(),
	}
	if err != nil || q.err != nil {
		return nil, firstError(err, q.err)
	}
	list, err := a.opts.Store.Deliveries(r.Request().Context(), filter)
	if err != nil {
		return nil, err
	}
	p := page[delivery]{Items: []delivery{}}
	for _, d := range list {
		p.Items = append(p.Items, newDelivery(d))
	}
	if len(list) == filter.Limit {
		last := list[len(list)-1]
		p.Next = cursor{Flow: last.Flow, Key: model.Key{Connection: last.Connection, Kind: last.Kind, ID: last.ID}}.String()
	}
	return p, nil
}

func (a *API) records(r *request) (any, error) {
	q := &query{r: r}
	filter := store.RecordFilter{
		Project: r.project.ID, Connections: q.list("connection"), Kind: model.Kind(q.text("kind")), IDs: q.list("id"),
		Text: q.text("text"), ChangedFrom: q.time("changed_from"), Live: q.flag("live"), AfterKey: q.cursor().Key, Limit: q.limit(),
	}
	reveal := q.flag("reveal")
	if !filter.Kind.Valid() {
		q.wrong("kind", "Name a kind of record: deal, contact, call…")
	}
	if q.err != nil {
		return nil, q.err
	}
	list, err := a.opts.Store.Records(r.Request().Context(), filter)
	if err != nil {
		return nil, err
	}
	p := page[view.Record]{Items: []view.Record{}}
	for _, rec := range list {
		shown, err := view.NewRecord(rec, reveal)
		if err != nil {
			return nil, err
		}
		p.Items = append(p.Items, shown)
	}
	if len(list) == filter.Limit {
		p.Next = cursor{Key: list[len(list)-1].Meta().Key()}.String()
	}
	if reveal {
		r.note("reveal", string(filter.Kind))
	}
	return p, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
