package console

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// classified finds an error that was made for people.
func classified(err error) (*model.Error, bool) {
	var e *model.Error
	return e, errors.As(err, &e)
}

type journalData struct {
	Fields  *fields
	Entries []store.Entry
	Older   string // address of the next page
	Hidden  []pair
}

// journal lists what came in.
func (c *Console) journal(r *request) error {
	f := newFields(r.QueryParams(), r.project.ZoneOrUTC())
	filter := f.journal(r.project.ID)
	filter.BeforeID, filter.Limit = f.number("before"), pageSize
	entries, err := c.opts.Store.Journal(r.Request().Context(), filter)
	if err != nil {
		return err
	}
	data := journalData{Fields: f, Entries: entries, Hidden: f.hidden(journalFields)}
	if len(entries) == pageSize {
		last := strconv.FormatInt(entries[len(entries)-1].ID, 10)
		data.Older = r.at("/journal?" + f.with(journalFields, "before", last))
	}
	return r.render(http.StatusOK, "journal", "nav.journal", data)
}

type entryData struct {
	Entry   store.Entry
	Query   string
	Headers []view.Header
	Body    view.Body
}

// journalEntry shows one delivery as it came.
func (c *Console) journalEntry(r *request) error {
	id, err := strconv.ParseInt(r.Param("id"), 10, 64)
	if err != nil {
		return store.ErrNotFound
	}
	entry, err := c.opts.Store.JournalEntry(r.Request().Context(), r.project.ID, id)
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "entry", "entry.title", entryData{
		Entry: entry, Query: view.NewQuery(entry.Query), Headers: view.NewHeaders(entry.Header), Body: view.NewBody(entry.Body),
	})
}

// replay takes one entry in again at once, or all that match after asking.
func (c *Console) replay(r *request) error {
	ctx := r.Request().Context()
	f := newFields(r.Request().PostForm, r.project.ZoneOrUTC())
	if id := f.number("id"); id > 0 {
		back := r.at("/journal/" + strconv.FormatInt(id, 10))
		n, err := c.opts.Actions.Replay(ctx, store.JournalFilter{Project: r.project.ID, IDs: []int64{id}}, false)
		if err != nil {
			return c.refused(r, err)
		}
		r.note("replay", strconv.FormatInt(id, 10))
		return r.done(back, "replay", strconv.Itoa(n))
	}
	filter := f.journal(r.project.ID)
	back := r.at("/journal?" + f.with(journalFields))
	if len(f.Wrong) > 0 {
		// A filter that cannot be read would match more than was meant.
		return &refusal{status: http.StatusBadRequest, key: "error.filter"}
	}
	confirmed := r.FormValue("confirmed") != ""
	if confirmed {
		n, err := c.opts.Actions.Replay(ctx, filter, true)
		if err != nil {
			return c.refused(r, err)
		}
		if n > atOnce {
			return c.begin(r, &store.Errand{Action: store.ErrandReplay, Entries: filter, Total: n}, f.with(journalFields))
		}
	}
	n, err := c.opts.Actions.Replay(ctx, filter, !confirmed)
	if err != nil {
		return c.refused(r, err)
	}
	if !confirmed {
		return r.confirm(confirmData{
			Question: r.language.text("confirm.replay", n), Nothing: n == 0,
			Fields: f.hidden(journalFields), Action: r.at("/journal/replay"), Back: back,
		})
	}
	r.note("replay", f.with(journalFields))
	return r.done(back, "replay", strconv.Itoa(n))
}
