package bitrix24

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

func testMapper(tb testing.TB, kind model.Kind) *mapper {
	tb.Helper()
	c := offline(tb, webhookSettings)
	return c.mapper(kind, tracking{kind: trackingCodes{"roistat": {"UF_CRM_ROISTAT"}, "client_id": {"UF_CRM_YM_UID", "UF_CRM_OTHER"}}}, connectortest.NewClock().Now())
}

// Each sample answer, as records.
func TestMapSamples(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file string
		kind model.Kind
	}{
		{"rest-crm-contact-get-doc.json", model.KindContact},
		{"rest-crm-deal-get-doc.json", model.KindDeal},
		{"rest-crm-deal-list-doc.json", model.KindDeal},
		{"rest-crm-item-get-doc.json", model.KindLead},
		{"rest-crm-lead-get-doc.json", model.KindLead},
		{"rest-crm-stagehistory-list-doc.json", model.KindStageChange},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			var a answer
			if err := json.Unmarshal(sample(t, tt.file), &a); err != nil {
				t.Fatal(err)
			}
			all := []json.RawMessage{a.Result}
			var one struct {
				Item json.RawMessage `json:"item"`
			}
			if err := json.Unmarshal(a.Result, &one); err == nil && one.Item != nil {
				all = []json.RawMessage{one.Item}
			} else if tt.kind == model.KindStageChange || a.Result[0] == '[' {
				list, err := rows(a.Result)
				if err != nil {
					t.Fatal(err)
				}
				all = list
			}
			m := testMapper(t, tt.kind)
			var out []model.Record
			for _, raw := range all {
				var rec model.Record
				var err error
				if tt.kind == model.KindStageChange {
					rec, err = m.stageChange(model.KindDeal, raw)
				} else {
					rec, err = m.record(raw)
				}
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, rec)
			}
			golden(t, tt.file, connectortest.Show(out...))
		})
	}
}

