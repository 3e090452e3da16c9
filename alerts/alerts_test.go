package alerts_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svod-hub/svod/alerts"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write golden files")

var start = time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)

// at is a moment some minutes after the start.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

var limits = alerts.Limits{
	FlowBehind: 15 * time.Minute, Silent: 24 * time.Hour, TokenExpiring: 7 * 24 * time.Hour,
	Patience: map[string]time.Duration{"shop/night": 24 * time.Hour},
}

func status(connections []view.ConnectionStatus, flows ...view.FlowStatus) view.Status {
	return view.Status{At: start, Projects: []view.ProjectStatus{{ID: "shop", Name: "Магазин", Connections: connections, Flows: flows}}}
}

func TestFind(t *testing.T) {
	t.Parallel()
	off := &store.Switch{}
	day := 24 * time.Hour
	connection := func(c view.ConnectionStatus, attention ...view.Reason) view.Status {
		c.ID = "b24"
		s := status([]view.ConnectionStatus{c})
		for _, r := range attention {
			s.Projects[0].Attention = append(s.Projects[0].Attention, view.Attention{Subject: "connection", ID: "b24", Reason: r})
		}
		return s
	}
	inDoubt := func(since time.Time) view.FlowStatus {
		return view.FlowStatus{ID: "orders", LastUpload: &view.UploadStatus{Status: store.UploadInDoubt, StartedAt: since}}
	}
	for _, x := range []struct {
		name     string
		status   view.Status
		expiries []alerts.Expiry
		limits   alerts.Limits
		want     string
	}{
		{"all is well", connection(view.ConnectionStatus{LastEventAt: at(-5)}), nil, limits, ""},
		{"a failing connection", connection(view.ConnectionStatus{}, view.ReasonConnectionFailing), nil, limits, "b24 connection_failing"},
		{"refused credentials", connection(view.ConnectionStatus{}, view.ReasonNeedsReauth), nil, limits, "b24 needs_reauth"},
		{"a raised guard", connection(view.ConnectionStatus{}, view.ReasonGuardRaised), nil, limits, "b24 guard_raised"},
		{"an old backlog", connection(view.ConnectionStatus{}, view.ReasonBacklogOld, view.ReasonRefsOld), nil, limits, "b24 backlog_old"},
		{"an old backlog of a paused source", connection(view.ConnectionStatus{Off: off}, view.ReasonBacklogOld), nil, limits, ""},
		{"silence", connection(view.ConnectionStatus{LastEventAt: start.Add(-25 * time.Hour), LastReadAt: start}), nil, limits, "b24 silent"},
		{"silence of what is only read", connection(view.ConnectionStatus{LastReadAt: start.Add(-25 * time.Hour)}), nil, limits, "b24 silent"},
		{"silence of a paused source", connection(view.ConnectionStatus{LastEventAt: start.Add(-25 * time.Hour), Off: off}), nil, limits, ""},
		{"nothing ever came", connection(view.ConnectionStatus{}), nil, limits, ""},
		{"silence, switched off", connection(view.ConnectionStatus{LastEventAt: start.Add(-25 * time.Hour)}), nil, alerts.Limits{}, ""},
		{"a token ends soon", connection(view.ConnectionStatus{}), []alerts.Expiry{{Project: "shop", Connection: "b24", At: start.Add(6 * day)}}, limits, "b24 token_expiring"},
		{"a token has ended", connection(view.ConnectionStatus{}), []alerts.Expiry{{Project: "shop", Connection: "b24", At: start.Add(-day)}}, limits, "b24 token_expiring"},
		{"a token ends later", connection(view.ConnectionStatus{}), []alerts.Expiry{{Project: "shop", Connection: "b24", At: start.Add(8 * day)}}, limits, ""},
		{"a token of an unknown connection", connection(view.ConnectionStatus{}), []alerts.Expiry{{Project: "shop", Connection: "amo", At: start}}, limits, ""},
		{"a flow is behind", status(nil, view.FlowStatus{ID: "orders", LagSince: at(-16)}), nil, limits, "orders flow_behind"},
		{"a flow works", status(nil, view.FlowStatus{ID: "orders", LagSince: at(-15)}), nil, limits, ""},
		{"a paused flow", status(nil, view.FlowStatus{ID: "orders", LagSince: at(-99), Paused: true, Error: "no"}), nil, limits, ""},
		{"a flow waits for its schedule", status(nil, view.FlowStatus{ID: "night", LagSince: start.Add(-day)}), nil, limits, ""},
		{"a flow missed its schedule", status(nil, view.FlowStatus{ID: "night", LagSince: start.Add(-day - 16*time.Minute)}), nil, limits, "night flow_behind"},
		{"a flow fails", status(nil, view.FlowStatus{ID: "orders", Error: "no", LagSince: at(-16)}), nil, limits, "orders flow_behind, orders flow_failing"},
		{"an upload in doubt", status(nil, inDoubt(at(-6))), nil, limits, "orders upload_in_doubt"},
		{"an upload in doubt that is being settled", status(nil, inDoubt(at(-4))), nil, limits, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range alerts.Find(x.status, x.expiries, x.limits) {
				got = append(got, f.ID+" "+string(f.Reason))
			}
			if strings.Join(got, ", ") != x.want {
				t.Errorf("got %q, want %q", strings.Join(got, ", "), x.want)
			}
		})
	}
}

