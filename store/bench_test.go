package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const batchSize = 1000

// perSecond reports how many rows passed in a second.
func perSecond(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

func benchmarkAppendJournal(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	db := open(b, store.Options{})
	body := []byte(strings.Repeat("x", 1024))
	batch := make([]*store.Entry, batchSize)
	for b.Loop() {
		for i := range batch {
			batch[i] = &store.Entry{Project: "shop", Connection: "b24", ReceivedAt: time.Now(), Method: "POST",
				Header: []byte(`{"Content-Type":"application/x-www-form-urlencoded"}`), Body: body, Remote: "192.0.2.1"}
		}
		if err := db.AppendJournal(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, b.N*batchSize)
}

// deals makes a batch of deals as a CRM's are.
func deals(n, from int, version time.Time) []model.Record {
	out := make([]model.Record, n)
	created := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range out {
		id := from + i
		out[i] = &model.Deal{
			Base: model.Base{Kind: model.KindDeal, Connection: "b24", ID: fmt.Sprint(id), CreatedAt: created, UpdatedAt: version, ReadAt: version,
				Links:    model.Links{ContactID: fmt.Sprint(id / 2), EmployeeID: fmt.Sprint(id % 10)},
				Tracking: model.Tracking{ClientID: "1234567890123456789", UTM: model.UTM{Source: "yandex", Medium: "cpc", Campaign: "brand"}},
				Fields:   model.Fields{"UF_CRM_1": "value", "UF_CRM_2": []string{"a", "b"}, "SOURCE_ID": "WEB"}},
			Title: "Заказ с сайта", Amount: model.NewDecimal(decimal.New(int64(id), -2)), Currency: "RUB", StatusID: "NEW", PipelineID: "0",
		}
	}
	return out
}

func benchmarkApplyRecords(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	version := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	b.Run("new", func(b *testing.B) {
		db := open(b, store.Options{})
		for i := 0; b.Loop(); i++ {
			apply(b, db, deals(batchSize, i*batchSize, version))
		}
		perSecond(b, b.N*batchSize)
	})
	b.Run("changed", func(b *testing.B) {
		db := open(b, store.Options{})
		for i := range 20 {
			apply(b, db, deals(batchSize, i*batchSize, version))
		}
		for i := 0; b.Loop(); i++ {
			apply(b, db, deals(batchSize, i%20*batchSize, version.Add(time.Duration(i+1)*time.Second)))
		}
		perSecond(b, b.N*batchSize)
	})
	b.Run("unchanged", func(b *testing.B) {
		db := open(b, store.Options{})
		apply(b, db, deals(batchSize, 0, version))
		for b.Loop() {
			apply(b, db, deals(batchSize, 0, version))
		}
		perSecond(b, b.N*batchSize)
	})
}

func apply(b *testing.B, db *store.DB, records []model.Record) {
	b.Helper()
	if _, err := db.ApplyRecords(b.Context(), "shop", records); err != nil {
		b.Fatal(err)
	}
}

// dueRows gives a database with n due rows of the flow orders.
func dueRows(b *testing.B, open func(testing.TB, store.Options) *store.DB, n int) *store.DB {
	b.Helper()
	db := open(b, store.Options{})
	for from := 0; from < n; from += batchSize {
		apply(b, db, deals(batchSize, from, time.Unix(1700000000, 0)))
	}
	fanOut(b, db, n)
	return db
}

func fanOut(b *testing.B, db *store.DB, to int) {
	b.Helper()
	_, err := db.FanOut(b.Context(), store.FanOut{Project: "shop", Flow: "orders", Connections: []string{"b24"}, Kind: model.KindDeal, To: int64(to),
		Related: []store.Relation{{Kind: model.KindContact, Link: "contact_id"}}})
	if err != nil {
		b.Fatal(err)
	}
}

func benchmarkDueDeliveries(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	const n, page = 20000, 2000
	db := dueRows(b, open, n)
	read := 0
	for b.Loop() {
		for after := int64(0); ; {
			due, err := db.DueDeliveries(b.Context(), "shop", "orders", model.KindDeal, after, page)
			if err != nil {
				b.Fatal(err)
			}
			if len(due) == 0 {
				break
			}
			read, after = read+len(due), due[len(due)-1].WantedSeq
		}
	}
	perSecond(b, read)
}

func benchmarkFanOut(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	const n = 20000
	db := dueRows(b, open, n)
	for b.Loop() {
		if err := db.RestartFlow(b.Context(), "shop", "orders", "again"); err != nil {
			b.Fatal(err)
		}
		fanOut(b, db, n)
	}
	perSecond(b, b.N*n)
}

// benchmarkUpload fills an upload and has it accepted.
func benchmarkUpload(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	const n = 20000
	db := dueRows(b, open, n)
	rows := make([]store.Sending, n)
	for i := range rows {
		id := fmt.Sprint(i)
		rows[i] = store.Sending{Connection: "b24", ID: id, RowKey: id, Seq: int64(i + 1), Hash: []byte("0123456789abcdef"), Position: i}
	}
	for b.Loop() {
		u := store.Upload{Project: "shop", Flow: "orders"}
		if err := db.CreateUpload(b.Context(), &u); err != nil {
			b.Fatal(err)
		}
		for from := 0; from < n; from += batchSize {
			if err := db.FillUpload(b.Context(), u.ID, rows[from:from+batchSize]); err != nil {
				b.Fatal(err)
			}
		}
		u.Status = store.UploadAccepted
		if err := db.AcceptUpload(b.Context(), u, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, b.N*n)
}

func BenchmarkAppendJournal(b *testing.B) { benchmarkAppendJournal(b, openSQLite) }
func BenchmarkApplyRecords(b *testing.B)  { benchmarkApplyRecords(b, openSQLite) }
func BenchmarkDueDeliveries(b *testing.B) { benchmarkDueDeliveries(b, openSQLite) }
func BenchmarkFanOut(b *testing.B)        { benchmarkFanOut(b, openSQLite) }
func BenchmarkUpload(b *testing.B)        { benchmarkUpload(b, openSQLite) }

// benchmarkRefs asks for references, and settles them in steps.
func benchmarkRefs(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	const n = 20000
	db := open(b, store.Options{})
	refs := make([]model.Ref, n)
	for i := range refs {
		refs[i] = model.Ref{Kind: model.KindDeal, ID: fmt.Sprint(i)}
	}
	for b.Loop() {
		for from := 0; from < n; from += batchSize {
			if err := db.RequestRefs(b.Context(), "shop", "b24", refs[from:from+batchSize]); err != nil {
				b.Fatal(err)
			}
		}
		for {
			pending, err := db.PendingRefs(b.Context(), "shop", "b24", batchSize)
			if err != nil {
				b.Fatal(err)
			}
			if len(pending) == 0 {
				break
			}
			if err := db.SettleRefs(b.Context(), "shop", "b24", pending); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSecond(b, b.N*n)
}

// benchmarkIntake takes entries from a journal in which many are settled, and
// settles them.
func benchmarkIntake(b *testing.B, open func(testing.TB, store.Options) *store.DB) {
	const n = 20000
	db := open(b, store.Options{})
	for b.Loop() {
		for range n / batchSize {
			batch := make([]*store.Entry, batchSize)
			for i := range batch {
				batch[i] = &store.Entry{Project: "shop", Connection: "b24", ReceivedAt: time.Now(), Body: []byte("event=ONCRMDEALUPDATE&data[FIELDS][ID]=1")}
			}
			if err := db.AppendJournal(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		for {
			entries, err := db.NextJournal(b.Context(), "shop", "b24", batchSize)
			if err != nil {
				b.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			settlements := make([]store.Settlement, len(entries))
			for i, e := range entries {
				settlements[i] = store.Settlement{ID: e.ID, State: store.EntryDone}
			}
			if err := db.SettleJournal(b.Context(), "shop", settlements); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSecond(b, b.N*n)
}

func BenchmarkRefs(b *testing.B)   { benchmarkRefs(b, openSQLite) }
func BenchmarkIntake(b *testing.B) { benchmarkIntake(b, openSQLite) }
