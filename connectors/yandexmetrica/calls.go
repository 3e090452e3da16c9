package yandexmetrica

import (
	"context"
	"net/url"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// callsSchema is yandex-metrica §7. Time and visitor always go; each of the other
// nine is sent when it is mapped, so that a map of one's own switches them one by
// one: PhoneNumber, TalkDuration, HoldDuration, CallMissed, FirstTimeCaller, Tag,
// URL, Price (with Currency), CallTrackerURL.
func callsSchema() model.Schema {
	parameters := append([]model.Parameter{keyOf()}, visitorParameters()...)
	parameters = append(parameters,
		model.Parameter{Name: "DateTime", Type: model.TypeTime, Required: true, Doc: "When the call began; in the past, and always the same for the same call."},
		model.Parameter{Name: "StaticCall", Type: model.TypeFlag, Doc: "Whether the number called is a static one: such calls need no visitor and are never linked to a visit."},
		model.Parameter{Name: "Price", Type: model.TypeDecimal, Doc: "What the call is worth. Left empty, the options price_by and price."},
		model.Parameter{Name: "Currency", Type: model.TypeCurrency, Doc: "ISO 4217 code of the price. Left empty, the project's."},
		model.Parameter{Name: "PhoneNumber", Type: model.TypePhone, Doc: "The caller's number, shortened as the option phone says: full, cut (without its last two digits) or masked."},
		model.Parameter{Name: "TalkDuration", Type: model.TypeInteger, Doc: "Seconds of talk."},
		model.Parameter{Name: "HoldDuration", Type: model.TypeInteger, Doc: "Seconds of waiting."},
		model.Parameter{Name: "CallMissed", Type: model.TypeFlag, Doc: "Whether nobody answered."},
		model.Parameter{Name: "Tag", Type: model.TypeText, Doc: "Free text: quality or outcome of the call."},
		model.Parameter{Name: "FirstTimeCaller", Type: model.TypeFlag, Doc: "Whether the caller called for the first time."},
		model.Parameter{Name: "URL", Type: model.TypeText, Doc: "Page that the call came from."},
		model.Parameter{Name: "CallTrackerURL", Type: model.TypeText, Doc: "The call's page in the call tracker."},
	)
	return model.Schema{
		As: asCalls, Key: keyParameter, Parameters: parameters,
		Defaults: map[model.Kind]map[string]string{
			model.KindCall: with(visitorMap("call"),
				"DateTime", "coalesce(call.started_at, call.created_at)",
				"StaticCall", `call.kind == "static"`,
				"Price", "deal.amount",
				"Currency", "deal.currency",
				"PhoneNumber", "call.phone",
				"TalkDuration", "call.talk_duration",
				"HoldDuration", "call.wait_duration",
				"CallMissed", "call.missed",
				"Tag", "call.tags",
				"FirstTimeCaller", "call.first",
				"URL", "call.page_url",
				"CallTrackerURL", "call.report_url",
			),
		},
	}
}

// callRules are the checks of §7: a call has a visitor or is a static one.
func callRules(_ context.Context, c *Connector, _ connectors.Upload, o flowOptions) (rules, error) {
	r := rules{extra: priceColumns(o), phone: o.phone}
	r.finish = func(row *cells) *model.Error {
		static, _ := row.get("StaticCall").(bool)
		if static && o.skipStatic {
			return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier,
				"a call to a static number; the flow's option static leaves such calls out")
		}
		dropBadClick(row)
		dropBadAddress(row, "URL", "CallTrackerURL")
		if !static && !row.hasAny(visitorIDs()...) {
			return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier,
				"no ClientID, UserID or yclid: Metrica takes calls without a visitor only as static ones")
		}
		c.complete(row, o, row.text("Tag"))
		return nil
	}
	return r, nil
}

// dropBadAddress leaves out what is no address: it is only a remark to a row that
// is worth more.
func dropBadAddress(row *cells, names ...string) {
	for _, name := range names {
		if s := row.text(name); s != "" && !addressLike(s) {
			row.set(name, nil)
		}
	}
}

func addressLike(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.ContainsAny(s, " \t\r\n")
}
