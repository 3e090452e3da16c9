// Package webhook takes hooks of systems that have no connector of their own.
// The connection's settings say, in expressions over the payload, which records
// it holds; so a CRM that nobody wrote a connector for works on day one.
package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/webhook/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the kind of connection in svod.yaml.
const Kind = "webhook"

// Type describes the kind.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "Any system with webhooks", RU: "Любая система с вебхуками"},
		Settings: settingDocs(),
		Records:  recordKinds(),
		Receives: true,
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return New(s, d)
		},
		Sandbox: func(o connectors.SandboxOptions) (connectors.Sandbox, error) { return sandbox.New(o) },
	}
}

// recordKinds are all kinds of business records, and statuses, without which
// deals have no names for where they stand.
func recordKinds() []model.Kind {
	return slices.DeleteFunc(model.Kinds(), func(k model.Kind) bool { return k.Reference() && k != model.KindStatus })
}

func settingDocs() []connectors.Setting {
	return []connectors.Setting{
		{Key: "records", Required: true, Title: connectors.Text{EN: "Records", RU: "Записи"},
			Help: connectors.Text{
				EN: "What the payload holds: a list of kind, when, deleted and map. The right sides are expressions over body, item, query, headers, method and received_at.",
				RU: "Что есть в сообщении: список из kind, when, deleted и map. Справа выражения над body, item, query, headers, method и received_at.",
			}},
		{Key: "split", Title: connectors.Text{EN: "Split", RU: "Деление"},
			Help: connectors.Text{
				EN: "An expression that gives a list; each element is item. Without it item is the body.",
				RU: "Выражение, дающее список; каждый элемент становится item. Без него item — всё тело.",
			}},
		{Key: "token", Title: connectors.Text{EN: "Token", RU: "Токен"},
			Help: connectors.Text{
				EN: "A value that the sender puts into a header or a query parameter.",
				RU: "Значение, которое отправитель кладёт в заголовок или параметр запроса.",
			},
			Keys: []connectors.Setting{
				{Key: "header", Title: connectors.Text{EN: "Header", RU: "Заголовок"}},
				{Key: "query", Title: connectors.Text{EN: "Query parameter", RU: "Параметр запроса"}},
				{Key: "value", Required: true, Secret: true, Title: connectors.Text{EN: "Value", RU: "Значение"}},
			}},
		{Key: "signature", Title: connectors.Text{EN: "Signature", RU: "Подпись"},
			Help: connectors.Text{
				EN: "How the sender signs: standard-webhooks, or hmac-sha256 with the header that holds the signature.",
				RU: "Как отправитель подписывает: standard-webhooks либо hmac-sha256 с именем заголовка подписи.",
			},
			Keys: []connectors.Setting{
				{Key: "scheme", Required: true, Title: connectors.Text{EN: "Scheme", RU: "Схема"}},
				{Key: "secret", Required: true, Secret: true, Title: connectors.Text{EN: "Secret", RU: "Секрет"}},
				{Key: "old_secret", Secret: true, Title: connectors.Text{EN: "Former secret", RU: "Прежний секрет"}},
				{Key: "header", Title: connectors.Text{EN: "Header of the signature", RU: "Заголовок подписи"}},
				{Key: "prefix", Title: connectors.Text{EN: "Prefix of the header's value", RU: "Начало значения заголовка"}},
				{Key: "timestamp_header", Title: connectors.Text{EN: "Header of the time", RU: "Заголовок времени"}},
				{Key: "tolerance", Default: "5m", Title: connectors.Text{EN: "Greatest age of a hook", RU: "Предельный возраст вебхука"}},
			}},
		{Key: "answer", Title: connectors.Text{EN: "Answer", RU: "Ответ"},
			Help: connectors.Text{
				EN: "What the sender expects: status, body, content_type. An empty 200 when absent.",
				RU: "Чего ждёт отправитель: status, body, content_type. Если не указано, пустой 200.",
			},
			Keys: []connectors.Setting{
				{Key: "status", Default: "200", Title: connectors.Text{EN: "Status", RU: "Код ответа"}},
				{Key: "body", Title: connectors.Text{EN: "Body", RU: "Тело"}},
				{Key: "content_type", Title: connectors.Text{EN: "Content type", RU: "Тип содержимого"}},
			}},
		{Key: "timezone", Title: connectors.Text{EN: "Time zone of the payload", RU: "Часовой пояс сообщений"},
			Help: connectors.Text{
				EN: "For times without an offset; the project's when absent.",
				RU: "Для времён без смещения; если не указан, пояс проекта.",
			}},
		{Key: "phone_region", Title: connectors.Text{EN: "Country of phones", RU: "Страна телефонов"},
			Help: connectors.Text{
				EN: "ISO 3166 country that numbers without a country code belong to.",
				RU: "Страна (ISO 3166) номеров без кода страны.",
			}},
	}
}

