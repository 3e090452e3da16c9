package amocrm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

func (b *bench) leads(n int) []int64 {
	var ids []int64
	for i := range n {
		ids = append(ids, b.account.Add(sandbox.Leads, sandbox.Entity{Name: fmt.Sprint("Сделка ", i)}))
	}
	return ids
}

func refsTo(kind model.Kind, ids ...int64) []model.Ref {
	var out []model.Ref
	for _, id := range ids {
		out = append(out, model.Ref{Kind: kind, ID: itoa(id)})
	}
	return out
}

func TestFetchBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	ids := b.leads(600)
	contact := b.account.Add(sandbox.Contacts, sandbox.Entity{Name: "Иван", Fields: map[int64][]string{sandbox.ContactPhone: {"+79990001122"}}})
	company := b.account.Add(sandbox.Companies, sandbox.Entity{Name: "ООО"})
	refs := append(refsTo(model.KindDeal, ids...), refsTo(model.KindContact, contact)...)
	refs = append(refs, refsTo(model.KindCompany, company)...)
	got, err := b.Fetch(t.Context(), refs)
	if err != nil || len(got.Records) != 602 || len(got.Missing) != 0 {
		t.Fatalf("%d records, %d missing, %v", len(got.Records), len(got.Missing), err)
	}
	if calls := b.account.Calls(); calls["GET /leads"] != 3 || calls["GET /contacts"] != 1 || calls["GET /companies"] != 1 {
		t.Errorf("calls %v", calls)
	}
	b.obeys(t)
}

func TestFetchMissing(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"on", "off"} {
		t.Run("filter "+filter, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"filter": filter}, nil)
			ids := b.leads(5)
			b.account.Delete(sandbox.Leads, ids[1])
			contact := b.account.Add(sandbox.Contacts, sandbox.Entity{Name: "Иван"})
			b.account.Delete(sandbox.Contacts, contact)
			refs := append(refsTo(model.KindDeal, append(ids, 99)...), refsTo(model.KindContact, contact, contact+2)...)
			got, err := b.Fetch(t.Context(), refs)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"contact " + itoa(contact), "contact " + itoa(contact+2), "deal " + itoa(ids[1]), "deal 99"}
			slices.Sort(want)
			if missing := sortedRefs(got.Missing); len(got.Records) != 4 || !slices.Equal(missing, want) {
				t.Errorf("%d records, missing %v, want %v", len(got.Records), missing, want)
			}
			b.obeys(t)
		})
	}
}

// The account says that it filters, and does not: nothing may be taken for
// deleted (§9.14).
func TestFetchFromALiar(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"filter": "off"}, map[string]any{"advanced_filter": "on"})
	ids := b.leads(400)
	b.account.Delete(sandbox.Leads, ids[300])
	got, err := b.Fetch(t.Context(), refsTo(model.KindDeal, ids[280:310]...))
	if err != nil || len(got.Records) != 29 || len(got.Missing) != 1 || got.Missing[0].ID != itoa(ids[300]) {
		t.Errorf("%d records, missing %v, %v", len(got.Records), got.Missing, err)
	}
}

// A spurious 204 for things that are there.
func TestFetchEmptyAnswerByMistake(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 15, 200} {
		b := newBench(t, nil, nil)
		ids := b.leads(n)
		b.account.Inject(sandbox.Fault{Path: "/api/v4/leads", Status: 204, Times: 2})
		got, err := b.Fetch(t.Context(), refsTo(model.KindDeal, ids...))
		if err != nil || len(got.Records) != n || len(got.Missing) != 0 {
			t.Errorf("%d: %d records, %d missing, %v", n, len(got.Records), len(got.Missing), err)
		}
	}
}

func TestFetchKeepsWhatWasReadBeforeAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	ids := b.leads(300)
	b.account.Inject(sandbox.Fault{Path: "/api/v4/leads", Skip: 1, Status: 500})
	got, err := b.Fetch(t.Context(), refsTo(model.KindDeal, ids...))
	classOf(t, err, model.ClassTemporary, model.CauseRemoteFailure)
	if len(got.Records) != 250 || len(got.Missing) != 0 {
		t.Errorf("%d records, %d missing", len(got.Records), len(got.Missing))
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	records, err := b.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	keys := map[model.Key]bool{}
	for _, r := range records {
		if keys[r.Meta().Key()] {
			t.Errorf("%s twice", r.Meta().Key())
		}
		keys[r.Meta().Key()] = true
		out = append(out, described(r))
	}
	golden(t, "catalogue", out)
	b.account.Inject(sandbox.Fault{Path: "/api/v4/users", Status: 403, Body: `{"status":403}`, ContentType: "application/problem+json"})
	fewer, err := b.Catalogue(t.Context())
	if err != nil || len(fewer) != len(records)-3 {
		t.Errorf("without the right to see users: %d of %d, %v", len(fewer), len(records), err)
	}
	b.obeys(t)
}
