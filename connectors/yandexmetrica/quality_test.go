package yandexmetrica

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
)

func TestAdvise(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		as   string
		q    quality
		f    facts
		p    phase
		want []string
	}{
		{"all well", asConversions, quality{Source: 3, Valid: 3, Linked: 3, Dynamic: 3}, facts{Rows: 3}, phaseDone, nil},
		{"still at work", asConversions, quality{Source: 3, Valid: 3, Dynamic: 3}, facts{Rows: 3}, phaseWorking, []string{adviceStillWorking}},
		{"rows dropped", asConversions, quality{Source: 3, Valid: 2, Linked: 2}, facts{}, phaseDone, []string{adviceRowsDropped}},
		{"goal is missing", asConversions, quality{Source: 3, Valid: 3, GoalNotFound: 2}, facts{}, phaseDone, []string{adviceGoalMissing}},
		{"unknown visitors", asConversions, quality{Source: 3, Valid: 3, Linked: 1, NotFound: 2}, facts{}, phaseDone, []string{adviceUserNotFound}},
		{"without ClientID", asConversions, quality{Source: 3, Valid: 3, Linked: 3}, facts{NoClient: 1}, phaseDone, []string{adviceNoClientID}},
		{"too old", asConversions, quality{Source: 3, Valid: 3, Linked: 1}, facts{Old: 2}, phaseDone, []string{adviceOld}},
		{"nothing linked", asConversions, quality{Source: 3, Valid: 3, NotFound: 3}, facts{}, phaseUnlinked, []string{adviceUserNotFound, adviceNothingLinked}},
		{"only static calls", asCalls, quality{Source: 3, Valid: 3, Static: 3}, facts{Static: 3}, phaseUnlinked, []string{adviceAllStatic}},
		{"static calls among others", asCalls, quality{Source: 3, Valid: 3, Static: 2, Dynamic: 1}, facts{Static: 2}, phaseUnlinked, []string{adviceNothingLinked}},
		{"chats of strangers", asChats, quality{Source: 1, Valid: 1, NotFound: 1}, facts{NoClient: 1}, phaseUnlinked, []string{adviceUserNotFound, adviceNoClientID, adviceUnattributed}},
		{"parameters wait", asUserParams, quality{Source: 1, Valid: 4}, facts{}, phaseUnconfirmed, []string{adviceNotApplied}},
		{"parameters in fewer lines", asUserParams, quality{Source: 3, Valid: 2}, facts{}, phaseDone, nil},
		{"expenses know no visitors", asExpenses, quality{Source: 1, Valid: 1}, facts{NoClient: 1}, phaseDone, nil},
	}
	for _, tt := range tests {
		if got := advise(tt.as, tt.q, tt.f, tt.p); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestJudgeFate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, as, answer string
		state            connectors.UploadState
		accepted         int
		reasons          int
	}{
		{"prepared", asConversions, `{"uploading":{"id":5,"status":"PREPARED","source_quantity":3,"line_quantity":3}}`, connectors.UploadProcessing, 3, 0},
		{"matched", asConversions, `{"uploading":{"id":5,"status":"MATCHED"}}`, connectors.UploadProcessing, 3, 0},
		{"a new word", asConversions, `{"uploading":{"id":5,"status":"SLEEPING"}}`, connectors.UploadProcessing, 3, 0},
		{"processed", asConversions, `{"uploading":{"id":5,"status":"PROCESSED","source_quantity":3,"line_quantity":3,"linked_quantity":2}}`, connectors.UploadAccepted, 3, 0},
		{"small letters", asUserParams, `{"uploading":{"id":5,"status":"processed","line_quantity":9}}`, connectors.UploadAccepted, 3, 0},
		{"partial", asConversions, `{"uploading":{"id":"5","status":"PROCESSED","source_quantity":3,"line_quantity":"2"}}`, connectors.UploadAccepted, 2, 1},
		{"not linked", asConversions, `{"uploading":{"id":5,"status":"LINKAGE_FAILURE","source_quantity":3,"line_quantity":3}}`, connectors.UploadRejected, 3, 1},
		{"static calls", asCalls, `{"uploading":{"id":5,"status":"LINKAGE_FAILURE","source_quantity":3,"line_quantity":3,"static_calls_quantity":3,"dynamic_calls_quantity":0}}`, connectors.UploadAccepted, 3, 0},
		{"dynamic calls", asCalls, `{"uploading":{"id":5,"status":"LINKAGE_FAILURE","source_quantity":3,"line_quantity":3,"static_calls_quantity":1,"dynamic_calls_quantity":2}}`, connectors.UploadRejected, 3, 1},
		{"chats in a list", asChats, `{"uploadings":[{"id":5,"status":"LINKAGE_FAILURE","source_quantity":3,"line_quantity":3}]}`, connectors.UploadAccepted, 3, 0},
		{"expenses", asExpenses, `{"uploading":{"id":5,"status":"IN_PROGRESS","source_quantity":3,"provider":"svod"}}`, connectors.UploadProcessing, 3, 0},
	}
	for _, tt := range tests {
		got, _, ok := readFate([]byte(tt.answer))
		if !ok {
			t.Fatalf("%s is not read", tt.name)
		}
		out := judgeFate(tt.as, got, 3, facts{Rows: 3})
		if out.State != tt.state || out.Accepted != tt.accepted || len(out.Reasons) != tt.reasons || out.RemoteID != "5" {
			t.Errorf("%s: %+v", tt.name, out)
		}
		var shown struct {
			Quality quality  `json:"quality"`
			Advice  []string `json:"advice"`
		}
		if err := json.Unmarshal(out.Details, &shown); err != nil || shown.Quality.Source != 3 || shown.Advice == nil {
			t.Errorf("%s: details %s", tt.name, out.Details)
		}
		if taken(out).State == connectors.UploadRejected {
			t.Errorf("%s would be sent again", tt.name)
		}
	}
	for _, broken := range []string{``, `[]`, `{}`, `{"uploading":null}`, `{"uploadings":[]}`, `{"uploading":{"status":"PREPARED"}}`, `{"success":true}`, `<html>`} {
		if _, _, ok := readFate([]byte(broken)); ok {
			t.Errorf("%s is taken for an upload", broken)
		}
	}
}

