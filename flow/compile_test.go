package flow_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "write golden files")

// Each case spoils a flow that has no mistakes; the golden file holds what the
// author is told.
func TestProblems(t *testing.T) {
	t.Parallel()
	expression := func(source string) func(*model.FlowSpec, *model.Schema) {
		return func(s *model.FlowSpec, _ *model.Schema) { s.Map["user_comment"] = source }
	}
	type change = func(*model.FlowSpec, *model.Schema)
	cases := []struct {
		name   string
		change change
	}{
		{"no mistakes", func(*model.FlowSpec, *model.Schema) {}},
		{"no source", func(s *model.FlowSpec, _ *model.Schema) { s.From = nil }},
		{"no record", func(s *model.FlowSpec, _ *model.Schema) { s.Record, s.Map = "", nil }},
		{"mistyped record", func(s *model.FlowSpec, _ *model.Schema) { s.Record = "deel" }},
		{"reference data as a record", func(s *model.FlowSpec, _ *model.Schema) { s.Record = model.KindStatus }},
		{"wrong ids", func(s *model.FlowSpec, _ *model.Schema) { s.IDs = "plain" }},
		{"mode in lower case", func(s *model.FlowSpec, _ *model.Schema) { s.Mode = "save" }},
		{"mode where there is none", func(s *model.FlowSpec, schema *model.Schema) { s.Mode, schema.Modes = "SAVE", nil }},
		{"wrong client type", func(s *model.FlowSpec, _ *model.Schema) { s.ClientType = "PERSON" }},
		{"company for a contact", func(s *model.FlowSpec, _ *model.Schema) { s.Map["client_uniq_id"] = "company.id" }},
		{"company id for a contact", func(s *model.FlowSpec, _ *model.Schema) { s.Map["client_uniq_id"] = "deal.company_id" }},
		{"contact for a company", func(s *model.FlowSpec, _ *model.Schema) { s.ClientType = "COMPANY" }},
		{"client type where there is none", func(s *model.FlowSpec, schema *model.Schema) {
			s.ClientType, schema.NeedsParameter = "CONTACT", ""
			schema.Parameters = append(schema.Parameters[:2:2], schema.Parameters[3:]...)
		}},
		{"no default map", func(s *model.FlowSpec, _ *model.Schema) { s.Record, s.Map, s.Statuses = model.KindCall, nil, nil }},
		{"required without a source", func(s *model.FlowSpec, _ *model.Schema) { delete(s.Map, "create_date_time") }},
		{"nothing links", func(s *model.FlowSpec, schema *model.Schema) { schema.AnyOf = [][]string{{"phones", "emails"}} }},
		{"mistyped parameter", func(s *model.FlowSpec, _ *model.Schema) { s.Map["revenu"] = "deal.amount" }},
		{"unknown parameter", func(s *model.FlowSpec, _ *model.Schema) { s.Map["shoe_size"] = "deal.amount" }},
		{"unknown parameter without attributes", func(s *model.FlowSpec, schema *model.Schema) {
			s.Map["shoe_size"], schema.Attributes = "deal.amount", false
		}},
		{"empty expression", expression(" ")},
		{"broken expression", expression("deal.title +")},
		{"mistyped member", expression("deal.titel")},
		{"member of a nested member", expression("deal.utm.campain")},
		{"member without any near", expression("deal.shoe_size")},
		{"mistyped record in an expression", expression("contcat.name")},
		{"mistyped function", expression("coalese(deal.title, deal.comment)")},
		{"function of the moment", expression("string(now())")},
		{"record that is not related", expression("call.phone")},
		{"two mistakes in one expression", expression("deal.titel + deal.coment")},
		{"Go's names are not members", expression("deal.Base.ID + string(deal.amount.Set)")},
		{"Go's methods are not members", expression("string(map(deal.products, .price.Pow(.price)))")},
		{"hidden functions are not functions", expression("__field($env, deal, \"X\")")},
		{"text and number", expression("deal.title + 1")},
		{"amount and text", expression("deal.amount + deal.title")},
		{"endless range", expression("join(map(1..1000000, string(#)))")},
		{"loops in loops in loops", expression("string(all(deal.products, any(deal.tags, all(deal.tags, true))))")},
		{"many variables", expression(lets(9) + "string(a8)")},
		{"long expression", expression(strings.Repeat("a", 4001))},
		{"many nodes", expression(strings.Repeat("deal.title + ", 300) + `""`)},
		{"filter that is no condition", func(s *model.FlowSpec, _ *model.Schema) { s.When = "deal.amount" }},
		{"mistyped filter", func(s *model.FlowSpec, _ *model.Schema) { s.When = "deal.amout > 0" }},
		{"yes for a time", func(s *model.FlowSpec, _ *model.Schema) { s.Map["finish_date_time"] = "deal.deleted" }},
		{"list for a currency", func(s *model.FlowSpec, _ *model.Schema) { s.Map["currency"] = "contact.phones" }},
		{"currency of no country", func(s *model.FlowSpec, _ *model.Schema) { s.Map["currency"] = `"руб"` }},
		{"status id with a space", func(s *model.FlowSpec, _ *model.Schema) { s.Map["order_status"] = `"in progress"`; s.Statuses = nil }},
		{"no statuses", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses = nil }},
		{"statuses that nothing uses", func(s *model.FlowSpec, _ *model.Schema) { s.Map["order_status"] = `"PAID"` }},
		{"pair without a source", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].CRM = "" }},
		{"pair without an id", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].ID = "" }},
		{"pair without a type", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].Metrica = "" }},
		{"mistyped type", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].Metrica = "CANCELED" }},
		{"status id in Cyrillic", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].ID = "оплачен" }},
		{"status id with a dot", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].ID = "paid.1" }},
		{"repeated id", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].ID = "001" }},
		{"repeated status", func(s *model.FlowSpec, _ *model.Schema) { s.Statuses[1].CRM = "NEW" }},
		{"rows carry types, so that ids may repeat", func(s *model.FlowSpec, schema *model.Schema) {
			schema.StatusIsType = true
			s.Statuses[0].ID, s.Statuses[1].ID = "", ""
		}},
		{"attributes where there are none", func(s *model.FlowSpec, schema *model.Schema) {
			schema.Attributes, s.Attributes = false, []model.AttributeSpec{{Name: "x"}}
		}},
		{"wrong attributes", func(s *model.FlowSpec, _ *model.Schema) {
			s.Attributes = []model.AttributeSpec{{Name: "наценка"}, {Name: "revenue"}, {Name: "a"}, {Name: "a"}, {Name: "b", Type: "numeric"}}
			s.Map["a"], s.Map["b"] = "deal.title", "deal.title"
		}},
		{"attribute without a source", func(s *model.FlowSpec, _ *model.Schema) { s.Attributes = []model.AttributeSpec{{Name: "margin"}} }},
		{"hash of what cannot be hashed", func(s *model.FlowSpec, _ *model.Schema) { s.Hash = []string{"revenue", "shoes"} }},
		{"hash that the destination does not take", func(s *model.FlowSpec, schema *model.Schema) {
			schema.Parameters = append(schema.Parameters, model.Parameter{Name: "phones", Type: model.TypePhones})
			s.Hash = []string{"phones"}
		}},
	}
	var told strings.Builder
	for _, tt := range cases {
		spec, schema := ordersSpec(), orders()
		spec.Map = maps.Clone(schema.Defaults[model.KindDeal])
		tt.change(&spec, &schema)
		f, problems := flow.Compile(spec, schema, project())
		fmt.Fprintf(&told, "# %s\n", tt.name)
		failed := false
		for _, problem := range problems {
			failed = failed || problem.Severity == flow.SeverityError
			fmt.Fprintf(&told, "%s: %s: %s\n", problem.Severity, problem.Key, problem.Message)
		}
		if (f == nil) != failed {
			t.Errorf("%s: a flow comes back exactly when there is no error", tt.name)
		}
	}
	golden(t, "problems.txt", told.String())
}

