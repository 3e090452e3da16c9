package bitrix24

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
)

// both runs a test with either family of methods.
func both(t *testing.T, fn func(t *testing.T, family string)) {
	t.Helper()
	for _, family := range []string{readItem, readClassic} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			fn(t, family)
		})
	}
}

func refsTo(kind model.Kind, ids ...int) []model.Ref {
	var out []model.Ref
	for _, id := range ids {
		out = append(out, model.Ref{Kind: kind, ID: strconv.Itoa(id)})
	}
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	who, err := r.Check(t.Context())
	if err != nil || !strings.Contains(who, "user 1, administrator") {
		t.Fatalf("got %q, %v", who, err)
	}
	r.portal.SetRights("user")
	if _, err := r.Check(t.Context()); model.CauseOf(err) != model.CauseForbidden {
		t.Errorf("without the right crm: %v", err)
	}
	given := r.portal.Settings(r.server.URL)
	given["url"] = strings.Replace(given["url"].(string), sandbox.Secret, "0000000000000000", 1)
	wrong := r.connect(t, given, rigOptions{})
	if _, err := wrong.Check(t.Context()); model.ClassOf(err) != model.ClassReauth || strings.Contains(err.Error(), "0000000000000000") {
		t.Errorf("with a wrong code: %v", err)
	}
	r.wantNoViolations(t)
}

func TestFetch(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, family string) {
		r := newRig(t, rigOptions{settings: map[string]any{"read_with": family}})
		r.portal.AddUserField(sandbox.Deal, "1700000001", "Визит roistat", "string")
		contact := r.portal.AddContact(sandbox.Fields{"NAME": "Анна", "LAST_NAME": "Ким", "PHONE": []string{"8 900 123-45-67", "+7 901 000-00-00"}, "EMAIL": "a@example.ru"})
		company := r.portal.AddCompany(sandbox.Fields{"TITLE": "ООО «Луч»", "PHONE": "+7 495 111-22-33"})
		lead := r.portal.AddLead(sandbox.Fields{"TITLE": "Заявка", "NAME": "Пётр", "PHONE": "+79020000000", "SOURCE_ID": "WEB"})
		deal := r.portal.AddDeal(sandbox.Fields{"TITLE": "Заказ", "OPPORTUNITY": "1500.50", "CONTACT_ID": contact, "COMPANY_ID": company, "LEAD_ID": lead,
			"UTM_SOURCE": "yandex", "UF_CRM_1700000001": "555", "COMMENTS": "срочно"})
		r.clock.Add(time.Hour)
		r.portal.UpdateDeal(deal, sandbox.Fields{"STAGE_ID": "WON"})

		refs := append(refsTo(model.KindDeal, deal, 999), refsTo(model.KindContact, contact)...)
		refs = append(refs, refsTo(model.KindLead, lead)...)
		refs = append(refs, refsTo(model.KindCompany, company)...)
		refs = append(refs, model.Ref{Kind: model.KindDeal, ID: "not a number"}, model.Ref{Kind: model.KindDeal, ID: strconv.Itoa(deal)})
		before := r.portal.Calls("")
		got, err := r.Fetch(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		if calls := r.portal.Calls("") - before; calls != 2 { // one for the fields' names, once
			t.Errorf("%d calls, want 2", calls)
		}
		if len(got.Missing) != 2 || len(got.Records) != 4 {
			t.Fatalf("%d records, missing %v", len(got.Records), got.Missing)
		}
		for _, rec := range got.Records {
			for code := range rec.Meta().Fields { // the families differ in which of these they tell
				if !strings.HasPrefix(code, "UF_") && code != "PHONE" && code != "EMAIL" && code != "SOURCE_ID" {
					delete(rec.Meta().Fields, code)
				}
			}
		}
		golden(t, "fetch", connectortest.Show(got.Records...)) // the same for both families
		r.wantNoViolations(t)
	})
}

