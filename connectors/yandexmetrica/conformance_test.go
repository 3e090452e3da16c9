package yandexmetrica_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/connectors/yandexmetrica"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

var statuses = []connectors.Status{{ID: "1", Name: "Новый", Type: "IN_PROGRESS"}}

var excuses = []connectortest.Excuse{{
	Role: "Send user_params", From: 200, To: 499, Classes: []model.Class{model.ClassUnknown}, Success: true,
	Why: "after the file came, only its confirmation may fail, whose answer is not documented (yandex-metrica §9)",
}}

// days makes every row of expenses new to the counter.
var days atomic.Int64

// row fits the made-up rows to what Metrica takes.
func row(as string, values map[string]any) {
	switch as {
	case "contacts":
		values["uniq_id"] = "client-1"
	case "orders": // the contact was sent before
		values["client_uniq_id"] = "client-1"
	case "simple_orders":
		delete(values, "client_uniq_id")
	case "chats":
		values["ChatPlatform"] = "telegram"
	case "expenses":
		values["TrafficSource"] = "ad"
		values["Date"] = model.Date(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(days.Add(1))).Format(time.DateOnly))
	case "events":
		values["t"], values["params"] = "event", `{"a":"b"}`
	}
}

func addTargets(s connectors.Sandbox) error {
	return s.(*sandbox.Sandbox).AddTargets(sandbox.DefaultCounter, "text")
}

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type:     yandexmetrica.Type(),
		Settings: map[string]any{"check_goals": "off"},
		Wrong:    func(string) map[string]any { return map[string]any{"token": "y0_another-token"} },
		Bare:     "/management/v1/counter/1",
		Statuses: statuses, Prepare: addTargets, Row: row, Excuses: excuses,
		Mistakes: map[string]any{
			"counter": "x", "token": "two words", "url": "x", "oauth_url": "x", "collect_url": "x", "time_zone": "x", "daily_requests": 1,
			"max_rows": -1, "max_bytes": 1, "columns_mapping": "x", "check_goals": "x", "create_goals": "x", "ms": "two words",
			"import_goals": []any{" "},
		},
	})
}

func TestConformanceApplication(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, connectortest.Case{
		Type: yandexmetrica.Type(), Brief: true,
		Settings: map[string]any{
			"check_goals": "off", "token": nil, "oauth": map[string]any{"client_id": "sandbox-app", "client_secret": "sandbox-app-secret"},
		},
		Browser: func(s connectors.Sandbox) url.Values {
			page := httptest.NewRecorder()
			s.ServeHTTP(page, httptest.NewRequest("GET", "/authorize?response_type=code&client_id=sandbox-app&state=s", nil))
			return url.Values{"code": {strings.TrimSpace(page.Body.String())}, "state": {"s"}}
		},
		Wrong: func(string) map[string]any {
			return map[string]any{"oauth": map[string]any{"client_id": "sandbox-app", "client_secret": "another-secret"}}
		},
		Bare:     "/management/v1/counter/1",
		Statuses: statuses, Prepare: addTargets, Row: row, Excuses: excuses,
		Mistakes: map[string]any{"oauth": map[string]any{"client_id": ""}, "counter": ""},
	})
}
