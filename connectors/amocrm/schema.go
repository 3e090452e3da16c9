package amocrm

import "github.com/svod-hub/svod/model"

// asLeads is the one kind of upload that an account takes.
const asLeads = "leads"

// Modes of leads. CREATE makes a lead once per id and leaves it alone from then
// on; SAVE also brings later changes to it.
const (
	modeCreate = "CREATE"
	modeSave   = "SAVE"
)

func leadsSchema() model.Schema {
	text := func(name, doc string) model.Parameter {
		return model.Parameter{Name: name, Type: model.TypeText, Doc: doc}
	}
	return model.Schema{
		As:    asLeads,
		Key:   "id",
		Modes: []string{modeCreate, modeSave},
		Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true, Doc: "Id of the source record, written to the lead's field that the flow's option id_field names; a lead is made once per id."},
			text("title", "Name of the lead."),
			text("name", "Name of the contact; the phone or e-mail stands in when it is empty."),
			text("last_name", "Last name of the contact."),
			{Name: "phones", Type: model.TypePhones, Doc: "Phones of the contact; a contact that has one of them already is used again."},
			{Name: "emails", Type: model.TypeEmails, Doc: "E-mails of the contact; a contact that has one of them already is used again."},
			{Name: "amount", Type: model.TypeDecimal, Doc: "Budget of the lead, in the account's currency."},
			{Name: "pipeline", Type: model.TypeID, Doc: "Id of the pipeline; the main one when empty."},
			{Name: "status", Type: model.TypeID, Doc: "Id of the status, or pipeline:status; the pipeline's first one when empty."},
			{Name: "responsible", Type: model.TypeID, Doc: "Id of the responsible user."},
			{Name: "tags", Type: model.TypeTexts, Doc: "Tags of the lead."},
			text("comment", "Text, written to the lead's field that the flow's option comment_field names."),
			text("utm_source", "UTM source."),
			text("utm_medium", "UTM medium."),
			text("utm_campaign", "UTM campaign."),
			text("utm_content", "UTM content."),
			text("utm_term", "UTM term."),
			text("client_id", "Yandex Metrica ClientID, written to the tracking field."),
			text("ga_client_id", "Google Analytics client id, written to the tracking field."),
			text("gclid", "Google Ads click id, written to the tracking field."),
			text("roistat", "Roistat visit number, written to the tracking field."),
			text("yclid", "Yandex Direct click id, written to the tracking field."),
		},
		AnyOf:      [][]string{{"title", "name", "phones", "emails"}},
		Attributes: true,
		Defaults: map[model.Kind]map[string]string{
			model.KindLead: leadDefaults("lead", map[string]string{
				"title": "lead.title", "name": "lead.name", "phones": "lead.phones", "emails": "lead.emails", "amount": "lead.amount",
			}),
			model.KindRequest: leadDefaults("request", map[string]string{
				"title": "request.name", "name": "request.name", "phones": "[request.phone]", "emails": "[request.email]",
			}),
		},
	}
}

// leadDefaults adds what all kinds of records have in common.
func leadDefaults(record string, m map[string]string) map[string]string {
	for parameter, member := range map[string]string{
		"id": "id", "comment": "comment",
		"utm_source": "utm.source", "utm_medium": "utm.medium", "utm_campaign": "utm.campaign",
		"utm_content": "utm.content", "utm_term": "utm.term",
		"client_id": "client_id", "ga_client_id": "ga_client_id", "gclid": "gclid", "roistat": "roistat", "yclid": "yclid",
	} {
		m[parameter] = record + "." + member
	}
	return m
}
