package yandexmetrica

import (
	"context"
	"slices"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// chatPlatforms is the closed list of yandex-metrica §8.
func chatPlatforms() []string { return []string{"whatsapp", "telegram", "viber"} }

// chatPartners are the columns of which one must name the other side of a chat.
func chatPartners() []string { return []string{"ChatUsername", "ChatUserID", "PhoneNumber"} }

// chatsSchema is §8, whose columns are spelled ClientID and not ClientId. A chat
// without a visitor is stored as unattributed.
func chatsSchema() model.Schema {
	return model.Schema{
		As: asChats, Key: keyParameter, AnyOf: [][]string{chatPartners()},
		Parameters: []model.Parameter{
			keyOf(),
			{Name: "ClientID", Type: model.TypeClientIDs, Doc: "The visitor's Metrica ClientID. Of several the first is sent."},
			{Name: "UserID", Type: model.TypeText, Doc: "The site's own id of the visitor, as given to setUserID."},
			{Name: "Yclid", Type: model.TypeText, Doc: "Click id of Yandex Direct."},
			{Name: "PurchaseID", Type: model.TypeText, Doc: "Id of an e-commerce purchase of the visit."},
			{Name: "DateTime", Type: model.TypeTime, Required: true, Doc: "When the chat began; in the past, and always the same for the same chat."},
			{Name: "ChatPlatform", Type: model.TypeText, Required: true, Doc: "whatsapp, telegram or viber."},
			{Name: "ChatUsername", Type: model.TypeText, Doc: "The other side's name in the messenger."},
			{Name: "ChatUserID", Type: model.TypeText, Doc: "The other side's id in the messenger."},
			{Name: "PhoneNumber", Type: model.TypePhone, Doc: "The other side's phone."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindChat:    chatMap("chat"),
			model.KindRequest: chatMap("request"),
			model.KindGoal:    chatMap("goal"),
		},
	}
}

func chatMap(record string) map[string]string {
	return map[string]string{
		"id":           record + ".id",
		"ClientID":     "coalesce(" + record + ".client_id, contact.client_id, first(contact.client_ids))",
		"UserID":       "coalesce(" + record + ".user_id, contact.user_id, first(contact.user_ids))",
		"Yclid":        "coalesce(" + record + ".yclid, contact.yclid)",
		"DateTime":     record + ".created_at",
		"ChatPlatform": record + ".messenger",
		"ChatUsername": record + ".name",
		"PhoneNumber":  record + ".phone",
	}
}

// chatRules are the checks of §8.
func chatRules(context.Context, *Connector, connectors.Upload, flowOptions) (rules, error) {
	return rules{finish: func(row *cells) *model.Error {
		platform := strings.ToLower(row.text("ChatPlatform"))
		if platform != "" && !slices.Contains(chatPlatforms(), platform) {
			return model.Errorf(model.ClassPermanent, model.CauseBadValue,
				"parameter ChatPlatform: Metrica takes chats of %s only; send others as conversions", strings.Join(chatPlatforms(), ", "))
		}
		row.set("ChatPlatform", platform)
		if !row.hasAny(chatPartners()...) {
			return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier, "no name, id or phone in the messenger: %s are all empty", strings.Join(chatPartners(), ", "))
		}
		dropBadClick(row)
		return nil
	}}, nil
}
