// Package viewtest sets up a small hub for tests of what operators are shown:
// two projects on a real database, with something of everything in the first
// and a foreign one beside it.
package viewtest

import (
	"context"
	_ "embed" // payloads
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Payloads as they came; README.md says from where.
var (
	//go:embed event-lead-add-doc.json
	BitrixEvent []byte
	//go:embed webhook-leads-add-2025.form
	AmoForm []byte
)

// Now is the time of the tests.
var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Marker stands in everything of the other project: nobody who looks at the
// first one may see it.
const Marker = "clinic-only"

// Evil is a payload that would do harm if a page did not escape it.
const Evil = `{"name": "<script>alert(1)</script>", "note": "\"><img src=x onerror=alert(2)>"}`

// Hub is a hub that was set up.
type Hub struct {
	DB       *store.DB
	Projects []view.Project

	Done, Refused, Evil, Foreign int64 // journal entries
	Accepted, Split, Other       int64 // uploads; Other is the clinic's
}

// New sets the hub up.
func New(t testing.TB) *Hub {
	t.Helper()
	ctx := t.Context()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "svod.db"), store.Options{Now: func() time.Time { return Now }})
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	check(t, db.Migrate(ctx))
	h := &Hub{DB: db, Projects: Projects()}
	h.journal(ctx, t)
	h.records(ctx, t)
	h.orders(ctx, t)
	h.states(ctx, t)
	h.clinic(ctx, t)
	return h
}

// Projects are the projects of the hub.
func Projects() []view.Project {
	moscow := time.FixedZone("Europe/Moscow", 3*60*60)
	return []view.Project{
		{
			ID: "shop", Name: "Магазин", Zone: moscow,
			Connections: []view.Connection{
				{
					ID: "b24", Kind: "bitrix24", Title: connectors.Text{EN: "Bitrix24", RU: "Битрикс24"},
					HookURL: "https://hub.example.ru/hooks/shop/b24/hook-secret",
				},
				{ID: "metrica", Kind: "yandex-metrica", Title: connectors.Text{EN: "Yandex Metrica", RU: "Яндекс Метрика"}},
				{
					ID: "roistat", Kind: "roistat", Title: connectors.Text{EN: "Roistat"},
					PullURL: "https://hub.example.ru/pull/shop/roistat/pull-secret",
				},
			},
			Flows: []view.Flow{
				{ID: "clients", Record: model.KindContact, As: "contacts", From: []string{"b24"}, To: "metrica", Paused: true},
				{ID: "orders", Record: model.KindDeal, As: "orders", From: []string{"b24"}, To: "metrica", HasStatuses: true},
			},
		},
		{
			ID: "clinic", Name: "Клиника", Zone: time.UTC,
			Connections: []view.Connection{
				{ID: "amo", Kind: "amocrm", Title: connectors.Text{EN: "amoCRM"}, HookURL: "https://hub.example.ru/hooks/clinic/amo/" + Marker},
				{ID: "ga", Kind: "ga4", Title: connectors.Text{EN: "GA4"}},
			},
			Flows: []view.Flow{{ID: "visits", Record: model.KindDeal, As: "events", From: []string{"amo"}, To: "ga", HasStatuses: true}},
		},
	}
}

func (h *Hub) journal(ctx context.Context, t testing.TB) {
	entries := []*store.Entry{
		{
			Project: "shop", Connection: "b24", ReceivedAt: Now.Add(-time.Hour), Method: "POST", Body: BitrixEvent,
			Header: []byte(`{"Content-Type":["application/json"],"X-Api-Token":["very-secret"]}`), Remote: "192.0.2.1", Query: "a=1&token=query-secret",
		},
		{Project: "shop", Connection: "b24", ReceivedAt: Now.Add(-30 * time.Minute), Method: "POST", Body: AmoForm},
		{Project: "shop", Connection: "b24", ReceivedAt: Now.Add(-20 * time.Minute), Method: "POST", Body: []byte(Evil)},
	}
	check(t, h.DB.AppendJournal(ctx, entries))
	h.Done, h.Refused, h.Evil = entries[0].ID, entries[1].ID, entries[2].ID
	check(t, h.DB.SettleJournal(ctx, "shop", []store.Settlement{
		{ID: h.Done, State: store.EntryDone, Note: "ONCRMLEADADD lead 1000983"},
		{ID: h.Refused, State: store.EntryRefused, Cause: model.CauseForeignAccount, Error: "The event names the account unirock."},
	}))
}

