package amocrm

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
)

func testMapper(t testing.TB, tracking map[string]string) *mapper {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	return &mapper{
		connection: "amo", tracking: tracking, readAt: time.Unix(1_800_000_000, 0).UTC(),
		account: account{ID: "1", Zone: zone, Currency: "RUB", Region: "RU"},
	}
}

func mapped(t testing.TB, kind model.Kind, object string, tracking map[string]string) model.Record {
	t.Helper()
	e, err := readEntity([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return testMapper(t, tracking).record(kind, &e)
}

func TestMapSamples(t *testing.T) {
	t.Parallel()
	var page answer
	if err := json.Unmarshal(sample(t, "api-leads-list-page1-real.json"), &page); err != nil {
		t.Fatal(err)
	}
	var leads []json.RawMessage
	if err := json.Unmarshal(page.Embedded["leads"], &leads); err != nil || page.more() {
		t.Fatal(err, page.more())
	}
	golden(t, "record-lead", described(mapped(t, model.KindDeal, string(leads[0]), nil)))
	golden(t, "record-contact", described(mapped(t, model.KindContact, string(sample(t, "api-fixture-contact-unknown-properties.json")), nil)))
}

// fullLead has every kind of field and everything that PHP does to JSON.
const fullLead = `{"id":12,"name":"Сделка","price":"1500.50","responsible_user_id":0,"status_id":142,"pipeline_id":7,"created_at":1709609319,
"updated_at":"1709692894","closed_at":1709692894,"is_deleted":false,"loss_reason_id":3,"future":{"a":[]},"custom_fields_values":[
{"field_id":1,"field_name":"utm_source","field_code":"UTM_SOURCE","field_type":"tracking_data","values":[{"value":"yandex"}]},
{"field_id":2,"field_name":"_ym_uid","field_code":"_ym_uid","field_type":"tracking_data","values":[{"value":"1700000000123456789"}]},
{"field_id":3,"field_name":"Roistat","field_code":"roistat","field_type":"tracking_data","values":[{"value":123456}]},
{"field_id":4,"field_name":"Дата","field_code":null,"field_type":"date","values":[{"value":1542056400}]},
{"field_id":5,"field_name":"Встреча","field_code":null,"field_type":"date_time","values":[{"value":1542056400}]},
{"field_id":6,"field_name":"Канал","field_code":null,"field_type":"multiselect","values":[{"value":"Сайт","enum_id":1},{"value":"Звонок","enum_id":2}]},
{"field_id":7,"field_name":"Флаг","field_code":null,"field_type":"checkbox","values":[{"value":true}]},
{"field_id":8,"field_name":"Пусто","field_code":null,"field_type":"text","values":[]},
{"field_id":9,"field_name":"Голое","field_type":"text","values":["bare"]},
{"field_id":10,"field_name":"Плохая дата","field_type":"date","values":[{"value":"soon"}]},
"odd", {"field_id":11,"field_name":"Сумма","field_type":"numeric","values":[{"value":280.00}]}],
"_embedded":{"tags":[{"id":1,"name":"сайт","color":null}],"companies":[{"id":21}],"contacts":[{"id":31,"is_main":false},{"id":32,"is_main":true}],
"loss_reason":{"id":3,"name":"Дорого"},"source":[],"catalog_elements":[]}}`

func TestMapLead(t *testing.T) {
	t.Parallel()
	golden(t, "record-lead-full", described(mapped(t, model.KindDeal, fullLead, nil)))
}

func TestMapContactAndCompany(t *testing.T) {
	t.Parallel()
	golden(t, "record-contact-full", described(mapped(t, model.KindContact, `{"id":31,"name":"Иван Петров","first_name":"Иван","last_name":"Петров","updated_at":5,"custom_fields_values":[
{"field_id":1,"field_code":"PHONE","field_type":"multitext","values":[{"value":"8 (999) 000-11-22","enum_code":"WORK"},{"value":"333","enum":"718321"}]},
{"field_id":2,"field_code":"EMAIL","field_type":"multitext","values":[{"value":"Ivan@Example.RU"}]},
{"field_id":3,"field_name":"День рождения","field_type":"birthday","values":[{"value":-3600}]},
{"field_id":4,"field_name":"Метрика","field_type":"text","values":[{"value":"16000000001234"}]}],"_embedded":{"companies":[{"id":5}]}}`,
		map[string]string{"client_id": "метрика"})))
	golden(t, "record-company-full", described(mapped(t, model.KindCompany, `{"id":5,"name":"ООО","custom_fields_values":[
{"field_id":9,"field_name":"Юр. лицо","field_type":"legal_entity","values":[{"value":{"name":"ООО","vat_id":"7700000000"}}]}],
"_embedded":{"contacts":[{"id":31}],"companies":[]}}`, nil)))
}

func TestPrice(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ object, want string }{
		"missing is not zero":       {`{"id":1}`, ""},
		"null":                      {`{"id":1,"price":null}`, ""},
		"zero":                      {`{"id":1,"price":0}`, "0"},
		"whole":                     {`{"id":1,"price":999}`, "999"},
		"exact":                     {`{"id":1,"price":999,"price_with_minor_units":999.5}`, "999.5"},
		"exact in another unit":     {`{"id":1,"price":999,"price_with_minor_units":99950}`, "999"},
		"not a number":              {`{"id":1,"price":"дорого"}`, ""},
		"exact without a whole one": {`{"id":1,"price_with_minor_units":5}`, ""},
	} {
		d, ok := mapped(t, model.KindDeal, tc.object, nil).(*model.Deal)
		if !ok || d.Amount.String() != tc.want {
			t.Errorf("%s: amount %q, want %q", name, d.Amount.String(), tc.want)
		}
	}
}

func TestTracking(t *testing.T) {
	t.Parallel()
	field := func(code, kind, value string) string {
		return `{"id":1,"custom_fields_values":[{"field_id":7,"field_name":"Поле","field_code":"` + code + `","field_type":"` + kind + `","values":[{"value":"` + value + `"}]}]}`
	}
	for _, tc := range []struct {
		name, object string
		tracking     map[string]string
		want         string
	}{
		{"by code", field("_YM_UID", "tracking_data", "1700000000123456"), nil, "1700000000123456"},
		{"by code in small letters", field("_ym_uid", "tracking_data", "1700000000123456"), nil, "1700000000123456"},
		{"order number in the field", field("_YM_UID", "tracking_data", "1048213177"), nil, ""},
		{"text in the field", field("_YM_UID", "tracking_data", "n/a"), nil, ""},
		{"a field of another type", field("_YM_UID", "text", "1700000000123456"), nil, ""},
		{"by configured id", field("", "text", "1048213177"), map[string]string{"client_id": "7"}, "1048213177"},
		{"by configured name", field("", "text", "1048213177"), map[string]string{"client_id": "ПОЛЕ"}, "1048213177"},
		{"configured elsewhere", field("_YM_UID", "tracking_data", "1700000000123456"), map[string]string{"client_id": "8"}, ""},
	} {
		if got := mapped(t, model.KindDeal, tc.object, tc.tracking).Meta(); got.ClientID != tc.want || got.Fields["7"] == nil {
			t.Errorf("%s: client id %q, want %q; raw %v", tc.name, got.ClientID, tc.want, got.Fields)
		}
	}
}

func FuzzReadEntity(f *testing.F) {
	f.Add([]byte(fullLead))
	f.Add(sample(f, "api-fixture-contact-unknown-properties.json"))
	f.Add([]byte(`{"id":"1","custom_fields_values":{"0":{}},"_embedded":[]}`))
	m := testMapper(f, map[string]string{"client_id": "1"})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := readEntity(data)
		if err != nil {
			return
		}
		for _, kind := range []model.Kind{model.KindCompany, model.KindContact, model.KindDeal} {
			if _, err := model.Encode(m.record(kind, &e)); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"id":"a","entity_id":5,"created_at":1,"value_after":[{"lead_status":{"id":142,"pipeline_id":1}}],"value_before":{}}`))
	m := testMapper(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		var e event
		if json.Unmarshal(data, &e) != nil {
			return
		}
		if _, err := model.Encode(m.stageChange(&e)); err != nil {
			t.Error(err)
		}
	})
}
