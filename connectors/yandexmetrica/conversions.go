package yandexmetrica

import (
	"context"
	"errors"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// visitorIDs are the columns that name a visitor (yandex-metrica §6.1).
func visitorIDs() []string { return []string{"ClientId", "UserId", "Yclid", "PurchaseId"} }

func visitorParameters() []model.Parameter {
	return []model.Parameter{
		{Name: "ClientId", Type: model.TypeClientIDs, Doc: "The visitor's Metrica ClientID; the best link to a visit. Of several the first is sent."},
		{Name: "UserId", Type: model.TypeText, Doc: "The site's own id of the visitor, as given to setUserID."},
		{Name: "Yclid", Type: model.TypeText, Doc: "Click id of Yandex Direct."},
	}
}

// conversionsSchema is §6.1. A conversion has no id at Metrica: visitor, target
// and time name it, so that its time must never change.
func conversionsSchema() model.Schema {
	parameters := append([]model.Parameter{keyOf()}, visitorParameters()...)
	parameters = append(parameters,
		model.Parameter{Name: "PurchaseId", Type: model.TypeText, Doc: "Id of an e-commerce purchase of the visit."},
		model.Parameter{Name: "Target", Type: model.TypeText, Doc: "Identifier of a JavaScript goal, not its name. Left out, the flow's option target."},
		model.Parameter{Name: "DateTime", Type: model.TypeTime, Required: true, Doc: "When it happened; in the past, and always the same for the same event."},
		model.Parameter{Name: "Price", Type: model.TypeDecimal, Doc: "What the conversion is worth. Left empty, the options price_by and price."},
		model.Parameter{Name: "Currency", Type: model.TypeCurrency, Doc: "ISO 4217 code of the price. Left empty, the project's."},
	)
	return model.Schema{
		As: asConversions, Key: keyParameter, Parameters: parameters, AnyOf: [][]string{visitorIDs()},
		Defaults: map[model.Kind]map[string]string{
			model.KindDeal:    dealConversion("deal"),
			model.KindLead:    dealConversion("lead"),
			model.KindCall:    callConversion(),
			model.KindChat:    eventConversion("chat"),
			model.KindRequest: eventConversion("request"),
			model.KindGoal:    eventConversion("goal"),
		},
	}
}

func visitorMap(record string) map[string]string {
	return map[string]string{
		"id":       record + ".id",
		"ClientId": "coalesce(" + record + ".client_id, contact.client_id, first(contact.client_ids))",
		"UserId":   "coalesce(" + record + ".user_id, contact.user_id, first(contact.user_ids))",
		"Yclid":    "coalesce(" + record + ".yclid, contact.yclid)",
		"DateTime": record + ".created_at",
	}
}

func with(base map[string]string, pairs ...string) map[string]string {
	for i := 0; i+1 < len(pairs); i += 2 {
		base[pairs[i]] = pairs[i+1]
	}
	return base
}

func dealConversion(record string) map[string]string {
	return with(visitorMap(record), "Price", record+".amount", "Currency", record+".currency")
}

// callConversion uses the identifiers that call trackers ask operators to create
// (§4.2).
func callConversion() map[string]string {
	return with(visitorMap("call"),
		"DateTime", "coalesce(call.started_at, call.created_at)",
		"Target", `call.kind == "callback" ? "call" : "calltracking_call_order"`)
}

func eventConversion(record string) map[string]string {
	return with(visitorMap(record), "Target", record+".target")
}

var errNoTarget = errors.New("map.Target: conversions need the identifier of a goal; map it, or give it as options.target")

// conversionRules are the checks of §6.1.
func conversionRules(ctx context.Context, c *Connector, u connectors.Upload, o flowOptions) (rules, error) {
	if o.target == "" && !hasColumn(u, "Target") {
		return rules{}, model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "%w", errNoTarget)
	}
	r := rules{extra: append([]string{"Target"}, priceColumns(o)...)}
	r.finish = func(row *cells) *model.Error {
		if !row.has("Target") {
			row.set("Target", o.target)
		}
		switch target := row.text("Target"); {
		case target == "":
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired,
				"parameter Target is empty and the flow has no option target: which goal does the record reach?")
		case !targetLike(target):
			return model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"parameter Target is not an identifier of a JavaScript goal; give the identifier and not the goal's name")
		}
		dropBadClick(row)
		if !row.hasAny(visitorIDs()...) {
			return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier, "no ClientID, UserID, yclid or purchase: Metrica cannot link the conversion to a visit")
		}
		c.complete(row, o, row.text("Target"))
		return nil
	}
	if c.checksGoals() {
		r.target = c.targets(ctx)
	}
	return r, nil
}

func hasColumn(u connectors.Upload, name string) bool {
	for _, col := range u.Columns {
		if col.Name == name {
			return true
		}
	}
	return false
}

func (c *cells) hasAny(names ...string) bool {
	for _, name := range names {
		if c.has(name) {
			return true
		}
	}
	return false
}

func priceColumns(o flowOptions) []string {
	if o.prices() {
		return []string{"Price", "Currency"}
	}
	return nil
}

// complete gives a row without a price the one of the options, and a price
// without a currency the project's.
func (c *Connector) complete(row *cells, o flowOptions, names string) {
	if !row.has("Price") && o.prices() {
		if price := o.priceOf(names); price.Set {
			row.set("Price", price)
		}
	}
	if row.has("Price") && !row.has("Currency") && c.currency != "" {
		row.set("Currency", c.currency)
	}
}

// dropBadClick leaves out a yclid that is none, as addresses carry anything: the
// visitor may be known otherwise.
func dropBadClick(row *cells) {
	if y := row.text("Yclid"); y != "" && !clientIDLike(y) {
		row.set("Yclid", nil)
	}
}

// targetLike reports whether s may be an identifier of a JavaScript goal. Which
// characters it may hold is not documented; those that break files are not
// taken.
func targetLike(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsAny(s, ",;\"\r\n\t") && strings.TrimSpace(s) == s
}