func (h *Hub) records(ctx context.Context, t testing.TB) {
	contact := &model.Contact{Name: "Иван <b>Петров</b>", Phones: []string{"79995551122"}, Emails: []string{"ivan@example.ru"}}
	contact.Base = base(model.KindContact, "b24", "77")
	contact.Fields = model.Fields{"UF_NOTE": "звонить +7 999 555-11-22 или ivan@example.ru"}
	list := []model.Record{contact}
	for i := 1; i <= 120; i++ {
		d := &model.Deal{Title: fmt.Sprintf("Заказ %d", i), Currency: "RUB", StatusID: "NEW"}
		d.Base = base(model.KindDeal, "b24", fmt.Sprintf("%03d", i))
		d.Amount = model.NewDecimal(decimal.NewFromInt(int64(i)))
		d.ContactID = "77"
		list = append(list, d)
	}
	_, err := h.DB.ApplyRecords(ctx, "shop", list)
	check(t, err)
}

func base(kind model.Kind, connection, id string) model.Base {
	return model.Base{
		Kind: kind, Connection: connection, ID: id, CreatedAt: Now.Add(-48 * time.Hour), UpdatedAt: Now.Add(-24 * time.Hour), ReadAt: Now,
	}
}

// orders makes an accepted upload with a refused row and one that was split.
func (h *Hub) orders(ctx context.Context, t testing.TB) {
	end, err := h.DB.FeedEnd(ctx, "shop")
	check(t, err)
	_, err = h.DB.FanOut(ctx, store.FanOut{Project: "shop", Flow: "orders", Connections: []string{"b24"}, Kind: model.KindDeal, To: end})
	check(t, err)
	due, err := h.DB.DueDeliveries(ctx, "shop", "orders", model.KindDeal, 0, 200)
	check(t, err)
	if len(due) != 120 {
		t.Fatalf("%d rows are due, want 120", len(due))
	}
	h.Accepted = h.upload(ctx, t, "orders", "metrica", due[:10], func(u store.Upload) {
		u.Status, u.RemoteID, u.Accepted, u.Refused, u.FinishedAt = store.UploadAccepted, "4242", 9, 1, Now
		u.Details = []byte(`{"uploading":{"id":4242,"status":"PROCESSED","oauth_token":"answer-secret"}}`)
		check(t, h.DB.AcceptUpload(ctx, u, []store.RowRefusal{
			{RowKey: due[0].ID, Cause: model.CauseRefusedByRemote, Error: "The client is not known."},
		}, nil))
	})
	h.Split = h.upload(ctx, t, "orders", "metrica", due[10:14], func(u store.Upload) {
		u.Cause, u.Error = model.CauseUploadRejected, "Line 3: bad date."
		parts, err := h.DB.SplitUpload(ctx, u)
		check(t, err)
		check(t, h.DB.RefuseUpload(ctx, refused(parts[0]), model.CauseBadValue, "bad date"))
	})
	check(t, h.DB.SettleDue(ctx, "shop", "orders", []store.Verdict{
		{Connection: "b24", ID: due[20].ID, RowKey: due[20].ID, Seq: due[20].WantedSeq, State: store.DeliveryWaiting, Needs: "77", Cause: model.CauseWaitsForContact},
		{Connection: "b24", ID: due[21].ID, Seq: due[21].WantedSeq, State: store.DeliveryRefused, Cause: model.CauseStatusUnmapped, Error: "The status <i>X</i> has no pair."},
	}))
}