// 2500 references of four kinds take as few calls as can be.
func TestFetchIsBatched(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	var refs []model.Ref
	for i := range 2500 {
		refs = append(refs, refsTo(model.KindDeal, r.portal.AddDeal(sandbox.Fields{"TITLE": fmt.Sprint("Заказ ", i)}))...)
	}
	if _, err := r.trackingFields(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.portal.Calls("")
	got, err := r.Fetch(t.Context(), refs[:r.FetchLimit()])
	if err != nil || len(got.Records) != 2500 || len(got.Missing) != 0 {
		t.Fatalf("%d records, %d missing, %v", len(got.Records), len(got.Missing), err)
	}
	if calls := r.portal.Calls("") - before; calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

// What one command of a batch does not tell leaves the others' answers.
func TestFetchKeepsGoodCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: map[string]any{"read_with": readClassic}})
	deal, contact := r.portal.AddDeal(nil), r.portal.AddContact(nil)
	if _, err := r.trackingFields(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.portal.Burn("crm.contact.list", 500)
	got, err := r.Fetch(t.Context(), append(refsTo(model.KindContact, contact), refsTo(model.KindDeal, deal)...))
	if model.ClassOf(err) != model.ClassQuota {
		t.Fatalf("got %v, want quota", err)
	}
	if len(got.Records) != 1 || got.Records[0].Meta().Kind != model.KindDeal || len(got.Missing) != 0 {
		t.Errorf("got %v, missing %v", connectortest.Show(got.Records...), got.Missing)
	}
	key := "bitrix24:" + strings.TrimPrefix(r.server.URL, "http://")
	if !r.limiter.IsPaused(key+":crm.contact.list") || r.limiter.IsPaused(key) {
		t.Error("only the method should be paused")
	}
	if _, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal)); err != nil {
		t.Errorf("deals are not concerned: %v", err)
	}
}

// A portal without crm.item.list is read with the classic methods, and that is
// remembered.
func TestFallsBackToClassic(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	for _, m := range []string{"crm.item.list", "crm.item.fields"} {
		r.portal.Inject(sandbox.Fault{Method: m, Missing: true})
	}
	deal := r.portal.AddDeal(sandbox.Fields{"TITLE": "Заказ"})
	for range 2 {
		got, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal))
		if err != nil || len(got.Records) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if r.portal.Commands("crm.item.list") != 0 || r.portal.Commands("crm.deal.list") != 2 {
		t.Error("the missing method was tried again, or another was used")
	}
	strict := newRig(t, rigOptions{settings: map[string]any{"read_with": readItem}})
	strict.portal.Inject(sandbox.Fault{Method: "crm.item.list", Missing: true})
	if _, err := strict.Fetch(t.Context(), refsTo(model.KindDeal, 1)); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("read_with item: got %v", err)
	}
}

// drain polls a stream to its end and gives what came, by key.
func (r *rig) drain(t *testing.T, stream, cursor string) (records map[string]model.Record, next string, pages []connectors.Page) {
	t.Helper()
	records = map[string]model.Record{}
	for {
		page, err := r.Poll(t.Context(), stream, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page.Records {
			records[rec.Meta().Key().String()] = rec
		}
		cursor = page.Cursor
		page.Records = nil
		pages = append(pages, page)
		if !page.More {
			return records, cursor, pages
		}
		if len(pages) > 1000 {
			t.Fatal("the poll does not end")
		}
	}
}

func TestImportThenChanges(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, family string) {
		r := newRig(t, rigOptions{settings: map[string]any{"read_with": family}, sandbox: map[string]string{"limit_scale": "0"}})
		const n = 2750
		for i := range n {
			r.portal.AddDeal(sandbox.Fields{"TITLE": fmt.Sprint("Заказ ", i)})
		}
		r.portal.DeleteDeal(50) // ids have gaps
		got, cursor, pages := r.drain(t, "deal", "")
		if len(got) != n-1 {
			t.Fatalf("imported %d of %d", len(got), n-1)
		}
		if len(pages) != 2 || !pages[0].Importing || pages[0].Done != 2450 || pages[0].Total != n-1 || pages[1].Importing || pages[1].Done != n-1 {
			t.Errorf("progress %+v", pages)
		}

		// Nothing changed: the window holds the overlap only.
		r.clock.Add(time.Hour)
		_, cursor, _ = r.drain(t, "deal", cursor)
		r.clock.Add(time.Hour)
		before := r.portal.Calls("")
		got, cursor, _ = r.drain(t, "deal", cursor)
		if len(got) != 0 || r.portal.Calls("")-before != 1 {
			t.Errorf("%d records in %d calls though nothing changed", len(got), r.portal.Calls("")-before)
		}

		// A mass change in one second is paged by id.
		for id := 100; id < 400; id++ {
			r.portal.UpdateDeal(id, sandbox.Fields{"STAGE_ID": "WON"})
		}
		got, cursor, _ = r.drain(t, "deal", cursor)
		if len(got) != 300 {
			t.Errorf("%d of 300 changes", len(got))
		}
		// Within the overlap they come once more, and then no longer.
		r.clock.Add(11 * time.Minute)
		_, cursor, _ = r.drain(t, "deal", cursor)
		r.clock.Add(11 * time.Minute)
		if got, _, _ = r.drain(t, "deal", cursor); len(got) != 0 {
			t.Errorf("%d changes are repeated for ever", len(got))
		}
		r.wantNoViolations(t)
	})
}

