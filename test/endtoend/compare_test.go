package endtoend

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

// What Metrica should have is worked out here from what the CRMs hold, by the
// rules of the documentation and not with the hub's code.

// statuses pairs the CRMs' statuses with those of the counter.
var statuses = map[string][2]string{
	"NEW": {"new", "IN_PROGRESS"}, "PREPARATION": {"preparation", "IN_PROGRESS"}, "PREPAYMENT_INVOICE": {"invoice", "IN_PROGRESS"},
	"EXECUTING": {"executing", "IN_PROGRESS"}, "WON": {"won", "PAID"}, "LOSE": {"lost", "CANCELLED"},
	"C1:NEW": {"c1_new", "IN_PROGRESS"}, "C1:PREPARATION": {"c1_preparation", "IN_PROGRESS"}, "C1:WON": {"c1_won", "PAID"}, "C1:LOSE": {"c1_lost", "CANCELLED"},
}

var amoStatuses = map[string][2]string{
	"64831342": {"amo_contact", "IN_PROGRESS"}, "64831346": {"amo_talks", "IN_PROGRESS"}, "64831362": {"amo_again", "IN_PROGRESS"},
	"142": {"amo_won", "PAID"}, "143": {"amo_lost", "CANCELLED"},
}

// scheme writes pairs as svod.yaml has them.
func scheme(pairs map[string][2]string) []map[string]string {
	var out []map[string]string
	for _, crm := range slices.Sorted(maps.Keys(pairs)) {
		out = append(out, map[string]string{"crm": crm, "id": pairs[crm][0], "metrica": pairs[crm][1]})
	}
	return out
}

// orderMap is the map of the flow of orders.
func orderMap() map[string]string {
	return map[string]string{
		"id": "deal.id", "client_uniq_id": "contact.id", "create_date_time": "deal.created_at", "update_date_time": "deal.updated_at",
		"finish_date_time": "deal.closed_at", "revenue": "deal.amount", "currency": "deal.currency", "order_status": "status",
	}
}

// entities are rows by id.
type entities map[string]map[string]string

// put adds an entity and leaves empty attributes out, as Metrica does.
func (e entities) put(id string, attributes map[string]string) {
	maps.DeleteFunc(attributes, func(_, v string) bool { return v == "" })
	e[id] = attributes
}

// zoned writes a moment as the counter's wall clock shows it.
func zoned(at time.Time) string {
	zone, err := time.LoadLocation(counterZone)
	if err != nil {
		panic(err)
	}
	if at.IsZero() || at.Unix() == 0 {
		return ""
	}
	return at.In(zone).Format(time.DateTime)
}

func zonedText(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "not a time: " + text
	}
	return zoned(at)
}

// phonesOf brings phones to digits with the country code.
func phonesOf(list []string) string {
	var out []string
	for _, phone := range list {
		digits := digitsOf(phone)
		if len(digits) == 11 && digits[0] == '8' {
			digits = "7" + digits[1:]
		}
		if digits != "" && !slices.Contains(out, digits) {
			out = append(out, digits)
		}
	}
	return strings.Join(out, ",")
}

func mailsOf(list []string) string {
	var out []string
	for _, mail := range list {
		if mail = strings.ToLower(mail); mail != "" && !slices.Contains(out, mail) {
			out = append(out, mail)
		}
	}
	return strings.Join(out, ",")
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ")
}

