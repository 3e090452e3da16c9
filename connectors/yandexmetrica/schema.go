package yandexmetrica

import "github.com/svod-hub/svod/model"

// The kinds of upload.
const (
	asContacts     = "contacts"
	asOrders       = "orders"
	asSimpleOrders = "simple_orders"

	asConversions = "conversions"
	asCalls       = "calls"
	asChats       = "chats"
	asUserParams  = "user_params"
	asExpenses    = "expenses"
	asEvents      = "events"
)

// Merge modes (yandex-metrica §5.2).
const (
	modeSave   = "SAVE"
	modeUpdate = "UPDATE"
	modeAppend = "APPEND"
)

// schemas lists the rows that Metrica takes. The order of the parameters is the
// canonical order of the columns (§15.1).
func schemas() []model.Schema {
	return []model.Schema{
		contactsSchema(), ordersSchema(), simpleOrdersSchema(),
		conversionsSchema(), callsSchema(), chatsSchema(), userParamsSchema(), expensesSchema(), eventsSchema(),
	}
}

func uploadKinds() []string {
	var out []string
	for _, s := range schemas() {
		out = append(out, s.As)
	}
	return out
}

func modes() []string { return []string{modeSave, modeUpdate, modeAppend} }

// contactsSchema is §5.3.
func contactsSchema() model.Schema {
	return model.Schema{
		As:         asContacts,
		Key:        "uniq_id",
		Modes:      modes(),
		Attributes: true,
		Parameters: []model.Parameter{
			{Name: "uniq_id", Type: model.TypeID, Required: true, Doc: "The client's id in the CRM; orders point at it."},
			{Name: "name", Type: model.TypeText, Doc: "Full name in one text."},
			{Name: "birth_date", Type: model.TypeDate, Doc: "Day of birth, not before 1970."},
			{Name: "create_date_time", Type: model.TypeTime, Doc: "When the client appeared in the CRM; cannot be changed later."},
			{Name: "update_date_time", Type: model.TypeTime, Doc: "When the client last changed in the CRM."},
			{Name: "client_ids", Type: model.TypeClientIDs, Doc: "Metrica ClientIDs; the best link to visits."},
			{Name: "user_ids", Type: model.TypeTexts, Doc: "The site's own user ids, as given to setUserID."},
			{Name: "emails", Type: model.TypeEmails, Doc: "E-mail addresses; link visits when advanced matching is on."},
			{Name: "phones", Type: model.TypePhones, Doc: "Phones as digits with country code; link visits when advanced matching is on."},
			{Name: "emails_md5", Type: model.TypeMD5s, Doc: "MD5 of normalised e-mail addresses."},
			{Name: "phones_md5", Type: model.TypeMD5s, Doc: "MD5 of normalised phones."},
			{Name: "company_uniq_id", Type: model.TypeID, Doc: "Id of the company that the client belongs to."},
			{Name: "user_comment", Type: model.TypeText, Doc: "Free text."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindContact: {
				"uniq_id":          "contact.id",
				"name":             "contact.name",
				"birth_date":       "contact.birth_date",
				"create_date_time": "contact.created_at",
				"update_date_time": "contact.updated_at",
				"client_ids":       "contact.client_ids",
				"user_ids":         "contact.user_ids",
				"emails":           "contact.emails",
				"phones":           "contact.phones",
			},
			model.KindCompany: {
				"uniq_id":          "company.id",
				"name":             "company.name",
				"create_date_time": "company.created_at",
				"update_date_time": "company.updated_at",
				"client_ids":       "company.client_id",
				"emails":           "company.emails",
				"phones":           "company.phones",
			},
			model.KindLead: {
				"uniq_id":          "lead.id",
				"name":             "lead.name",
				"create_date_time": "lead.created_at",
				"update_date_time": "lead.updated_at",
				"client_ids":       "lead.client_id",
				"emails":           "lead.emails",
				"phones":           "lead.phones",
			},
		},
	}
}

// ordersSchema is §5.4. The required client_type is no parameter: the connector
// writes it from the flow's client_type.
func ordersSchema() model.Schema {
	return model.Schema{
		As:                asOrders,
		Key:               "id",
		Modes:             modes(),
		Attributes:        true,
		StatusTypes:       []string{"IN_PROGRESS", "PAID", "CANCELLED", "SPAM", "OTHER"},
		RegistersStatuses: true,
		NeedsAs:           asContacts,
		NeedsParameter:    "client_uniq_id",
		Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true, Doc: "The order's id in the CRM."},
			{Name: "client_uniq_id", Type: model.TypeID, Required: true, Doc: "uniq_id of the client, who must have been uploaded before."},
			{Name: "create_date_time", Type: model.TypeTime, Required: true, Doc: "When the order was made; cannot be changed later."},
			{Name: "update_date_time", Type: model.TypeTime, Doc: "When the order last changed."},
			{Name: "finish_date_time", Type: model.TypeTime, Doc: "When the order was completed; left out, the first upload as paid counts."},
			{Name: "order_status", Type: model.TypeStatus, Required: true, Doc: "Id of a registered status."},
			{Name: "revenue", Type: model.TypeDecimal, Doc: "Total of the order."},
			{Name: "cost", Type: model.TypeDecimal, Doc: "What the order cost; goals get revenue minus cost."},
			{Name: "currency", Type: model.TypeCurrency, Doc: "ISO 4217 code of revenue and cost."},
			{Name: "products", Type: model.TypeProducts, Doc: "Products and quantities."},
			{Name: "goals", Type: model.TypeGoals, Doc: "Identifiers of JavaScript goals that the order reaches, with optional prices."},
			{Name: "user_comment", Type: model.TypeText, Doc: "Free text."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindDeal: orderMap("deal"),
			model.KindLead: orderMap("lead"),
		},
	}
}

