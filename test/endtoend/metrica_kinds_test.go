package endtoend

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

const siteToken = "endtoend-site-token-0c4"

// withSite connects a site that sends records of every kind in one notation: a
// list of objects whose type says what they are.
func (w *world) withSite() {
	const who = "client_id user_id yclid"
	members := map[string]string{
		"goal":    who + " created_at target",
		"call":    who + " started_at phone talk_duration wait_duration missed first kind page_url report_url tags",
		"chat":    who + " created_at messenger name phone",
		"contact": "name created_at updated_at client_ids user_ids phones emails source tags",
		"deal":    who + " created_at updated_at closed_at contact_id amount cost currency status_id emails",
		"cost":    "date engine campaign keyword ad amount currency clicks utm.source utm.medium",
		"request": "client_id created_at target page_url",
		"visit":   "client_id created_at page_url referrer",
	}
	var records []any
	for _, kind := range slices.Sorted(maps.Keys(members)) {
		fill := map[string]string{"id": "item.id"}
		for member := range strings.FieldsSeq(members[kind]) {
			fill[member] = "item." + strings.ReplaceAll(member, ".", "_")
		}
		records = append(records, map[string]any{"kind": kind, "when": fmt.Sprintf("item.type == %q", kind), "map": fill})
	}
	w.connect("site", "webhook", map[string]any{
		"token": map[string]any{"header": "X-Site-Token", "value": siteToken}, "split": "body.list", "records": records,
	})
}

// from adds a flow from a connection to the counter.
func (w *world) from(connection, id, record, as string, more map[string]any) {
	w.flow(id, connection, record, as, more)
}

// tell sends the site's hook.
func (w *world) tell(list ...map[string]any) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"list": list})
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.post(w.hook("site"), "application/json", siteToken, string(body)); got != http.StatusOK {
		w.t.Fatalf("the site's hook was answered with %d", got)
	}
}

