package flow_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

func TestHash(t *testing.T) {
	t.Parallel()
	moscow := time.FixedZone("MSK", 3*60*60)
	base := model.Row{Key: "1", Values: []any{"a", noon, amount(t, "10.50"), []string{"x", "y"}, nil, true, int64(5)}}
	with := func(i int, value any) model.Row {
		row := base
		row.Values = append([]any(nil), base.Values...)
		row.Values[i] = value
		return row
	}
	for _, tt := range []struct {
		name string
		row  model.Row
		same bool
	}{
		{"the same", with(0, "a"), true},
		{"the same moment in another zone", with(1, noon.In(moscow)), true},
		{"the same amount written otherwise", with(2, amount(t, "10.5")), true},
		{"another seq", model.Row{Key: "1", Seq: 9, Values: base.Values}, true},
		{"another text", with(0, "b"), false},
		{"another moment", with(1, noon.Add(time.Second)), false},
		{"zero is not nothing", with(2, nil), false},
		{"a list divided otherwise", with(3, []string{"xy"}), false},
		{"a text that looks like a list", with(3, "x,y"), false},
		{"no is not yes", with(5, false), false},
		{"another key", model.Row{Key: "2", Values: base.Values}, false},
		{"products", with(4, []model.Product{{ID: "1"}}), false},
		{"goals", with(4, []model.GoalHit{{ID: "1"}}), false},
		{"a value that moved to the next column", model.Row{Key: "1", Values: append([]any{nil}, base.Values[:6]...)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if same := bytes.Equal(flow.Hash(base), flow.Hash(tt.row)); same != tt.same {
				t.Errorf("equal hashes: %v, want %v", same, tt.same)
			}
		})
	}
}