func orderMap(record string) map[string]string {
	return map[string]string{
		"id":               record + ".id",
		"client_uniq_id":   record + ".contact_id",
		"create_date_time": record + ".created_at",
		"update_date_time": record + ".updated_at",
		"finish_date_time": record + ".closed_at",
		"order_status":     "status",
		"revenue":          record + ".amount",
		"cost":             record + ".cost",
		"currency":         record + ".currency",
		"products":         record + ".products",
	}
}

// simpleOrdersSchema is §5.5. There an empty status means a paid order, so that
// a status is required here although Metrica does not ask for it.
func simpleOrdersSchema() model.Schema {
	return model.Schema{
		As:           asSimpleOrders,
		Key:          "id",
		Modes:        modes(),
		StatusTypes:  []string{"IN_PROGRESS", "PAID", "CANCELLED", "SPAM", "OTHER"},
		StatusIsType: true,
		AnyOf:        [][]string{{"client_ids", "emails", "phones", "emails_md5", "phones_md5"}},
		Parameters: []model.Parameter{
			{Name: "id", Type: model.TypeID, Required: true, Doc: "The order's id in the CRM."},
			{Name: "create_date_time", Type: model.TypeTime, Required: true, Doc: "When the order was made; cannot be changed later."},
			{Name: "client_uniq_id", Type: model.TypeID, Doc: "The client's id in the CRM."},
			{Name: "client_ids", Type: model.TypeClientIDs, Doc: "Metrica ClientIDs of the buyer."},
			{Name: "emails", Type: model.TypeEmails, Doc: "The buyer's e-mail addresses."},
			{Name: "phones", Type: model.TypePhones, Doc: "The buyer's phones as digits with country code."},
			{Name: "emails_md5", Type: model.TypeMD5s, Doc: "MD5 of the buyer's normalised e-mail addresses."},
			{Name: "phones_md5", Type: model.TypeMD5s, Doc: "MD5 of the buyer's normalised phones."},
			{Name: "order_status", Type: model.TypeStatus, Required: true, Doc: "PAID, IN_PROGRESS, CANCELLED, SPAM or the identifier of a JavaScript goal."},
			{Name: "revenue", Type: model.TypeDecimal, Doc: "Total of the order."},
			{Name: "cost", Type: model.TypeDecimal, Doc: "What the order cost; goals get revenue minus cost."},
			{Name: "goals", Type: model.TypeGoals, Doc: "Identifiers of JavaScript goals that the order reaches, with optional prices."},
			{Name: "currency", Type: model.TypeCurrency, Doc: "ISO 4217 code; left out, sums are in roubles."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindDeal: simpleOrderMap("deal"),
			model.KindLead: simpleOrderMap("lead"),
			model.KindRequest: {
				"id":               "request.id",
				"create_date_time": "request.created_at",
				"client_uniq_id":   "request.contact_id",
				"client_ids":       "request.client_id",
				"emails":           "request.email",
				"phones":           "request.phone",
				"order_status":     `"IN_PROGRESS"`,
			},
		},
	}
}

func simpleOrderMap(record string) map[string]string {
	return map[string]string{
		"id":               record + ".id",
		"create_date_time": record + ".created_at",
		"client_uniq_id":   record + ".contact_id",
		"client_ids":       "coalesce(" + record + ".client_id, contact.client_id, first(contact.client_ids))",
		"emails":           "emails(" + record + ".emails, contact.emails)",
		"phones":           "phones(" + record + ".phones, contact.phones)",
		"order_status":     "status",
		"revenue":          record + ".amount",
		"cost":             record + ".cost",
		"currency":         record + ".currency",
	}
}

func schemaOf(as string) (model.Schema, bool) {
	for _, s := range schemas() {
		if s.As == as {
			return s, true
		}
	}
	return model.Schema{}, false
}
