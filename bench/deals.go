package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// prepare opens the hub's database before the hub does and lets fill write into
// it.
func (c *config) prepare(ctx context.Context, fill func(*store.DB) error) error {
	db, err := store.Open(ctx, c.database, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return fill(db)
}

const fillStep = 5000

// fillDeals stores deals of an amoCRM account and their contact, as if all
// lists had been read to their ends.
func fillDeals(ctx context.Context, db *store.DB, n int) error {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	batch := []model.Record{&model.Contact{
		Base: model.Base{Kind: model.KindContact, Connection: "amo", ID: "1", CreatedAt: at, UpdatedAt: at, ReadAt: at},
		Name: "Клиент", Phones: []string{"79160000000"}, Emails: []string{"client@example.ru"},
	}}
	for id := 1; id <= n; id++ {
		changed := at.Add(time.Duration(id) * time.Second)
		batch = append(batch, &model.Deal{
			Base: model.Base{Kind: model.KindDeal, Connection: "amo", ID: strconv.Itoa(id), CreatedAt: at, UpdatedAt: changed, ReadAt: changed,
				Links:    model.Links{ContactID: "1", EmployeeID: strconv.Itoa(id % 10)},
				Tracking: model.Tracking{ClientID: "1234567890123456789", UTM: model.UTM{Source: "yandex", Medium: "cpc", Campaign: "brand"}},
				Fields:   model.Fields{"1001": "value", "1002": []string{"a", "b"}, "SOURCE_ID": "WEB"}},
			Title: "Заявка " + strconv.Itoa(id), Amount: model.NewDecimal(decimal.New(int64(id), -2)), Currency: "RUB",
			StatusID: strconv.Itoa(amocrm.StatusWork), PipelineID: strconv.Itoa(amocrm.MainPipeline),
		})
		if len(batch) < fillStep && id < n {
			continue
		}
		if _, err := db.ApplyRecords(ctx, project, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	for _, stream := range []string{"contact", "company", "lead", "events"} {
		st := store.PollState{Project: project, Connection: "amo", Stream: stream, Cursor: "1", LastRun: time.Now(), NextRun: time.Now().Add(time.Hour)}
		if err := db.SavePollState(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// fillJournal stores entries that wait, or that are done.
func fillJournal(ctx context.Context, db *store.DB, n int, body func(int) []byte, settle func(i int, e *store.Entry)) error {
	header := []byte(`{"Content-Type":["application/x-www-form-urlencoded"],"User-Agent":["amoCRM-Webhooks/3.0"]}`)
	batch := make([]*store.Entry, 0, fillStep)
	start := time.Now().Add(-time.Duration(n) * time.Millisecond)
	for i := range n {
		e := &store.Entry{Project: project, Connection: "amo", ReceivedAt: start.Add(time.Duration(i) * time.Millisecond), Method: "POST",
			Header: header, Body: body(i), Remote: "127.0.0.1"}
		settle(i, e)
		batch = append(batch, e)
		if len(batch) < fillStep && i < n-1 {
			continue
		}
		if err := db.AppendJournal(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return nil
}

// done is what a settled entry looks like.
func done(i int, e *store.Entry) {
	e.State, e.SettledAt, e.Note = store.EntryDone, e.ReceivedAt, fmt.Sprintf("leads update %d", i)
}
