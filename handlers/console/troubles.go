package console

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Marks of groups of errors.
const (
	markAcknowledged = "acknowledged"
	markResolved     = "resolved" // until it happens again
	markIgnored      = "ignored"
)

// errorGroup is everything that was refused at one place for one reason.
type errorGroup struct {
	Subject string // "flow" or "connection"
	ID      string
	Cause   model.Cause
	Field   string
	Count   int
	First   time.Time
	Last    time.Time
	Example store.Trouble
	Mark    string
	By      string
}

var (
	firstField  = regexp.MustCompile(`^([A-Za-z_][\w.]*)(?: \([^)]*\))? (?:is|wants|has|needs|must|cannot|can't)\b`)
	namedField  = regexp.MustCompile(`\b(?:parameter|attribute|field|column|member|currency|status|expression|map\.)\s*"?([A-Za-z_][\w.:-]*)"?`)
	quotedField = regexp.MustCompile(`["'«` + "`" + `]([A-Za-z_][\w.:-]{0,60})["'»` + "`" + `]`)
)

// fieldOf finds the field or parameter that a message names, or "".
func fieldOf(message string) string {
	for _, pattern := range []*regexp.Regexp{firstField, namedField, quotedField} {
		if m := pattern.FindStringSubmatch(message); m != nil {
			return strings.Trim(m[1], ".:-")
		}
	}
	return ""
}

// groupErrors joins troubles by place, cause and field, and puts the operators'
// marks on them. What was resolved and happened again is open again.
func groupErrors(troubles []store.Trouble, marks []store.ErrorMark) []errorGroup {
	type place struct {
		subject, id, field string
		cause              model.Cause
	}
	groups := map[place]*errorGroup{}
	for _, x := range troubles {
		at := place{x.Subject, x.ID, fieldOf(x.Error), x.Cause}
		g := groups[at]
		if g == nil {
			g = &errorGroup{Subject: x.Subject, ID: x.ID, Cause: x.Cause, Field: at.field, First: x.First, Example: x}
			groups[at] = g
		}
		g.Count += x.Count
		if x.First.Before(g.First) {
			g.First = x.First
		}
		if x.Last.After(g.Last) {
			g.Last, g.Example = x.Last, x
		}
	}
	for _, m := range marks {
		g := groups[place{m.Subject, m.ID, m.Field, m.Cause}]
		if g != nil && (m.Mark != markResolved || !g.Last.After(m.At)) {
			g.Mark, g.By = m.Mark, m.User
		}
	}
	list := make([]errorGroup, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(x, y errorGroup) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), strings.Compare(x.Subject+x.ID+string(x.Cause)+x.Field, y.Subject+y.ID+string(y.Cause)+y.Field))
	})
	return list
}

type errorsData struct {
	Groups []errorGroup
	Hidden int // resolved and ignored ones that are not shown
	All    bool
}

// errors shows what was refused, by place and reason.
func (c *Console) errors(r *request) error {
	ctx := r.Request().Context()
	troubles, err := c.opts.Store.Troubles(ctx, r.project.ID)
	if err != nil {
		return err
	}
	marks, err := c.opts.Store.ErrorMarks(ctx, r.project.ID)
	if err != nil {
		return err
	}
	data := errorsData{All: r.QueryParam("all") != ""}
	for _, g := range groupErrors(troubles, marks) {
		if (g.Mark == markResolved || g.Mark == markIgnored) && !data.All {
			data.Hidden++
			continue
		}
		data.Groups = append(data.Groups, g)
	}
	return r.render(http.StatusOK, "errors", "nav.errors", data)
}

// markErrors keeps what an operator says about a group.
func (c *Console) markErrors(r *request) error {
	m := store.ErrorMark{
		Project: r.project.ID, Subject: r.FormValue("subject"), ID: r.FormValue("id"), Cause: model.Cause(r.FormValue("cause")),
		Field: r.FormValue("field"), Mark: r.FormValue("mark"), User: r.session.User,
	}
	known := m.Mark == "" || m.Mark == markAcknowledged || m.Mark == markResolved || m.Mark == markIgnored
	if !known || m.ID == "" || len(m.ID)+len(m.Field)+len(m.Cause)+len(m.Subject) > 4*maxText {
		return &refusal{status: http.StatusBadRequest, key: "error.form"}
	}
	if err := c.opts.Store.MarkErrors(r.Request().Context(), m); err != nil {
		return err
	}
	r.note("mark_errors", strings.TrimSpace(m.ID+" "+string(m.Cause)+" "+m.Field+" "+m.Mark))
	back := r.at("/errors")
	if r.FormValue("all") != "" {
		back += "?all=1"
	}
	return r.done(back, "marked")
}