func TestMapDeal(t *testing.T) {
	t.Parallel()
	msk := time.FixedZone("MSK", 3*3600)
	at := func(d, h int) time.Time { return time.Date(2026, 2, d, h, 0, 0, 0, msk).UTC() }
	for _, tt := range []struct {
		name  string
		raw   string
		check func(*model.Deal) bool
	}{
		{"open deals are not closed, whatever their plan", `{"ID":"1","STAGE_SEMANTIC_ID":"P","CLOSED":"N","CLOSEDATE":"2026-02-03T03:00:00+03:00","MOVED_TIME":"2026-02-01T10:00:00+03:00"}`,
			func(d *model.Deal) bool { return d.ClosedAt.IsZero() }},
		{"won deals closed when they moved", `{"ID":"1","STAGE_SEMANTIC_ID":"S","CLOSED":"Y","CLOSEDATE":"2026-02-03T00:00:00+03:00","MOVED_TIME":"2026-02-03T10:00:00+03:00"}`,
			func(d *model.Deal) bool { return d.ClosedAt.Equal(at(3, 10)) }},
		{"closed without a move time", `{"id":1,"stageSemanticId":"F","closed":"Y","closedate":"2026-02-03T00:00:00+03:00"}`,
			func(d *model.Deal) bool { return d.ClosedAt.Equal(at(3, 0)) }},
		{"default pipeline", `{"id":1,"categoryId":0,"stageId":"NEW"}`,
			func(d *model.Deal) bool { return d.PipelineID == "0" && d.StatusID == "NEW" }},
		{"other pipeline", `{"id":1,"categoryId":7,"stageId":"C7:WON"}`,
			func(d *model.Deal) bool { return d.PipelineID == "7" && d.StatusID == "C7:WON" }},
		{"zero ids are none", `{"id":1,"contactId":0,"companyId":"0","leadId":null,"assignedById":5}`,
			func(d *model.Deal) bool { return d.Links == model.Links{EmployeeID: "5"} }},
		{"amount as number", `{"id":1,"opportunity":999.9}`, func(d *model.Deal) bool { return d.Amount.String() == "999.9" }},
		{"amount as text", `{"ID":"1","OPPORTUNITY":"1000000.00"}`, func(d *model.Deal) bool { return d.Amount.String() == "1000000" }},
		{"impossible amount", `{"ID":"1","OPPORTUNITY":"many"}`,
			func(d *model.Deal) bool { return !d.Amount.Set && d.Fields.Text("OPPORTUNITY") == "many" }},
		{"impossible date", `{"ID":"1","DATE_CREATE":"2026-02-31T00:00:00+03:00"}`,
			func(d *model.Deal) bool {
				return d.CreatedAt.IsZero() && d.Fields.Text("DATE_CREATE") == "2026-02-31T00:00:00+03:00"
			}},
		{"date that failed to serialise", `{"ID":"1","DATE_CREATE":{}}`,
			func(d *model.Deal) bool { return d.CreatedAt.IsZero() && d.Fields["DATE_CREATE"] == nil }},
		{"date without offset is the project's", `{"ID":"1","DATE_CREATE":"2026-02-03 10:00:00"}`,
			func(d *model.Deal) bool { return d.CreatedAt.Equal(at(3, 10)) }},
		{"impossible currency", `{"id":1,"currencyId":"ТУГРИК"}`,
			func(d *model.Deal) bool { return d.Currency == "ТУГРИК" }},
		{"currency", `{"id":1,"currencyId":"kzt"}`, func(d *model.Deal) bool { return d.Currency == "KZT" }},
		{"camel case becomes the classic code", `{"id":1,"sourceId":"WEB","parentId1222":5,"ufCrm_1720":"x","UF_CRM_5_AB":["1","2"],"isReturnCustomer":"Y"}`,
			func(d *model.Deal) bool {
				return d.Source == "WEB" && d.Fields.Text("SOURCE_ID") == "WEB" && d.Fields.Text("PARENT_ID_1222") == "5" &&
					d.Fields.Text("UF_CRM_1720") == "x" && d.Fields.Text("UF_CRM_5_AB") == "1,2" && d.Fields.Text("IS_RETURN_CUSTOMER") == "Y"
			}},
		{"tracking", `{"id":1,"UF_CRM_ROISTAT":"123","UF_CRM_OTHER":"17","utmSource":"yandex"}`,
			func(d *model.Deal) bool { return d.Roistat == "123" && d.ClientID == "17" && d.UTM.Source == "yandex" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec, err := testMapper(t, model.KindDeal).record(json.RawMessage(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if d := rec.(*model.Deal); !tt.check(d) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestMapContactOfBothFamilies(t *testing.T) {
	t.Parallel()
	m := testMapper(t, model.KindContact)
	for name, raw := range map[string]string{
		"classic": `{"ID":"5","NAME":"Анна","SECOND_NAME":null,"LAST_NAME":"Ким","PHONE":[{"ID":"1","VALUE_TYPE":"WORK","VALUE":"8 (900) 123-45-67","TYPE_ID":"PHONE"}],"EMAIL":[{"ID":"2","VALUE":"A@Example.ru"}],"BIRTHDATE":"1990-05-06T03:00:00+03:00"}`,
		"item":    `{"id":5,"name":"Анна","lastName":"Ким","fm":[{"id":1,"typeId":"PHONE","valueType":"WORK","value":"8 (900) 123-45-67"},{"id":2,"typeId":"EMAIL","value":"A@Example.ru"}],"birthdate":"1990-05-06T03:00:00+03:00"}`,
	} {
		rec, err := m.record(json.RawMessage(raw))
		if err != nil {
			t.Fatal(err)
		}
		c := rec.(*model.Contact)
		if c.Name != "Анна Ким" || len(c.Phones) != 1 || c.Phones[0] != "79001234567" || len(c.Emails) != 1 || c.Emails[0] != "a@example.ru" ||
			c.BirthDate != "1990-05-06" || c.Fields.Text("PHONE") != "8 (900) 123-45-67" {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

func TestClassicCode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind       model.Kind
		name, want string
	}{
		{model.KindDeal, "id", "ID"}, {model.KindDeal, "assignedById", "ASSIGNED_BY_ID"}, {model.KindDeal, "createdTime", "DATE_CREATE"},
		{model.KindDeal, "updatedTime", "DATE_MODIFY"}, {model.KindDeal, "stageId", "STAGE_ID"}, {model.KindLead, "stageId", "STATUS_ID"},
		{model.KindLead, "stageSemanticId", "STATUS_SEMANTIC_ID"}, {model.KindCompany, "typeId", "COMPANY_TYPE"}, {model.KindContact, "typeId", "TYPE_ID"},
		{model.KindDeal, "parentId1222", "PARENT_ID_1222"}, {model.KindDeal, "ufCrm_1720019876534", "UF_CRM_1720019876534"},
		{model.KindDeal, "ufCrm1720", "UF_CRM_1720"}, {model.KindDeal, "ufCrmYmUid", "UF_CRM_YM_UID"}, {model.KindDeal, "UF_CRM_ROISTAT", "UF_CRM_ROISTAT"},
		{model.KindDeal, "address2", "ADDRESS_2"}, {model.KindDeal, "closedate", "CLOSEDATE"},
	} {
		if got := classicCode(tt.kind, tt.name); got != tt.want {
			t.Errorf("%s of %s: got %s, want %s", tt.name, tt.kind, got, tt.want)
		}
	}
}

func TestTrackingName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ code, label, want string }{
		{"UF_CRM_ROISTAT", "", "roistat"}, {"UF_CRM_1720", "roistat", "roistat"}, {"UF_CRM_1720", "Номер визита Ройстат", "roistat"},
		{"UF_CRM_YM_UID", "", "client_id"}, {"UF_CRM_1", "_ym_uid", "client_id"}, {"UF_CRM_1", "Metrika ClientID", "client_id"},
		{"UF_CRM_1", "ClientID Яндекс Метрики", "client_id"}, {"UF_CRM_CLIENT_ID", "", "client_id"}, {"UF_CRM_METRIKA_CLIENT_ID", "", "client_id"},
		{"UF_CRM_YCLID", "", "yclid"}, {"UF_CRM_1", "gclid", "gclid"}, {"UF_CRM_GA_CLIENT_ID", "", "ga_client_id"}, {"UF_CRM_1", "_ga", "ga_client_id"},
		{"UF_CRM_1", "Адрес", ""}, {"UF_CRM_1", "Client name", ""}, {"UF_CRM_MEGA", "", ""},
	} {
		if got := trackingName(tt.code, tt.label); got != tt.want {
			t.Errorf("%s, %q: got %q, want %q", tt.code, tt.label, got, tt.want)
		}
	}
}

func FuzzMap(f *testing.F) {
	for _, name := range []string{"rest-crm-contact-get-doc.json", "rest-crm-deal-get-doc.json", "rest-crm-item-get-doc.json", "rest-crm-lead-get-doc.json"} {
		var a answer
		if err := json.Unmarshal(sample(f, name), &a); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(a.Result))
	}
	f.Add([]byte(`{"id":1,"fm":[{"typeId":"PHONE","value":{}}],"contactIds":[],"opportunity":1e400}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, kind := range []model.Kind{model.KindCompany, model.KindContact, model.KindDeal, model.KindLead} {
			rec, err := testMapper(t, kind).record(raw)
			if err != nil {
				continue
			}
			if rec.Meta().ID == "" {
				t.Error("a record without an id")
			}
			if _, err := model.Encode(rec); err != nil {
				t.Errorf("encode: %v", err)
			}
		}
		_, _ = testMapper(t, model.KindStageChange).stageChange(model.KindDeal, raw)
	})
}