// ofBitrix works out what the counter should have of the portal.
func (w *world) ofBitrix() (contacts, orders entities) {
	contacts, orders = entities{}, entities{}
	for _, n := range w.portal.IDs(bitrix24.Contact) {
		c := w.portal.Get(bitrix24.Contact, n)
		if c == nil {
			continue // deleted between the two looks
		}
		id := strconv.Itoa(n)
		contacts.put(id, map[string]string{
			"uniq_id": id, "name": joined(c["NAME"], c["SECOND_NAME"], c["LAST_NAME"]),
			"create_date_time": zonedText(c["DATE_CREATE"]), "update_date_time": zonedText(c["DATE_MODIFY"]),
			"client_ids": c["UF_CRM_YM_UID"], "phones": phonesOf(strings.Split(c["PHONE"], ",")), "emails": mailsOf(strings.Split(c["EMAIL"], ",")),
		})
	}
	for _, n := range w.portal.IDs(bitrix24.Deal) {
		d := w.portal.Get(bitrix24.Deal, n)
		if d == nil {
			continue
		}
		id, finish := strconv.Itoa(n), ""
		if d["CLOSED"] == "Y" {
			finish = zonedText(d["MOVED_TIME"])
		}
		orders.put(id, map[string]string{
			"id": id, "client_uniq_id": d["CONTACT_ID"], "client_type": "CONTACT",
			"create_date_time": zonedText(d["DATE_CREATE"]), "update_date_time": zonedText(d["DATE_MODIFY"]), "finish_date_time": finish,
			"revenue": d["OPPORTUNITY"], "currency": d["CURRENCY_ID"], "order_status": statuses[d["STAGE_ID"]][0],
		})
	}
	return contacts, orders
}

// ofAmo works out what the counter should have of the account.
func (w *world) ofAmo() (contacts, orders entities) {
	contacts, orders = entities{}, entities{}
	for _, c := range w.account.All(amocrm.Contacts) {
		if c.Deleted {
			continue
		}
		id := strconv.FormatInt(c.ID, 10)
		contacts.put(id, map[string]string{
			"uniq_id": id, "name": c.Name, "create_date_time": zoned(time.Unix(c.CreatedAt, 0)), "update_date_time": zoned(time.Unix(c.UpdatedAt, 0)),
			"phones": phonesOf(c.Fields[amocrm.ContactPhone]), "emails": mailsOf(c.Fields[amocrm.ContactEmail]),
		})
	}
	for _, l := range w.account.All(amocrm.Leads) {
		if l.Deleted {
			continue
		}
		id, client := strconv.FormatInt(l.ID, 10), ""
		if len(l.ContactIDs) > 0 {
			client = strconv.FormatInt(l.ContactIDs[0], 10)
		}
		orders.put(id, map[string]string{
			"id": id, "client_uniq_id": client, "client_type": "CONTACT",
			"create_date_time": zoned(time.Unix(l.CreatedAt, 0)), "update_date_time": zoned(time.Unix(l.UpdatedAt, 0)),
			"finish_date_time": zoned(time.Unix(l.ClosedAt, 0)),
			"revenue":          l.Price, "currency": "RUB", "order_status": amoStatuses[strconv.FormatInt(l.StatusID, 10)][0],
		})
	}
	return contacts, orders
}

// differences compares the counter with what it should have, attribute by
// attribute. What was deleted in the CRM may remain in the counter, which has no
// deletion, and nothing else may.
func (w *world) differences(contacts, orders entities, gone map[string]bool) []string {
	var all []string
	for kind, want := range map[string]entities{"contacts": contacts, "orders": orders} {
		got := w.counter.Entities(metrica.DefaultCounter, kind, 0)
		for id, attributes := range want {
			all = append(all, compare(kind+" "+id, got[id], attributes)...)
		}
		for id := range got {
			if want[id] == nil && !gone[kind+" "+id] {
				all = append(all, fmt.Sprintf("%s %s is in the counter and never was in the CRM", kind, id))
			}
		}
	}
	slices.Sort(all)
	return all
}

func compare(what string, got, want map[string]string) []string {
	if got == nil {
		return []string{what + " is missing"}
	}
	var all []string
	for name, value := range want {
		if got[name] != value && !(name == "revenue" && sameAmount(got[name], value)) {
			all = append(all, fmt.Sprintf("%s: %s is %q, in the CRM %q", what, name, got[name], value))
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok {
			all = append(all, fmt.Sprintf("%s: %s is %q, in the CRM there is none", what, name, value))
		}
	}
	return all
}

func sameAmount(a, b string) bool {
	x, errX := decimal.NewFromString(a)
	y, errY := decimal.NewFromString(b)
	return errX == nil && errY == nil && x.Equal(y)
}
