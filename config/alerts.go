package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// Alerts is who is told that something needs a person.
type Alerts struct {
	Language      string         `yaml:"language" doc:"Language of the messages: ru or en. Defaults to ru."`
	Repeat        *time.Duration `yaml:"repeat" doc:"How often what lasts is told again; 0: never. Defaults to 4h."`
	FlowBehind    *time.Duration `yaml:"flow_behind" doc:"How long rows may wait beyond their flow's schedule; 0 switches it off. Defaults to 15m."`
	Silent        *time.Duration `yaml:"silent" doc:"How long a connection may send nothing; 0 switches it off. Defaults to 24h."`
	TokenExpiring *time.Duration `yaml:"token_expiring" doc:"How long before its end a token is told of that nothing renews; 0 switches it off. Defaults to 7d."`
	To            []AlertChannel `yaml:"to" doc:"Where messages go: one of telegram, email and webhook each. None: nobody is told."`
}

// AlertChannel is one place where messages go.
type AlertChannel struct {
	Telegram *AlertTelegram `yaml:"telegram" doc:"A chat, written to by a bot."`
	Email    *AlertEmail    `yaml:"email" doc:"E-mail by SMTP."`
	Webhook  *AlertWebhook  `yaml:"webhook" doc:"JSON, posted to an address."`
}

// AlertTelegram is a chat.
type AlertTelegram struct {
	Token  model.Secret `yaml:"token" doc:"Token of the bot, from BotFather."`
	Chat   string       `yaml:"chat" doc:"Number of the chat, or @name of a channel."`
	Thread int64        `yaml:"thread" doc:"Topic of a forum group."`
	URL    string       `yaml:"url" doc:"Address of the Bot API. Defaults to https://api.telegram.org."`
}

// AlertEmail is a mail server with recipients.
type AlertEmail struct {
	SMTP     string       `yaml:"smtp" doc:"Mail server as host:port: 587 with STARTTLS, 465 encrypted from the beginning."`
	User     string       `yaml:"user" doc:"Name to sign in with; none when left out."`
	Password model.Secret `yaml:"password" doc:"Password, best as ${NAME} or ${file:PATH}."`
	From     string       `yaml:"from" doc:"Address of the sender."`
	To       []string     `yaml:"to" doc:"Addresses of the recipients."`
	Plain    bool         `yaml:"plain" doc:"true also sends without encryption, for a relay on the same machine."`
}

// AlertWebhook is an address that takes JSON.
type AlertWebhook struct {
	URL    model.Secret `yaml:"url" doc:"Address that JSON is posted to."`
	Secret model.Secret `yaml:"secret" doc:"Secret of Standard Webhooks (whsec_ and base64) that signs each message; unsigned when left out."`
}

// The defaults of alerts.
const (
	defaultLanguage = "ru"

	repeatAlerts  = 4 * time.Hour
	flowBehind    = 15 * time.Minute
	silentFor     = 24 * time.Hour
	tokenExpiring = 7 * 24 * time.Hour
)

// withDefaults fills in what was left out, where there is somebody to tell.
func (a *Alerts) withDefaults() {
	if len(a.To) == 0 {
		return
	}
	orDefault(&a.Language, defaultLanguage)
	for _, x := range []struct {
		value     **time.Duration
		otherwise time.Duration
	}{{&a.Repeat, repeatAlerts}, {&a.FlowBehind, flowBehind}, {&a.Silent, silentFor}, {&a.TokenExpiring, tokenExpiring}} {
		if *x.value == nil {
			*x.value = &x.otherwise
		}
	}
}

func (l *loader) alerts() {
	a := &l.config.Alerts
	if a.Language != "" && a.Language != "ru" && a.Language != "en" {
		l.bad("alerts.language", "%q is no language of messages; write ru or en", short(a.Language))
	}
	if len(a.To) == 0 && l.root.child("alerts") != nil {
		l.warn("alerts", "there is nobody to tell; add to: with telegram, email or webhook")
	}
	for _, x := range []struct {
		key   string
		value *time.Duration
		least time.Duration
	}{{"repeat", a.Repeat, 5 * time.Minute}, {"flow_behind", a.FlowBehind, time.Minute}, {"silent", a.Silent, 10 * time.Minute}, {"token_expiring", a.TokenExpiring, time.Hour}} {
		if x.value != nil && *x.value > 0 && *x.value < x.least {
			l.bad("alerts."+x.key, "this is too short; write %s or more, or 0 to switch it off", durationText(x.least))
		}
	}
	for i := range a.To {
		l.alertChannel(fmt.Sprintf("alerts.to[%d]", i), &a.To[i])
	}
}

func (l *loader) alertChannel(key string, c *AlertChannel) {
	kinds := 0
	if c.Telegram != nil {
		kinds++
		l.alertTelegram(key+".telegram", c.Telegram)
	}
	if c.Email != nil {
		kinds++
		l.alertEmail(key+".email", c.Email)
	}
	if c.Webhook != nil {
		kinds++
		l.alertWebhook(key+".webhook", c.Webhook)
	}
	if kinds != 1 {
		l.bad(key, "this names %d places; write one of telegram, email and webhook here, and others as elements of their own", kinds)
	}
}

// Patterns of Telegram (destinations §4).
var (
	botToken     = regexp.MustCompile(`^\d+:[A-Za-z0-9_-]{30,}$`)
	telegramChat = regexp.MustCompile(`^(-?\d{1,19}|@[A-Za-z0-9_]{4,})$`)
)

func (l *loader) alertTelegram(key string, t *AlertTelegram) {
	if token := t.Token.Reveal(); !botToken.MatchString(token) || len(token) > 80 {
		l.bad(key+".token", "this is no token of a bot; BotFather gives one such as 123456:ABC…")
	}
	if !telegramChat.MatchString(t.Chat) {
		l.bad(key+".chat", "this is no chat; write its number, which is negative for groups, or @name of a channel")
	}
	if t.URL != "" && !isSite(t.URL) {
		l.bad(key+".url", "this is no address of a site; write one such as https://api.telegram.org, or leave the key out")
	}
}

func (l *loader) alertEmail(key string, e *AlertEmail) {
	if host, port, err := net.SplitHostPort(e.SMTP); err != nil || host == "" || !validPort(port) {
		l.bad(key+".smtp", "this is no mail server with a port; write one such as smtp.example.ru:587")
	}
	if (e.User == "") != (e.Password == "") {
		l.bad(key, "user and password belong together; write both, or neither where the server wants none")
	}
	if !isMail(e.From, true) {
		l.bad(key+".from", "this is no e-mail address")
	}
	if len(e.To) == 0 {
		l.bad(key+".to", "there is no recipient; write at least one e-mail address")
	}
	for i, to := range e.To {
		if !isMail(to, false) {
			l.bad(fmt.Sprintf("%s.to[%d]", key, i), "this is no e-mail address")
		}
	}
}

// isMail also takes "Name <address>" where named is true.
func isMail(text string, named bool) bool {
	parsed, err := mail.ParseAddress(text)
	return err == nil && !strings.ContainsAny(text, "\r\n") && (named || parsed.Address == text)
}

func (l *loader) alertWebhook(key string, w *AlertWebhook) {
	if !isSite(w.URL.Reveal()) {
		l.bad(key+".url", "this is no address to post to; write one such as https://example.ru/alerts")
	}
	if secret := w.Secret.Reveal(); secret != "" {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(raw) < 24 || len(raw) > 64 {
			l.bad(key+".secret", "this is not whsec_ and 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)")
		}
	}
}

func isSite(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == ""
}
