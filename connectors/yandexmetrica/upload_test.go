package yandexmetrica

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

var (
	contactColumns = columnsNamed("contacts", "uniq_id", "name", "emails", "phones")
	orderColumns   = columnsNamed("orders", "id", "client_uniq_id", "create_date_time", "order_status", "revenue")
)

const counterID = sandbox.DefaultCounter

// The whole way: contacts, the status scheme, orders, a change, simple orders.
func TestUploadsReachTheCounter(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	accepted := func(out connectors.Outcome, err error) {
		t.Helper()
		if err != nil || out.State != connectors.UploadAccepted || out.RemoteID == "" {
			t.Fatalf("%+v %v", out, err)
		}
	}
	accepted(sent(t, b.Connector, connectors.Upload{ID: 1, As: "contacts", Columns: contactColumns},
		[]any{"c1", "Иван", []string{"a@b.ru", "c@d.ru"}, []string{"79995551111"}},
		[]any{"c2", "Пётр", nil, nil}))
	if err := b.PutStatuses(t.Context(), []connectors.Status{{ID: "001", Name: "Новый", Type: "IN_PROGRESS"}, {ID: "003", Name: "Успех", Type: "PAID"}}); err != nil {
		t.Fatal(err)
	}
	at := testStart.Add(-time.Hour)
	accepted(sent(t, b.Connector, connectors.Upload{ID: 2, As: "orders", Mode: "SAVE", Columns: orderColumns},
		[]any{"o1", "c1", at, "001", money(t, "100.50")}))
	accepted(sent(t, b.Connector, connectors.Upload{ID: 3, As: "orders", Mode: "UPDATE", Columns: orderColumns},
		[]any{"o1", "c1", at, "003", nil}))
	accepted(sent(t, b.Connector, connectors.Upload{ID: 4, As: "simple_orders", Columns: columnsNamed("simple_orders", "id", "create_date_time", "emails", "order_status")},
		[]any{"s1", at, []string{"a@b.ru", "c@d.ru"}, "PAID"}))

	order, _ := b.sandbox.Entity(counterID, "orders", "o1")
	want := map[string]string{
		"id": "o1", "client_uniq_id": "c1", "client_type": "CONTACT", "create_date_time": "2026-11-21 11:00:00",
		"order_status": "003", "revenue": "100.5",
	}
	if !maps.Equal(order, want) {
		t.Errorf("order %v", order)
	}
	contact, _ := b.sandbox.Entity(counterID, "contacts", "c1")
	if contact["emails"] != "a@b.ru,c@d.ru" || b.sandbox.Count(counterID, "contacts") != 2 || b.sandbox.Count(counterID, "simple_orders") != 1 {
		t.Errorf("contact %v", contact)
	}
	if v := b.sandbox.Violations(); len(v) > 0 {
		t.Errorf("against the protocol: %q", v)
	}
	day := b.limiter.limits[b.dayKey()]
	if day != (connectors.Limit{Rate: 4000, Period: 24 * time.Hour, Burst: 300}) {
		t.Errorf("the day's budget is %+v", day)
	}
}

func TestColumnsMapping(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, setting, as, want string
	}{
		{"on by default", "", "contacts", `"uniq_id":"uniq_id","emails":"emails"`},
		{"off", "columns_mapping: off\n", "contacts", ""},
		{"false", "columns_mapping: false\n", "contacts", ""},
		{"not for simple orders", "", "simple_orders", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, tt.setting+"token: "+testToken)
			q := b.uploadQuery(connectors.Upload{As: tt.as}, []string{"uniq_id", "emails"})
			if q.Get("columns_mapping") != tt.want || q.Get("merge_mode") != "SAVE" || q.Get("delimiter_type") != "COMMA" {
				t.Errorf("got %v", q)
			}
		})
	}
}

// The request of §15.1, byte for byte.
func TestMultipartForm(t *testing.T) {
	t.Parallel()
	const file = "uniq_id\n1\n"
	f := wrap(bytes.NewReader([]byte(file)))
	first, _ := io.ReadAll(f.reader())
	again, _ := io.ReadAll(f.reader())
	if int64(len(first)) != f.size || !bytes.Equal(first, again) {
		t.Fatalf("%d bytes of %d", len(first), f.size)
	}
	_, params, err := mime.ParseMediaType(f.contentType)
	if err != nil {
		t.Fatal(err)
	}
	boundary := params["boundary"]
	want := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.csv\"\r\nContent-Type: text/csv\r\n\r\n" +
		file + "\r\n--" + boundary + "--\r\n"
	if string(first) != want {
		t.Errorf("got %q", first)
	}
	part, err := multipart.NewReader(bytes.NewReader(first), boundary).NextPart()
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(part); string(got) != file {
		t.Errorf("part %q", got)
	}
}

