// Package alerts tells people outside the console that something needs them: it
// looks at the same status as the console from time to time, decides what is new,
// what lasts and what is over, and writes one message about all of it to Telegram,
// by e-mail or to a webhook.
//
// What needs a person is found by Find, when to say so is decided by Decide; both
// are pure. Messages hold no secrets and no personal data: names of projects,
// flows and connections, causes, times and links.
package alerts

import (
	"cmp"
	"slices"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Reason says what is the matter.
type Reason string

// The reasons. Those that the console has too have the same names.
const (
	BacklogOld        Reason = "backlog_old"        // journal entries wait for too long
	ConnectionFailing Reason = "connection_failing" // calls to the system fail
	FlowBehind        Reason = "flow_behind"        // rows wait for longer than they should
	FlowFailing       Reason = "flow_failing"       // the flow's runs fail
	GuardRaised       Reason = "guard_raised"       // a pull is held back after a sharp drop
	NeedsReauth       Reason = "needs_reauth"       // credentials are refused
	Silent            Reason = "silent"             // nothing was received for long
	TokenExpiring     Reason = "token_expiring"     // a token ends and nothing renews it
	UploadInDoubt     Reason = "upload_in_doubt"    // the outcome of an upload is not known
)

// Subjects of troubles.
const (
	SubjectConnection = "connection"
	SubjectFlow       = "flow"
)

// Trouble is one thing that needs a person.
type Trouble struct {
	Project     string      `json:"project"`
	ProjectName string      `json:"project_name"`
	Reason      Reason      `json:"reason"`
	Subject     string      `json:"subject"`
	ID          string      `json:"id"`
	Cause       model.Cause `json:"cause,omitempty"`
	Since       time.Time   `json:"since,omitzero"`
	Until       time.Time   `json:"until,omitzero"` // when a token ends
	Count       int         `json:"count,omitempty"`
}

// key names the trouble; it stays the same while the trouble lasts.
func (t Trouble) key() string {
	return t.Project + "/" + t.Subject + "/" + t.ID + "/" + string(t.Reason)
}

// Limits say from when on something is a trouble; 0 switches a limit off.
type Limits struct {
	FlowBehind    time.Duration
	Silent        time.Duration
	TokenExpiring time.Duration
	// Patience is how long rows of a flow ("project/flow") wait because its schedule
	// says so.
	Patience map[string]time.Duration
}

// Expiry is when a connection's token ends that nothing renews.
type Expiry struct {
	Project    string
	Connection string
	At         time.Time
}

// inDoubt is how long the hub takes at most to settle an upload by itself.
const inDoubt = 5 * time.Minute

// Find lists what needs a person, by project, subject and reason.
func Find(status view.Status, expiries []Expiry, limits Limits) []Trouble {
	var found []Trouble
	for _, p := range status.Projects {
		f := finder{project: p, limits: limits, now: status.At}
		for _, c := range p.Connections {
			f.connection(c)
		}
		for _, flow := range p.Flows {
			f.flow(flow)
		}
		for _, e := range expiries {
			if e.Project == p.ID {
				f.expiry(e)
			}
		}
		found = append(found, f.found...)
	}
	slices.SortStableFunc(found, func(a, b Trouble) int { return cmp.Compare(a.key(), b.key()) })
	return found
}

type finder struct {
	project view.ProjectStatus
	limits  Limits
	now     time.Time
	found   []Trouble
}

func (f *finder) add(t Trouble) {
	t.Project, t.ProjectName = f.project.ID, f.project.Name
	f.found = append(f.found, t)
}

// older reports whether something lasts for longer than a limit.
func (f *finder) older(since time.Time, limit time.Duration) bool {
	return limit > 0 && !since.IsZero() && f.now.Sub(since) > limit
}

func (f *finder) connection(c view.ConnectionStatus) {
	t := Trouble{Subject: SubjectConnection, ID: c.ID, Cause: c.Cause, Since: c.Since}
	for _, a := range f.project.Attention {
		if a.Subject != SubjectConnection || a.ID != c.ID {
			continue
		}
		switch a.Reason {
		case view.ReasonGuardRaised, view.ReasonNeedsReauth, view.ReasonConnectionFailing:
			t.Reason = Reason(a.Reason)
			f.add(t)
		case view.ReasonBacklogOld:
			// An operator who paused a source knows that its journal waits.
			if c.Off == nil {
				f.add(Trouble{Reason: BacklogOld, Subject: SubjectConnection, ID: c.ID, Since: c.Waiting.Oldest, Count: c.Waiting.Count})
			}
		}
	}
	// What never sent anything is still being set up.
	last := c.LastEventAt
	if last.IsZero() {
		last = c.LastReadAt
	}
	if c.Off == nil && f.older(last, f.limits.Silent) {
		f.add(Trouble{Reason: Silent, Subject: SubjectConnection, ID: c.ID, Since: last})
	}
}

func (f *finder) flow(s view.FlowStatus) {
	if s.Paused {
		return
	}
	if s.Error != "" {
		f.add(Trouble{Reason: FlowFailing, Subject: SubjectFlow, ID: s.ID, Cause: s.Cause, Count: s.Failures})
	}
	if u := s.LastUpload; u != nil && u.Status == store.UploadInDoubt && f.older(u.StartedAt, inDoubt) {
		f.add(Trouble{Reason: UploadInDoubt, Subject: SubjectFlow, ID: s.ID, Cause: model.CauseInDoubt, Since: u.StartedAt})
	}
	if f.limits.FlowBehind <= 0 {
		return
	}
	if f.older(s.LagSince, f.limits.FlowBehind+f.limits.Patience[f.project.ID+"/"+s.ID]) {
		f.add(Trouble{Reason: FlowBehind, Subject: SubjectFlow, ID: s.ID, Since: s.LagSince, Count: s.Due})
	}
}

func (f *finder) expiry(e Expiry) {
	known := slices.ContainsFunc(f.project.Connections, func(c view.ConnectionStatus) bool { return c.ID == e.Connection })
	if !known || f.limits.TokenExpiring <= 0 || e.At.IsZero() || e.At.Sub(f.now) > f.limits.TokenExpiring {
		return
	}
	f.add(Trouble{Reason: TokenExpiring, Subject: SubjectConnection, ID: e.Connection, Until: e.At})
}
