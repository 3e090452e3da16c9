package amocrm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

var leadColumns = []model.Column{
	{Name: "id", Type: model.TypeID}, {Name: "title", Type: model.TypeText}, {Name: "name", Type: model.TypeText},
	{Name: "phones", Type: model.TypePhones}, {Name: "emails", Type: model.TypeEmails}, {Name: "amount", Type: model.TypeDecimal},
	{Name: "status", Type: model.TypeID}, {Name: "tags", Type: model.TypeTexts}, {Name: "utm_source", Type: model.TypeText},
	{Name: "utm_term", Type: model.TypeText}, {Name: "client_id", Type: model.TypeText},
	{Name: "Дата доставки", Type: model.TypeTime, Attribute: true}, {Name: "contact.POSITION", Type: model.TypeText, Attribute: true},
}

func row(key, name string, phones ...string) *model.Row {
	return &model.Row{Key: key, Values: []any{key, "Заявка " + key, name, phones, []string(nil), mustDecimal("1500.50"), nil,
		[]string{"сайт"}, "yandex", "term", "1700000000123456", time.Date(2026, 3, 2, 7, 30, 0, 0, time.UTC), "Директор"}}
}

func mustDecimal(text string) model.Decimal {
	d, err := model.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

func saving(id int64, mode string) connectors.Upload {
	return connectors.Upload{ID: id, As: asLeads, Mode: mode, Columns: leadColumns, Options: map[string]string{optionIDField: "Svod ID"}}
}

func (b *bench) encode(t testing.TB, u connectors.Upload, rows ...*model.Row) *bytes.Reader {
	t.Helper()
	var out bytes.Buffer
	w, err := b.Encode(t.Context(), u, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(out.Bytes())
}

func (b *bench) send(t testing.TB, u connectors.Upload, rows ...*model.Row) (connectors.Outcome, error) {
	t.Helper()
	u.Rows = len(rows)
	return b.Send(t.Context(), u, b.encode(t, u, rows...))
}

func TestSendMakesLeads(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	known := b.account.Add(sandbox.Contacts, sandbox.Entity{Name: "Давний", Fields: map[int64][]string{sandbox.ContactPhone: {"8 (999) 000-00-01"}}})
	out, err := b.send(t, saving(1, modeCreate),
		row("a", "Иван", "79990000001"), row("b", "Пётр", "79990000002"), row("c", "Пётр снова", "79990000002"), row("d", ""))
	if err != nil || out.State != connectors.UploadAccepted || out.Accepted != 4 || len(out.Created) != 4 {
		t.Fatalf("%+v, %v", out, err)
	}
	lead, ok := b.account.Get(sandbox.Leads, number(out.Created["a"]))
	if !ok {
		t.Fatal("no lead")
	}
	golden(t, "made-lead", lead)
	if lead.ContactIDs[0] != known {
		t.Errorf("lead a belongs to contact %v, not %d", lead.ContactIDs, known)
	}
	second, _ := b.account.Get(sandbox.Leads, number(out.Created["b"]))
	third, _ := b.account.Get(sandbox.Leads, number(out.Created["c"]))
	if second.ContactIDs[0] != third.ContactIDs[0] {
		t.Errorf("one person became %v and %v", second.ContactIDs, third.ContactIDs)
	}
	if made, _ := b.account.Get(sandbox.Contacts, second.ContactIDs[0]); made.Fields[sandbox.ContactPosition][0] != "Директор" {
		t.Errorf("contact %+v", made)
	}
	if got := b.account.Calls()["POST /leads/complex"]; got != 1 {
		t.Errorf("%d requests that make leads", got)
	}
	golden(t, "made-outcome", out)
	b.obeys(t)
}

func TestSendTwice(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"on", "off"} {
		b := newBench(t, map[string]string{"filter": filter}, nil)
		first, err := b.send(t, saving(1, modeCreate), row("a", "Иван", "79990000001"))
		if err != nil {
			t.Fatal(err)
		}
		changed := row("a", "Иван", "79990000001")
		changed.Values[1] = "Новое имя"
		again, err := b.send(t, saving(2, modeCreate), changed, row("b", "Иван", "79990000001"))
		if err != nil || again.Created["a"] != first.Created["a"] || again.Accepted != 2 {
			t.Errorf("%+v, %v", again, err)
		}
		if lead, _ := b.account.Get(sandbox.Leads, number(first.Created["a"])); lead.Name != "Заявка a" {
			t.Errorf("mode CREATE changed a lead: %+v", lead)
		}
		changed.Values[7] = []string{"второй"}
		if _, err := b.send(t, saving(3, modeSave), changed); err != nil {
			t.Fatal(err)
		}
		if lead, _ := b.account.Get(sandbox.Leads, number(first.Created["a"])); lead.Name != "Новое имя" || len(lead.Tags) != 2 {
			t.Errorf("mode SAVE did not change the lead: %+v", lead)
		}
		if got := len(b.account.All(sandbox.Leads)); got != 2 {
			t.Errorf("%d leads", got)
		}
		b.obeys(t)
	}
}

func TestSendOneBadRow(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	bad := row("bad", "Иван", "79990000009")
	bad.Values[6] = "999"
	out, err := b.send(t, saving(1, modeCreate), row("a", "Иван", "79990000001"), bad, row("c", "Пётр", "79990000003"))
	if err != nil || out.Accepted != 2 || len(out.Refused) != 1 || out.Refused[0].Key != "bad" || len(out.Created) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if text := out.Refused[0].Err.Error(); !strings.Contains(text, "NotSupportedChoice at status_id") {
		t.Error(text)
	}
	for key, id := range out.Created {
		if lead, _ := b.account.Get(sandbox.Leads, number(id)); lead.Name != "Заявка "+key {
			t.Errorf("row %s became lead %q", key, lead.Name)
		}
	}
	b.obeys(t)
}

func TestSendRefusedWithoutNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	b.account.Inject(sandbox.Fault{Method: "POST", Path: "/api/v4/leads", Status: 400, Body: `{"status":400}`, ContentType: "application/problem+json"})
	out, err := b.send(t, saving(1, modeCreate), row("a", "Иван"), row("b", "Пётр"))
	if err != nil || out.State != connectors.UploadRejected || len(out.Reasons) == 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		fault   sandbox.Fault
		options map[string]string
		found   bool
	}{
		{"done, by our id", sandbox.Fault{Drop: true, Done: true}, map[string]string{optionIDField: "Svod ID"}, true},
		{"not done, by our id", sandbox.Fault{Status: 502}, map[string]string{optionIDField: "Svod ID"}, false},
		{"done, by name", sandbox.Fault{Drop: true, Done: true}, nil, true},
		{"not done, by name", sandbox.Fault{Status: 504}, nil, false},
		{"done, answer not readable", sandbox.Fault{Done: true, Status: 200, Body: "<html>"}, map[string]string{optionIDField: "Svod ID"}, true},
	} {
		for _, filter := range []string{"on", "off"} {
			t.Run(tc.name+", filter "+filter, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, map[string]string{"filter": filter}, nil)
				b.leads(300)
				b.clock.Add(time.Hour)
				f := tc.fault
				f.Method, f.Path, f.Times = "POST", "/api/v4/leads/complex", 1
				b.account.Inject(f)
				u := saving(7, modeCreate)
				u.Options, u.Rows, u.StartedAt = tc.options, 2, b.clock.Now()
				body := b.encode(t, u, row("a", "Иван", "79990000001"), row("b", "Пётр", "79990000002"))
				_, err := b.Send(t.Context(), u, body)
				if model.ClassOf(err) != model.ClassUnknown {
					t.Fatalf("send: %v (%s)", err, model.ClassOf(err))
				}
				out, found, err := b.Settle(t.Context(), u)
				if !tc.found {
					classOf(t, err, model.ClassTemporary, model.CauseInDoubt) // it may still be at work
					b.clock.Add(2 * time.Minute)
					out, found, err = b.Settle(t.Context(), u)
				}
				if err != nil || found != tc.found || found && (len(out.Created) != 2 || out.Accepted != 2) {
					t.Fatalf("settle: %+v, %v, %v", out, found, err)
				}
				if !found {
					if out, err := b.Send(t.Context(), u, body); err != nil || len(out.Created) != 2 {
						t.Errorf("again: %+v, %v", out, err)
					}
				}
				if got := len(b.account.All(sandbox.Leads)); got != 302 {
					t.Errorf("%d leads", got)
				}
				b.obeys(t)
			})
		}
	}
}