type settings struct {
	Token       *tokenSettings     `yaml:"token"`
	Signature   *signatureSettings `yaml:"signature"`
	Split       string             `yaml:"split"`
	Records     []recordSettings   `yaml:"records"`
	Answer      answerSettings     `yaml:"answer"`
	Timezone    string             `yaml:"timezone"`
	PhoneRegion string             `yaml:"phone_region"`
}

type tokenSettings struct {
	Header string       `yaml:"header"`
	Query  string       `yaml:"query"`
	Value  model.Secret `yaml:"value"`
}

type signatureSettings struct {
	Scheme          string       `yaml:"scheme"`
	Secret          model.Secret `yaml:"secret"`
	OldSecret       model.Secret `yaml:"old_secret"` // still good while secrets change
	Header          string       `yaml:"header"`
	Prefix          string       `yaml:"prefix"` // of the header's value: "sha256="
	TimestampHeader string       `yaml:"timestamp_header"`
	Tolerance       string       `yaml:"tolerance"`
}

type recordSettings struct {
	Kind    model.Kind        `yaml:"kind"`
	When    string            `yaml:"when"`
	Deleted string            `yaml:"deleted"`
	Map     map[string]string `yaml:"map"`
}

type answerSettings struct {
	Status      int    `yaml:"status"`
	Body        string `yaml:"body"`
	ContentType string `yaml:"content_type"`
}

// mistakes collects what is wrong with the settings, each with its key.
type mistakes []error

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

// New makes a connector. It checks all expressions; every mistake is told.
func New(s connectors.Settings, d connectors.Deps) (*Connector, error) {
	var set settings
	if err := s.Decode(&set); err != nil {
		return nil, err
	}
	var wrong mistakes
	c := &Connector{answer: set.Answer, region: cmp.Or(set.PhoneRegion, d.Region, "RU"), zone: d.Zone, connection: d.Connection}
	if c.zone == nil {
		c.zone = time.UTC
	}
	if set.Timezone != "" {
		zone, err := time.LoadLocation(set.Timezone)
		if err != nil {
			wrong.add("timezone", "%q is not a time zone; write for example Europe/Moscow", set.Timezone)
		} else {
			c.zone = zone
		}
	}
	if c.answer.Status == 0 {
		c.answer.Status = 200
	}
	if c.answer.Status < 200 || c.answer.Status > 299 {
		wrong.add("answer.status", "%d would make the sender repeat for ever; write a number from 200 to 299", c.answer.Status)
	}
	c.token = set.Token.verifier(&wrong)
	c.signature = set.Signature.verifier(&wrong)
	if set.Split != "" {
		c.split = c.compile("split", set.Split, &wrong)
	}
	if len(set.Records) == 0 {
		wrong.add("records", "say at least one kind of record that the payload holds")
	}
	for i, r := range set.Records {
		c.records = append(c.records, c.mapping(fmt.Sprintf("records[%d]", i), r, &wrong))
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return c, nil
}

// mapping compiles one of records.
func (c *Connector) mapping(key string, r recordSettings, wrong *mistakes) mapping {
	m := mapping{kind: r.Kind}
	if !slices.Contains(recordKinds(), r.Kind) {
		wrong.add(key+".kind", "%q is not one of %s", r.Kind, kindList())
		return m
	}
	if r.When != "" {
		m.when = c.compile(key+".when", r.When, wrong)
	}
	if r.Deleted != "" {
		m.deleted = c.compile(key+".deleted", r.Deleted, wrong)
	}
	if len(r.Map) == 0 {
		wrong.add(key+".map", "say how the members of the record are found, for example id: item.id")
	}
	members := membersOf(r.Kind)
	names := make([]string, 0, len(r.Map))
	for name := range r.Map {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		place := key + ".map." + name
		member, ok := members.find(name)
		if !ok {
			wrong.add(place, "a %s has no such member; it has %s and fields.ANY", r.Kind, strings.Join(members.names(), ", "))
			continue
		}
		if program := c.compile(place, r.Map[name], wrong); program != nil {
			m.members = append(m.members, mapped{name: name, member: member, program: program})
			m.hasID = m.hasID || name == "id"
		}
	}
	return m
}

func kindList() string {
	var list []string
	for _, k := range recordKinds() {
		list = append(list, string(k))
	}
	return strings.Join(list, ", ")
}
