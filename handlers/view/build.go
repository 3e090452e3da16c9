package view

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// oldBacklog is how long a hook or a reference may wait before a person should
// look: intake normally takes seconds.
const oldBacklog = 10 * time.Minute

// recentErrors bounds the list of errors of one project.
const recentErrors = 10

// Build reads how the projects stand.
func Build(ctx context.Context, s Store, projects []Project, now time.Time) (Status, error) {
	status := Status{At: now.UTC(), Healthy: true, Projects: make([]ProjectStatus, 0, len(projects))}
	journal, err := s.JournalBacklogs(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("count waiting journal entries: %w", err)
	}
	refs, err := s.RefBacklogs(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("count waiting references: %w", err)
	}
	off, err := s.Switches(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("read what is paused: %w", err)
	}
	for _, p := range projects {
		b := builder{store: s, project: p, now: now, journal: journal, refs: refs, off: off}
		ps, err := b.build(ctx)
		if err != nil {
			return Status{}, fmt.Errorf("read the status of project %s: %w", p.ID, err)
		}
		for _, a := range ps.Attention {
			if a.Severity == SeverityError {
				status.Healthy = false
			}
		}
		status.Projects = append(status.Projects, ps)
	}
	return status, nil
}

type builder struct {
	store         Store
	project       Project
	now           time.Time
	journal, refs []store.Backlog
	off           store.Switches
}

func (b *builder) build(ctx context.Context) (ProjectStatus, error) {
	ps := ProjectStatus{
		ID: b.project.ID, Name: b.project.Name, Timezone: b.project.ZoneOrUTC().String(),
		Attention: []Attention{}, Connections: []ConnectionStatus{}, Flows: []FlowStatus{}, Errors: []RecentError{},
	}
	if err := b.connections(ctx, &ps); err != nil {
		return ps, err
	}
	if err := b.flows(ctx, &ps); err != nil {
		return ps, err
	}
	if err := b.errors(ctx, &ps); err != nil {
		return ps, err
	}
	for _, c := range ps.Connections {
		ps.Attention = append(ps.Attention, connectionAttention(c, b.now)...)
	}
	for _, f := range ps.Flows {
		ps.Attention = append(ps.Attention, flowAttention(f)...)
	}
	slices.SortStableFunc(ps.Attention, func(x, y Attention) int { return cmp.Compare(x.Severity, y.Severity) })
	return ps, nil
}

func (b *builder) connections(ctx context.Context, ps *ProjectStatus) error {
	states, err := b.store.ConnectionStates(ctx, b.project.ID)
	if err != nil {
		return err
	}
	polls, err := b.store.PollStates(ctx, b.project.ID)
	if err != nil {
		return err
	}
	counts, err := b.store.CountRecords(ctx, b.project.ID)
	if err != nil {
		return err
	}
	for _, c := range b.project.Connections {
		cs := ConnectionStatus{
			ID: c.ID, Kind: c.Kind, Title: c.Title, Status: ConnectionIdle,
			Waiting: b.waiting(b.journal, c.ID), WaitingRefs: b.waiting(b.refs, c.ID),
			Polls: []PollStatus{}, Records: []RecordsCount{},
		}
		for _, s := range states {
			if s.Connection == c.ID {
				cs.take(s)
			}
		}
		if x, off := b.off.Find(b.project.ID, store.SwitchSource, c.ID); off {
			cs.Off = &x
		}
		for _, p := range polls {
			if p.Connection == c.ID {
				cs.Polls = append(cs.Polls, PollStatus{
					Stream: p.Stream, Importing: p.Importing, Done: p.Done, Total: p.Total,
					LastRun: p.LastRun, NextRun: p.NextRun, Failures: p.Failures, Error: p.Error,
				})
			}
		}
		for _, n := range counts {
			if n.Connection == c.ID {
				cs.Records = append(cs.Records, RecordsCount{Kind: n.Kind, Live: n.Live, Deleted: n.Deleted})
			}
		}
		ps.Connections = append(ps.Connections, cs)
	}
	return nil
}

func (cs *ConnectionStatus) take(s store.ConnectionState) {
	if s.Status != "" {
		cs.Status = s.Status
	} else if !s.LastEventAt.IsZero() || !s.LastReadAt.IsZero() {
		cs.Status = ConnectionOK
	}
	cs.Cause, cs.Error, cs.Since, cs.RetryAt = s.Cause, s.Error, s.Since, s.RetryAt
	cs.LastEventAt, cs.LastReadAt = s.LastEventAt, s.LastReadAt
	cs.GuardRaised = s.Cause == model.CauseSharpDrop
}

func (b *builder) waiting(backlogs []store.Backlog, connection string) Waiting {
	for _, l := range backlogs {
		if l.Project == b.project.ID && l.Connection == connection {
			return Waiting{Count: l.Count, Oldest: l.Oldest}
		}
	}
	return Waiting{}
}

