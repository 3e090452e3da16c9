package flow_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

// callKeeperCalls are calls as the connector makes them, named by the end of
// their ids: 1 to 3 came in, 4 and 5 are call-backs, 6 was imported.
func callKeeperCalls(t *testing.T) []*model.Call {
	t.Helper()
	data, err := os.ReadFile("../connectors/callkeeper/testdata/calls-for-filters.json.golden")
	if err != nil {
		t.Fatal(err)
	}
	var shown []struct {
		Key    string
		Record json.RawMessage
	}
	if err := json.Unmarshal(data, &shown); err != nil {
		t.Fatal(err)
	}
	var calls []*model.Call
	for _, s := range shown {
		r, err := model.Decode(model.KindCall, s.Record)
		if err != nil {
			t.Fatal(err)
		}
		call := r.(*model.Call)
		call.Connection, call.ID = "ck", s.Key[strings.LastIndex(s.Key, "/")+1:]
		calls = append(calls, call)
	}
	return calls
}

func callsSpec() model.FlowSpec {
	return model.FlowSpec{
		ID: "calls", From: []string{"ck"}, Record: model.KindCall, To: "metrica", As: "loose",
		Map: map[string]string{"id": "call.id"},
	}
}

// The filters of CallKeeper's Metrica integration, as its page in the
// documentation writes them.
func TestCallKeeperFilters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, when, want string }{
		{"all calls", ``, "1 2 3 4 5 6"},
		{"only call-backs", `call.kind == "callback"`, "4 5"},
		{"only incoming calls", `call.direction == "in"`, "1 2 3"},
		{"longer than 30 seconds", `call.talk_duration > 30`, "1 4 6"},
		{"successful", `not call.missed`, "1 2 4 6"},
		{"unsuccessful", `call.missed`, "3 5"},
		{"with a tag", `"целевой" in call.tags`, "1"},
		{"with one of several tags", `any(call.tags, # in ["целевой", "спам"])`, "1 3"},
		{"with any tag", `len(call.tags) > 0`, "1 3"},
		{"unique", `call.fields["unique"] == "true"`, "1 2 4"},
		{"target", `call.fields["target"] == "true"`, "1 5 6"},
		{"unique and target", `call.fields["uniqueTarget"] == "true"`, "1"},
		{"towards a goal", `call.fields["goal"] == "call"`, "4 5"},
		{"linked to a visit", `call.client_id != "" || call.yclid != ""`, "1 3 4"},
		{"several at once", `call.kind == "callback" && call.talk_duration > 30 && not call.missed && call.fields["unique"] == "true"`, "4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := callsSpec()
			spec.When = tt.when
			f := compiled(t, spec, loose())
			var got []string
			for _, call := range callKeeperCalls(t) {
				switch _, verdict := f.Row(call, flow.Relations{}, nil); verdict.Outcome {
				case flow.Send:
					got = append(got, call.ID[len(call.ID)-1:])
				case flow.Refuse:
					t.Errorf("%s is refused: %+v", call.ID, verdict)
				}
			}
			if slices.Sort(got); strings.Join(got, " ") != tt.want {
				t.Errorf("sends %v, want %s", got, tt.want)
			}
			inDocumentation(t, tt.when)
		})
	}
}

// What is sent as tag, goal and static call, as the same page writes it.
func TestCallKeeperMaps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, source, want string }{
		{"assigned tags", `join(call.tags, ", ")`, "целевой, замер||спам|||"},
		{"chosen ones of them", `join(filter(call.tags, # in ["целевой"]), ", ")`, "целевой|||||"},
		{"typed tags", `call.kind == "callback" ? "обратный звонок" : "входящий звонок"`,
			"входящий звонок|входящий звонок|входящий звонок|обратный звонок|обратный звонок|входящий звонок"},
		{"goal", `call.fields["goal"]`,
			"calltracking_call_order|calltracking_call_order|calltracking_call_order|call|call|calltracking_call_order"},
		{"unlinked calls are static ones", `empty(call.client_id) && empty(call.yclid)`, "false|true|false|false|true|true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := callsSpec()
			spec.Map["text"] = tt.source
			f := compiled(t, spec, loose())
			var got []string
			for _, call := range callKeeperCalls(t) {
				row, verdict := f.Row(call, flow.Relations{}, nil)
				if verdict.Outcome != flow.Send {
					t.Fatalf("%s: %+v", call.ID, verdict)
				}
				text, _ := value(t, f, row, "text").(string)
				got = append(got, text)
			}
			if joined := strings.Join(got, "|"); joined != tt.want {
				t.Errorf("gives %s, want %s", joined, tt.want)
			}
			inDocumentation(t, tt.source)
		})
	}
}

// inDocumentation wants an expression on the connector's page in both languages.
func inDocumentation(t *testing.T, expression string) {
	t.Helper()
	for _, path := range []string{"../docs/en/connectors/callkeeper.md", "../docs/ru/connectors/callkeeper.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Bars are escaped in tables.
		if !strings.Contains(strings.ReplaceAll(string(page), `\|`, "|"), expression) {
			t.Errorf("%s does not show %s", path, expression)
		}
	}
}
