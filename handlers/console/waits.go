package console

import (
	"time"

	"github.com/svod-hub/svod/handlers/view"
)

// waitLine says in words what waits and why.
type waitLine struct {
	Mood string
	Text string
	Path string // inside the project
}

// waits says what of a project waits, for whom, and for how long still.
func (c *Console) waits(p *Page, project *view.Project, status view.ProjectStatus) []waitLine {
	w := waiter{console: c, page: p, project: project}
	for _, s := range status.Connections {
		w.connection(s)
	}
	for _, s := range status.Flows {
		w.flow(s, status)
	}
	return w.lines
}

type waiter struct {
	console *Console
	page    *Page
	project *view.Project
	lines   []waitLine
}

func (w *waiter) say(mood, path, key string, args ...any) {
	w.lines = append(w.lines, waitLine{Mood: mood, Path: path, Text: w.page.T(key, args...)})
}

// clock writes a time of the project.
func (w *waiter) clock(t time.Time) string {
	zone := w.project.ZoneOrUTC()
	if t.In(zone).Format(time.DateOnly) == w.page.now.In(zone).Format(time.DateOnly) {
		return t.In(zone).Format("15:04")
	}
	return t.In(zone).Format(w.page.language.dateTime)
}

// system is how people call a connection.
func (w *waiter) system(s view.ConnectionStatus) string {
	if title := w.page.Text(s.Title); title != "" {
		return title
	}
	return s.ID
}

// pace is what a system allows, in its own words where they are known.
func (w *waiter) pace(s view.ConnectionStatus) string {
	if key := "pace." + s.Kind; w.page.Has(key) {
		return w.page.T(key)
	}
	return w.system(s)
}

func (w *waiter) connection(s view.ConnectionStatus) {
	path := "/connections/" + s.ID
	if s.Off != nil {
		w.say("warn", path, "waits.source_off", w.system(s), s.Off.User, w.clock(s.Off.Since), s.Waiting.Count, s.WaitingRefs.Count)
		return
	}
	if n := s.WaitingRefs.Count; n > 0 {
		left := w.console.paces.left(w.project.ID+"/"+s.ID, n, w.page.now)
		switch {
		case s.Status == view.ConnectionNeedsReauth:
			w.say("bad", path, "waits.reauth", w.system(s), n)
		case s.Status == view.ConnectionPaused && s.RetryAt.After(w.page.now):
			w.say("warn", path, "waits.asked", w.system(s), w.clock(s.RetryAt), n)
		case left > 0:
			w.say("busy", path, "waits.pace_left", w.pace(s), n, w.page.language.span(left))
		default:
			w.say("busy", path, "waits.pace", w.pace(s), n)
		}
	}
	if n := s.Waiting.Count; n > 0 {
		w.say("busy", "/journal?state=new&connection="+s.ID, "waits.journal", w.system(s), n)
	}
}

func (w *waiter) flow(s view.FlowStatus, status view.ProjectStatus) {
	path := "/flows/" + s.ID
	waiting := s.Due
	if s.Off != nil {
		w.say("warn", path, "waits.flow_off", s.ID, s.Off.User, w.clock(s.Off.Since), waiting, s.Lag)
		return
	}
	var to view.ConnectionStatus
	for _, c := range status.Connections {
		if c.ID == s.To {
			to = c
		}
	}
	switch {
	case waiting == 0 || s.Paused:
	case to.Status == view.ConnectionNeedsReauth:
		w.say("bad", path, "waits.to_reauth", w.system(to), s.ID, waiting)
	case to.Status == view.ConnectionPaused && to.RetryAt.After(w.page.now):
		w.say("warn", path, "waits.to_asked", w.system(to), w.clock(to.RetryAt), s.ID, waiting)
	case s.Failures > 0 && s.NextRun.After(w.page.now):
		w.say("bad", path, "waits.to_failing", s.ID, w.clock(s.NextRun), waiting)
	case s.NextRun.After(w.page.now):
		w.say("busy", path, "waits.schedule", s.ID, w.clock(s.NextRun), waiting)
	default:
		if left := w.console.paces.left(w.project.ID+"/"+s.ID+"/rows", waiting, w.page.now); left > 0 {
			w.say("busy", path, "waits.rows_left", s.ID, waiting, w.page.language.span(left))
		} else {
			w.say("busy", path, "waits.rows", s.ID, waiting)
		}
	}
	if s.Waiting > 0 {
		w.say("busy", "/deliveries?state=waiting&flow="+s.ID, "waits.clients", s.ID, s.Waiting)
	}
}
