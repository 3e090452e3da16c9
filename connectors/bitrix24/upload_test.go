package bitrix24

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/model"
)

var leadColumns = []model.Column{
	{Name: "id", Type: model.TypeID}, {Name: "title", Type: model.TypeText}, {Name: "name", Type: model.TypeText},
	{Name: "phones", Type: model.TypePhones}, {Name: "emails", Type: model.TypeEmails}, {Name: "utm_source", Type: model.TypeText},
	{Name: "amount", Type: model.TypeDecimal}, {Name: "currency", Type: model.TypeCurrency}, {Name: "roistat", Type: model.TypeText},
	{Name: "status", Type: model.TypeText}, {Name: "UF_CRM_QUIZ", Type: model.TypeText, Attribute: true},
}

func leadRow(key, status string) *model.Row {
	return &model.Row{Key: key, Values: []any{key, "Заявка " + key, nil, []string{"79001234567", "79007654321"}, []string{"a@example.ru"}, "yandex",
		model.NewDecimal(decimal.RequireFromString("1500.5")), "RUB", "777", status, "A & B = 100%"}}
}

func encodeLeads(t *testing.T, r *rig, rows ...*model.Row) (connectors.Upload, connectors.Body) {
	t.Helper()
	u := connectors.Upload{ID: 1, As: asLeads, Columns: leadColumns, Rows: len(rows), StartedAt: r.clock.Now()}
	var buf bytes.Buffer
	w, err := r.Encode(t.Context(), u, &buf)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return u, bytes.NewReader(buf.Bytes())
}

func TestSendLeads(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"classic", "item"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			r.portal.AddUserField(sandbox.Lead, "ROISTAT", "roistat", "string")
			r.portal.AddUserField(sandbox.Lead, "QUIZ", "Квиз", "string")
			if name == "item" {
				for _, m := range []string{"crm.lead.add", "crm.lead.list"} {
					r.portal.Inject(sandbox.Fault{Method: m, Missing: true})
				}
			}
			u, body := encodeLeads(t, r, leadRow("form:1", "NEW"), leadRow("form:2", "NOT_A_STATUS"), leadRow("form:3", ""))
			out, err := r.Send(t.Context(), u, body)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Created) != 2 || out.Accepted != 2 || len(out.Refused) != 1 || out.Refused[0].Key != "form:2" || out.Refused[0].Err.Class != model.ClassPermanent {
				t.Fatalf("got %+v", out)
			}
			var id int
			if _, err := fmt.Sscan(out.Created["form:1"], &id); err != nil {
				t.Fatal(err)
			}
			got := r.portal.Get(sandbox.Lead, id)
			for code, want := range map[string]string{
				"TITLE": "Заявка form:1", "NAME": "+79001234567", "PHONE": "+79001234567,+79007654321", "EMAIL": "a@example.ru", "UTM_SOURCE": "yandex",
				"OPPORTUNITY": "1500.5", "CURRENCY_ID": "RUB", "UF_CRM_ROISTAT": "777", "UF_CRM_QUIZ": "A & B = 100%", "STATUS_ID": "NEW",
				"ORIGINATOR_ID": "svod", "ORIGIN_ID": "form:1",
			} {
				if got[code] != want {
					t.Errorf("%s: got %q, want %q", code, got[code], want)
				}
			}
			// Sent again, nothing is made twice.
			again, err := r.Send(t.Context(), u, body)
			if err != nil || again.Created["form:1"] != out.Created["form:1"] || len(r.portal.IDs(sandbox.Lead)) != 2 {
				t.Errorf("again: %+v, %v", again, err)
			}
			r.wantNoViolations(t)
		})
	}
}

// An answer that got lost leaves the upload in doubt; when it is surely over, it
// is sent again, and what was made is found.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	u, body := encodeLeads(t, r, leadRow("form:1", ""), leadRow("form:2", ""))
	// The look-up is a batch as well: only the second one is cut.
	if _, err := r.findLeads(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	leads, err := readLeads(body)
	if err != nil {
		t.Fatal(err)
	}
	r.portal.Inject(sandbox.Fault{Method: "batch", DropAfter: true, Times: 1})
	_, _, err = r.batch(t.Context(), []command{addLead(leads[0]), addLead(leads[1])}, writing)
	if model.ClassOf(err) != model.ClassUnknown {
		t.Fatalf("got %v", err)
	}
	if _, _, err := r.Settle(t.Context(), u); model.ClassOf(err) != model.ClassTemporary {
		t.Errorf("settled while the portal may still work: %v", err)
	}
	r.clock.Add(settleAfter + time.Second)
	if _, found, err := r.Settle(t.Context(), u); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	out, err := r.Send(t.Context(), u, body)
	if err != nil || len(out.Created) != 2 || len(r.portal.IDs(sandbox.Lead)) != 2 {
		t.Errorf("got %+v, %v, leads %v", out, err, r.portal.IDs(sandbox.Lead))
	}
	r.wantNoViolations(t)
}

func TestSendFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		class model.Class
	}{
		{"page for a batch of creates", sandbox.Fault{HTML: true}, model.ClassUnknown},
		{"too many requests were not carried out", sandbox.Fault{Status: 503, Code: "QUERY_LIMIT_EXCEEDED"}, model.ClassQuota},
		{"no rights", sandbox.Fault{Status: 403, Code: "ACCESS_DENIED"}, model.ClassPermanent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			_, body := encodeLeads(t, r, leadRow("form:1", ""))
			leads, err := readLeads(body)
			if err != nil {
				t.Fatal(err)
			}
			tt.fault.Method, tt.fault.Times = "batch", 1
			r.portal.Inject(tt.fault)
			if _, _, err := r.batch(t.Context(), []command{addLead(leads[0])}, writing); model.ClassOf(err) != tt.class {
				t.Errorf("got %v, want %s", err, tt.class)
			}
		})
	}
}

func TestSchemaIsWhole(t *testing.T) {
	t.Parallel()
	s := leadSchema()
	for kind, defaults := range s.Defaults {
		for name := range defaults {
			if _, ok := s.Parameter(name); !ok {
				t.Errorf("default of %s fills %s, which is no parameter", kind, name)
			}
		}
	}
	for code := range leadFields {
		if _, ok := s.Parameter(code); !ok {
			t.Errorf("%s is written but is no parameter", code)
		}
	}
	if plan := (&Connector{}).Plan(asLeads); plan.MaxRows > 20 {
		t.Errorf("%d creates in a batch", plan.MaxRows)
	}
}
