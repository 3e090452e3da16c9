package flow_test

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

func TestRowOfDefaultMap(t *testing.T) {
	t.Parallel()
	f := compiled(t, ordersSpec(), orders())
	row, verdict := f.Row(deal(t), flow.Relations{Contact: contact()}, catalogue())
	if verdict != (flow.Verdict{Outcome: flow.Send}) {
		t.Fatalf("verdict %+v", verdict)
	}
	var got []string
	for i, column := range f.Columns() {
		got = append(got, fmt.Sprintf("%s=%v", column.Name, row.Values[i]))
	}
	want := []string{
		"id=7405", "client_uniq_id=45", "client_type=CONTACT", "create_date_time=2026-03-04 09:00:00 +0000 UTC",
		"update_date_time=2026-03-04 10:00:00 +0000 UTC", "finish_date_time=<nil>", "order_status=001", "revenue=1000.5", "currency=RUB",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("row:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if row.Key != "7405" || row.Needs != "45" || row.Seq != 12 || row.Record.String() != "b24/deal/7405" {
		t.Errorf("row %+v", row)
	}
}

// Expressions over one deal with its relations; the text is what a text
// parameter gets.
func TestExpressions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ source, want string }{
		{`deal.amount`, "1000.5"},
		{`deal.amount * 2`, "2001"},
		{`2 * deal.amount - 0.5`, "2000.5"},
		{`deal.amount / 3`, "333.5"},
		{`deal.amount * 0.1`, "100.05"},
		{`deal.amount - deal.cost`, "1000.5"},
		{`-deal.amount`, "-1000.5"},
		{`deal.cost + 1`, "1"},
		{`deal.cost`, ""},
		{`deal.cost == 0`, "true"},
		{`deal.amount > 1000 && deal.amount <= 1000.5 && deal.amount != 7`, "true"},
		{`(deal.amount > 0 ? deal.amount : 0) * 2`, "2001"},
		{`coalesce(deal.cost, deal.amount) + 1`, "1001.5"},
		{`deal.amount > 100 ? "big" : "small"`, "big"},
		{`sum(map(deal.products, .price * .quantity))`, "1000.5"},
		{`reduce(deal.products, #acc + #.price * #.quantity, 0)`, "1000.5"},
		{`max(map(deal.products, .price))`, "400"},
		{`min(deal.amount, 5, 7)`, "5"},
		{`round(deal.amount)`, "1001"},
		{`round(deal.amount / 7, 2)`, "142.93"},
		{`abs(0 - deal.amount)`, "1000.5"},
		{`len(deal.products)`, "2"},
		{`join(map(deal.products, .name), "; ")`, "Стул; Стол"},
		{`first(deal.products).name`, "Стул"},
		{`deal.fields["UF_CRM_1700000000"]`, "12 500,50"},
		{`deal.fields.UF_CRM_1700000000`, "12 500,50"},
		{`deal.fields["Бюджет"]`, "12 500,50"},
		{`deal.fields["бюджет"]`, "12 500,50"},
		{`deal.fields["171"]`, "12 500,50"},
		{`deal.fields.budget`, "12 500,50"},
		{`deal.fields.uf_many`, "красный,синий"},
		{`deal.fields["no such"]`, ""},
		{`deal?.fields?.budget`, "12 500,50"},
		{`contact.fields.budget`, ""},
		{`number(deal.fields.budget) * 2`, "25001"},
		{`number("")`, ""},
		{`values(deal, "Цвет")[1]`, "синий"},
		{`join(values(deal, "UF_MANY"), "|")`, "красный|синий"},
		{`len(values(deal, "no such"))`, "0"},
		{`"red" in values(deal, "UF_MANY")`, "false"},
		{`deal.pipeline`, "Продажи"},
		{`deal.status_name`, "Новая"},
		{`status`, "001"},
		{`project.currency + " " + project.id`, "RUB shop"},
		{`deal.utm.source`, "yandex"},
		{`contact.birth_date`, "1990-01-31"},
		{`contact.birth_date > "1980-01-01"`, "true"},
		{`first(contact.phones)`, "79995551111"},
		{`first(lead.phones)`, ""},
		{`lead.title + visit.city + employee.name`, ""},
		{`company.id`, "9"}, // known from the link although the company is not at hand
		{`phones(contact.phones, "8 999 555-11-11", "8 812 123 45 67")`, "79995551111,74951234567,78121234567"},
		{`emails(contact.emails, "MAIL@yandex.ru; a@b.ru")`, "mail@yandex.ru,a@b.ru"},
		{`md5(first(contact.emails))`, "3c56ff8fef0f6c65b36b2d25720fe276"},
		{`md5("")`, ""},
		{`join(contact.phones)`, "79995551111,74951234567"},
		{`coalesce(lead.title, deal.title, "none")`, "Поставка"},
		{`deal.title matches "^Пост"`, "true"},
		{`upper(deal.title)`, "ПОСТАВКА"},
		{`before(deal.created_at, deal.updated_at)`, "true"},
		{`after(deal.created_at, date("2026-03-04"))`, "true"},
		{`deal.created_at > date("2026-03-04 12:00:00")`, "false"}, // noon in Moscow
		{`before(deal.closed_at, date("2026-03-04"))`, "false"},    // not closed at all
		{`empty(deal.closed_at) && empty(deal.cost) && !empty(deal.amount)`, "true"},
		{`deal.created_at.Year()`, "2026"},
		{`local(deal.created_at).Hour()`, "12"},
		{`deal.created_at`, "2026-03-04T12:00:00+03:00"},
		{`let total = deal.amount; total + 1`, "1001.5"},
		{`deal.created_at + duration("24h")`, "2026-03-05T12:00:00+03:00"},
	} {
		t.Run(tt.source, func(t *testing.T) {
			t.Parallel()
			spec := ordersSpec()
			spec.As, spec.Map = "loose", map[string]string{"id": "deal.id", "text": tt.source}
			f := compiled(t, spec, loose())
			row, verdict := f.Row(deal(t), flow.Relations{Contact: contact()}, catalogue())
			if verdict.Outcome != flow.Send {
				t.Fatalf("verdict %+v", verdict)
			}
			got, _ := value(t, f, row, "text").(string)
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, parameter, source string
		want                    any
		cause                   model.Cause
	}{
		{"time of a record", "time", `deal.created_at`, noon, ""},
		{"time of text in the project's zone", "time", `"2026-03-04 12:00:00"`, noon, ""},
		{"time with a zone", "time", `"2026-03-04T09:00:00Z"`, noon, ""},
		{"Russian time", "time", `"04.03.2026 12:00"`, noon, ""},
		{"Unix seconds", "time", `1772614800`, noon, ""},
		{"Unix seconds as text", "time", `deal.fields.unix`, noon, ""},
		{"milliseconds", "time", `1772614800000000`, nil, model.CauseBadValue},
		{"no time", "time", `deal.closed_at`, nil, ""},
		{"words instead of a time", "time", `deal.title`, nil, model.CauseBadValue},
		{"day of a time is that of the project's zone", "date", `date("2026-03-05 01:00:00")`, model.Date("2026-03-05"), ""},
		{"Russian day", "date", `"31.12.2025"`, model.Date("2025-12-31"), ""},
		{"words instead of a day", "date", `deal.title`, nil, model.CauseBadValue},
		{"decimal of text", "decimal", `deal.fields["UF_CRM_1700000000"]`, amount(t, "12500.50"), ""},
		{"decimal of a whole number", "decimal", `len(deal.products)`, amount(t, "2"), ""},
		{"words instead of a decimal", "decimal", `deal.title`, nil, model.CauseBadValue},
		{"integer", "integer", `deal.amount * 2`, int64(2001), ""},
		{"broken integer", "integer", `deal.amount`, nil, model.CauseBadValue},
		{"zero is not empty", "integer", `0`, int64(0), ""},
		{"flag", "flag", `deal.amount > 0`, true, ""},
		{"no is not empty", "flag", `deal.deleted`, false, ""},
		{"flag of Bitrix24", "flag", `deal.fields.yes`, true, ""},
		{"words instead of a flag", "flag", `deal.title`, nil, model.CauseBadValue},
		{"texts", "texts", `values(deal, "UF_MANY")`, []string{"красный", "синий"}, ""},
		{"texts of nothing", "texts", `values(deal, "NONE")`, nil, ""},
		{"phones lose bad numbers", "phones", `["8 999 555 11 11", "112", ""]`, []string{"79995551111"}, ""},
		{"phones without any good number", "phones", `["112"]`, nil, ""},
		{"phone", "phone", `contact.phones`, "79995551111", ""},
		{"emails", "emails", `"A@b.ru, c@d.ru"`, []string{"a@b.ru", "c@d.ru"}, ""},
		{"hashes", "md5s", `["3C56FF8FEF0F6C65B36B2D25720FE276", "xx"]`, []string{"3c56ff8fef0f6c65b36b2d25720fe276"}, ""},
		{"ClientIDs", "client_ids", `"1558423234123456789,GA1.2.3,1558423234123456789"`, []string{"1558423234123456789"}, ""},
		{"currency", "currency", `" usd "`, "USD", ""},
		{"old rouble", "currency", `deal.fields.rur`, "RUB", ""},
		{"no currency of this world", "currency", `deal.title`, nil, model.CauseCurrency},
		{"three letters of no currency", "currency", `deal.fields.abc`, nil, model.CauseCurrency},
		{"status id", "status", `status`, "001", ""},
		{"status id with a space", "status", `deal.title + " x"`, nil, model.CauseBadValue},
		{"products", "products", `filter(deal.products, .price > 1000)`, nil, ""},
		{"goals", "goals", `"call:100.5,form"`, []model.GoalHit{{ID: "call", Price: amount(t, "100.5")}, {ID: "form"}}, ""},
		{"goals with words for a price", "goals", `deal.title + ":dear"`, nil, model.CauseBadValue},
		{"broken text is mended", "text", `deal.fields.broken`, "a\uFFFDb", ""},
		{"text of spaces is empty", "text", `"  "`, nil, ""},
		{"division by zero", "decimal", `deal.amount / deal.cost`, nil, model.CauseExpression},
		{"text for a number", "decimal", `number(deal.title)`, nil, model.CauseExpression},
		{"index out of a list", "text", `deal.products[7].name`, nil, model.CauseExpression},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := ordersSpec()
			spec.As, spec.Map = "loose", map[string]string{"id": "deal.id", tt.parameter: tt.source}
			f := compiled(t, spec, loose())
			record := deal(t)
			record.Fields["unix"], record.Fields["yes"] = "1772614800", "Y"
			record.Fields["rur"], record.Fields["abc"], record.Fields["broken"] = "RUR", "ABC", "a\xffb\x00"
			row, verdict := f.Row(record, flow.Relations{Contact: contact()}, nil)
			if tt.cause != "" {
				if verdict.Outcome != flow.Refuse || verdict.Cause != tt.cause {
					t.Fatalf("verdict %+v, want %s", verdict, tt.cause)
				}
				if strings.Contains(verdict.Message, "Поставка") || !strings.Contains(verdict.Message, tt.parameter) {
					t.Errorf("message %q must name the parameter and not the value", verdict.Message)
				}
				if row.Key != "7405" {
					t.Errorf("a refused row has its key, not %q", row.Key)
				}
				return
			}
			if verdict.Outcome != flow.Send {
				t.Fatalf("verdict %+v", verdict)
			}
			if got := value(t, f, row, tt.parameter); !reflect.DeepEqual(got, tt.want) && fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%#v, want %#v", got, tt.want)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		spec   func(*model.FlowSpec)
		record func(*model.Deal)
		want   flow.Verdict
	}{
		{"sent", nil, nil, flow.Verdict{Outcome: flow.Send}},
		{"filtered out", func(s *model.FlowSpec) { s.When = `deal.amount > 5000` }, nil,
			flow.Verdict{Outcome: flow.Skip, Message: "filtered out by when"}},
		{"deleted", nil, func(d *model.Deal) { d.Deleted = true },
			flow.Verdict{Outcome: flow.Skip, Message: "deleted in b24"}},
		{"of another kind", nil, func(d *model.Deal) { d.Kind = model.KindLead },
			flow.Verdict{Outcome: flow.Skip, Message: "the flow sends deal, not lead"}},
		{"without its client", nil, func(d *model.Deal) { d.ContactID = "" },
			flow.Verdict{flow.Refuse, model.CauseMissingRequired, "client_uniq_id is required, and contact.id is empty in this record"}},
		{"status without a pair", nil, func(d *model.Deal) { d.StatusID = "THINKING" },
			flow.Verdict{flow.Refuse, model.CauseStatusUnmapped, "status THINKING «Думает» of pipeline 0 has no pair in statuses; add one and send the row again"}},
		{"without any status", nil, func(d *model.Deal) { d.StatusID = "" },
			flow.Verdict{flow.Refuse, model.CauseStatusUnmapped, "the record has no status, so that none can be found for it"}},
		{"pair for one pipeline", nil, func(d *model.Deal) { d.PipelineID, d.StatusID = "5", "C5:LOSE" }, flow.Verdict{Outcome: flow.Send}},
		{"status id with a colon", nil, func(d *model.Deal) { d.PipelineID, d.StatusID = "1", "C1:NEW" }, flow.Verdict{Outcome: flow.Send}},
		{"pair of another pipeline", nil, func(d *model.Deal) { d.PipelineID, d.StatusID = "6", "C5:LOSE" },
			flow.Verdict{flow.Refuse, model.CauseStatusUnmapped, "status C5:LOSE of pipeline 6 has no pair in statuses; add one and send the row again"}},
		{"an unmapped status may be filtered out", func(s *model.FlowSpec) { s.When = `status != ""` }, func(d *model.Deal) { d.StatusID = "X" },
			flow.Verdict{Outcome: flow.Skip, Message: "filtered out by when"}},
		{"an expression may stand in for a missing pair", func(s *model.FlowSpec) { s.Map["order_status"] = `status == "" ? "IN_PROGRESS" : status` },
			func(d *model.Deal) { d.StatusID = "X" }, flow.Verdict{Outcome: flow.Send}},
		{"failing filter", func(s *model.FlowSpec) { s.When = `deal.amount / deal.cost > 1` }, nil,
			flow.Verdict{flow.Refuse, model.CauseExpression, "when failed on this record: division by zero"}},
		{"errors of the language lose their values", func(s *model.FlowSpec) { s.When = `int(deal.title) > 1` }, nil,
			flow.Verdict{flow.Refuse, model.CauseExpression, "when failed on this record: an operation does not suit the type of a value"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec, schema := ordersSpec(), orders()
			spec.Map = schema.Defaults[model.KindDeal]
			if tt.spec != nil {
				tt.spec(&spec)
			}
			f := compiled(t, spec, schema)
			record := deal(t)
			if tt.record != nil {
				tt.record(record)
			}
			row, verdict := f.Row(record, flow.Relations{}, catalogue())
			if verdict != tt.want {
				t.Errorf("verdict %+v\nwant %+v", verdict, tt.want)
			}
			if (row.Values != nil) != (verdict.Outcome == flow.Send) {
				t.Error("only a row to be sent has values")
			}
		})
	}
}

func TestContactWithoutIdentifier(t *testing.T) {
	t.Parallel()
	f := compiled(t, contactsSpec(), contacts())
	record := contact()
	record.Phones, record.Emails, record.ClientIDs = []string{"112"}, nil, nil
	row, verdict := f.Row(record, flow.Relations{}, nil)
	if verdict.Cause != model.CauseNoIdentifier || row.Key != "45" {
		t.Errorf("row %+v, verdict %+v", row, verdict)
	}
}

func TestHashedParameters(t *testing.T) {
	t.Parallel()
	spec := contactsSpec()
	spec.Hash = []string{"phones", "emails"}
	f := compiled(t, spec, contacts())
	for _, column := range f.Columns() {
		if column.Name == "phones" || column.Name == "emails" {
			t.Errorf("column %s would show what must be hashed", column.Name)
		}
	}
	row, verdict := f.Row(contact(), flow.Relations{}, nil)
	if verdict.Outcome != flow.Send {
		t.Fatalf("verdict %+v", verdict)
	}
	// yandex-metrica §5.9.
	want := []string{"f09f2c3d48f31e2a802944ade2e5aec5", "ef42466fee5ffc2c5f16acbfd1b55d6a"}
	got := value(t, f, row, "phones_md5").([]string)
	if len(got) != 2 || got[0] != want[0] {
		t.Errorf("phones_md5 %q", got)
	}
	if got := value(t, f, row, "emails_md5"); !reflect.DeepEqual(got, []string{"3c56ff8fef0f6c65b36b2d25720fe276"}) {
		t.Errorf("emails_md5 %q", got)
	}
	if text := fmt.Sprint(row.Values); strings.Contains(text, "79995551111") || strings.Contains(text, "mail@") {
		t.Errorf("row shows personal data: %s", text)
	}
}

func TestPrefixedIDs(t *testing.T) {
	t.Parallel()
	several := func(spec model.FlowSpec) model.FlowSpec {
		spec.From = []string{"b24", "amo"}
		return spec
	}
	raw := func(spec model.FlowSpec) model.FlowSpec {
		spec.IDs = "raw"
		return spec
	}
	for _, tt := range []struct {
		name       string
		spec       model.FlowSpec
		flows      []model.FlowSpec
		key, needs string
	}{
		{"one source", ordersSpec(), nil, "7405", "45"},
		{"several sources", several(ordersSpec()), nil, "b24:7405", "b24:45"},
		{"raw", raw(several(ordersSpec())), nil, "7405", "45"},
		{"the clients come from several sources", ordersSpec(), []model.FlowSpec{several(contactsSpec())}, "7405", "b24:45"},
		{"the clients are raw", several(ordersSpec()), []model.FlowSpec{raw(several(contactsSpec()))}, "b24:7405", "45"},
		{"the clients come from one source", several(ordersSpec()), []model.FlowSpec{contactsSpec()}, "b24:7405", "45"},
		{"nobody sends clients", ordersSpec(), []model.FlowSpec{ordersSpec()}, "7405", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := project()
			p.Flows = tt.flows
			f := compiledFor(t, tt.spec, orders(), p)
			row, verdict := f.Row(deal(t), flow.Relations{}, nil)
			if verdict.Outcome != flow.Send || row.Key != tt.key || row.Needs != tt.needs {
				t.Errorf("key %q, needs %q, verdict %+v", row.Key, row.Needs, verdict)
			}
			if got := f.RowKeyFor("b24", "7405"); got != tt.key {
				t.Errorf("RowKeyFor = %q", got)
			}
		})
	}
}