// values are the cells of a row that are not empty, as "Name=value".
func values(row map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if row[name] != "" {
			out = append(out, name+"="+row[name])
		}
	}
	return strings.Join(out, " ")
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// TestMetricaKinds takes records of every kind from one site's hook to the
// counter, and wants every attribute there as the documentation has it.
func TestMetricaKinds(t *testing.T) {
	w := newWorld(t, embedded())
	w.withSite()
	if err := w.counter.AddTargets(metrica.DefaultCounter, "order_paid", "crm_deal", "form_sent"); err != nil {
		t.Fatal(err)
	}
	w.from("site", "goals", "goal", "conversions", nil)
	w.from("site", "deals", "deal", "conversions", map[string]any{"options": map[string]string{"target": "crm_deal"}})
	w.from("site", "calls", "call", "calls", map[string]any{"options": map[string]string{"phone": "cut", "price_by": "target call=1500"}})
	w.from("site", "chats", "chat", "chats", nil)
	w.from("site", "params", "contact", "user_params", map[string]any{
		"map": map[string]string{
			"id": "contact.id", "ClientId": "first(contact.client_ids)", "UserId": "first(contact.user_ids)",
			"crm_id": "contact.id", "crm_source": "contact.source", "crm_tags": "contact.tags", "segment": `"vip"`,
		},
		"attributes": []any{map[string]any{"name": "segment", "title": "Сегмент"}},
	})
	w.from("site", "costs", "cost", "expenses", map[string]any{"options": map[string]string{"provider": "vk"}})
	w.from("site", "events", "request", "events", nil)
	w.from("site", "views", "visit", "events", nil)
	w.from("site", "clients", "contact", "contacts", nil)
	w.from("site", "orders", "deal", "orders", map[string]any{"statuses": []map[string]string{{"crm": "won", "id": "paid", "metrica": "PAID"}}})
	w.from("site", "simple", "deal", "simple_orders", map[string]any{"statuses": []map[string]string{{"crm": "won", "id": "won", "metrica": "PAID"}}})
	p := w.start("hub")

	// A moment of this day, as events must be; the second of it is what counts.
	at := time.Now().Add(-2 * time.Hour).Truncate(time.Second)
	when := at.Format(time.RFC3339)
	w.tell(
		map[string]any{"type": "goal", "id": "g1", "client_id": "1700000000000000001", "user_id": "u-1", "created_at": when, "target": "order_paid"},
		map[string]any{"type": "goal", "id": "g2", "yclid": "5471234567890123456", "created_at": when, "target": "order_paid"},
		map[string]any{"type": "call", "id": "c1", "client_id": "1700000000000000002", "started_at": when, "phone": "8 (916) 555-35-01", "talk_duration": 61,
			"wait_duration": 7, "missed": false, "first": true, "kind": "dynamic", "page_url": "https://shop.example/okna",
			"report_url": "https://calls.example/c1", "tags": []string{"target call"}},
		map[string]any{"type": "call", "id": "c2", "started_at": when, "phone": "+7 916 555 35 02", "missed": true, "kind": "static"},
		map[string]any{"type": "chat", "id": "t1", "client_id": "1700000000000000003", "created_at": when, "messenger": "Telegram", "name": "masha"},
		map[string]any{"type": "chat", "id": "t2", "yclid": "5471234567890123457", "created_at": when, "messenger": "whatsapp", "phone": "89165553503"},
		map[string]any{"type": "contact", "id": "k1", "name": "Мария, «Окна»", "created_at": when, "updated_at": when, "client_ids": []string{"1700000000000000004"},
			"phones": []string{"8 916 555-35-04"}, "emails": []string{"Masha@Example.ru"}, "source": "сайт", "tags": []string{"a", "b"}},
		map[string]any{"type": "contact", "id": "k2", "name": "Пётр", "created_at": when, "updated_at": when, "user_ids": []string{"u-2"}, "source": "crm"},
		map[string]any{"type": "deal", "id": "d1", "contact_id": "k1", "created_at": when, "updated_at": when, "closed_at": when, "amount": "1234.50",
			"cost": "1000", "currency": "usd", "status_id": "won", "client_id": "1700000000000000004", "emails": []string{"Masha@Example.ru"}},
		map[string]any{"type": "cost", "id": "e1", "date": "2026-03-01", "engine": "vk", "campaign": "spring", "keyword": "окна, двери", "ad": "17",
			"amount": "99.90", "currency": "RUB", "clicks": 12, "utm_source": "vk", "utm_medium": "cpc"},
		map[string]any{"type": "request", "id": "r1", "client_id": "1700000000000000005", "created_at": when, "target": "form_sent", "page_url": "https://shop.example/form"},
		map[string]any{"type": "visit", "id": "v1", "client_id": "1700000000000000006", "created_at": when, "page_url": "https://shop.example/", "referrer": "https://ya.ru/"},
	)
	want := map[string][]string{
		"conversions": {
			"ClientId=1700000000000000001 DateTime=" + unix(at) + " Target=order_paid UserId=u-1",
			"DateTime=" + unix(at) + " Target=order_paid Yclid=5471234567890123456",
			"ClientId=1700000000000000004 Currency=USD DateTime=" + unix(at) + " Price=1234.5 Target=crm_deal",
		},
		"calls": {
			"CallMissed=0 CallTrackerURL=https://calls.example/c1 ClientId=1700000000000000002 Currency=RUB DateTime=" + unix(at) +
				" FirstTimeCaller=1 HoldDuration=7 PhoneNumber=+791655535 Price=1500 StaticCall=0 Tag=target call TalkDuration=61 URL=https://shop.example/okna",
			"CallMissed=1 DateTime=" + unix(at) + " FirstTimeCaller=0 HoldDuration=0 PhoneNumber=+791655535 StaticCall=1 TalkDuration=0",
		},
		"chats": {
			"ChatPlatform=telegram ChatUsername=masha ClientID=1700000000000000003 DateTime=" + unix(at),
			"ChatPlatform=whatsapp DateTime=" + unix(at) + " PhoneNumber=+79165553503 Yclid=5471234567890123457",
		},
		"expenses": {
			"Clicks=12 Currency=RUB Date=2026-03-01 Expenses=99.9 UTMCampaign=spring UTMContent=17 UTMMedium=cpc UTMSource=vk UTMTerm=окна, двери",
		},
		"user_params": {
			"ClientId=1700000000000000004: crm_id=k1 crm_source=сайт crm_tags=a,b segment=vip", "UserId=u-2: crm_id=k2 crm_source=crm segment=vip",
		},
		"events": {
			"event 1700000000000000005 form_sent https://shop.example/form " + unix(at), "pageview 1700000000000000006  https://shop.example/ " + unix(at),
		},
		"contacts": {
			"client_ids=1700000000000000004 create_date_time=" + zoned(at) + " emails=masha@example.ru name=Мария, «Окна» phones=79165553504 uniq_id=k1 update_date_time=" + zoned(at),
			"create_date_time=" + zoned(at) + " name=Пётр uniq_id=k2 update_date_time=" + zoned(at) + " user_ids=u-2",
		},
		"orders": {
			"client_type=CONTACT client_uniq_id=k1 cost=1000 create_date_time=" + zoned(at) + " currency=USD finish_date_time=" + zoned(at) +
				" id=d1 order_status=paid revenue=1234.5 update_date_time=" + zoned(at),
		},
		"simple_orders": {
			"client_ids=1700000000000000004 client_uniq_id=k1 cost=1000 create_date_time=" + zoned(at) +
				" currency=USD emails=masha@example.ru id=d1 order_status=PAID phones=79165553504 revenue=1234.5",
		},
	}
	w.counterHas(30*time.Second, w.clockwork(), want)
	for _, up := range w.counter.ManagedUploads(metrica.DefaultCounter, "") {
		if up.Kind == "expenses" && up.Provider != "vk" {
			t.Errorf("the expenses came as of %q", up.Provider)
		}
		if up.Kind == "user_params" && up.Confirms != 1 {
			t.Errorf("user parameters were confirmed %d times", up.Confirms)
		}
	}
	if dropped := w.counter.Dropped(metrica.DefaultCounter); len(dropped) > 0 {
		t.Errorf("events were dropped: %v", dropped)
	}
	w.sentOnce("conversions", "calls", "chats", "expenses")
	w.nothingSetAside()
	w.keepsProtocols()
	log, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"a phone": "91655535", "an e-mail": "masha@", "the token of the Measurement Protocol": metrica.DefaultMeasurement, "the site's token": siteToken,
	} {
		if strings.Contains(strings.ToLower(string(log)), text) {
			t.Errorf("the hub's log holds %s", what)
		}
	}
}