// What each failure means for the work that met it.
func TestFailuresOfAnUpload(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault    string
		class    model.Class // "" : an outcome
		state    connectors.UploadState
		arrived  bool
		retryAt  time.Duration // at least
		pausedBy string
	}{
		{fault: sandbox.FaultFailed, state: connectors.UploadRejected},
		{fault: sandbox.FaultFewer, state: connectors.UploadRejected, arrived: true},
		{fault: sandbox.FaultInvalid, state: connectors.UploadRejected},
		{fault: sandbox.Fault503, class: model.ClassTemporary},
		{fault: sandbox.FaultHTML502, class: model.ClassTemporary},
		{fault: sandbox.Fault504, class: model.ClassUnknown},
		{fault: sandbox.Fault504Stored, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultNonsense, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultTruncated, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultResetStored, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultResetAfter, class: model.ClassUnknown},
		{fault: sandbox.FaultResetDuring, class: model.ClassUnknown},
		{fault: sandbox.FaultUnauthorized, class: model.ClassReauth},
		{fault: sandbox.FaultForbidden, class: model.ClassReauth},
		{fault: sandbox.FaultInvalidParam, class: model.ClassPermanent},
		{fault: sandbox.FaultQuota + "quota_requests_by_uid", class: model.ClassQuota, retryAt: 15 * time.Hour, pausedBy: "metrica:day:"},
		{fault: sandbox.FaultQuota + "quota_requests_by_counter_id", class: model.ClassQuota, retryAt: 15 * time.Hour, pausedBy: "metrica:counter:"},
		{fault: sandbox.FaultQuota + "quota_requests_by_ip", class: model.ClassQuota, retryAt: time.Second, pausedBy: "metrica:address"},
		{fault: sandbox.FaultQuota + "quota_parallel_requests_by_uid", class: model.ClassQuota, retryAt: time.Second},
		{fault: sandbox.FaultQuota + "quota_delegate_requests", class: model.ClassQuota, retryAt: 5 * time.Second},
		{fault: sandbox.FaultSlow, state: connectors.UploadAccepted, arrived: true},
	}
	for _, status := range []int{420, 429} {
		for _, tt := range tests {
			if status == 420 && !strings.HasPrefix(tt.fault, sandbox.FaultQuota) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tt.fault, status), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "time_zone: UTC\ntoken: "+testToken)
				b.sandbox.SetRules(func(r *sandbox.Rules) { r.QuotaStatus = status })
				b.sandbox.Inject(sandbox.Fault{Name: tt.fault, Path: "/data/"})
				out, err := sent(t, b.Connector, connectors.Upload{ID: 1, As: "contacts", Columns: contactColumns},
					[]any{"c1", "N", nil, nil}, []any{"c2", "N", nil, nil})
				if tt.class == "" && (err != nil || out.State != tt.state) || tt.class != "" && (err == nil || model.ClassOf(err) != tt.class) {
					t.Fatalf("%+v, %v (%s)", out, err, model.ClassOf(err))
				}
				if out.State == connectors.UploadRejected && len(out.Reasons) == 0 {
					t.Error("no reason is given")
				}
				if got := b.sandbox.Count(counterID, "contacts") > 0; got != tt.arrived {
					t.Errorf("arrived: %v", got)
				}
				if err != nil && strings.Contains(err.Error(), testToken) {
					t.Error("the error tells the token")
				}
				checkPause(t, b, err, tt.retryAt, tt.pausedBy)
			})
		}
	}
}

func checkPause(t *testing.T, b *bench, err error, atLeast time.Duration, key string) {
	t.Helper()
	if atLeast > 0 {
		var e *model.Error
		if !asError(err, &e) || e.RetryAt.Before(testStart.Add(atLeast)) || e.RetryAt.After(testStart.Add(16*time.Hour)) {
			t.Errorf("repeated at %v", e)
		}
	}
	for paused := range b.limiter.paused {
		if key == "" || !strings.HasPrefix(paused, key) {
			t.Errorf("paused %s", paused)
		}
	}
	if key != "" && len(b.limiter.paused) != 1 {
		t.Errorf("paused %v", b.limiter.paused)
	}
}

