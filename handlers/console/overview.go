package console

import (
	"net/http"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// overview shows all projects.
func (c *Console) overview(r *request) error {
	status, err := view.Build(r.Request().Context(), c.opts.Store, c.opts.Projects, c.opts.Now())
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "overview", "nav.overview", status)
}

// project shows one project.
func (c *Console) project(r *request) error {
	status, err := view.Build(r.Request().Context(), c.opts.Store, []view.Project{*r.project}, c.opts.Now())
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "overview", "nav.overview", status)
}

type connectionData struct {
	Connection view.Connection
	Status     view.ConnectionStatus
}

// connection shows one connection and the addresses to paste for it.
func (c *Console) connection(r *request) error {
	connection, ok := r.project.Connection(r.Param("connection"))
	if !ok {
		return store.ErrNotFound
	}
	one := view.Project{ID: r.project.ID, Name: r.project.Name, Zone: r.project.Zone, Connections: []view.Connection{connection}}
	status, err := view.Build(r.Request().Context(), c.opts.Store, []view.Project{one}, c.opts.Now())
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "connection", "connection.title", connectionData{
		Connection: connection, Status: status.Projects[0].Connections[0],
	})
}

// releaseGuard lets a pull that was held back go on.
func (c *Console) releaseGuard(r *request) error {
	connection, ok := r.project.Connection(r.Param("connection"))
	if !ok {
		return store.ErrNotFound
	}
	if err := c.opts.Actions.ReleaseGuard(r.Request().Context(), r.project.ID, connection.ID); err != nil {
		return err
	}
	r.note("release_guard", connection.ID)
	return r.done(r.at("/connections/"+connection.ID), "released")
}

type flowData struct {
	Flow    view.Flow
	Status  view.FlowStatus
	Send    string // key of the text on the button
	Put     string // likewise
	Uploads []view.UploadStatus
	Refused []group
}

// metricaKind is the destination that has texts of its own on the buttons.
const metricaKind = "yandex-metrica"

// flow shows one flow with its buttons.
func (c *Console) flow(r *request) error {
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok {
		return store.ErrNotFound
	}
	ctx := r.Request().Context()
	one := view.Project{ID: r.project.ID, Name: r.project.Name, Zone: r.project.Zone, Flows: []view.Flow{flow}}
	status, err := view.Build(ctx, c.opts.Store, []view.Project{one}, c.opts.Now())
	if err != nil {
		return err
	}
	data := flowData{Flow: flow, Status: status.Projects[0].Flows[0], Send: "flow.send", Put: "flow.statuses"}
	if to, ok := r.project.Connection(flow.To); ok && to.Kind == metricaKind {
		data.Send, data.Put = "flow.send_metrica", "flow.statuses_metrica"
	}
	uploads, err := c.opts.Store.Uploads(ctx, store.UploadFilter{Project: r.project.ID, Flow: flow.ID, Limit: 10})
	if err != nil {
		return err
	}
	for _, u := range uploads {
		data.Uploads = append(data.Uploads, view.NewUploadStatus(u))
	}
	if data.Refused, err = c.refusedGroups(r, flow.ID); err != nil {
		return err
	}
	return r.render(http.StatusOK, "flow", "flow.title", data)
}

// sendFlow is the button "Send to Metrica now".
func (c *Console) sendFlow(r *request) error {
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok {
		return store.ErrNotFound
	}
	if err := c.opts.Actions.SendNow(r.Request().Context(), r.project.ID, flow.ID); err != nil {
		return c.refused(r, err)
	}
	r.note("send", flow.ID)
	return r.done(r.at("/flows/"+flow.ID), "send")
}

// sendFlowAll sends everything from the beginning, after asking once more.
func (c *Console) sendFlowAll(r *request) error {
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok {
		return store.ErrNotFound
	}
	if r.FormValue("confirmed") == "" {
		return r.confirm(confirmData{
			Question: r.language.text("confirm.send_all", flow.ID),
			Action:   r.at("/flows/" + flow.ID + "/send-all"), Back: r.at("/flows/" + flow.ID),
		})
	}
	if err := c.opts.Actions.SendAll(r.Request().Context(), r.project.ID, flow.ID); err != nil {
		return c.refused(r, err)
	}
	r.note("send_all", flow.ID)
	return r.done(r.at("/flows/"+flow.ID), "send_all")
}

// sendStatuses is the button "Send statuses to Metrica".
func (c *Console) sendStatuses(r *request) error {
	flow, ok := r.project.Flow(r.Param("flow"))
	if !ok || !flow.HasStatuses {
		return store.ErrNotFound
	}
	if err := c.opts.Actions.SendStatuses(r.Request().Context(), r.project.ID, flow.ID); err != nil {
		return c.refused(r, err)
	}
	r.note("send_statuses", flow.ID)
	return r.done(r.at("/flows/"+flow.ID), "statuses")
}

type actionErrorData struct {
	Cause   model.Cause
	Message string
}

// refused shows why an action could not be done: the destination's answer is
// what the operator needs, and classified errors are made for people.
func (c *Console) refused(r *request, err error) error {
	e, ok := classified(err)
	if !ok {
		return err
	}
	return r.render(http.StatusBadGateway, "action-error", "error.title", actionErrorData{Cause: e.Cause, Message: e.Error()})
}

type confirmData struct {
	Question string
	Fields   []pair
	Action   string
	Back     string
	Nothing  bool // there is nothing to do
}

// confirm asks once more before something large.
func (r *request) confirm(data confirmData) error {
	return r.render(http.StatusOK, "confirm", "confirm.title", data)
}

type auditData struct {
	Entries []store.Audit
}

// audit shows who did what.
func (c *Console) audit(r *request) error {
	entries, err := c.opts.Store.AuditLog(r.Request().Context(), 200)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "audit", "nav.audit", auditData{Entries: entries})
}