// counterHas waits until the counter has exactly these rows. The minute between
// two uploads of a kind passes at once.
func (w *world) counterHas(within time.Duration, clock *clockwork, want map[string][]string) {
	w.t.Helper()
	for kind := range want {
		slices.Sort(want[kind])
	}
	eventually(w.t, within, "the counter has every row", func() string {
		clock.due()
		for _, kind := range slices.Sorted(maps.Keys(want)) {
			if got := w.shown(kind); !slices.Equal(got, want[kind]) {
				return fmt.Sprintf("%s are\n%s\nand should be\n%s", kind, strings.Join(got, "\n"), strings.Join(want[kind], "\n"))
			}
		}
		return w.busy()
	})
}

// shown lists what the counter has of a kind.
func (w *world) shown(kind string) []string {
	var out []string
	switch kind {
	case "user_params":
		for id, params := range w.counter.UserParams(metrica.DefaultCounter) {
			out = append(out, id+": "+values(params))
		}
	case "events":
		for _, e := range w.counter.Collected(metrica.DefaultCounter) {
			line := fmt.Sprint(e.Type, " ", e.ClientID, " ", e.Goal, " ", e.URL, " ", unix(e.At))
			if e.Times != 1 {
				line += fmt.Sprintf(" %d times", e.Times)
			}
			out = append(out, line)
		}
	case "contacts", "orders", "simple_orders":
		for _, e := range w.counter.Entities(metrica.DefaultCounter, kind, 0) {
			out = append(out, values(e))
		}
	default:
		for _, row := range w.counter.Rows(metrica.DefaultCounter, kind, 0) {
			out = append(out, values(row.Values))
		}
	}
	slices.Sort(out)
	return out
}