// A site's own user id belongs to no connection, a record's id does.
func TestPrefixOnlyForRecordIDs(t *testing.T) {
	t.Parallel()
	spec := ordersSpec()
	spec.From, spec.Statuses = []string{"b24", "amo"}, nil
	spec.Map = map[string]string{"id": "deal.id", "user_id": "deal.user_id"}
	f := compiled(t, spec, loose())
	row, _ := f.Row(deal(t), flow.Relations{}, nil)
	if got := value(t, f, row, "user_id"); got != "u-1" {
		t.Errorf("user_id %q", got)
	}
	spec.Map["user_id"] = "deal.contact_id"
	f = compiled(t, spec, loose())
	row, _ = f.Row(deal(t), flow.Relations{}, nil)
	if got := value(t, f, row, "user_id"); got != "b24:45" {
		t.Errorf("user_id %q", got)
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	spec, schema := ordersSpec(), orders()
	spec.Map = map[string]string{"colour": `values(deal, "UF_MANY")`, "margin": "deal.amount - deal.cost"}
	for name, source := range schema.Defaults[model.KindDeal] {
		spec.Map[name] = source
	}
	spec.Attributes = []model.AttributeSpec{{Name: "margin", Type: model.TypeDecimal}, {Name: "colour", Multiple: true}}
	f := compiled(t, spec, schema)
	row, verdict := f.Row(deal(t), flow.Relations{}, nil)
	if verdict.Outcome != flow.Send {
		t.Fatalf("verdict %+v", verdict)
	}
	columns := f.Columns()
	last := columns[len(columns)-2:]
	if !last[0].Attribute || last[0].Name != "margin" || last[0].Type != model.TypeDecimal || last[1].Type != model.TypeTexts {
		t.Errorf("columns %+v", last)
	}
	if got := value(t, f, row, "colour"); !reflect.DeepEqual(got, []string{"красный", "синий"}) {
		t.Errorf("colour %v", got)
	}
}

func TestEventsAndCallsHaveTheirOwnNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		record model.Record
		source string
		want   string
	}{
		{&model.Call{Base: model.Base{Kind: model.KindCall, ID: "1"}, CallKind: "dynamic", TalkDuration: 61}, `call.kind + string(call.talk_duration / 61)`, "dynamic1"},
		{&model.Event{Base: model.Base{Kind: model.KindChat, ID: "1"}, Messenger: "telegram"}, `chat.messenger`, "telegram"},
		{&model.Event{Base: model.Base{Kind: model.KindRequest, ID: "1"}, Text: "Здравствуйте"}, `request.text`, "Здравствуйте"},
		{&model.Event{Base: model.Base{Kind: model.KindGoal, ID: "1"}, Target: "cart"}, `goal.target`, "cart"},
		{&model.Cost{Base: model.Base{Kind: model.KindCost, ID: "1"}, Date: "2026-03-04", Amount: amount(t, "10"), Clicks: 4}, `cost.amount / cost.clicks`, "2.5"},
		{&model.Cost{Base: model.Base{Kind: model.KindCost, ID: "1"}, Date: "2026-03-04"}, `cost.date`, "2026-03-04"},
		{&model.Visit{Base: model.Base{Kind: model.KindVisit, ID: "1"}, City: "Тула"}, `visit.city`, "Тула"},
		{&model.Company{Base: model.Base{Kind: model.KindCompany, ID: "1"}, TaxID: "7707083893"}, `company.tax_id`, "7707083893"},
		{&model.Deal{Base: model.Base{Kind: model.KindLead, ID: "1"}, Title: "Заявка"}, `lead.title`, "Заявка"},
		{&model.StageChange{Base: model.Base{Kind: model.KindStageChange, ID: "1"}, StatusID: "WON"}, `stage_change.status_id`, "WON"},
		{&model.Reference{Base: model.Base{Kind: model.KindEmployee, ID: "1"}, Name: "Анна", Of: "deal"}, `employee.name + employee.of`, "Аннаdeal"},
	} {
		kind := tt.record.Meta().Kind
		t.Run(string(kind)+" "+tt.source, func(t *testing.T) {
			t.Parallel()
			f := compiled(t, model.FlowSpec{
				ID: "x", From: []string{"a"}, Record: kind, To: "b", Map: map[string]string{"id": string(kind) + ".id", "text": tt.source},
			}, loose())
			row, verdict := f.Row(tt.record, flow.Relations{}, nil)
			if verdict.Outcome != flow.Send {
				t.Fatalf("verdict %+v", verdict)
			}
			if got := value(t, f, row, "text"); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestRelated(t *testing.T) {
	t.Parallel()
	spec := ordersSpec()
	spec.When = `employee.name != "" && lead.title != "x"`
	f := compiled(t, spec, orders())
	want := []model.Kind{model.KindContact, model.KindEmployee, model.KindLead}
	if got := f.Related(); !reflect.DeepEqual(got, want) {
		t.Errorf("Related = %v, want %v", got, want)
	}
}

func TestNamedStatusesAndUnmapped(t *testing.T) {
	t.Parallel()
	f := compiled(t, ordersSpec(), orders())
	pairs := f.NamedStatuses(catalogue())
	if pairs[0].Name != "Новая" || pairs[1].Name != "WON" {
		t.Errorf("names %+v", pairs)
	}
	missing := f.Unmapped([]model.Record{
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "b24"}, Of: model.KindDeal, StatusID: "NEW"},
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "b24"}, Of: model.KindDeal, StatusID: "THINKING"},
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "amo"}, Of: model.KindDeal, StatusID: "142"},
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "b24"}, Of: model.KindLead, StatusID: "IN_PROCESS"},
	})
	if len(missing) != 1 || missing[0].StatusID != "THINKING" {
		t.Errorf("unmapped %+v", missing)
	}
}

func TestRowsAtOnce(t *testing.T) {
	t.Parallel()
	f := compiled(t, ordersSpec(), orders())
	cat := catalogue()
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			record := deal(t)
			record.ID = fmt.Sprint(i)
			for range 200 {
				if row, verdict := f.Row(record, flow.Relations{}, cat); verdict.Outcome != flow.Send || row.Key != record.ID {
					t.Errorf("row %s of deal %s: %+v", row.Key, record.ID, verdict)
					return
				}
			}
		})
	}
	workers.Wait()
}

func TestRowsOneAfterAnotherDoNotMix(t *testing.T) {
	t.Parallel()
	f := compiled(t, ordersSpec(), orders())
	if _, verdict := f.Row(deal(t), flow.Relations{Contact: contact()}, catalogue()); verdict.Outcome != flow.Send {
		t.Fatal(verdict)
	}
	lonely := deal(t)
	lonely.Links = model.Links{}
	if _, verdict := f.Row(lonely, flow.Relations{}, nil); verdict.Cause != model.CauseMissingRequired {
		t.Errorf("the contact of the row before was used: %+v", verdict)
	}
}
