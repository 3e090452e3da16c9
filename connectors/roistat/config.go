// Package roistat serves Roistat's "own CRM" protocol: Roistat asks us for
// statuses, orders and clients, and pushes leads, messages, tasks and calls to
// us.
//
// The one promise that matters most: an order that Roistat knows and that is
// missing in a complete answer is deleted there. So a list that is not known to
// be complete is never answered (roistat §2.4).
package roistat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/roistat/sandbox"
	"github.com/svod-hub/svod/model"
)

// Kind is the kind of connection in svod.yaml.
const Kind = "roistat"

const (
	defaultDropGuard = 0.3
	defaultMaxAge    = 6 * time.Hour
	defaultPageSize  = 1000
	defaultWindow    = 31 * 24 * time.Hour // roistat §2.4: the fallback of public handlers
	maxPageSize      = 5000
)

// Type describes the kind.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "Roistat", RU: "Roistat"},
		Settings: settingDocs(),
		Records:  []model.Kind{model.KindCall, model.KindLead, model.KindRequest},
		Pulls:    true,
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return New(s, d)
		},
		Sandbox: func(o connectors.SandboxOptions) (connectors.Sandbox, error) { return sandbox.New(o) },
	}
}

func settingDocs() []connectors.Setting {
	return []connectors.Setting{
		{Key: "user", Title: connectors.Text{EN: "User name", RU: "Имя пользователя"},
			Help: connectors.Text{
				EN: "What you type into step 1 of the integration \"Own CRM\" in Roistat. May be empty.",
				RU: "То же, что на шаге 1 интеграции «Своя CRM» в Roistat. Может быть пустым.",
			}},
		{Key: "password", Title: connectors.Text{EN: "Password", RU: "Пароль"}, Secret: true,
			Help: connectors.Text{
				EN: "The password of step 1. May be empty; then anybody who knows the address can read.",
				RU: "Пароль с шага 1. Может быть пустым; тогда читать может всякий, кто знает адрес.",
			}},
		{Key: "drop_guard", Default: "0.3", Title: connectors.Text{EN: "Drop guard", RU: "Защита от обвала"},
			Help: connectors.Text{
				EN: "Hold the list back when it is shorter than the last one by more than this share; 0 switches the guard off.",
				RU: "Придержать список, если он короче прошлого больше чем на эту долю; 0 выключает защиту.",
			}},
		{Key: "max_age", Default: "6h", Title: connectors.Text{EN: "Greatest age of the data", RU: "Предельный возраст данных"},
			Help: connectors.Text{
				EN: "A source that was not read for so long makes us refuse, so that Roistat deletes nothing by mistake.",
				RU: "Если источник так долго не читался, мы отказываем, чтобы Roistat ничего не удалил по ошибке.",
			}},
		{Key: "page_size", Default: "1000", Title: connectors.Text{EN: "Orders per page", RU: "Заказов на странице"},
			Help: connectors.Text{
				EN: "The most that one answer holds, from 1 to 5000.",
				RU: "Больше заказов в одном ответе не бывает; от 1 до 5000.",
			}},
		{Key: "window", Default: "744h", Title: connectors.Text{EN: "Period without a date", RU: "Период, если дата не указана"},
			Help: connectors.Text{
				EN: "How far back the list goes when Roistat does not say it.",
				RU: "За какое время отдавать сделки, если Roistat не указал дату.",
			}},
		{Key: "ids", Default: "auto", Title: connectors.Text{EN: "Order ids", RU: "Номера заказов"},
			Help: connectors.Text{
				EN: "auto: as in the CRM, with the connection before them when there are several; raw; prefixed.",
				RU: "auto: как в CRM, а если источников несколько, с подключением впереди; raw; prefixed.",
			}},
		{Key: "status_ids", Default: "auto", Title: connectors.Text{EN: "Status ids", RU: "Номера статусов"},
			Help: connectors.Text{
				EN: "auto: pipeline:status where statuses repeat in pipelines; status; pipeline.",
				RU: "auto: воронка:статус там, где статусы повторяются в воронках; status; pipeline.",
			}},
		{Key: "fields", Title: connectors.Text{EN: "Fields", RU: "Поля"},
			Help: connectors.Text{
				EN: "Codes of the deal fields that Roistat gets; all of them when absent.",
				RU: "Коды полей сделки для Roistat; если не указано, все.",
			}},
		{Key: "phone_region", Title: connectors.Text{EN: "Country of phones", RU: "Страна телефонов"},
			Help: connectors.Text{
				EN: "ISO 3166 country that numbers without a country code belong to.",
				RU: "Страна (ISO 3166) номеров без кода страны.",
			}},
	}
}

type settings struct {
	User        string       `yaml:"user"`
	Password    model.Secret `yaml:"password"`
	DropGuard   *float64     `yaml:"drop_guard"`
	MaxAge      string       `yaml:"max_age"`
	PageSize    int          `yaml:"page_size"`
	Window      string       `yaml:"window"`
	IDs         string       `yaml:"ids"`
	StatusIDs   string       `yaml:"status_ids"`
	Fields      []string     `yaml:"fields"`
	PhoneRegion string       `yaml:"phone_region"`

	dropGuard float64
	maxAge    time.Duration
	window    time.Duration
}

// Styles of ids.
const (
	idsAuto         = "auto"
	idsRaw          = "raw"
	idsPrefixed     = "prefixed"
	statusPlain     = "status"
	statusPipelined = "pipeline"
)

func (s *settings) complete() error {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }

	s.dropGuard = defaultDropGuard
	if s.DropGuard != nil {
		s.dropGuard = *s.DropGuard
	}
	if !(s.dropGuard >= 0 && s.dropGuard < 1) {
		mistake("drop_guard: %v is not a share; write a number from 0 to 0.99, for example 0.3", s.dropGuard)
	}
	s.maxAge = duration("max_age", s.MaxAge, defaultMaxAge, mistake)
	s.window = duration("window", s.Window, defaultWindow, mistake)
	if s.PageSize == 0 {
		s.PageSize = defaultPageSize
	}
	if s.PageSize < 1 || s.PageSize > maxPageSize {
		mistake("page_size: %d is out of range; write a number from 1 to %d", s.PageSize, maxPageSize)
	}
	if s.PhoneRegion == "" {
		s.PhoneRegion = "RU"
	}
	s.IDs = oneOf("ids", s.IDs, mistake, idsAuto, idsRaw, idsPrefixed)
	s.StatusIDs = oneOf("status_ids", s.StatusIDs, mistake, idsAuto, statusPlain, statusPipelined)
	return errors.Join(mistakes...)
}

func duration(key, text string, fallback time.Duration, mistake func(string, ...any)) time.Duration {
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		mistake("%s: %q is not a duration; write for example 6h or 30m", key, text)
		return fallback
	}
	return d
}

// oneOf gives the value, or the first choice when there is none.
func oneOf(key, value string, mistake func(string, ...any), choices ...string) string {
	if value == "" {
		return choices[0]
	}
	if !slices.Contains(choices, value) {
		mistake("%s: %q is not one of %s", key, value, strings.Join(choices, ", "))
	}
	return value
}
