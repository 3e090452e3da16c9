package callkeeper

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/callkeeper/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the connector's name in svod.yaml.
const Kind = "callkeeper"

// Whose calls are listed (callkeeper §3.1).
const (
	methodOwn  = "get"
	methodRole = "getByRole"
	methodBoth = "getWithRole"
)

// What a record of a call-back is named after.
const (
	byCall      = "call"      // the call's id in CallKeeper, which its webhook knows too
	byUniversal = "universal" // universalId, which only the list knows
)

// What a hook about a tracking call does.
const (
	hooksAuto    = "auto"    // note when the list is read, record otherwise
	hooksNote    = "note"    // it is only noted: the list brings the call
	hooksRecords = "records" // it makes a record
)

const (
	keep = "keep"
	skip = "skip"
)

const (
	defaultURL    = "https://ckct.ru"
	defaultPast   = "2010-01-01" // before there was such a service
	defaultRegion = "RU"
	// defaultRecheck covers the corrections that call trackers are known for: the
	// last one is made after 20 days.
	defaultRecheck = 30
)

type config struct {
	Key           model.Secret `yaml:"key"`
	URL           string       `yaml:"url"`
	Method        string       `yaml:"method"`
	HistoryFrom   string       `yaml:"history_from"`
	RecheckDays   *int         `yaml:"recheck_days"`
	Timezone      string       `yaml:"timezone"`
	CallbackID    string       `yaml:"callback_id"`
	TrackingHooks string       `yaml:"tracking_hooks"`
	Unfinished    string       `yaml:"unfinished"`
	PhoneRegion   string       `yaml:"phone_region"`

	zone        *time.Location
	historyFrom time.Time
	recheck     time.Duration
}

var (
	listKey    = regexp.MustCompile(`^[0-9A-Za-z]{16}$`)
	classicKey = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)
)

func (c *config) prepare() error {
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	// The key is a secret, so no message repeats it.
	switch key := c.Key.Reveal(); {
	case classicKey.MatchString(key):
		fail("key", "is the key of api.callkeeper.ru; the list of calls needs the one of 16 characters from the tab “Integrations” of ckct.ru")
	case key != "" && !listKey.MatchString(key):
		fail("key", "is not a key of ckct.ru: it has 16 letters and digits")
	}
	if c.URL == "" {
		c.URL = defaultURL
	}
	c.URL = strings.TrimRight(c.URL, "/")
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.RawQuery != "" || (u.Scheme != "https" && u.Scheme != "http") {
		fail("url", "is not an address; it looks like %s", defaultURL)
	}
	choose := func(key string, value *string, possible ...string) {
		if *value == "" {
			*value = possible[0]
		}
		if !slices.Contains(possible, *value) {
			fail(key, "must be %s", strings.Join(possible, " or "))
		}
	}
	choose("method", &c.Method, methodOwn, methodRole, methodBoth)
	choose("callback_id", &c.CallbackID, byCall, byUniversal)
	choose("tracking_hooks", &c.TrackingHooks, hooksAuto, hooksNote, hooksRecords)
	choose("unfinished", &c.Unfinished, skip, keep)
	c.prepareTimes(fail)
	if c.PhoneRegion == "" {
		c.PhoneRegion = defaultRegion
	}
	return errors.Join(errs...)
}

func (c *config) prepareTimes(fail func(key, format string, args ...any)) {
	var err error
	c.zone = time.UTC
	if c.Timezone != "" {
		if c.zone, err = time.LoadLocation(c.Timezone); err != nil {
			fail("timezone", "%q is not a time zone; write for example Europe/Moscow", c.Timezone)
		}
	}
	if c.HistoryFrom == "" {
		c.HistoryFrom = defaultPast
	}
	if c.historyFrom, err = time.Parse(time.DateOnly, c.HistoryFrom); err != nil || c.historyFrom.Unix() <= 0 {
		fail("history_from", "%q is not a day; write for example 2024-01-31", c.HistoryFrom)
	}
	days := defaultRecheck
	if c.RecheckDays != nil {
		days = *c.RecheckDays
	}
	if days < 1 || days > 90 {
		fail("recheck_days", "must be from 1 to 90")
	}
	c.recheck = time.Duration(days) * 24 * time.Hour
}

// notesTracking reports whether hooks about tracking calls make no records.
func (c *config) notesTracking() bool {
	return c.TrackingHooks == hooksNote || (c.TrackingHooks == hooksAuto && c.Key != "")
}

// Type describes the connector.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "CallKeeper", RU: "CallKeeper"},
		Settings: settings(),
		Records:  []model.Kind{model.KindCall, model.KindRequest},
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
		{Key: "key", Secret: true, Title: text("Key of the list of calls", "Ключ списка звонков"), Help: text(
			"ckct.ru → Integrations → API, 16 characters. Without it only hooks bring calls.",
			"ckct.ru → Интеграции → API, 16 символов. Без него звонки приходят только хуками.")},
		{Key: "url", Default: defaultURL, Title: text("Address", "Адрес"), Help: text(
			"Replaces the system's own; for tests.", "Заменяет собственный адрес системы; для тестов.")},
		{Key: "method", Default: methodOwn, Title: text("Whose calls", "Чьи звонки"), Help: text(
			"get: own calls; getByRole: those shared by a role; getWithRole: both.",
			"get: свои звонки; getByRole: доступные по роли; getWithRole: те и другие.")},
		{Key: "history_from", Default: defaultPast, Title: text("History from", "История с"), Help: text(
			"The day that the import begins with.", "День, с которого начинается импорт.")},
		{Key: "recheck_days", Default: fmt.Sprint(defaultRecheck), Title: text("Days read again", "Дней перечитывать"), Help: text(
			"Calls of so many days are read again once a day, for tags and recordings that come late; 1 to 90.",
			"Звонки за столько дней перечитываются раз в сутки ради поздних тегов и записей; от 1 до 90.")},
		{Key: "timezone", Default: "UTC", Title: text("Time zone of call times", "Часовой пояс времён звонков"), Help: text(
			"Of callTime in the list and time_start in hooks.", "Для callTime в списке и time_start в хуках.")},
		{Key: "callback_id", Default: byCall, Title: text("Id of call-backs", "Идентификатор обратных звонков"), Help: text(
			"call: shared by hooks and list; universal: the list's own.",
			"call: общий для хуков и списка; universal: собственный списка.")},
		{Key: "tracking_hooks", Default: hooksAuto, Title: text("Hooks of tracking calls", "Хуки звонков коллтрекинга"), Help: text(
			"auto, note or records: hooks have no call id, so with a key the list brings these calls.",
			"auto, note или records: в хуках нет id звонка, поэтому при заданном ключе эти звонки приносит список.")},
		{Key: "unfinished", Default: skip, Title: text("Calls that are not over", "Незавершённые звонки"), Help: text(
			"skip: they become records when they are over; keep: at once.",
			"skip: становятся записями по завершении; keep: сразу.")},
		{Key: "phone_region", Title: text("Country of phones", "Страна телефонов"), Help: text(
			"How phones without a country code are read.", "Как читать телефоны без кода страны.")},
	}
}