// sentOnce wants no row of the kinds to have come twice.
func (w *world) sentOnce(kinds ...string) {
	w.t.Helper()
	for _, kind := range kinds {
		if again := w.counter.SentAgain(metrica.DefaultCounter, kind); len(again) > 0 {
			w.t.Errorf("%d %s came more than once, such as %s", len(again), kind, again[0])
		}
	}
}

// nothingSetAside wants no refused rows and no refused hooks.
func (w *world) nothingSetAside() {
	w.t.Helper()
	if rows := w.rows(url.Values{"state": {"refused", "waiting"}}); len(rows) > 0 {
		w.t.Errorf("%d rows were set aside, such as %s %s: %s %s", len(rows), rows[0].Flow, rows[0].ID, rows[0].Cause, rows[0].Error)
	}
	for _, state := range []string{"refused", "partly"} {
		if entries := w.journal(url.Values{"state": {state}}); len(entries) > 0 {
			w.t.Errorf("%d hooks are %s, such as %s: %s", len(entries), state, entries[0].Cause, entries[0].Error)
		}
	}
}

// TestMetricaCallsOfCallKeeper takes the hooks of the call tracker's
// documentation to the counter. The flow waits for the end of a call: Metrica
// would count one that is sent again.
func TestMetricaCallsOfCallKeeper(t *testing.T) {
	w := newWorld(t, embedded())
	w.connect("ck", "callkeeper", map[string]any{"timezone": "Europe/Moscow"})
	w.from("ck", "calls", "call", "calls", map[string]any{"when": `call.fields["status"] != nil && call.fields["status"] != ""`})
	w.start("hub")
	for _, hook := range []string{"hook-callback-start", "hook-callback-over", "hook-tracking-start", "hook-tracking-end"} {
		w.replayHook("ck", hook)
	}
	w.counterHas(20*time.Second, w.clockwork(), map[string][]string{"calls": {
		"CallMissed=0 ClientId=1543925000123456789 DateTime=1543925694 FirstTimeCaller=0 HoldDuration=0 PhoneNumber=+79000000017 StaticCall=0 " +
			"TalkDuration=61 URL=https://shop.example.ru/okna/?yclid=5471234567890123456#form Yclid=5471234567890123456",
		// 13:23:32 in Moscow. Neither a ClientID nor a click: a static call.
		"CallMissed=0 DateTime=1586082212 FirstTimeCaller=0 HoldDuration=0 PhoneNumber=+79000000021 StaticCall=1 TalkDuration=152",
	}})
	// The same again, out of order, changes nothing.
	for _, hook := range []string{"hook-tracking-end", "hook-callback-over", "hook-tracking-start", "hook-callback-start"} {
		w.replayHook("ck", hook)
	}
	clock := w.clockwork()
	eventually(t, 20*time.Second, "the repetitions are worked on", func() string {
		clock.due()
		return w.busy()
	})
	w.sentOnce("calls")
	w.nothingSetAside()
	w.keepsProtocols()
}

// replayHook sends a delivery of the connector's samples: method and content type,
// query, body.
func (w *world) replayHook(connection, name string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "connectors", "callkeeper", "testdata", name+".txt"))
	if err != nil {
		w.t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	query, body, _ := strings.Cut(rest, "\n")
	method, contentType, _ := strings.Cut(first, " ")
	address := w.hook(connection)
	if query != "" {
		address += "?" + query
	}
	status, answer, err := ask(w.t.Context(), method, address, "", contentType, []byte(body))
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("%s was answered with %d %s %v", name, status, answer, err)
	}
}
