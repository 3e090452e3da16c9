package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var forgetTests = []test{
	{"everything is read through", scans},
	{"records are forgotten", forgetRecords},
	{"a late version of a forgotten record stays out", forgottenLate},
	{"entries are forgotten", forgetEntries},
	{"uploads and snapshots are forgotten", forgetUploads},
	{"records of contacts", recordsOfContacts},
	{"memories are listed and replaced", replaceMemories},
}

func scans(b *bench) {
	var records []model.Record
	var entries []*store.Entry
	for i := range 1203 {
		records = append(records, deal(fmt.Sprint(i), 1, 1, "before"))
		if i < 120 {
			entries = append(entries, &store.Entry{Project: project, Connection: b24, ReceivedAt: at(0), Body: []byte(fmt.Sprint(i))})
		}
	}
	b.apply(append(records, contact("1", 1, 1, "a"))...)
	for i := range records {
		records[i] = deal(fmt.Sprint(i), 2, 2, "after")
	}
	b.apply(records...)
	b.ok(b.db.AppendJournal(b.ctx, append(entries, &store.Entry{Project: "bakery", Connection: b24, ReceivedAt: at(0)})))
	count := func(what string, want int, scan func(seen func(string)) error) {
		b.Helper()
		all := map[string]int{}
		b.ok(scan(func(id string) { all[id]++ }))
		if len(all) != want {
			b.Errorf("%s: %d, want %d", what, len(all), want)
		}
	}
	count("records", 1204, func(seen func(string)) error {
		return b.db.ScanRecords(b.ctx, project, func(k model.Key, data []byte) {
			if bytes.Contains(data, []byte("after")) || k.Kind == model.KindContact {
				seen(k.String())
			}
		})
	})
	count("versions", 1203, func(seen func(string)) error {
		return b.db.ScanVersions(b.ctx, project, func(n int64, data []byte) {
			if bytes.Contains(data, []byte("before")) {
				seen(fmt.Sprint(n))
			}
		})
	})
	count("another's versions", 0, func(seen func(string)) error {
		return b.db.ScanVersions(b.ctx, "bakery", func(n int64, _ []byte) { seen(fmt.Sprint(n)) })
	})
	count("entries", 120, func(seen func(string)) error {
		return b.db.ScanJournal(b.ctx, project, func(e store.Entry) { seen(string(e.Body)) })
	})
}

func forgetRecords(b *bench) {
	k := key(model.KindContact, "1")
	c := contact("1", 1, 1, "Анна")
	c.Phones, c.CompanyID = []string{"79995551111"}, "9"
	b.apply(c, contact("2", 1, 1, "Пётр"), deal("1", 1, 1, "a deal with the same number"))
	c = contact("1", 2, 2, "Анна Петровна")
	b.apply(c)
	must[int](b)(b.db.FanOut(b.ctx, store.FanOut{Project: project, Flow: "clients", Connections: []string{b24}, Kind: model.KindContact, To: 4}))
	b.ok(b.db.SettleDue(b.ctx, project, "clients", []store.Verdict{
		{Connection: b24, ID: "1", RowKey: "b24:1", Seq: 4, State: store.DeliveryRefused, Cause: model.CauseRefusedByRemote, Error: "Анна is not known"},
		{Connection: b24, ID: "2", RowKey: "b24:2", Seq: 2, State: store.DeliveryRefused, Cause: model.CauseRefusedByRemote, Error: "no"},
	}))
	b.clock.Move(time.Hour)
	got := must[store.Forgotten](b)(b.db.ForgetRecords(b.ctx, project, []model.Key{k, key(model.KindContact, "unknown")}))
	b.same("forgotten", got, store.Forgotten{Records: 1, Versions: 2, Deliveries: 1})

	left := b.record(k).(*model.Contact)
	want := model.Contact{Base: model.Base{Kind: model.KindContact, Connection: b24, ID: "1", ReadAt: at(60), Deleted: true, Seq: 5}}
	b.same("tombstone", *left, want)
	b.same("history", len(b.versions(k)), 0)
	b.same("feed", must[int64](b)(b.db.FeedEnd(b.ctx, project)), 5)
	b.same("another's name", b.record(key(model.KindContact, "2")).(*model.Contact).Name, "Пётр")
	b.same("another kind", b.record(key(model.KindDeal, "1")).(*model.Deal).Title, "a deal with the same number")
	rows := must[[]store.Delivery](b)(b.db.Deliveries(b.ctx, store.DeliveryFilter{Project: project, Flow: "clients"}))
	b.same("rows", words(rows[0].RowKey, rows[0].Error, rows[0].Cause, rows[1].Error), "b24:1  refused_by_remote no")
}

