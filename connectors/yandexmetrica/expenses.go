package yandexmetrica

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// trafficSources is the closed list of yandex-metrica §10.
func trafficSources() []string {
	return []string{"internal", "direct", "referral", "organic", "ad", "saved", "undefined", "email", "social", "messenger", "qrcode", "recommend"}
}

// expensesSchema is §10.
func expensesSchema() model.Schema {
	return model.Schema{
		As: asExpenses, Key: keyParameter,
		Parameters: []model.Parameter{
			keyOf(),
			{Name: "Date", Type: model.TypeDate, Required: true, Doc: "Day of the expense."},
			{Name: "UTMSource", Type: model.TypeText, Doc: "utm_source of the visits that the money bought; letters count as they are. Required unless TrafficSource is mapped."},
			{Name: "UTMMedium", Type: model.TypeText, Doc: "utm_medium."},
			{Name: "UTMCampaign", Type: model.TypeText, Doc: "utm_campaign."},
			{Name: "UTMTerm", Type: model.TypeText, Doc: "utm_term."},
			{Name: "UTMContent", Type: model.TypeText, Doc: "utm_content."},
			{Name: "TrafficSource", Type: model.TypeText, Doc: "Metrica's kind of source: ad, social, messenger and others."},
			{Name: "TrafficSourceDetail", Type: model.TypeText, Doc: "Which source of that kind: vk_ads, telegram."},
			{Name: "Expenses", Type: model.TypeDecimal, Required: true, Doc: "The amount."},
			{Name: "Currency", Type: model.TypeCurrency, Doc: "ISO 4217 code of the amount. Left empty, the project's."},
			{Name: "Clicks", Type: model.TypeInteger, Doc: "Clicks that the money bought."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindCost: {
				"id":          "cost.id",
				"Date":        "cost.date",
				"UTMSource":   "coalesce(cost.utm.source, cost.engine)",
				"UTMMedium":   "cost.utm.medium",
				"UTMCampaign": "coalesce(cost.utm.campaign, cost.campaign)",
				"UTMTerm":     "coalesce(cost.utm.term, cost.keyword)",
				"UTMContent":  "coalesce(cost.utm.content, cost.ad)",
				"Expenses":    "cost.amount",
				"Currency":    "cost.currency",
				"Clicks":      "cost.clicks",
			},
		},
	}
}

var errNoSource = errors.New("map.UTMSource: expenses need UTMSource or TrafficSource; map one of them")

// expenseRules are the checks of §10.
func expenseRules(_ context.Context, c *Connector, u connectors.Upload, o flowOptions) (rules, error) {
	if !hasColumn(u, "UTMSource") && !hasColumn(u, "TrafficSource") {
		return rules{}, model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "%w", errNoSource)
	}
	return rules{finish: func(row *cells) *model.Error {
		if !row.hasAny("UTMSource", "TrafficSource") {
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "parameters UTMSource and TrafficSource are empty: Metrica would not know which visits the money bought")
		}
		if s := row.text("TrafficSource"); s != "" && !slices.Contains(trafficSources(), s) {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue, "parameter TrafficSource is none of %s", strings.Join(trafficSources(), ", "))
		}
		if amount, ok := row.get("Expenses").(model.Decimal); ok && amount.Set && amount.IsNegative() {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue, "parameter Expenses is negative")
		}
		if !o.sendDirect && ofDirect(row) {
			return model.Errorf(model.ClassPermanent, model.CauseDuplicate,
				"costs of Yandex Direct: Metrica imports them itself and would count them twice; to send them all the same, set options.direct to send")
		}
		if row.has("Expenses") && !row.has("Currency") && c.currency != "" {
			row.set("Currency", c.currency)
		}
		return nil
	}}, nil
}

// ofDirect recognises costs of Yandex Direct by the tags that it is marked with.
func ofDirect(row *cells) bool {
	source, medium := strings.ToLower(row.text("UTMSource")), strings.ToLower(row.text("UTMMedium"))
	switch source {
	case "yandex", "yandex.ru", "ya", "direct", "yandex_direct", "yandex-direct", "yandex.direct", "yandexdirect":
		if medium == "cpc" || medium == "ppc" {
			return true
		}
	}
	return strings.HasPrefix(strings.ToLower(row.text("TrafficSourceDetail")), "yandex_direct")
}
