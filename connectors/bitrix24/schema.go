package bitrix24

import "github.com/svod-hub/svod/model"

// asLeads is the one kind of upload that a portal takes.
const asLeads = "leads"

func leadSchema() model.Schema {
	text := func(name, doc string) model.Parameter {
		return model.Parameter{Name: name, Type: model.TypeText, Doc: doc}
	}
	return model.Schema{
		As:  asLeads,
		Key: "id",
		Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true, Doc: "Id of the source record, written to ORIGIN_ID; a lead is made once per id."},
			text("title", "Title of the lead."),
			text("name", "Name of the person; the phone or e-mail stands in when it is empty."),
			text("last_name", "Last name of the person."),
			{Name: "phones", Type: model.TypePhones, Doc: "Phones of the person."},
			{Name: "emails", Type: model.TypeEmails, Doc: "E-mails of the person."},
			text("comment", "Comment."),
			text("source", "Code of the source (SOURCE_ID), such as WEB or CALL."),
			text("source_description", "Source in words."),
			text("status", "Code of the status (STATUS_ID); the portal's first one when empty."),
			text("utm_source", "UTM source."),
			text("utm_medium", "UTM medium."),
			text("utm_campaign", "UTM campaign."),
			text("utm_content", "UTM content."),
			text("utm_term", "UTM term."),
			{Name: "amount", Type: model.TypeDecimal, Doc: "Expected amount."},
			{Name: "currency", Type: model.TypeCurrency, Doc: "Currency of the amount."},
			text("client_id", "Yandex Metrica ClientID, written to the tracking field."),
			text("ga_client_id", "Google Analytics client id, written to the tracking field."),
			text("gclid", "Google Ads click id, written to the tracking field."),
			text("roistat", "Roistat visit number, written to the tracking field."),
			text("yclid", "Yandex Direct click id, written to the tracking field."),
			{Name: "responsible", Type: model.TypeID, Doc: "Id of the responsible employee in the portal."},
		},
		AnyOf:      [][]string{{"title", "name", "phones", "emails"}},
		Attributes: true,
		Defaults: map[model.Kind]map[string]string{
			model.KindLead:    leadDefaults(map[string]string{"title": "lead.title", "name": "lead.name", "phones": "lead.phones", "emails": "lead.emails", "amount": "lead.amount", "currency": "lead.currency"}, "lead"),
			model.KindRequest: leadDefaults(map[string]string{"title": "request.name", "name": "request.name", "phones": "[request.phone]", "emails": "[request.email]"}, "request"),
		},
	}
}

// leadDefaults adds what all kinds of records have in common.
func leadDefaults(m map[string]string, record string) map[string]string {
	for parameter, member := range map[string]string{
		"id": "id", "comment": "comment", "source_description": "source",
		"utm_source": "utm.source", "utm_medium": "utm.medium", "utm_campaign": "utm.campaign",
		"utm_content": "utm.content", "utm_term": "utm.term",
		"client_id": "client_id", "ga_client_id": "ga_client_id", "gclid": "gclid", "roistat": "roistat", "yclid": "yclid",
	} {
		m[parameter] = record + "." + member
	}
	return m
}