func trouble(id string) alerts.Trouble {
	return alerts.Trouble{Project: "shop", ProjectName: "Магазин", Reason: alerts.ConnectionFailing, Subject: alerts.SubjectConnection, ID: id}
}

// A story is told minute by minute; each line says what is there and what is
// said then. The state goes through JSON every time, as over a restart.
func TestDecide(t *testing.T) {
	t.Parallel()
	type minute struct {
		at    int
		there string
		says  string
	}
	for _, x := range []struct {
		name   string
		repeat time.Duration
		story  []minute
	}{
		{"told once, then resolved once", 0, []minute{
			{0, "a", ""}, {1, "a", ""}, {2, "a", "new a"}, {3, "a", ""}, {600, "a", ""}, {601, "", ""}, {602, "", ""}, {603, "", "resolved a"}, {604, "", ""}}},
		{"what comes and goes is no news", 0, []minute{{0, "a", ""}, {1, "", ""}, {2, "a", ""}, {3, "", ""}, {9, "", ""}}},
		{"a short absence is no news", 0, []minute{{0, "a", ""}, {2, "a", "new a"}, {3, "", ""}, {4, "a", ""}, {5, "", ""}, {6, "", ""}, {7, "", "resolved a"}}},
		{"several are one message", 0, []minute{{0, "a b", ""}, {2, "a b", "new a b"}}},
		{"new and resolved are one message", 0, []minute{{0, "a", ""}, {2, "a b", "new a"}, {3, "b", ""}, {5, "b", "new b resolved a"}}},
		{"what lasts is repeated", time.Hour, []minute{{0, "a", ""}, {2, "a", "new a"}, {61, "a", ""}, {62, "a", "lasting a"}, {63, "a", ""}, {122, "a", "lasting a"}}},
		{"all that lasts is repeated together", time.Hour, []minute{
			{0, "a", ""}, {2, "a", "new a"}, {30, "a b", ""}, {32, "a b", "new b"}, {62, "a b", "lasting a b"}, {92, "a b", ""}, {122, "a b", "lasting a b"}}},
		{"what is away is not repeated", time.Hour, []minute{{0, "a", ""}, {2, "a", "new a"}, {62, "", ""}, {64, "", "resolved a"}}},
		{"it comes again", 0, []minute{{0, "a", ""}, {2, "a", "new a"}, {3, "", ""}, {5, "", "resolved a"}, {6, "a", ""}, {8, "a", "new a"}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			var state alerts.State
			for _, m := range x.story {
				var found []alerts.Trouble
				for _, id := range strings.Fields(m.there) {
					found = append(found, trouble(id))
				}
				var notice alerts.Notice
				state, notice = alerts.Decide(state, found, at(m.at), x.repeat)
				if got := summary(notice); got != m.says {
					t.Errorf("minute %d: says %q, want %q", m.at, got, m.says)
				}
				state = overRestart(t, state)
			}
		})
	}
}

func summary(n alerts.Notice) string {
	var parts []string
	add := func(what string, list []alerts.Trouble) {
		if len(list) > 0 {
			parts = append(parts, what)
		}
		for _, t := range list {
			parts = append(parts, t.ID)
		}
	}
	add("new", n.New)
	add("lasting", n.Lasting)
	add("resolved", n.Resolved)
	return strings.Join(parts, " ")
}

func overRestart(t *testing.T, s alerts.State) alerts.State {
	t.Helper()
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var again alerts.State
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	return again
}

func everyReason() alerts.Notice {
	n := alerts.Notice{At: start}
	for _, r := range []alerts.Reason{
		alerts.BacklogOld, alerts.ConnectionFailing, alerts.FlowBehind, alerts.FlowFailing, alerts.GuardRaised,
		alerts.NeedsReauth, alerts.Silent, alerts.TokenExpiring, alerts.UploadInDoubt,
	} {
		t := alerts.Trouble{Project: "shop", ProjectName: "Магазин\r\nBcc: x@example.ru", Reason: r, Subject: alerts.SubjectFlow, ID: "orders", Since: at(-17)}
		switch r {
		case alerts.NeedsReauth:
			t.Cause = model.CauseAuth
		case alerts.Silent:
			t.Since = at(-27 * 60)
		case alerts.TokenExpiring:
			t.Until, t.Subject, t.ID = at(3*24*60), alerts.SubjectConnection, "amo"
		case alerts.UploadInDoubt:
			t.Since = at(-3 * 24 * 60)
		}
		n.New = append(n.New, t)
		n.Resolved = append(n.Resolved, t)
	}
	n.Lasting = n.New[:1]
	return n
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, language := range []string{alerts.Russian, alerts.English} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			m := alerts.Writer{Language: language, PublicURL: "https://hub.example.ru"}.Message("msg_1", everyReason())
			got := m.Subject + "\n\n" + m.Text
			path := filepath.Join("testdata", "message."+language+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs:\n%s", path, got)
			}
		})
	}
}