// What changes while a window is read is not lost: it comes in this window or
// the next.
func TestChangesDuringPolling(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0", "operating_cost": "0"}})
	for range 300 {
		r.portal.AddDeal(nil)
	}
	cursor, last := "", map[string]time.Time{}
	for round := range 40 {
		page, err := r.Poll(t.Context(), "deal", cursor)
		if err != nil {
			t.Fatal(err)
		}
		cursor = page.Cursor
		for _, rec := range page.Records {
			last[rec.Meta().ID] = rec.Meta().UpdatedAt
		}
		r.clock.Add(time.Minute)
		if round < 25 {
			for i := range 20 {
				r.portal.UpdateDeal(1+(round*37+i*29)%300, sandbox.Fields{"OPPORTUNITY": fmt.Sprint(round)})
			}
		}
	}
	for _, id := range r.portal.IDs(sandbox.Deal) {
		want, err := time.Parse(time.RFC3339, r.portal.Get(sandbox.Deal, id)["DATE_MODIFY"])
		if err != nil {
			t.Fatal(err)
		}
		if got := last[strconv.Itoa(id)]; !got.Equal(want) {
			t.Errorf("deal %d: version of %v, the portal has that of %v", id, got, want)
		}
	}
}

// An import that was cut off after any page goes on where it stopped.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	for range 120 {
		r.portal.AddContact(sandbox.Fields{"NAME": "Анна"})
	}
	page, err := r.Poll(t.Context(), "contact", "")
	if err != nil || len(page.Records) != 120 || page.More {
		t.Fatalf("%d records, more %v, %v", len(page.Records), page.More, err)
	}
	again, err := r.Poll(t.Context(), "contact", `{"phase":"import","after":70,"next":"2026-03-02T09:00:00Z","done":70,"total":120}`)
	if err != nil || len(again.Records) != 50 || again.Done != 120 || again.More {
		t.Fatalf("%d records, %+v, %v", len(again.Records), again, err)
	}
	for _, bad := range []string{"nonsense", `{"phase":"x"}`, `{"phase":"changes","list":5}`, `{"phase":"import","after":-1}`} {
		if _, err := r.Poll(t.Context(), "contact", bad); model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("cursor %s: %v", bad, err)
		}
	}
	if _, err := r.Poll(t.Context(), "invoice", ""); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("unknown stream: %v", err)
	}
}