// The published answers and lists are read.
func TestPublishedAnswers(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, name := range []string{"offline_upload_response_schema_example.json", "calls_upload_response_schema_example.json"} {
		got, _, ok := readFate(read(name))
		if !ok || got.Comment != "example" || got.Type != "BASIC" || got.GoalNotFound == nil || got.Linked == nil {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
		if _, dated := latestMoment(string(got.Created)); !dated {
			t.Errorf("%s: time %q", name, got.Created)
		}
	}
	var list struct{ Goals []goal }
	if err := json.Unmarshal(read("goals_list.json"), &list); err != nil || len(list.Goals) != 2 || list.Goals[1].identifier() != "" || list.Goals[0].ID != "334420" {
		t.Errorf("goals %+v", list.Goals)
	}
	var created struct{ Goal goal }
	if err := json.Unmarshal(read("goal_create_action.json"), &created); err != nil || created.Goal.identifier() != "order" {
		t.Errorf("goal %+v", created.Goal)
	}
	var table report
	if err := json.Unmarshal(read("stat_table_2014.json"), &table); err != nil || number(table.Totals, 0) != 53712 || table.sampled() || table.Query.Date1 != "2014-07-16" {
		t.Errorf("report %+v", table)
	}
	var byTime report
	if err := json.Unmarshal(read("stat_bytime_days_2014.json"), &byTime); err == nil {
		t.Error("a report over time is taken for a table")
	}
}

func FuzzFates(f *testing.F) {
	for _, name := range []string{"offline_upload_response_schema_example.json", "calls_upload_response_schema_example.json", "goals_list.json", "stat_table_2014.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"uploadings":[{"id":{},"status":"x","line_quantity":"-1","source_quantity":99999999999}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, _, ok := readFate(data); ok {
			for _, as := range []string{asConversions, asCalls, asChats, asUserParams, asExpenses} {
				out := judgeFate(as, got, 3, facts{Rows: 3})
				if !json.Valid(out.Details) || out.Accepted < 0 || out.Accepted > 3 {
					t.Errorf("%+v", out)
				}
				if out.State == connectors.UploadAccepted && !strings.EqualFold(string(got.Status), "PROCESSED") && !strings.EqualFold(string(got.Status), "LINKAGE_FAILURE") {
					t.Errorf("accepted with the status %q", got.Status)
				}
			}
			latestMoment(string(got.Created))
		}
		var r report
		if json.Unmarshal(data, &r) == nil {
			number(r.Totals, 0)
		}
		var g goal
		if json.Unmarshal(data, &g) == nil {
			g.identifier()
			g.mentions("x")
		}
	})
}