func forgottenLate(b *bench) {
	k := key(model.KindContact, "1")
	b.apply(contact("1", 5, 5, "Анна"))
	b.clock.Move(10 * time.Minute)
	must[store.Forgotten](b)(b.db.ForgetRecords(b.ctx, project, []model.Key{k}))
	b.apply(contact("1", 6, 9, "late"))
	b.same("late", b.record(k).Meta().Deleted, true)
	b.apply(contact("1", 6, 11, "read again"))
	b.same("read again", b.record(k).(*model.Contact).Name, "read again")
}

func forgetEntries(b *bench) {
	var entries []*store.Entry
	for _, state := range []store.EntryState{store.EntryDone, store.EntryRefused, store.EntryNew} {
		entries = append(entries, &store.Entry{Project: project, Connection: b24, ReceivedAt: at(0), Method: "POST", Query: "phone=1", Header: []byte(`{}`),
			Body: []byte("phone=1"), Remote: "192.0.2.1", State: state, Cause: model.CauseBadPayload, Error: "phone 1", Note: "phone 1"})
	}
	b.ok(b.db.AppendJournal(b.ctx, entries))
	ids := []int64{entries[0].ID, entries[1].ID, entries[2].ID, 99}
	b.same("another's", must[int](b)(b.db.ForgetEntries(b.ctx, "bakery", ids)), 0)
	b.same("forgotten", must[int](b)(b.db.ForgetEntries(b.ctx, project, ids)), 2)
	e := must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, entries[1].ID))
	b.same("left", words(e.Method, e.Query, e.Header, e.Body, e.Remote, e.State, e.Cause, e.Error, e.Note), "POST  [] []  2 bad_payload  removed")
	b.same("waits", string(must[store.Entry](b)(b.db.JournalEntry(b.ctx, project, entries[2].ID)).Body), "phone=1")
}

func forgetUploads(b *bench) {
	u := store.Upload{Project: project, Flow: "orders", Error: "no Anna", Details: []byte(`{"name":"Anna"}`), RemoteID: "42"}
	b.ok(b.db.CreateUpload(b.ctx, &u))
	var seen []string
	b.ok(b.db.ScanUploads(b.ctx, project, func(u store.Upload) { seen = append(seen, string(u.Details)) }))
	b.same("seen", seen, []string{`{"name":"Anna"}`})
	b.same("forgotten", must[int](b)(b.db.ForgetUploads(b.ctx, project, []int64{u.ID})), 1)
	left := must[[]store.Upload](b)(b.db.Uploads(b.ctx, store.UploadFilter{Project: project}))[0]
	b.same("left", words(left.RemoteID, left.Error, len(left.Details)), "42  0")
	b.ok(b.db.SaveSnapshot(b.ctx, project, "roistat", "1", []byte("x"), at(60)))
	b.ok(b.db.SaveSnapshot(b.ctx, "bakery", "roistat", "1", []byte("x"), at(60)))
	b.same("snapshots", must[int](b)(b.db.ForgetSnapshots(b.ctx, project)), 1)
}

func recordsOfContacts(b *bench) {
	for i := range 3 {
		d := deal(fmt.Sprint(i), 1, 1, "")
		d.ContactID = fmt.Sprint(70 + i)
		b.apply(d)
	}
	b.apply(deal("9", 1, 1, ""))
	got := must[[]model.Key](b)(b.db.RecordsOfContacts(b.ctx, project, []model.Key{
		key(model.KindContact, "70"), key(model.KindContact, "72"), key(model.KindDeal, "71"), key(model.KindContact, ""),
	}))
	b.same("found", got, []model.Key{key(model.KindDeal, "0"), key(model.KindDeal, "2")})
}

func replaceMemories(b *bench) {
	b.ok(b.db.Remember(b.ctx, project, b24, "secret", "a"))
	b.ok(b.db.Remember(b.ctx, "bakery", amo, "secret", "b"))
	b.ok(b.db.Remember(b.ctx, "bakery", amo, "other", "c"))
	b.same("listed", must[[]store.Memory](b)(b.db.Memories(b.ctx, "secret")), []store.Memory{
		{Project: "bakery", Connection: amo, Value: "b"}, {Project: project, Connection: b24, Value: "a"},
	})
	replace := func(before string) bool {
		b.Helper()
		return must[bool](b)(b.db.ReplaceMemory(b.ctx, project, b24, "secret", before, "z"))
	}
	b.same("replaced", words(replace("x"), replace("a"), replace("a")), "false true false")
	b.same("now", must[string](b)(b.db.Recall(b.ctx, project, b24, "secret")), "z")
}
