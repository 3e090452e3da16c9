package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// demoStatuses is the status scheme of the demo's orders. APOLOGY has no pair
// on purpose: a deal in it shows what a refused row looks like.
func demoStatuses() []map[string]any {
	pair := func(crm, id, metrica string) map[string]any {
		return map[string]any{"crm": crm, "id": id, "metrica": metrica}
	}
	pairs := []map[string]any{
		// Bitrix24, both pipelines.
		pair("NEW", "new", "IN_PROGRESS"), pair("PREPARATION", "preparation", "IN_PROGRESS"),
		pair("PREPAYMENT_INVOICE", "invoice", "IN_PROGRESS"), pair("EXECUTING", "executing", "IN_PROGRESS"),
		pair("WON", "won", "PAID"), pair("LOSE", "lost", "CANCELLED"),
		pair("C1:NEW", "c1_new", "IN_PROGRESS"), pair("C1:PREPARATION", "c1_preparation", "IN_PROGRESS"),
		pair("C1:PREPAYMENT_INVOICE", "c1_invoice", "IN_PROGRESS"), pair("C1:EXECUTING", "c1_executing", "IN_PROGRESS"),
		pair("C1:WON", "c1_won", "PAID"), pair("C1:LOSE", "c1_lost", "CANCELLED"),
		// amoCRM.
		pair("64831342", "amo_contact", "IN_PROGRESS"), pair("64831346", "amo_talks", "IN_PROGRESS"),
		pair("142", "amo_won", "PAID"), pair("143", "amo_lost", "CANCELLED"),
	}
	return pairs
}

// writeDemoConfig writes the svod.yaml that the demo's hub is started from.
func writeDemoConfig(path, listen, dir string, settings map[string]map[string]any) error {
	connection := func(id, kind string, more map[string]any) map[string]any {
		c := map[string]any{"id": id, "kind": kind}
		for _, part := range []map[string]any{settings[id], more} {
			for key, value := range part {
				c[key] = value
			}
		}
		return c
	}
	cfg := map[string]any{
		"server":   map[string]any{"listen": listen},
		"database": "sqlite:" + filepath.Join(dir, "svod.db"),
		"redis":    "embedded",
		"outbound": map[string]any{"allow": []string{"127.0.0.0/8"}},
		"projects": []any{map[string]any{
			"id": demoProject, "name": "Магазин", "timezone": "Europe/Moscow", "currency": "RUB",
			"connections": []any{
				connection("b24", "bitrix24", map[string]any{"poll": "1m"}),
				connection("amo", "amocrm", map[string]any{"poll": "1m"}),
				connection("site", "webhook", nil),
				connection("metrica", "yandex-metrica", nil),
				connection("roistat", "roistat", map[string]any{"records_from": []string{"b24", "amo"}}),
			},
			"flows": []any{
				map[string]any{"id": "clients", "from": []string{"b24", "amo"}, "record": "contact", "to": "metrica", "as": "contacts"},
				map[string]any{"id": "orders", "from": []string{"b24", "amo"}, "record": "deal", "to": "metrica", "as": "orders", "mode": "SAVE",
					"map": map[string]string{
						"id": "deal.id", "client_uniq_id": "contact.id", "create_date_time": "deal.created_at",
						"update_date_time": "deal.updated_at", "revenue": "deal.amount", "currency": "deal.currency", "order_status": "status",
					},
					"statuses": demoStatuses()},
				map[string]any{"id": "shop-orders", "from": []string{"site"}, "record": "deal", "to": "metrica", "as": "simple_orders",
					"statuses": []map[string]any{
						{"crm": "new", "id": "new", "metrica": "IN_PROGRESS"}, {"crm": "packed", "id": "packed", "metrica": "IN_PROGRESS"},
						{"crm": "paid", "id": "paid", "metrica": "PAID"}, {"crm": "cancelled", "id": "cancelled", "metrica": "CANCELLED"},
					}},
				map[string]any{"id": "roistat-leads", "from": []string{"roistat"}, "record": "lead", "to": "b24", "as": "leads"},
			},
		}},
	}
	var text bytes.Buffer
	text.WriteString("# Written by `svod demo`: a hub among sandboxes.\n")
	if err := yaml.NewEncoder(&text, yaml.Indent(2), yaml.UseSingleQuote(true)).Encode(cfg); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}
