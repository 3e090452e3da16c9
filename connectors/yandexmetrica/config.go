// Package yandexmetrica takes rows to a Yandex Metrica counter: contacts, orders,
// conversions, calls, chats, user parameters and expenses by CSV file, and events
// one by one; each kind has a file of its own here. It keeps Metrica's quotas,
// checks every row before it leaves so that the remote check never fails, settles
// uploads whose answer was lost, and reads reaches of goals and today's audience.
//
// The protocol is described in docs under "yandex-metrica"; comments name its
// sections.
package yandexmetrica

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the name in svod.yaml.
const Kind = "yandex-metrica"

const (
	defaultURL      = "https://api-metrika.yandex.net"
	defaultOAuthURL = "https://oauth.yandex.ru"
	// Server events go to another host (§13).
	defaultCollectURL = "https://mc.yandex.ru/collect"

	// Chunks far below the documented 1,000,000 rows and 1 GB keep a repeated
	// upload cheap (yandex-metrica §14.2).
	defaultMaxRows  = 300_000
	defaultMaxBytes = 100 << 20
	hardMaxRows     = 1_000_000
	hardMaxBytes    = 900 << 20

	defaultDailyRequests = 5000 // §3.2
)

// Type describes the connector.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "Yandex Metrica", RU: "Яндекс Метрика"},
		Settings: settingsHelp(),
		Records:  []model.Kind{model.KindGoal},
		Schemas:  schemas(),
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return newConnector(s, d)
		},
		Sandbox: func(o connectors.SandboxOptions) (connectors.Sandbox, error) {
			return sandbox.New(o)
		},
	}
}

func settingsHelp() []connectors.Setting {
	return []connectors.Setting{
		{Key: "counter", Required: true,
			Title: connectors.Text{EN: "Counter number", RU: "Номер счётчика"},
			Help:  connectors.Text{EN: "In Metrica, beside the counter's name.", RU: "В Метрике рядом с названием счётчика."}},
		{Key: "token", Secret: true,
			Title: connectors.Text{EN: "OAuth token", RU: "OAuth-токен"},
			Help: connectors.Text{
				EN: "Issued for an account with edit rights on the counter, with the scope metrika:write. Either this or oauth.",
				RU: "Выдан учётной записи с правом редактирования счётчика, с доступом metrika:write. Либо он, либо oauth."}},
		{Key: "oauth", Title: connectors.Text{EN: "OAuth application", RU: "Приложение OAuth"},
			Help: connectors.Text{EN: "Your application at oauth.yandex.ru; the token is then got and renewed here.", RU: "Ваше приложение на oauth.yandex.ru; токен получается и обновляется здесь."},
			Keys: []connectors.Setting{
				{Key: "client_id", Required: true, Title: connectors.Text{EN: "Client ID", RU: "ClientID приложения"}},
				{Key: "client_secret", Required: true, Secret: true, Title: connectors.Text{EN: "Client secret", RU: "Секрет приложения"}},
				{Key: "refresh_token", Secret: true, Title: connectors.Text{EN: "Refresh token to begin with", RU: "Начальный refresh-токен"}},
				{Key: "redirect_uri", Title: connectors.Text{EN: "Redirect URI", RU: "Redirect URI"}},
			}},
		{Key: "url", Default: defaultURL, Title: connectors.Text{EN: "API address", RU: "Адрес API"},
			Help: connectors.Text{EN: "Replaces Yandex's own; for sandboxes.", RU: "Заменяет адрес Яндекса; для песочниц."}},
		{Key: "oauth_url", Default: defaultOAuthURL, Title: connectors.Text{EN: "OAuth address", RU: "Адрес OAuth"},
			Help: connectors.Text{EN: "Replaces Yandex's own; for sandboxes.", RU: "Заменяет адрес Яндекса; для песочниц."}},
		{Key: "ulogin", Title: connectors.Text{EN: "Act for this login", RU: "Действовать от имени логина"},
			Help: connectors.Text{EN: "Login of an account that made the token's owner its representative.", RU: "Логин, который выдал владельцу токена доступ представителя."}},
		{Key: "time_zone", Title: connectors.Text{EN: "Time zone", RU: "Часовой пояс"},
			Help: connectors.Text{EN: "Only to override the counter's own, which is read daily.", RU: "Только чтобы заменить пояс счётчика; он читается ежедневно."}},
		{Key: "daily_requests", Default: "5000", Title: connectors.Text{EN: "Requests a day", RU: "Запросов в сутки"},
			Help: connectors.Text{EN: "Quota of the login; a fifth is left to other software.", RU: "Квота логина; пятая часть остаётся другим программам."}},
		{Key: "max_rows", Default: "300000", Title: connectors.Text{EN: "Rows in one file", RU: "Строк в файле"},
			Help: connectors.Text{EN: "A longer upload is split; at most 1,000,000.", RU: "Загрузка длиннее делится; не больше 1 000 000."}},
		{Key: "max_bytes", Default: "104857600", Title: connectors.Text{EN: "Bytes in one file", RU: "Байт в файле"},
			Help: connectors.Text{EN: "A larger upload is split; at most 900 MiB.", RU: "Загрузка больше делится; не больше 900 МиБ."}},
		{Key: "columns_mapping", Default: "on", Title: connectors.Text{EN: "Send columns_mapping", RU: "Передавать columns_mapping"},
			Help: connectors.Text{EN: "on or off; the documents disagree on whether it is required.", RU: "on или off; документация расходится в том, обязателен ли он."}},
		{Key: "collect_url", Default: defaultCollectURL, Title: connectors.Text{EN: "Address of server events", RU: "Адрес серверных событий"},
			Help: connectors.Text{EN: "Replaces Yandex's own; for sandboxes.", RU: "Заменяет адрес Яндекса; для песочниц."}},
		{Key: "ms", Secret: true, Title: connectors.Text{EN: "Measurement Protocol token", RU: "Токен Measurement Protocol"},
			Help: connectors.Text{
				EN: "Needed for server events only; made in the counter's settings, Measurement Protocol.",
				RU: "Нужен только для серверных событий; создаётся в настройках счётчика, Measurement Protocol."}},
		{Key: "check_goals", Default: "on", Title: connectors.Text{EN: "Check goals", RU: "Проверять цели"},
			Help: connectors.Text{EN: "on or off; whether the targets of conversions must be goals of the counter before they are sent.", RU: "on или off; должны ли цели конверсий быть в счётчике до отправки."}},
		{Key: "create_goals", Default: "off", Title: connectors.Text{EN: "Create goals", RU: "Создавать цели"},
			Help: connectors.Text{EN: "on or off; whether a missing goal is created as a JavaScript event.", RU: "on или off; создавать ли недостающую цель как JavaScript-событие."}},
		{Key: "import_goals", Title: connectors.Text{EN: "Goals to read", RU: "Загружать цели"},
			Help: connectors.Text{EN: "Identifiers or numbers of goals whose reaches are read once a day.", RU: "Идентификаторы или номера целей, достижения которых читаются раз в сутки."}},
	}
}