func lets(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "let a%d = 1; ", i)
	}
	return text.String()
}

// The problem that a flow's rows need another flow's.
func TestNobodySendsTheClients(t *testing.T) {
	t.Parallel()
	p := project()
	p.Flows = []model.FlowSpec{ordersSpec()}
	_, problems := flow.Compile(ordersSpec(), orders(), p)
	if len(problems) != 1 || problems[0].Severity != flow.SeverityWarning || !strings.Contains(problems[0].Message, "no active flow sends contacts from b24 to metrica") {
		t.Errorf("problems %+v", problems)
	}
	p.Flows = append(p.Flows, contactsSpec())
	if _, problems := flow.Compile(ordersSpec(), orders(), p); len(problems) != 0 {
		t.Errorf("problems %+v", problems)
	}
	p.Flows[1].Paused = true
	if _, problems := flow.Compile(ordersSpec(), orders(), p); len(problems) != 1 {
		t.Errorf("problems %+v", problems)
	}
}

func TestRowsCarryTypes(t *testing.T) {
	t.Parallel()
	schema, spec := orders(), ordersSpec()
	schema.StatusIsType = true
	f := compiled(t, spec, schema)
	for status, want := range map[string]string{"NEW": "IN_PROGRESS", "WON": "PAID", "C1:NEW": "005"} {
		record := deal(t)
		record.StatusID = status
		row, verdict := f.Row(record, flow.Relations{}, nil)
		if verdict.Outcome != flow.Send || value(t, f, row, "order_status") != want {
			t.Errorf("%s: %v, %+v, want %s", status, row.Values, verdict, want)
		}
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	spec := ordersSpec()
	if got := compiled(t, spec, orders()).Mode(); got != "SAVE" {
		t.Errorf("mode %q", got)
	}
	spec.Mode = "APPEND"
	if got := compiled(t, spec, orders()).Mode(); got != "APPEND" {
		t.Errorf("mode %q", got)
	}
}

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it with -update and git diff.\n%s", path, got)
	}
}