func (b *builder) flows(ctx context.Context, ps *ProjectStatus) error {
	states, err := b.store.FlowStates(ctx, b.project.ID)
	if err != nil {
		return err
	}
	for _, f := range b.project.Flows {
		counts, err := b.store.FlowCounts(ctx, b.project.ID, f.ID)
		if err != nil {
			return err
		}
		last, err := b.store.Uploads(ctx, store.UploadFilter{Project: b.project.ID, Flow: f.ID, Limit: 1})
		if err != nil {
			return err
		}
		fs := FlowStatus{
			ID: f.ID, Record: f.Record, As: f.As, From: f.From, To: f.To, Paused: f.Paused, HasStatuses: f.HasStatuses,
			Lag: counts.Behind, Due: counts.Due, Sending: counts.Sending, Sent: counts.Sent,
			Waiting: counts.Waiting, Refused: counts.Refused, Skipped: counts.Skipped,
		}
		cursor := int64(0)
		for _, s := range states {
			if s.Flow == f.ID {
				cursor = s.Cursor
				fs.LastRun, fs.LastSuccess, fs.NextRun = s.LastRun, s.LastSuccess, s.NextRun
				fs.Asked, fs.Failures, fs.Cause, fs.Error = s.Asked, s.Failures, s.Cause, s.Error
			}
		}
		if fs.LagSince, err = b.lagSince(ctx, f, counts, cursor); err != nil {
			return err
		}
		if x, off := b.off.Find(b.project.ID, store.SwitchFlow, f.ID); off {
			fs.Paused, fs.Off = true, &x
		}
		if len(last) > 0 {
			u := NewUploadStatus(last[0])
			fs.LastUpload = &u
		}
		ps.Flows = append(ps.Flows, fs)
	}
	return nil
}

// errors gathers what went wrong lately, wherever it is kept.
func (b *builder) errors(ctx context.Context, ps *ProjectStatus) error {
	for _, c := range ps.Connections {
		if c.Error != "" {
			ps.Errors = append(ps.Errors, RecentError{At: c.Since, Subject: "connection", ID: c.ID, Cause: c.Cause, Error: c.Error})
		}
	}
	for _, f := range ps.Flows {
		if f.Error != "" {
			ps.Errors = append(ps.Errors, RecentError{At: f.LastRun, Subject: "flow", ID: f.ID, Cause: f.Cause, Error: f.Error})
		}
	}
	uploads, err := b.store.Uploads(ctx, store.UploadFilter{
		Project: b.project.ID, Limit: recentErrors,
		Statuses: []store.UploadStatus{store.UploadRejected, store.UploadSplit, store.UploadInDoubt, store.UploadFailed},
	})
	if err != nil {
		return err
	}
	for _, u := range uploads {
		e := RecentError{
			At: firstTime(u.FinishedAt, u.StartedAt, u.CreatedAt), Subject: "upload",
			ID: strconv.FormatInt(u.ID, 10), Cause: u.Cause, Error: u.Error,
		}
		ps.Errors = append(ps.Errors, e)
	}
	entries, err := b.store.Journal(ctx, store.JournalFilter{
		Project: b.project.ID, Limit: recentErrors, States: []store.EntryState{store.EntryRefused, store.EntryPartly},
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		ps.Errors = append(ps.Errors, RecentError{
			At: e.ReceivedAt, Subject: "journal", ID: strconv.FormatInt(e.ID, 10), Cause: e.Cause, Error: e.Error,
		})
	}
	slices.SortStableFunc(ps.Errors, func(x, y RecentError) int { return y.At.Compare(x.At) })
	ps.Errors = ps.Errors[:min(len(ps.Errors), recentErrors)]
	return nil
}

// lagSince is when the oldest change was read that the flow has not sent.
func (b *builder) lagSince(ctx context.Context, f Flow, counts store.FlowCounts, cursor int64) (time.Time, error) {
	var oldest time.Time
	if counts.Due > 0 {
		at, err := b.store.OldestDue(ctx, b.project.ID, f.ID)
		if err != nil {
			return oldest, err
		}
		oldest = at
	}
	if counts.Behind > 0 {
		at, err := b.store.OldestBehind(ctx, b.project.ID, cursor)
		if err != nil {
			return oldest, err
		}
		if oldest.IsZero() || !at.IsZero() && at.Before(oldest) {
			oldest = at
		}
	}
	return oldest, nil
}

func (w Waiting) olderThan(age time.Duration, now time.Time) bool {
	return w.Count > 0 && !w.Oldest.IsZero() && now.Sub(w.Oldest) > age
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func connectionAttention(c ConnectionStatus, now time.Time) []Attention {
	var list []Attention
	add := func(severity Severity, reason Reason, count int) {
		list = append(list, Attention{
			Severity: severity, Reason: reason, Subject: "connection", ID: c.ID,
			Cause: c.Cause, Error: c.Error, Count: count,
		})
	}
	switch {
	case c.GuardRaised:
		add(SeverityError, ReasonGuardRaised, 0)
	case c.Status == ConnectionNeedsReauth:
		add(SeverityError, ReasonNeedsReauth, 0)
	case c.Status == ConnectionFailing:
		add(SeverityError, ReasonConnectionFailing, 0)
	}
	if c.Waiting.olderThan(oldBacklog, now) {
		add(SeverityError, ReasonBacklogOld, c.Waiting.Count)
	}
	// References wait for the system's quotas too, so that is no failure yet.
	if c.WaitingRefs.olderThan(oldBacklog, now) {
		add(SeverityWarning, ReasonRefsOld, c.WaitingRefs.Count)
	}
	return list
}

func flowAttention(f FlowStatus) []Attention {
	var list []Attention
	add := func(severity Severity, reason Reason, count int) {
		list = append(list, Attention{
			Severity: severity, Reason: reason, Subject: "flow", ID: f.ID,
			Cause: f.Cause, Error: f.Error, Count: count,
		})
	}
	if f.Error != "" && !f.Paused {
		add(SeverityError, ReasonFlowFailing, f.Failures)
	}
	if f.LastUpload != nil && f.LastUpload.Status == store.UploadInDoubt {
		list = append(list, Attention{
			Severity: SeverityWarning, Reason: ReasonUploadInDoubt, Subject: "flow", ID: f.ID,
			Cause: model.CauseInDoubt, Error: f.LastUpload.Error,
		})
	}
	if f.Refused > 0 {
		list = append(list, Attention{
			Severity: SeverityWarning, Reason: ReasonRowsRefused, Subject: "flow", ID: f.ID, Count: f.Refused,
		})
	}
	return list
}
