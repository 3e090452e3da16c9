package flow_test

import (
	"testing"
	"time"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

// orders are the orders of yandex-metrica §5.4, as far as flows go.
func orders() model.Schema {
	return model.Schema{
		As: "orders",
		Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true},
			{Name: "client_uniq_id", Type: model.TypeID, Required: true},
			{Name: "client_type", Type: model.TypeText, Required: true},
			{Name: "create_date_time", Type: model.TypeTime, Required: true},
			{Name: "update_date_time", Type: model.TypeTime},
			{Name: "finish_date_time", Type: model.TypeTime},
			{Name: "order_status", Type: model.TypeStatus, Required: true},
			{Name: "revenue", Type: model.TypeDecimal},
			{Name: "cost", Type: model.TypeDecimal},
			{Name: "currency", Type: model.TypeCurrency},
			{Name: "products", Type: model.TypeProducts},
			{Name: "goals", Type: model.TypeGoals},
			{Name: "user_comment", Type: model.TypeText},
		},
		Key:            "id",
		Modes:          []string{"SAVE", "UPDATE", "APPEND"},
		StatusTypes:    []string{"IN_PROGRESS", "PAID", "CANCELLED", "SPAM", "OTHER"},
		NeedsAs:        "contacts",
		NeedsParameter: "client_uniq_id",
		Attributes:     true,
		Defaults: map[model.Kind]map[string]string{
			model.KindDeal: {
				"id": "deal.id", "client_uniq_id": "contact.id", "create_date_time": "deal.created_at",
				"update_date_time": "deal.updated_at", "finish_date_time": "deal.closed_at", "revenue": "deal.amount",
				"currency": "deal.currency", "order_status": "status",
			},
		},
	}
}

// contacts are the contacts of yandex-metrica §5.3.
func contacts() model.Schema {
	return model.Schema{
		As: "contacts",
		Parameters: []model.Parameter{
			{Name: "uniq_id", Type: model.TypeID, Required: true},
			{Name: "name", Type: model.TypeText},
			{Name: "birth_date", Type: model.TypeDate},
			{Name: "create_date_time", Type: model.TypeTime},
			{Name: "client_ids", Type: model.TypeClientIDs},
			{Name: "user_ids", Type: model.TypeTexts},
			{Name: "emails", Type: model.TypeEmails},
			{Name: "phones", Type: model.TypePhones},
			{Name: "emails_md5", Type: model.TypeMD5s},
			{Name: "phones_md5", Type: model.TypeMD5s},
			{Name: "company_uniq_id", Type: model.TypeID},
		},
		Key:        "uniq_id",
		Modes:      []string{"SAVE", "UPDATE", "APPEND"},
		AnyOf:      [][]string{{"client_ids", "emails", "phones", "emails_md5", "phones_md5"}},
		Attributes: true,
		Defaults: map[model.Kind]map[string]string{
			model.KindContact: {
				"uniq_id": "contact.id", "name": "contact.name", "birth_date": "contact.birth_date",
				"create_date_time": "contact.created_at", "client_ids": "contact.client_ids",
				"emails": "contact.emails", "phones": "contact.phones", "company_uniq_id": "contact.company_id",
			},
		},
	}
}

// loose takes anything: its parameters are named after their types.
func loose() model.Schema {
	schema := model.Schema{As: "loose", Key: "id"}
	schema.Parameters = append(schema.Parameters, model.Parameter{Name: "id", Type: model.TypeID, Required: true})
	for _, as := range []model.ValueType{
		model.TypeText, model.TypeTime, model.TypeDate, model.TypeDecimal, model.TypeInteger, model.TypeFlag, model.TypeTexts,
		model.TypePhones, model.TypePhone, model.TypeEmails, model.TypeMD5s, model.TypeClientIDs, model.TypeCurrency,
		model.TypeStatus, model.TypeProducts, model.TypeGoals,
	} {
		schema.Parameters = append(schema.Parameters, model.Parameter{Name: string(as), Type: as})
	}
	schema.Parameters = append(schema.Parameters, model.Parameter{Name: "user_id", Type: model.TypeID})
	return schema
}