func TestSettleOfWhatWasNeverSent(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	if _, err := b.send(t, saving(1, modeCreate), row("a", "Иван")); err != nil {
		t.Fatal(err)
	}
	if _, found, err := b.Settle(t.Context(), saving(2, modeCreate)); found || err != nil {
		t.Error(found, err)
	}
}

// A failure before the request that makes leads is a plain one.
func TestSendFailsBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/v4/leads/custom_fields", "/api/v4/contacts"} {
		b := newBench(t, nil, nil)
		u := saving(1, modeCreate)
		body := b.encode(t, u, row("a", "Иван", "79990000001"), row("b", "Иван", "79990000001"))
		b.clock.Add(time.Hour)
		b.account.Inject(sandbox.Fault{Path: path, Drop: true, Times: 1})
		if _, err := b.Send(t.Context(), u, body); model.ClassOf(err) != model.ClassTemporary {
			t.Errorf("%s: %v (%s)", path, err, model.ClassOf(err))
		}
		if out, err := b.Send(t.Context(), u, body); err != nil || len(out.Created) != 2 {
			t.Errorf("%s: %+v, %v", path, out, err)
		}
		b.obeys(t)
	}
}

func TestEncodeMistakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	for name, u := range map[string]connectors.Upload{
		"no such id field":  {Columns: leadColumns, Options: map[string]string{optionIDField: "нет такого"}},
		"no such attribute": {Columns: []model.Column{{Name: "нет такого", Attribute: true}}},
	} {
		if _, err := b.Encode(t.Context(), u, &bytes.Buffer{}); model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := b.Encode(t.Context(), saving(1, modeCreate), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	bad := row("a", "Иван")
	bad.Values[6] = "won"
	classOf(t, w.Write(bad), model.ClassPermanent, model.CauseBadValue)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	c := receiver(t, "token: t")
	if got := c.Plan(asLeads); got.MaxRows != 50 || fmt.Sprint(c.Group(connectors.Upload{}, nil)) != "" {
		t.Error(got)
	}
}
