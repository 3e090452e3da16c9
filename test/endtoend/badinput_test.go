package endtoend

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

const form = "application/x-www-form-urlencoded"

// TestBadInput sends what no system should send. Each piece gets its cause, and
// nothing else takes notice.
func TestBadInput(t *testing.T) {
	w := newWorld(t, embedded())
	w.withBitrix("10m")
	w.withAmo("10m")
	w.portal.AddUserField(bitrix24.Deal, "PAID_AT", "Оплачено", "string")
	w.connect("site", "webhook", map[string]any{
		"token": map[string]any{"header": "X-Site-Token", "value": "endtoend-site-token-0c4"},
		"split": "body.orders",
		"records": []any{map[string]any{"kind": "deal", "map": map[string]any{
			"id": "item.id", "created_at": "item.made", "currency": "item.currency", "amount": "item.total", "status_id": "item.status",
			"emails": "item.email",
		}}},
	})
	w.flow("clients", "b24", "contact", "contacts", nil)
	orders := orderMap()
	orders["finish_date_time"] = `date(deal.fields["UF_CRM_PAID_AT"])`
	w.flow("orders", "b24", "deal", "orders", map[string]any{"map": orders, "statuses": scheme(statuses)})
	w.flow("site-orders", "site", "deal", "simple_orders", map[string]any{"statuses": []map[string]string{
		{"crm": "new", "id": "new", "metrica": "IN_PROGRESS"}}})
	p := w.start("hub")
	w.imported("b24")

	t.Run("hooks", func(t *testing.T) { w.t = t; badHooks(w) })
	t.Run("rows", func(t *testing.T) { w.t = t; badRows(w) })
	w.t = t
	p.alive()
	w.keepsProtocols()
	log := tail(p.log, 10_000)
	if strings.Contains(log, "panic") {
		t.Errorf("the hub panicked:\n%s", log)
	}
}

// event is an event of the portal with something changed.
func event(change map[string]string) string {
	v := url.Values{
		"event": {"ONCRMDEALUPDATE"}, "data[FIELDS][ID]": {"1"}, "ts": {"1700000000"},
		"auth[member_id]": {bitrix24.MemberID}, "auth[application_token]": {bitrix24.ApplicationToken},
	}
	for key, value := range change {
		v.Set(key, value)
	}
	return v.Encode()
}