type settings struct {
	Counter        string         `yaml:"counter"`
	Token          model.Secret   `yaml:"token"`
	OAuth          *oauthSettings `yaml:"oauth"`
	URL            string         `yaml:"url"`
	OAuthURL       string         `yaml:"oauth_url"`
	ULogin         string         `yaml:"ulogin"`
	TimeZone       string         `yaml:"time_zone"`
	DailyRequests  int            `yaml:"daily_requests"`
	MaxRows        int            `yaml:"max_rows"`
	MaxBytes       int64          `yaml:"max_bytes"`
	ColumnsMapping string         `yaml:"columns_mapping"`
	CollectURL     string         `yaml:"collect_url"`
	MS             model.Secret   `yaml:"ms"`
	CheckGoals     string         `yaml:"check_goals"`
	CreateGoals    string         `yaml:"create_goals"`
	ImportGoals    []string       `yaml:"import_goals"`
}

type oauthSettings struct {
	ClientID     string       `yaml:"client_id"`
	ClientSecret model.Secret `yaml:"client_secret"`
	RefreshToken model.Secret `yaml:"refresh_token"`
	RedirectURI  string       `yaml:"redirect_uri"`
}

func (s settings) withDefaults() settings {
	if s.URL == "" {
		s.URL = defaultURL
	}
	if s.OAuthURL == "" {
		s.OAuthURL = defaultOAuthURL
	}
	if s.CollectURL == "" {
		s.CollectURL = defaultCollectURL
	}
	if s.DailyRequests == 0 {
		s.DailyRequests = defaultDailyRequests
	}
	if s.MaxRows == 0 {
		s.MaxRows = defaultMaxRows
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = defaultMaxBytes
	}
	s.URL = strings.TrimRight(s.URL, "/")
	s.OAuthURL = strings.TrimRight(s.OAuthURL, "/")
	return s
}

