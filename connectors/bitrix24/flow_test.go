package bitrix24

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

// A small hub around the connector: what events name is re-read and kept, the
// newest version of each. In the end it has what the portal has, though events
// came late, twice, in any order and from people who may not send them.
func TestEventsToRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	var mu sync.Mutex
	var deliveries []connectors.Delivery
	hub := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		deliveries = append(deliveries, connectors.Delivery{Method: q.Method, Header: q.Header, Body: body})
	}))
	defer hub.Close()
	r.portal.SetHookURL(hub.URL)
	if err := r.portal.Traffic(t.Context(), sandbox.Load{Companies: 5, Contacts: 100, Leads: 50, Deals: 150, Changes: 500}); err != nil {
		t.Fatal(err)
	}
	r.portal.Forge()
	r.portal.MixedCase(1)
	if err := r.portal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	wanted := map[model.Ref]bool{}
	refused := map[model.Cause]int{}
	for _, d := range deliveries {
		in, err := r.Receive(d)
		if err != nil {
			refused[model.CauseOf(err)]++
		}
		for _, ref := range in.Refs {
			wanted[ref] = true
		}
	}
	if refused[model.CauseWrongToken] != 2 || refused[model.CauseForeignAccount] != 1 || refused[model.CauseUnknownEvent] != 1 || len(refused) != 3 {
		t.Errorf("refused %v", refused)
	}
	var refs []model.Ref
	for ref := range wanted {
		refs = append(refs, ref)
	}
	records := map[model.Ref]model.Record{}
	gone := map[model.Ref]bool{}
	for part := range slices.Chunk(refs, r.FetchLimit()) {
		got, err := r.Fetch(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range got.Records {
			records[rec.Meta().Key().Ref()] = rec
		}
		for _, ref := range got.Missing {
			gone[ref] = true
		}
	}
	for _, kind := range []model.Kind{model.KindCompany, model.KindContact, model.KindDeal, model.KindLead} {
		ids := r.portal.IDs(string(kind))
		for _, id := range ids {
			ref := model.Ref{Kind: kind, ID: strconv.Itoa(id)}
			rec := records[ref]
			if rec == nil {
				t.Errorf("%s %d was lost", kind, id)
				continue
			}
			if want := r.portal.Get(string(kind), id)["DATE_MODIFY"]; rec.Meta().Fields.Text("DATE_MODIFY") != want {
				t.Errorf("%s %d: version of %s, want %s", kind, id, rec.Meta().Fields.Text("DATE_MODIFY"), want)
			}
			if kind == model.KindDeal && (rec.Meta().Roistat == "" || rec.Meta().ClientID == "" || rec.Meta().UTM.Source != "yandex") {
				t.Errorf("deal %d without tracking: %+v", id, rec.Meta().Tracking)
			}
		}
	}
	if len(gone) == 0 {
		t.Error("nothing was deleted; the test says nothing about deletions")
	}
	for ref := range gone {
		if records[ref] != nil || r.portal.Get(string(ref.Kind), atoi(t, ref.ID)) != nil {
			t.Errorf("%v is there and gone", ref)
		}
	}
	r.wantNoViolations(t)
}

// What events missed, the poll brings.
func TestPollCatchesWhatEventsMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	deal := r.portal.AddDeal(nil)
	_, cursor, _ := r.drain(t, "deal", "")
	r.clock.Add(time.Hour)
	r.portal.UpdateDeal(deal, sandbox.Fields{"STAGE_ID": "WON"}) // nobody listens
	got, _, _ := r.drain(t, "deal", cursor)
	if d, ok := got["b24/deal/1"].(*model.Deal); !ok || d.StatusID != "WON" || d.ClosedAt.IsZero() {
		t.Errorf("got %v", got)
	}
}

// The fields of the settings go before those that are found by name.
func TestTrackingOfSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: map[string]any{"tracking": map[string]any{"roistat": "UF_CRM_VISIT"}}})
	r.portal.AddUserField(sandbox.Deal, "VISIT", "Визит", "string")
	r.portal.AddUserField(sandbox.Deal, "ROISTAT", "roistat", "string")
	deal := r.portal.AddDeal(sandbox.Fields{"UF_CRM_VISIT": "111", "UF_CRM_ROISTAT": "222"})
	other := r.portal.AddDeal(sandbox.Fields{"UF_CRM_ROISTAT": "222"})
	got, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal, other))
	if err != nil || len(got.Records) != 2 {
		t.Fatal(got, err)
	}
	for i, want := range []string{"111", "222"} {
		if roistat := got.Records[i].Meta().Roistat; roistat != want {
			t.Errorf("got %s, want %s", roistat, want)
		}
	}
	// A field that was made later is found with the next list of reference data.
	r.portal.AddUserField(sandbox.Deal, "YCLID", "yclid", "string")
	r.portal.UpdateDeal(deal, sandbox.Fields{"UF_CRM_YCLID": "333"})
	if _, err := r.Catalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err = r.Fetch(t.Context(), refsTo(model.KindDeal, deal))
	if err != nil || got.Records[0].Meta().YCLID != "333" {
		t.Errorf("got %v, %v", connectortest.Show(got.Records...), err)
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