// A used-up day stops all further calls before they leave.
func TestUsedUpDay(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultQuota + "quota_requests_by_uid"})
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassQuota {
		t.Fatal(err)
	}
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.Fault503})
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassQuota {
		t.Fatalf("the next call left: %v", err)
	}
	b.sandbox.ClearFaults()
	b.clock.advance(16 * time.Hour)
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	if _, err := sent(t, b.Connector, connectors.Upload{As: "contacts", Columns: contactColumns}, []any{"c,1", "N", nil, nil}); err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	var rows [][]any
	for i, age := range []time.Duration{0, 20 * day, 22 * day, 110 * day, 112 * day} {
		rows = append(rows, []any{fmt.Sprintf("o%d", i), "c,1", testStart.Add(-age), "PAID", nil})
	}
	out, err := sent(t, b.Connector, connectors.Upload{As: "orders", Columns: orderColumns}, rows...)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Warnings warnings `json:"warnings"`
	}
	if err := json.Unmarshal(out.Details, &got); err != nil || got.Warnings != (warnings{ExpiredLinkWindow: 3, ExpiredChangeWindow: 1}) {
		t.Errorf("details %s", out.Details)
	}
}

func TestZoneOfTheCounter(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	times := func() string {
		t.Helper()
		body, _ := encoded(t, b.Connector, connectors.Upload{As: "orders", Columns: orderColumns}, []any{"1", "c", testStart, "PAID", nil})
		text, _ := io.ReadAll(body)
		return strings.Split(strings.Split(string(text), "\n")[1], ",")[3]
	}
	if got := times(); got != "2026-11-21 12:00:00" {
		t.Errorf("in Moscow %s", got)
	}
	if err := b.sandbox.SetZone(counterID, "Asia/Vladivostok"); err != nil {
		t.Fatal(err)
	}
	if got := times(); got != "2026-11-21 12:00:00" {
		t.Errorf("read again within the day: %s", got)
	}
	b.clock.advance(25 * time.Hour)
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.Fault503})
	if got := times(); got != "2026-11-21 12:00:00" {
		t.Errorf("the old zone does not serve while Metrica fails: %s", got)
	}
	b.clock.advance(time.Hour)
	if got := times(); got != "2026-11-21 19:00:00" {
		t.Errorf("in Vladivostok %s", got)
	}
	if kept := b.memory.facts[zoneMemory]; !strings.HasPrefix(kept, "Asia/Vladivostok ") {
		t.Errorf("remembered %q", kept)
	}
	if got := b.recallZone(t.Context()); got == nil || got.location.String() != "Asia/Vladivostok" {
		t.Errorf("recalled %v", got)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	said, err := b.Check(t.Context())
	if err != nil || !strings.Contains(said, counterID) || !strings.Contains(said, "own") || !strings.Contains(said, sandbox.DefaultZone) {
		t.Fatalf("%q %v", said, err)
	}
	for _, permission := range []string{"view", ""} {
		if err := b.sandbox.AddCounter(sandbox.Counter{ID: counterID, Owner: "someone", Zone: "UTC", Guests: map[string]string{sandbox.DefaultLogin: permission}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassReauth || model.CauseOf(err) != model.CauseForbidden {
			t.Errorf("permission %q: %v", permission, err)
		}
	}
	b.sandbox.RevokeToken(testToken)
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassReauth || model.CauseOf(err) != model.CauseAuth {
		t.Errorf("revoked token: %v", err)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	b := newBench(t, "max_rows: 1000\nmax_bytes: 100000\ntoken: "+testToken)
	if p := b.Plan("contacts"); p != (connectors.UploadPlan{MaxRows: 1000, MaxBytes: 100000, MinGap: minGap}) {
		t.Errorf("%+v", p)
	}
	if p := b.Plan(asCalls); p.MaxRows != 1000 || p.MinGap != sheetGap {
		t.Errorf("calls %+v", p)
	}
	if p := b.Plan(asUserParams); p.MaxRows != 100 {
		t.Errorf("user parameters %+v", p)
	}
	if p := b.Plan(asEvents); p.MaxRows != maxEvents {
		t.Errorf("events %+v", p)
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	scheme := []connectors.Status{{ID: "001", Name: "Новый", Type: "IN_PROGRESS"}, {ID: "004", Type: "CANCELLED"}}
	for _, merges := range []bool{true, false} {
		b := newBench(t, "")
		b.sandbox.SetRules(func(r *sandbox.Rules) { r.MergeStatuses = merges })
		if err := b.PutStatuses(t.Context(), []connectors.Status{{ID: "other-flow", Type: "SPAM"}}); err != nil {
			t.Fatal(err)
		}
		if err := b.PutStatuses(t.Context(), scheme); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"001": "IN_PROGRESS", "004": "CANCELLED", "other-flow": "SPAM"}
		if got := b.sandbox.Statuses(counterID); !maps.Equal(got, want) {
			t.Errorf("merging %v: registered %v", merges, got)
		}
		b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultInvalidParam, Path: "order_statuses", Times: 1})
		if err := b.PutStatuses(t.Context(), scheme); model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("a refused reading is %v", err)
		}
		if err := b.PutStatuses(t.Context(), scheme); err != nil {
			t.Errorf("nothing to do: %v", err)
		}
	}
}

func TestBadStatuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	for name, scheme := range map[string][]connectors.Status{
		"space":    {{ID: "in work", Type: "PAID"}},
		"Cyrillic": {{ID: "новый", Type: "PAID"}},
		"empty":    {{ID: "", Type: "PAID"}},
		"long":     {{ID: strings.Repeat("x", 256), Type: "PAID"}},
		"type":     {{ID: "1", Type: "CANCELED"}},
		"twice":    {{ID: "1", Type: "PAID"}, {ID: "1", Type: "SPAM"}},
	} {
		if err := b.PutStatuses(t.Context(), scheme); model.ClassOf(err) != model.ClassPermanent || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v := b.sandbox.Violations(); len(v) > 0 {
		t.Errorf("sent all the same: %q", v)
	}
}

func TestConflictIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	// The first reading is answered, the registration meets the conflict.
	if _, err := b.readStatuses(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultConflict, Path: "order_statuses"})
	err := b.post(t.Context(), "register", b.cdpPath("/schema/order_statuses"), nil, map[string]any{"order_statuses": []orderStatus{{ID: "1", Type: "PAID", Goals: texts{}}}})
	if err != nil || len(b.sandbox.Statuses(counterID)) != 1 {
		t.Errorf("%v", err)
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	attrs := []connectors.Attribute{
		{Name: "age", Title: "Возраст", Type: model.TypeDecimal},
		{Name: "tags", Type: model.TypeTexts, Multiple: true},
		{Name: "first_seen", Type: model.TypeTime},
	}
	for range 2 {
		if err := b.PutAttributes(t.Context(), "contacts", attrs); err != nil {
			t.Fatal(err)
		}
	}
	out, err := sent(t, b.Connector, connectors.Upload{As: "contacts", Columns: append(slices.Clone(contactColumns),
		model.Column{Name: "age", Type: model.TypeDecimal, Attribute: true}, model.Column{Name: "tags", Type: model.TypeTexts, Attribute: true})},
		[]any{"c1", "N", nil, nil, money(t, "40"), []string{"vip", "new"}})
	if err != nil || out.State != connectors.UploadAccepted {
		t.Fatalf("%+v %v", out, err)
	}
	if got, _ := b.sandbox.Entity(counterID, "contacts", "c1"); got["age"] != "40" || got["tags"] != "vip,new" {
		t.Errorf("%v", got)
	}
	for name, bad := range map[string]connectors.Attribute{
		"another type":     {Name: "age", Type: model.TypeText},
		"several values":   {Name: "age", Type: model.TypeDecimal, Multiple: true},
		"name of a system": {Name: "phones", Type: model.TypeText},
		"pattern":          {Name: "дата", Type: model.TypeText},
	} {
		if err := b.PutAttributes(t.Context(), "contacts", []connectors.Attribute{bad}); err == nil || model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.PutAttributes(t.Context(), "simple_orders", attrs); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("simple orders: %v", err)
	}
	if v := b.sandbox.Violations(); len(v) > 0 {
		t.Errorf("against the protocol: %q", v)
	}
}
