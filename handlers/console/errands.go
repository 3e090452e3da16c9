package console

import (
	"net/http"
	"strconv"

	"github.com/svod-hub/svod/store"
)

// atOnce is how many rows or entries are put back to work in one go; more are an
// errand, which can be watched and stopped.
const atOnce = 500

// begin lets an errand begin and shows it.
func (c *Console) begin(r *request, e *store.Errand, subject string) error {
	e.Project, e.User = r.project.ID, r.session.User
	if err := c.opts.Actions.Begin(r.Request().Context(), e); err != nil {
		return c.refused(r, err)
	}
	r.note(string(e.Action), subject)
	return r.Redirect(http.StatusSeeOther, r.at("/errands/"+strconv.FormatInt(e.ID, 10)))
}

type errandsData struct {
	Errands []store.Errand
}

// errands lists what operators asked for.
func (c *Console) errands(r *request) error {
	list, err := c.opts.Store.Errands(r.Request().Context(), r.project.ID, pageSize)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "errands", "nav.errands", errandsData{Errands: list})
}

type errandData struct {
	Errand  store.Errand
	Percent int
	Due     int // rows of the errand's flows that wait to go out
}

// errand shows how far an errand has come.
func (c *Console) errand(r *request) error {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return store.ErrNotFound
	}
	ctx := r.Request().Context()
	e, err := c.opts.Store.Errand(ctx, r.project.ID, id)
	if err != nil {
		return err
	}
	data := errandData{Errand: e, Percent: 100}
	if e.Total > 0 {
		data.Percent = min(100, e.Done*100/e.Total)
	}
	if e.Action == store.ErrandResend {
		for _, flow := range r.project.FlowIDs() {
			if e.Flow != "" && flow != e.Flow {
				continue
			}
			counts, err := c.opts.Store.FlowCounts(ctx, r.project.ID, flow)
			if err != nil {
				return err
			}
			data.Due += counts.Due + counts.Sending
		}
	}
	return r.render(http.StatusOK, "errand", "errand.title", data)
}

// stopErrand stops an errand; what it did stays done.
func (c *Console) stopErrand(r *request) error {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return store.ErrNotFound
	}
	if err := c.opts.Actions.StopErrand(r.Request().Context(), r.project.ID, id); err != nil {
		return err
	}
	r.note("stop_errand", r.Param("id"))
	return r.done(r.at("/errands/"+r.Param("id")), "stopped")
}
