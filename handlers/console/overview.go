package console

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// overviewData is how the hub stands, with what only the console shows.
type overviewData struct {
	view.Status
	More   map[string]projectMore // by project
	Queues []QueueDepth
}

// projectMore is what the console shows of a project beside its status.
type projectMore struct {
	In, Out   plot
	Waits     []waitLine
	Audiences []audience
	Expiries  []Expiry
	Quotas    []Quota
}

type audience struct {
	Connection string
	connectors.Audience
}

// overview shows all projects.
func (c *Console) overview(r *request) error { return c.showProjects(r, c.opts.Projects, true) }

// project shows one project.
func (c *Console) project(r *request) error {
	return c.showProjects(r, []view.Project{*r.project}, false)
}

func (c *Console) showProjects(r *request, projects []view.Project, hub bool) error {
	ctx := r.Request().Context()
	status, err := view.Build(ctx, c.opts.Store, projects, c.opts.Now())
	if err != nil {
		return err
	}
	data := overviewData{Status: status, More: map[string]projectMore{}}
	for i := range projects {
		if data.More[projects[i].ID], err = c.more(ctx, r, &projects[i], status.Projects[i]); err != nil {
			return err
		}
	}
	if hub || len(c.opts.Projects) == 1 {
		if data.Queues, err = c.depths(ctx); err != nil {
			return err
		}
	}
	return r.render(http.StatusOK, "overview", "nav.overview", data)
}

// more collects what the overview shows of a project beside its status.
func (c *Console) more(ctx context.Context, r *request, p *view.Project, status view.ProjectStatus) (projectMore, error) {
	var m projectMore
	var err error
	now := c.opts.Now()
	if m.In, err = c.activity.plot(ctx, "in", p.ID, now, c.opts.Store.ReceivedPerMinute); err != nil {
		return m, err
	}
	if m.Out, err = c.activity.plot(ctx, "out", p.ID, now, c.opts.Store.AcceptedPerMinute); err != nil {
		return m, err
	}
	m.Waits = c.waits(&Page{Lang: r.language.Code, language: r.language, now: now}, p, status)
	m.Audiences = c.audiences(ctx, p)
	if c.opts.Expiries != nil {
		if m.Expiries, err = c.opts.Expiries(ctx, p.ID); err != nil {
			return m, err
		}
	}
	if c.opts.Quotas != nil {
		if m.Quotas, err = c.opts.Quotas(ctx, p.ID); err != nil {
			return m, err
		}
	}
	return m, nil
}

// audienceTime is how long the overview waits for today's visitors: they are a
// comfort, and another system has to be asked.
const audienceTime = 2 * time.Second

func (c *Console) audiences(ctx context.Context, p *view.Project) []audience {
	if c.opts.Audience == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, audienceTime)
	defer cancel()
	var list []audience
	for _, connection := range p.Connections {
		a, ok, err := c.opts.Audience(ctx, p.ID, connection.ID)
		if err != nil {
			c.opts.Log.Info("today's visitors are not known", zap.String("connection", connection.ID), zap.Error(err))
		} else if ok {
			list = append(list, audience{Connection: connection.ID, Audience: a})
		}
	}
	return list
}

// depths tells how much waits in the queues. That the queue's server is away
// does not take the page down: the database is the truth.
func (c *Console) depths(ctx context.Context) ([]QueueDepth, error) {
	if c.opts.Depths == nil {
		return nil, nil
	}
	off, err := c.opts.Store.Switches(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.opts.Depths(ctx)
	if err != nil {
		c.opts.Log.Warn("the queues cannot be counted", zap.Error(err))
	}
	for i := range list {
		list[i].Paused = off.Off("", store.SwitchQueue, list[i].Name)
	}
	return list, nil
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
		n, err := c.opts.Actions.Resend(r.Request().Context(), store.DeliveryFilter{Project: r.project.ID, Flow: flow.ID}, true)
		if err != nil {
			return c.refused(r, err)
		}
		return r.confirm(confirmData{
			Question: r.language.text("confirm.send_all", flow.ID, n),
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
	if r.FormValue("confirmed") == "" {
		difference, err := c.opts.Actions.CompareStatuses(r.Request().Context(), r.project.ID, flow.ID)
		if err != nil {
			return c.refused(r, err)
		}
		if difference != nil {
			return r.confirm(confirmData{
				Question: r.language.text("confirm.statuses", flow.ID), Difference: difference,
				Action: r.at("/flows/" + flow.ID + "/statuses"), Back: r.at("/flows/" + flow.ID),
			})
		}
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
	// Difference is what would change at the destination.
	Difference *connectors.SchemeDifference
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