func ordersSpec() model.FlowSpec {
	return model.FlowSpec{
		ID: "orders", From: []string{"b24"}, Record: model.KindDeal, To: "metrica", As: "orders",
		Statuses: []model.StatusPair{
			{CRM: "NEW", ID: "001", Metrica: "IN_PROGRESS"},
			{CRM: "WON", ID: "003", Metrica: "PAID"},
			{CRM: "5:C5:LOSE", ID: "004", Metrica: "CANCELLED"},
			{CRM: "C1:NEW", ID: "005", Metrica: "OTHER"},
		},
	}
}

func contactsSpec() model.FlowSpec {
	return model.FlowSpec{ID: "clients", From: []string{"b24"}, Record: model.KindContact, To: "metrica", As: "contacts"}
}

func project() flow.Project {
	return flow.Project{ID: "shop", Zone: time.FixedZone("Europe/Moscow", 3*60*60), Currency: "RUB", Region: "RU"}
}

func amount(t testing.TB, text string) model.Decimal {
	t.Helper()
	d, err := model.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var noon = time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)

func deal(t testing.TB) *model.Deal {
	return &model.Deal{
		Base: model.Base{
			Kind: model.KindDeal, Connection: "b24", ID: "7405", Seq: 12, CreatedAt: noon, UpdatedAt: noon.Add(time.Hour),
			Links:    model.Links{ContactID: "45", CompanyID: "9", EmployeeID: "1"},
			Tracking: model.Tracking{UTM: model.UTM{Source: "yandex"}, UserID: "u-1"},
			Fields: model.Fields{
				"UF_CRM_1700000000": "12 500,50", "UF_MANY": []string{"красный", "синий"}, "TITLE": "Поставка",
			},
		},
		Title: "Поставка", Amount: amount(t, "1000.50"), Currency: "RUB", PipelineID: "0", StatusID: "NEW",
		Products: []model.Product{
			{ID: "11", Name: "Стул", Quantity: amount(t, "2"), Price: amount(t, "300.25")},
			{ID: "12", Name: "Стол", Quantity: amount(t, "1"), Price: amount(t, "400")},
		},
	}
}

func contact() *model.Contact {
	return &model.Contact{
		Base: model.Base{Kind: model.KindContact, Connection: "b24", ID: "45", Seq: 5, CreatedAt: noon},
		Name: "Иван Петров", Phones: []string{"79995551111", "74951234567"}, Emails: []string{"mail@yandex.ru"},
		BirthDate: "1990-01-31", ClientIDs: []string{"1558423234123456789"},
	}
}

func catalogue() *flow.References {
	field := func(code, name string, aliases ...string) *model.Reference {
		return &model.Reference{
			Base: model.Base{Kind: model.KindField, Connection: "b24", ID: "deal/" + code}, Of: model.KindDeal, Code: code, Name: name, Aliases: aliases,
		}
	}
	return flow.NewCatalogue([]model.Record{
		field("UF_CRM_1700000000", "Бюджет", "budget", "171"),
		field("UF_MANY", "Цвет"),
		field("UF_OTHER", "Бюджет"), // a second field of the same label
		&model.Reference{Base: model.Base{Kind: model.KindPipeline, Connection: "b24", ID: "0"}, Name: "Продажи"},
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "b24", ID: "0/NEW"}, Of: model.KindDeal, PipelineID: "0", StatusID: "NEW", Name: "Новая"},
		&model.Reference{Base: model.Base{Kind: model.KindStatus, Connection: "b24", ID: "0/THINKING"}, Of: model.KindDeal, PipelineID: "0", StatusID: "THINKING", Name: "Думает"},
	})
}

// compiled compiles a flow that has no mistakes.
func compiled(t testing.TB, spec model.FlowSpec, schema model.Schema) *flow.Flow {
	t.Helper()
	return compiledFor(t, spec, schema, project())
}

func compiledFor(t testing.TB, spec model.FlowSpec, schema model.Schema, p flow.Project) *flow.Flow {
	t.Helper()
	f, problems := flow.Compile(spec, schema, p)
	for _, problem := range problems {
		if problem.Severity == flow.SeverityError {
			t.Fatalf("%s: %s", problem.Key, problem.Message)
		}
	}
	return f
}

// value gives a row's value by the name of its column.
func value(t testing.TB, f *flow.Flow, row model.Row, name string) any {
	t.Helper()
	for i, column := range f.Columns() {
		if column.Name == name {
			return row.Values[i]
		}
	}
	t.Fatalf("no column %s", name)
	return nil
}