func badHooks(w *world) {
	site := "endtoend-site-token-0c4"
	for _, bad := range []struct {
		name, connection, secret, contentType, body, token string
		status                                             int
		cause                                              string // "": not journalled
	}{
		{name: "a wrong secret", connection: "b24", secret: "guessed", body: event(nil), status: 404},
		{name: "an unknown connection", connection: "b25", body: event(nil), status: 404},
		{name: "a connection that takes no hooks", connection: "metrica", body: event(nil), status: 404},
		{name: "a wrong application token", connection: "b24", body: event(map[string]string{"auth[application_token]": "forged"}),
			status: 200, cause: "wrong_token"},
		{name: "another portal", connection: "b24", body: event(map[string]string{"auth[member_id]": strings.Repeat("f", 32)}),
			status: 200, cause: "foreign_account"},
		{name: "broken percent-encoding", connection: "b24", body: "event=%ZZ%&data[FIELDS][ID]=1", status: 200, cause: "bad_encoding"},
		{name: "text in another charset", connection: "b24", body: event(nil) + "&name=%CF%F0%E8%E2%E5%F2", status: 200, cause: "bad_encoding"},
		{name: "10 MB", connection: "b24", body: strings.Repeat("x", 10<<20), status: 413, cause: "too_large"},
		{name: "a form of great depth", connection: "b24", body: event(nil) + "&a" + strings.Repeat("[b]", 5000) + "=1", status: 200, cause: "too_large"},
		{name: "an unknown event", connection: "b24", body: event(map[string]string{"event": "ONSOMETHINGELSE"}), status: 200, cause: "unknown_event"},
		{name: "an empty body", connection: "b24", body: "", status: 200, cause: "bad_payload"},
		{name: "an id that is none", connection: "b24", body: event(map[string]string{"data[FIELDS][ID]": "1 OR 1=1"}), status: 200, cause: "bad_payload"},
		{name: "another account", connection: "amo", body: "account[id]=1&account[subdomain]=other&leads[add][0][id]=1", status: 200, cause: "foreign_account"},
		{name: "amoCRM with broken encoding", connection: "amo", body: "leads[add][0][id]=%ZZ&leads%5", status: 200, cause: "bad_encoding"},
		{name: "JSON of great depth", connection: "site", contentType: "application/json", token: site,
			body: `{"orders":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", status: 200, cause: "too_large"},
		{name: "half a JSON", connection: "site", contentType: "application/json", token: site, body: `{"orders":[{"id":`, status: 200, cause: "bad_payload"},
		{name: "no token", connection: "site", contentType: "application/json", body: `{"orders":[]}`, status: 200, cause: "wrong_token"},
	} {
		w.t.Run(bad.name, func(t *testing.T) {
			outer := w.t
			w.t = t
			defer func() { w.t = outer }()
			before := w.newest()
			secret := bad.secret
			if secret == "" {
				secret = hookSecret(bad.connection)
			}
			contentType := bad.contentType
			if contentType == "" {
				contentType = form
			}
			address := "http://" + w.hub().listen + "/hooks/" + project + "/" + bad.connection + "/" + secret
			if got := w.post(address, contentType, bad.token, bad.body); got != bad.status {
				t.Errorf("answered with %d, not with %d", got, bad.status)
			}
			if bad.cause == "" {
				if now := w.newest(); now != before {
					t.Errorf("it was written to the journal as entry %d", now)
				}
				return
			}
			eventually(t, 10*time.Second, "the verdict", func() string {
				for _, e := range w.journal(map[string][]string{"connection": {bad.connection}}) {
					if e.ID <= before || e.State == "new" {
						continue
					}
					if e.State != "refused" || e.Cause != bad.cause || len(e.Error) < 15 {
						t.Fatalf("the entry is %s for %q (%s), it should be refused for %q", e.State, e.Cause, e.Error, bad.cause)
					}
					return ""
				}
				return "no entry, or not worked on yet"
			})
		})
	}
}

func (w *world) newest() int64 {
	var page struct{ Items []entry }
	w.admin("/projects/"+project+"/journal", url.Values{"limit": {"1"}}, &page)
	if len(page.Items) == 0 {
		return 0
	}
	return page.Items[0].ID
}

// post sends a hook; the token goes in the site's header.
func (w *world) post(address, contentType, token, body string) int {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Content-Type", contentType)
	if token != "" {
		r.Header.Set("X-Site-Token", token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// badRows has records among good ones that cannot become rows.
func badRows(w *world) {
	client := w.portal.AddContact(bitrix24.Fields{"NAME": "Пробный", "PHONE": "+7 916 555-35-35", "EMAIL": "proba@example.ru"})
	deal := func(more bitrix24.Fields) string {
		f := bitrix24.Fields{"TITLE": "Заказ", "OPPORTUNITY": "100.00", "CONTACT_ID": client}
		maps.Copy(f, more)
		id := w.portal.AddDeal(f)
		return strconv.Itoa(id)
	}
	good := []string{deal(nil), deal(bitrix24.Fields{"UF_CRM_PAID_AT": "2026-02-27 10:00:00"})}
	want := map[string]string{
		deal(bitrix24.Fields{"CURRENCY_ID": "РУБ"}):                    "currency",
		deal(bitrix24.Fields{"STAGE_ID": "APOLOGY"}):                   "status_unmapped",
		deal(bitrix24.Fields{"CONTACT_ID": ""}):                        "missing_required",
		deal(bitrix24.Fields{"UF_CRM_PAID_AT": "2026-02-31 10:00:00"}): "expression",
		deal(bitrix24.Fields{"UF_CRM_PAID_AT": "0001-01-01 00:00:00"}): "bad_value",
	}
	good = append(good, deal(nil))
	if err := w.portal.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, 30*time.Second, "the verdicts on rows", func() string {
		if busy := w.busy(); busy != "" {
			return busy
		}
		for _, id := range good {
			if _, ok := w.counter.Entity(metrica.DefaultCounter, "orders", id); !ok {
				return "the good order " + id + " is not in the counter"
			}
		}
		return ""
	})
	refused := map[string]string{}
	for _, row := range w.rows(url.Values{"flow": {"orders"}, "state": {"refused"}}) {
		refused[row.ID] = row.Cause
		if len(row.Error) < 15 {
			w.t.Errorf("the row of deal %s is refused with few words: %q", row.ID, row.Error)
		}
	}
	if !maps.Equal(refused, want) {
		w.t.Errorf("refused are %v, should be %v", refused, want)
	}
	for id := range want {
		if _, ok := w.counter.Entity(metrica.DefaultCounter, "orders", id); ok {
			w.t.Errorf("deal %s was uploaded all the same", id)
		}
	}
	badMembers(w)
}

// badMembers has bad orders among good ones in one hook.
func badMembers(w *world) {
	body := `{"orders":[
		{"id":"s1","made":"2026-03-01T10:00:00+03:00","currency":"RUB","total":"10.50","status":"new","email":"first@example.ru"},
		{"id":"s2","made":"2026-02-31","currency":"RUB","total":"10.50","status":"new","email":"second@example.ru"},
		{"id":"s3","made":"2026-03-01T10:00:00+03:00","currency":"XYZW","total":"ten","status":"new","email":"third@example.ru"},
		{"id":"s4","made":"2026-03-01T10:00:00+03:00","currency":"RUB","total":"11","status":"new","email":"fourth@example.ru"}]}`
	if got := w.post(w.hook("site"), "application/json", "endtoend-site-token-0c4", body); got != http.StatusOK {
		w.t.Fatalf("the site's hook was answered with %d", got)
	}
	eventually(w.t, 30*time.Second, "the good orders of the site", func() string {
		for _, id := range []string{"s1", "s4"} {
			if _, ok := w.counter.Entity(metrica.DefaultCounter, "simple_orders", id); !ok {
				return id + " is not in the counter"
			}
		}
		return w.busy()
	})
	entries := w.journal(url.Values{"connection": {"site"}, "state": {"partly"}})
	if len(entries) != 1 || !slices.Contains([]string{"bad_value", "currency"}, entries[0].Cause) {
		w.t.Errorf("the hook with two bad orders is told of as %+v", entries)
	}
}
