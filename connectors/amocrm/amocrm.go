// Package amocrm connects amoCRM and Kommo, the international brand of the same
// platform.
//
// As a source it takes webhooks, which only say what to re-read (parse.go),
// re-reads by id in batches (fetch.go), polls by modification time (poll.go) and
// lists reference data (catalogue.go). As a destination it makes leads
// (upload.go). What amoCRM calls a lead is a deal here. The protocol
// specification's paragraphs are named as "amocrm §n".
package amocrm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the connection's kind in svod.yaml.
const Kind = "amocrm"

// Type describes amoCRM connections.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "amoCRM / Kommo", RU: "amoCRM / Kommo"},
		Settings: describeSettings(),
		Records: []model.Kind{
			model.KindCompany, model.KindContact, model.KindDeal, model.KindEmployee, model.KindField,
			model.KindPipeline, model.KindStageChange, model.KindStatus,
		},
		Schemas:  []model.Schema{leadsSchema()},
		Receives: true,
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return New(s, d)
		},
		Sandbox: func(o connectors.SandboxOptions) (connectors.Sandbox, error) {
			return sandbox.New(o)
		},
	}
}

// Connector is one account. It is safe for concurrent use.
type Connector struct {
	cfg  settings
	deps connectors.Deps

	mu      sync.Mutex
	account account // facts about the account, read at most every ten minutes
	fields  map[string]fieldList
	limited int  // answers 429 in a row
	blind   bool // the account ignores filters
}

// factsLast is how long answers about the account's set-up are believed
// (amocrm §5.4).
const factsLast = 10 * time.Minute

// New makes a connector from its settings, without any I/O.
func New(from connectors.Settings, deps connectors.Deps) (*Connector, error) {
	cfg, err := readSettings(from)
	if err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	if deps.Zone == nil {
		deps.Zone = time.UTC
	}
	return &Connector{cfg: cfg, deps: deps, fields: map[string]fieldList{}}, nil
}

// Check implements connectors.Connector.
func (c *Connector) Check(ctx context.Context) (string, error) {
	a, err := c.readAccount(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("account %s %q, %s, %s", a.ID, a.Name, a.Zone, a.Currency), nil
}

func describeSettings() []connectors.Setting {
	text := func(en, ru string) connectors.Text { return connectors.Text{EN: en, RU: ru} }
	return []connectors.Setting{
		{Key: "url", Required: true, Title: text("Account address", "Адрес аккаунта"),
			Help: text("The address in the browser: https://example.amocrm.ru", "Адрес из строки браузера: https://example.amocrm.ru")},
		{Key: "token", Secret: true, Title: text("Long-lived token", "Долгосрочный токен"),
			Help: text("Settings, Integrations, your private integration, tab \"Keys and scopes\". Or use oauth.",
				"Настройки, Интеграции, ваша внешняя интеграция, вкладка «Ключи и доступы». Либо заполните oauth.")},
		{Key: "oauth", Title: text("OAuth integration", "Интеграция OAuth"),
			Help: text("Instead of a long-lived token.", "Вместо долгосрочного токена."),
			Keys: []connectors.Setting{
				{Key: "client_id", Required: true, Title: text("Integration id", "ID интеграции")},
				{Key: "client_secret", Required: true, Secret: true, Title: text("Secret key", "Секретный ключ")},
				{Key: "redirect_uri", Title: text("Redirect address", "Ссылка для перенаправления"),
					Help: text("Exactly as registered in the integration; by default the hub's own address.",
						"Точно как в настройках интеграции; по умолчанию адрес хаба.")},
				{Key: "code", Secret: true, Title: text("Authorisation code", "Код авторизации"),
					Help: text("Optional: from \"Keys and scopes\", lives 20 minutes, is used once.",
						"Необязательно: из «Ключи и доступы», живёт 20 минут, используется один раз.")},
			}},
		{Key: "account_id", Title: text("Account number", "Номер аккаунта"),
			Help: text("When given, webhooks of other accounts are refused. Read from a long-lived token by itself.",
				"Если указан, вебхуки других аккаунтов отклоняются. Из долгосрочного токена читается сам.")},
		{Key: "rate", Default: "5", Title: text("Requests a second", "Запросов в секунду"),
			Help: text("amoCRM allows 7 and blocks those who do not listen.", "amoCRM разрешает 7 и блокирует тех, кто превышает.")},
		{Key: "advanced_filter", Default: filterAuto, Title: text("Advanced filter", "Расширенный фильтр"),
			Help: text("auto, on or off. Cheaper plans ignore filters of the API; auto notices that.",
				"auto, on или off. На младших тарифах API не фильтрует списки; auto это замечает.")},
		{Key: "events", Default: eventsComma, Title: text("History of events", "История событий"),
			Help: text("comma, array (how lists are written in the filter) or off (no status history, deletions by webhook only).",
				"comma, array (запись списков в фильтре) или off (без истории статусов, удаления только вебхуками).")},
		{Key: "region", Title: text("Region of phone numbers", "Регион телефонов"),
			Help: text("Two letters, for numbers without a country code; by default the account's country.",
				"Две буквы, для номеров без кода страны; по умолчанию страна аккаунта.")},
		{Key: "tracking", Title: text("Tracking fields", "Поля аналитики"),
			Help: text("Which field holds what, by id, code or name: {client_id: 271316, roistat: roistat}. Fields of the type tracking_data are found by themselves.",
				"Какое поле что содержит, по id, коду или названию: {client_id: 271316, roistat: roistat}. Поля типа «отслеживаемые данные» находятся сами.")},
		{Key: "trusted_hosts", Title: text("Trusted hosts", "Доверенные узлы"),
			Help: text("Hosts besides *.amocrm.ru, *.amocrm.com and *.kommo.com that may be given the integration's secret.",
				"Узлы помимо *.amocrm.ru, *.amocrm.com и *.kommo.com, которым можно передать секрет интеграции.")},
	}
}

// The roles that a connection plays.
var (
	_ connectors.Authorizer = (*Connector)(nil)
	_ connectors.Cataloguer = (*Connector)(nil)
	_ connectors.Fetcher    = (*Connector)(nil)
	_ connectors.Poller     = (*Connector)(nil)
	_ connectors.Receiver   = (*Connector)(nil)
	_ connectors.Settler    = (*Connector)(nil)
	_ connectors.Uploader   = (*Connector)(nil)
)