func refused(u store.Upload) store.Upload {
	u.Status, u.Cause, u.FinishedAt = store.UploadRejected, model.CauseUploadRejected, Now
	return u
}

func (h *Hub) upload(ctx context.Context, t testing.TB, flow, to string, due []store.Due, finish func(store.Upload)) int64 {
	u := store.Upload{
		Project: due[0].Project, Flow: flow, Connection: to, As: "orders", Mode: "SAVE", Status: store.UploadBuilding,
		Rows: len(due), CreatedAt: Now.Add(-10 * time.Minute),
	}
	check(t, h.DB.CreateUpload(ctx, &u))
	var rows []store.Sending
	for i, d := range due {
		rows = append(rows, store.Sending{
			Connection: d.Connection, ID: d.ID, RowKey: d.ID, Seq: d.WantedSeq, Hash: []byte(d.ID), Position: i,
		})
	}
	check(t, h.DB.FillUpload(ctx, u.ID, rows))
	finish(u)
	return u.ID
}

func (h *Hub) states(ctx context.Context, t testing.TB) {
	check(t, h.DB.TouchConnection(ctx, "shop", "b24", Now.Add(-time.Minute), Now.Add(-2*time.Minute)))
	check(t, h.DB.SavePollState(ctx, store.PollState{
		Project: "shop", Connection: "b24", Stream: "deals", Importing: true, Done: 120, Total: 480, LastRun: Now.Add(-time.Minute), NextRun: Now.Add(time.Minute),
	}))
	check(t, h.DB.RequestRefs(ctx, "shop", "b24", []model.Ref{{Kind: model.KindDeal, ID: "500"}}))
	_, err := h.DB.SetConnectionStatus(ctx, "shop", "roistat", view.ConnectionFailing, model.CauseSharpDrop,
		"The list fell from 900 to 3 orders.", time.Time{})
	check(t, err)
	state, err := h.DB.FlowState(ctx, "shop", "orders")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	state.Project, state.Flow = "shop", "orders"
	state.LastRun, state.LastSuccess, state.NextRun = Now.Add(-time.Minute), Now.Add(-10*time.Minute), Now.Add(time.Hour)
	check(t, h.DB.SaveFlowState(ctx, state))
}

// clinic puts the marker into every kind of thing of the other project.
func (h *Hub) clinic(ctx context.Context, t testing.TB) {
	e := &store.Entry{Project: "clinic", Connection: "amo", ReceivedAt: Now.Add(-time.Minute), Method: "POST", Body: []byte(`{"x":"` + Marker + `"}`)}
	check(t, h.DB.AppendJournal(ctx, []*store.Entry{e}))
	h.Foreign = e.ID
	check(t, h.DB.SettleJournal(ctx, "clinic", []store.Settlement{{ID: e.ID, State: store.EntryRefused, Cause: model.CauseBadPayload, Error: Marker, Note: Marker}}))
	d := &model.Deal{Title: Marker}
	d.Base = base(model.KindDeal, "amo", Marker)
	_, err := h.DB.ApplyRecords(ctx, "clinic", []model.Record{d})
	check(t, err)
	end, err := h.DB.FeedEnd(ctx, "clinic")
	check(t, err)
	_, err = h.DB.FanOut(ctx, store.FanOut{Project: "clinic", Flow: "visits", Connections: []string{"amo"}, Kind: model.KindDeal, To: end})
	check(t, err)
	due, err := h.DB.DueDeliveries(ctx, "clinic", "visits", model.KindDeal, 0, 10)
	check(t, err)
	h.Other = h.upload(ctx, t, "visits", "ga", due, func(u store.Upload) {
		u.Status, u.Error, u.RemoteID, u.FinishedAt = store.UploadAccepted, Marker, Marker, Now
		check(t, h.DB.AcceptUpload(ctx, u, []store.RowRefusal{{RowKey: Marker, Cause: model.CauseRefusedByRemote, Error: Marker}}, nil))
	})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