func TestNeedsSending(t *testing.T) {
	t.Parallel()
	row := model.Row{Key: "1", Values: []any{"a"}}
	other := model.Row{Key: "1", Values: []any{"b"}}
	for _, tt := range []struct {
		name   string
		prev   flow.PreviousRow
		forced bool
		want   flow.Reason
		send   bool
	}{
		{"never sent", flow.PreviousRow{}, false, flow.ReasonNew, true},
		{"never sent and asked for", flow.PreviousRow{}, true, flow.ReasonNew, true},
		{"sent like this", flow.PreviousRow{Hash: flow.Hash(row)}, false, flow.ReasonUnchanged, false},
		{"sent like this and asked for", flow.PreviousRow{Hash: flow.Hash(row)}, true, flow.ReasonAsked, true},
		{"sent otherwise", flow.PreviousRow{Hash: flow.Hash(other)}, false, flow.ReasonChanged, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := flow.NeedsSending(tt.prev, row, tt.forced)
			if got != tt.want || got.Send() != tt.send {
				t.Errorf("%s, send %v", got, got.Send())
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	original := compiled(t, ordersSpec(), orders()).Fingerprint()
	for _, tt := range []struct {
		name    string
		change  func(*model.FlowSpec, *flow.Project)
		changes bool
	}{
		{"nothing", func(*model.FlowSpec, *flow.Project) {}, false},
		{"schedule", func(s *model.FlowSpec, _ *flow.Project) { s.Schedule.Every = time.Hour }, false},
		{"name of a status", func(s *model.FlowSpec, _ *flow.Project) { s.Statuses[0].Name = "Новая" }, false},
		{"type of a status", func(s *model.FlowSpec, _ *flow.Project) { s.Statuses[0].Metrica = "OTHER" }, false},
		{"the default map written out", func(s *model.FlowSpec, _ *flow.Project) { s.Map = orders().Defaults[model.KindDeal] }, false},
		{"id of a status", func(s *model.FlowSpec, _ *flow.Project) { s.Statuses[0].ID = "009" }, true},
		{"filter", func(s *model.FlowSpec, _ *flow.Project) { s.When = "deal.amount > 0" }, true},
		{"map", func(s *model.FlowSpec, _ *flow.Project) {
			s.Map = orders().Defaults[model.KindDeal]
			s.Map["revenue"] = "deal.cost"
		}, true},
		{"mode", func(s *model.FlowSpec, _ *flow.Project) { s.Mode = "UPDATE" }, true},
		{"sources", func(s *model.FlowSpec, _ *flow.Project) { s.From = []string{"b24", "amo"} }, true},
		{"options", func(s *model.FlowSpec, _ *flow.Project) { s.Options = map[string]string{"a": "b"} }, true},
		{"zone", func(_ *model.FlowSpec, p *flow.Project) { p.Zone = time.UTC }, true},
		{"region", func(_ *model.FlowSpec, p *flow.Project) { p.Region = "BY" }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec, p := ordersSpec(), project()
			tt.change(&spec, &p)
			got := compiledFor(t, spec, orders(), p).Fingerprint()
			if (got != original) != tt.changes {
				t.Errorf("changed: %v, want %v", got != original, tt.changes)
			}
		})
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	c := catalogue()
	for name, want := range map[string]string{
		"UF_CRM_1700000000": "UF_CRM_1700000000", "uf_crm_1700000000": "UF_CRM_1700000000", "171": "UF_CRM_1700000000",
		"Бюджет": "UF_CRM_1700000000", " цвет ": "UF_MANY", "none": "",
	} {
		if got, ok := c.Alias("b24", model.KindDeal, name); got != want || ok != (want != "") {
			t.Errorf("Alias(%q) = %q, %v", name, got, ok)
		}
	}
	if _, ok := c.Alias("amo", model.KindDeal, "Бюджет"); ok {
		t.Error("fields of one connection were found in another")
	}
	if got := c.StatusName("b24", model.KindDeal, "7", "NEW"); got != "Новая" {
		t.Errorf("a status that is known of one pipeline only: %q", got)
	}
	if got := c.PipelineName("b24", "0"); got != "Продажи" {
		t.Errorf("PipelineName = %q", got)
	}
	flow.NewCatalogue([]model.Record{nil, (*model.Reference)(nil), &model.Deal{}, &model.Reference{}}) // must not panic
}

// Any text may stand in the configuration, and any in a record.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		`deal.amount * 2`, `deal.fields["X"]`, `sum(map(deal.products, .price))`, `let a = deal; a.title`, `values(deal, 1)`,
		`deal?.fields?.X ?? "x"`, `{"a": deal}["a"].title`, `[deal.amount, "x"][0] + 1`, `deal.amount in [1]`, `-deal`, `first(1)`,
		`deal.created_at - deal.updated_at`, `values()`, `date(deal.amount)`, `deal.fields`, `phones(1.5)`, `join(1,2)`, `1/0`, `abs(nil)`,
	} {
		f.Add(seed, "текст")
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		spec := model.FlowSpec{
			ID: "x", From: []string{"b24"}, Record: model.KindDeal, To: "y", When: "",
			Map: map[string]string{"id": "deal.id", "text": source, "decimal": source, "phones": source},
		}
		compiled, _ := flow.Compile(spec, loose(), project())
		if compiled == nil {
			return
		}
		record := deal(t)
		record.Title, record.Fields["X"] = text, text
		row, verdict := compiled.Row(record, flow.Relations{Contact: contact()}, nil)
		if len(verdict.Message) > 2000 {
			t.Errorf("message of %d bytes", len(verdict.Message))
		}
		if verdict.Outcome == flow.Send && !bytes.Equal(flow.Hash(row), flow.Hash(row)) {
			t.Error("hash is not stable")
		}
		if len(text) > 6 && verdict.Cause == model.CauseExpression && !strings.Contains(source, text) && strings.Contains(verdict.Message, text) {
			t.Errorf("message tells a value: %s", verdict.Message)
		}
	})
}

func BenchmarkRow(b *testing.B) {
	for _, bm := range []struct {
		name   string
		spec   model.FlowSpec
		schema model.Schema
		record model.Record
		rel    flow.Relations
	}{
		{"orders", ordersSpec(), orders(), deal(b), flow.Relations{Contact: contact()}},
		{"contacts", contactsSpec(), contacts(), contact(), flow.Relations{}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			f := compiled(b, bm.spec, bm.schema)
			cat := catalogue()
			b.ReportAllocs()
			for b.Loop() {
				row, verdict := f.Row(bm.record, bm.rel, cat)
				if verdict.Outcome != flow.Send {
					b.Fatal(verdict)
				}
				flow.Hash(row)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