func TestStageHistory(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	deal, lead := r.portal.AddDeal(nil), r.portal.AddLead(nil)
	r.clock.Add(time.Hour)
	r.portal.UpdateDeal(deal, sandbox.Fields{"STAGE_ID": "WON"})
	r.portal.UpdateLead(lead, sandbox.Fields{"STATUS_ID": "JUNK"})
	got, cursor, pages := r.drain(t, "stage_change", "")
	if len(got) != 4 || pages[len(pages)-1].Done != 4 || pages[0].Total != 4 {
		t.Fatalf("got %d steps, %+v", len(got), pages)
	}
	won := got["b24/stage_change/deal:2"].(*model.StageChange)
	if won.DealID != strconv.Itoa(deal) || won.StatusID != "WON" || won.Semantics != model.SemanticsWon || won.PipelineID != "0" || won.CreatedAt.IsZero() {
		t.Errorf("got %+v", won)
	}
	junk := got["b24/stage_change/lead:2"].(*model.StageChange)
	if junk.LeadID != strconv.Itoa(lead) || junk.DealID != "" || junk.StatusID != "JUNK" || junk.Semantics != model.SemanticsLost {
		t.Errorf("got %+v", junk)
	}
	r.clock.Add(time.Hour)
	r.portal.MoveDeal(deal, 1, "C1:NEW")
	got, _, _ = r.drain(t, "stage_change", cursor)
	if step, ok := got["b24/stage_change/deal:3"].(*model.StageChange); !ok || step.PipelineID != "1" || step.StatusID != "C1:NEW" {
		t.Errorf("got %v", got)
	}

	r.portal.Inject(sandbox.Fault{Method: "crm.stagehistory.list", Missing: true})
	if page, err := r.Poll(t.Context(), "stage_change", ""); err != nil || len(page.Records) != 0 {
		t.Errorf("a box without history: %v, %v", page, err)
	}
	r.wantNoViolations(t)
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, family string) {
		r := newRig(t, rigOptions{settings: map[string]any{"read_with": family}, sandbox: map[string]string{"limit_scale": "0"}})
		r.portal.AddUserField(sandbox.Deal, "1700000001", "Визит roistat", "string")
		r.portal.AddUserField(sandbox.Deal, "1700000002", "Цвет", "enumeration", "красный", "синий")
		r.portal.AddUsers(120)
		all, err := r.Catalogue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		byKey := map[string]*model.Reference{}
		counts := map[model.Kind]int{}
		for _, rec := range all {
			ref := rec.(*model.Reference)
			if byKey[ref.Key().String()] != nil {
				t.Errorf("%s twice", ref.Key())
			}
			byKey[ref.Key().String()] = ref
			counts[ref.Kind]++
		}
		if counts[model.KindEmployee] != 123 || counts[model.KindPipeline] != 2 || counts[model.KindStatus] != 5+7+7 {
			t.Errorf("counts %v", counts)
		}
		for key, want := range map[string]func(*model.Reference) bool{
			"b24/pipeline/0": func(r *model.Reference) bool { return r.Name == "Общая" && r.PipelineID == "0" },
			"b24/status/deal:0:NEW": func(r *model.Reference) bool {
				return r.StatusID == "NEW" && r.Semantics == model.SemanticsOpen && r.Of == model.KindDeal
			},
			"b24/status/deal:1:C1:WON": func(r *model.Reference) bool {
				return r.StatusID == "C1:WON" && r.PipelineID == "1" && r.Semantics == model.SemanticsWon
			},
			"b24/status/deal:0:APOLOGY": func(r *model.Reference) bool { return r.Semantics == model.SemanticsLost },
			"b24/status/lead:CONVERTED": func(r *model.Reference) bool { return r.Of == model.KindLead && r.Semantics == model.SemanticsWon },
			"b24/employee/1": func(r *model.Reference) bool {
				return r.Name == "Анна Орлова" && r.Active && r.Emails[0] == "orlova@example.ru"
			},
			"b24/employee/3":                   func(r *model.Reference) bool { return !r.Active },
			"b24/field/deal:SOURCE_ID":         func(r *model.Reference) bool { return r.Choices["WEB"] == "Веб-сайт" },
			"b24/field/deal:UF_CRM_1700000001": func(r *model.Reference) bool { return r.Name == "Визит roistat" && len(r.Aliases) == 1 },
			"b24/field/deal:UF_CRM_1700000002": func(r *model.Reference) bool { return len(r.Choices) == 2 },
		} {
			if ref := byKey[key]; ref == nil || !want(ref) {
				t.Errorf("%s: got %+v", key, ref)
			}
		}
		r.portal.SetRights("crm")
		all, err = r.Catalogue(t.Context())
		if err != nil || len(all) != len(byKey)-counts[model.KindEmployee] {
			t.Errorf("without the right to users: %d, %v", len(all), err)
		}
		r.wantNoViolations(t)
	})
}

// The import never keeps a (record, page) twice though references behind the
// last page begin the list again.
func TestChainIgnoresWrappedPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	for range 75 {
		r.portal.AddLead(nil)
	}
	page, err := r.Poll(context.Background(), "lead", "")
	if err != nil || len(page.Records) != 75 {
		t.Fatalf("%d records, %v", len(page.Records), err)
	}
}

// Calls that are cut off make batches smaller, down to five commands, and
// answers make them wider again.
func TestBatchesNarrow(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{sandbox: map[string]string{"limit_scale": "0"}})
	var refs []model.Ref
	for range 600 {
		refs = append(refs, refsTo(model.KindDeal, r.portal.AddDeal(nil))...)
	}
	if _, err := r.trackingFields(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.portal.Inject(sandbox.Fault{Method: "batch", HTML: true, Status: 504, Times: 1})
	if _, err := r.Fetch(t.Context(), refs); model.ClassOf(err) != model.ClassTemporary {
		t.Fatalf("got %v", err)
	}
	if w := r.width(); w != 6 {
		t.Errorf("twelve commands were cut; now %d", w)
	}
	before := r.portal.Calls("batch")
	if got, err := r.Fetch(t.Context(), refs); err != nil || len(got.Records) != 600 {
		t.Fatalf("%d records, %v", len(got.Records), err)
	}
	if n := r.portal.Calls("batch") - before; n != 2 { // six commands, and six of eleven
		t.Errorf("%d calls", n)
	}
	for range 100 {
		r.narrow(50, model.Errorf(model.ClassTemporary, model.CauseNetwork, "cut"))
	}
	if w := r.width(); w != 25 {
		t.Errorf("fifty commands were cut; now %d", w)
	}
	for range 10 {
		r.narrow(50, nil)
	}
	if w := r.width(); w != 50 {
		t.Errorf("after good answers %d", w)
	}
}
