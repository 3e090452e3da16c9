package bitrix24

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the connector's name in svod.yaml.
const Kind = "bitrix24"

// The families of methods that records are read with (bitrix24 §7.1).
const (
	readAuto    = "auto"    // crm.item.list, and the classic ones where it is missing
	readItem    = "item"    // crm.item.list only
	readClassic = "classic" // crm.deal.list and its sisters only
)

// trackingNames are the keys of the setting tracking.
var trackingNames = []string{"client_id", "ga_client_id", "gclid", "roistat", "user_id", "yclid"}

type config struct {
	URL              string            `yaml:"url"`
	OAuth            *oauthConfig      `yaml:"oauth"`
	ApplicationToken model.Secret      `yaml:"application_token"`
	MemberID         string            `yaml:"member_id"`
	ReadWith         string            `yaml:"read_with"`
	Tracking         map[string]string `yaml:"tracking"`
	PhoneRegion      string            `yaml:"phone_region"`
}

type oauthConfig struct {
	ClientID     string       `yaml:"client_id"`
	ClientSecret model.Secret `yaml:"client_secret"`
	Portal       string       `yaml:"portal"`
	OAuthServer  string       `yaml:"oauth_server"`
}

// webhookPath is what stands behind the host of an inbound webhook, whatever
// prefix a box has in front of it (bitrix24 §2.1).
var webhookPath = regexp.MustCompile(`/rest/\d+/[^/]+/$`)

func (c *config) prepare() error {
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.ReadWith == "" {
		c.ReadWith = readAuto
	}
	if !slices.Contains([]string{readAuto, readClassic, readItem}, c.ReadWith) {
		fail("read_with", "must be auto, item or classic")
	}
	switch {
	case c.URL == "" && c.OAuth == nil:
		fail("url", "give the address of an inbound webhook here, or the keys of a local application under oauth")
	case c.URL != "" && c.OAuth != nil:
		fail("oauth", "a connection has either url or oauth, not both")
	case c.URL != "":
		if !strings.HasSuffix(c.URL, "/") {
			c.URL += "/"
		}
		u, err := url.Parse(c.URL)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || !webhookPath.MatchString(u.Path) {
			// The address holds the secret, so the message does not repeat it.
			fail("url", "is not the address of an inbound webhook: it looks like https://PORTAL.bitrix24.ru/rest/USER/CODE/")
		}
	default:
		c.OAuth.prepare(fail)
	}
	for name, code := range c.Tracking {
		if !slices.Contains(trackingNames, name) {
			fail("tracking."+name, "is not known; possible are %s", strings.Join(trackingNames, ", "))
		} else if strings.TrimSpace(code) == "" {
			fail("tracking."+name, "names no field; give its code (UF_CRM_…)")
		}
	}
	return errors.Join(errs...)
}

func (o *oauthConfig) prepare(fail func(key, format string, args ...any)) {
	if o.ClientID == "" {
		fail("oauth.client_id", "is empty; it stands in the card of the local application")
	}
	if o.ClientSecret == "" {
		fail("oauth.client_secret", "is empty; it stands in the card of the local application")
	}
	for _, a := range []struct {
		key   string
		value *string
	}{{"oauth.portal", &o.Portal}, {"oauth.oauth_server", &o.OAuthServer}} {
		if *a.value == "" {
			continue
		}
		if !strings.Contains(*a.value, "://") {
			*a.value = "https://" + *a.value
		}
		*a.value = strings.TrimRight(*a.value, "/")
		u, err := url.Parse(*a.value)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			fail(a.key, "is not an address; it looks like https://example.bitrix24.ru")
		}
	}
}

// Type describes the connector.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "Bitrix24", RU: "Битрикс24"},
		Settings: settings(),
		Records: []model.Kind{
			model.KindCompany, model.KindContact, model.KindDeal, model.KindEmployee, model.KindField,
			model.KindLead, model.KindPipeline, model.KindStageChange, model.KindStatus,
		},
		Schemas:  []model.Schema{leadSchema()},
		Receives: true,
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return newConnector(s, d)
		},
		Sandbox: func(o connectors.SandboxOptions) (connectors.Sandbox, error) {
			return sandbox.New(o)
		},
	}
}

func settings() []connectors.Setting {
	text := func(en, ru string) connectors.Text { return connectors.Text{EN: en, RU: ru} }
	return []connectors.Setting{
		{Key: "url", Secret: true, Title: text("Inbound webhook", "Входящий вебхук"), Help: text(
			"Developer resources → Other → Inbound webhook, with the right crm (and user for employees); the whole address.",
			"Разработчикам → Другое → Входящий вебхук с правом crm (и user для сотрудников); адрес целиком.")},
		{Key: "oauth", Title: text("Local application", "Локальное приложение"), Help: text(
			"Instead of url: Developer resources → Other → Local application.",
			"Вместо url: Разработчикам → Другое → Локальное приложение."),
			Keys: []connectors.Setting{
				{Key: "client_id", Required: true, Title: text("Application code", "Код приложения (client_id)")},
				{Key: "client_secret", Required: true, Secret: true, Title: text("Application key", "Ключ приложения (client_secret)")},
				{Key: "portal", Title: text("Portal", "Портал"), Help: text(
					"Address of the portal, needed to ask for access.", "Адрес портала, нужен для запроса доступа.")},
				{Key: "oauth_server", Title: text("Authorization server", "Сервер авторизации"), Help: text(
					"Replaces the system's own; for tests.", "Заменяет собственный сервер системы; для тестов.")},
			}},
		{Key: "application_token", Secret: true, Title: text("Token of events", "Токен приложения"), Help: text(
			"Shown in the card of the outbound webhook; each event is compared with it.",
			"Показан в карточке исходящего вебхука; с ним сверяется каждое событие.")},
		{Key: "member_id", Title: text("Portal id", "Идентификатор портала (member_id)"), Help: text(
			"When given, events of other portals are refused.", "Если задан, события других порталов отклоняются.")},
		{Key: "read_with", Default: readAuto, Title: text("Methods to read with", "Методы чтения"), Help: text(
			"auto, item (crm.item.list) or classic (crm.deal.list…).", "auto, item (crm.item.list) или classic (crm.deal.list…).")},
		{Key: "tracking", Title: text("Tracking fields", "Поля аналитики"), Help: text(
			"Codes of the fields that hold visit ids; fields with usual names are found without it.",
			"Коды полей с идентификаторами визитов; поля с обычными названиями находятся сами."),
			Keys: trackingSettings()},
		{Key: "phone_region", Title: text("Country of phones", "Страна телефонов"), Help: text(
			"How phones without a country code are read.", "Как читать телефоны без кода страны.")},
	}
}

func trackingSettings() []connectors.Setting {
	var out []connectors.Setting
	for _, name := range trackingNames {
		out = append(out, connectors.Setting{Key: name, Title: connectors.Text{EN: name, RU: name}})
	}
	return out
}