// validate reports every mistake, each beginning with its key.
func (s settings) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case s.Counter == "":
		bad("counter: missing; give the counter's number")
	case !digits(s.Counter) || len(s.Counter) > 19:
		bad("counter: %q is not a counter number; give digits only", s.Counter)
	}
	switch {
	case s.Token == "" && s.OAuth == nil:
		bad("token: missing; give a token, or oauth with client_id and client_secret")
	case s.Token != "" && s.OAuth != nil:
		bad("token: given together with oauth; keep one of them")
	}
	if strings.ContainsAny(s.Token.Reveal(), " \t\r\n") {
		bad("token: holds spaces or line breaks; paste the token alone, without the word OAuth")
	}
	if s.OAuth != nil && s.OAuth.ClientID == "" {
		bad("oauth.client_id: missing; take it from the application's page at oauth.yandex.ru")
	}
	if s.OAuth != nil && s.OAuth.ClientSecret == "" {
		bad("oauth.client_secret: missing; take it from the application's page at oauth.yandex.ru")
	}
	for key, address := range map[string]string{"url": s.URL, "oauth_url": s.OAuthURL, "collect_url": s.CollectURL} {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" {
			bad("%s: not an http(s) address without a query", key)
		}
	}
	if s.TimeZone != "" {
		if _, err := time.LoadLocation(s.TimeZone); err != nil {
			bad("time_zone: %q is not a zone of the IANA list, such as Europe/Moscow", s.TimeZone)
		}
	}
	if s.DailyRequests < 10 {
		bad("daily_requests: %d is too few; the quota of a login is 5000", s.DailyRequests)
	}
	if s.MaxRows < 1 || s.MaxRows > hardMaxRows {
		bad("max_rows: %d is outside 1 to %d", s.MaxRows, hardMaxRows)
	}
	if s.MaxBytes < 1<<16 || s.MaxBytes > hardMaxBytes {
		bad("max_bytes: %d is outside 65536 to %d", s.MaxBytes, int64(hardMaxBytes))
	}
	for _, v := range []struct{ key, value string }{{"columns_mapping", s.ColumnsMapping}, {"check_goals", s.CheckGoals}, {"create_goals", s.CreateGoals}} {
		switch v.value {
		case "", "on", "off", "true", "false":
		default:
			bad("%s: %q is neither on nor off", v.key, v.value)
		}
	}
	if strings.ContainsAny(s.MS.Reveal(), " \t\r\n") {
		bad("ms: holds spaces or line breaks; paste the token alone")
	}
	for i, goal := range s.ImportGoals {
		if strings.TrimSpace(goal) == "" {
			bad("import_goals: goal %d is empty; give an identifier or a number", i+1)
		}
	}
	return errors.Join(errs...)
}

// Connector is one counter.
type Connector struct {
	settings
	project    string
	connection string
	http       exchanger
	limiter    connectors.Limiter
	memory     connectors.Memory
	tokens     connectors.TokenStore
	log        *zap.Logger
	now        func() time.Time
	returnTo   string // where an authorisation page sends the browser back to
	login      string // names the login in limiter keys; a hash
	currency   string // the project's

	recentMu sync.Mutex
	recent   map[string]recentList // uploads, by list

	goals    goalBook
	audience audienceCache
	usage    usage

	zone   atomic.Pointer[zoneFact]
	streak atomic.Int32 // quota answers of an unnamed kind in a row
}

var (
	_ connectors.Connector         = (*Connector)(nil)
	_ connectors.Uploader          = (*Connector)(nil)
	_ connectors.Settler           = (*Connector)(nil)
	_ connectors.StatusKeeper      = (*Connector)(nil)
	_ connectors.AttributeKeeper   = (*Connector)(nil)
	_ connectors.Authorizer        = (*Connector)(nil)
	_ connectors.Follower          = (*Connector)(nil)
	_ connectors.FlowChecker       = (*Connector)(nil)
	_ connectors.Informer          = (*Connector)(nil)
	_ connectors.Poller            = (*Connector)(nil)
	_ connectors.QuotaTeller       = (*Connector)(nil)
	_ connectors.SchemeComparer    = (*Connector)(nil)
	_ connectors.AttributeComparer = (*Connector)(nil)
)

func newConnector(from connectors.Settings, d connectors.Deps) (*Connector, error) {
	var s settings
	if err := from.Decode(&s); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	c := &Connector{
		settings:   s,
		project:    d.Project,
		connection: d.Connection,
		limiter:    d.Limiter,
		memory:     d.Memory,
		tokens:     d.Tokens,
		log:        d.Log,
		now:        d.Now,
		returnTo:   d.OAuthURL,
		currency:   d.Currency,
	}
	if d.HTTP != nil {
		c.http = d.HTTP
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.login = c.loginKey()
	return c, nil
}

// loginKey names whoever the quota belongs to. A pasted token shared by several
// connections shares its quota; an OAuth connection renews its token, so that
// the token cannot name it.
func (c *Connector) loginKey() string {
	seed := "token:" + c.Token.Reveal()
	if c.OAuth != nil {
		seed = "oauth:" + c.OAuth.ClientID + ":" + c.project + ":" + c.connection
	}
	sum := sha256.Sum256([]byte(seed))
	return hex.EncodeToString(sum[:8])
}

func (c *Connector) mapsColumns() bool {
	return c.ColumnsMapping != "off" && c.ColumnsMapping != "false"
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
