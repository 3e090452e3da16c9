package storetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var recordTests = []test{
	{"records come back as they went in", recordsRoundTrip},
	{"records of every kind", recordsOfEveryKind},
	{"the newer version stays", recordsNewer},
	{"of the same key twice the newer wins", recordsTwins},
	{"tombstones", recordsTombstones},
	{"a record that cannot be kept leaves the others alone", recordsRefused},
	{"large batches", recordsLarge},
	{"records by keys", recordsByKeys},
	{"records are listed and filtered", recordsList},
	{"live ids and counts", recordsCounts},
	{"changed keys", recordsChangedKeys},
	{"projects are walls", recordsWalls},
}

func recordsRoundTrip(b *bench) {
	d := deal("7", 5, 6, "Сделка \x00 '\"")
	d.CreatedAt = at(1).Add(123456 * time.Microsecond)
	d.Amount = model.NewDecimal(decimal.RequireFromString("1234567890123456.25"))
	d.Links = model.Links{ContactID: "c1", CompanyID: "co1", EmployeeID: "e", LeadID: "l", DealID: "d", VisitID: "v"}
	d.Fields = model.Fields{"UF_1": "a", "UF_2": []string{"b", "c"}}
	d.Products = []model.Product{{ID: "p"}}
	b.same("applied", b.apply(d), store.Applied{Inserted: 1, LastSeq: 1})
	got := b.record(key(model.KindDeal, "7")).(*model.Deal)
	b.same("seq", got.Seq, 1)
	b.same("read at", got.ReadAt, at(6))
	want, have := must[[]byte](b)(model.Encode(d)), must[[]byte](b)(model.Encode(got))
	b.same("content", string(have), string(want))
	if _, err := b.db.Record(b.ctx, project, key(model.KindDeal, "8")); !errors.Is(err, store.ErrNotFound) {
		b.Errorf("a record that is not there: %v", err)
	}
}

func recordsOfEveryKind(b *bench) {
	var batch []model.Record
	for _, kind := range model.Kinds() {
		r := must[model.Record](b)(model.New(kind))
		*r.Meta() = base(kind, "1", 1, 1)
		batch = append(batch, r)
	}
	b.same("applied", b.apply(batch...), store.Applied{Inserted: len(batch), LastSeq: int64(len(batch))})
	for i, kind := range model.Kinds() {
		b.same(string(kind), b.record(key(kind, "1")).Meta().Seq, i+1)
	}
}

func recordsNewer(b *bench) {
	b.apply(deal("1", 10, 10, "first"))
	for _, x := range []struct {
		name  string
		next  *model.Deal
		want  store.Applied
		title string
		seq   int64
	}{
		{"modified later", deal("1", 11, 11, "second"), store.Applied{Changed: 1, LastSeq: 2}, "second", 2},
		{"modified earlier, read later", deal("1", 9, 20, "old"), store.Applied{Unchanged: 1, LastSeq: 2}, "second", 2},
		{"the same again", deal("1", 11, 12, "second"), store.Applied{Unchanged: 1, LastSeq: 2}, "second", 2},
		{"modified at the same time, read earlier", deal("1", 11, 11, "shuffled"), store.Applied{Unchanged: 1, LastSeq: 2}, "second", 2},
		{"modified at the same time, read later", deal("1", 11, 13, "third"), store.Applied{Changed: 1, LastSeq: 3}, "third", 3},
		{"modified later, read earlier", deal("1", 12, 1, "fourth"), store.Applied{Changed: 1, LastSeq: 4}, "fourth", 4},
	} {
		b.same(x.name, b.apply(x.next), x.want)
		got := b.record(key(model.KindDeal, "1")).(*model.Deal)
		b.same(x.name, words(got.Title, got.Seq), words(x.title, x.seq))
	}
	b.same("feed end", must[int64](b)(b.db.FeedEnd(b.ctx, project)), 4)
	b.same("no feed", must[int64](b)(b.db.FeedEnd(b.ctx, "none")), 0)
}

func recordsTwins(b *bench) {
	got := b.apply(deal("1", 5, 5, "newer"), deal("2", 5, 5, "b"), deal("1", 4, 6, "older"), deal("2", 5, 6, "read later"))
	b.same("applied", got, store.Applied{Inserted: 2, Unchanged: 2, LastSeq: 2})
	b.same("1", b.record(key(model.KindDeal, "1")).(*model.Deal).Title, "newer")
	b.same("2", b.record(key(model.KindDeal, "2")).(*model.Deal).Title, "read later")
}

func (b *bench) missing(readAt int, refs ...model.Ref) store.Applied {
	b.Helper()
	return must[store.Applied](b)(b.db.MarkMissing(b.ctx, project, b24, refs, at(readAt)))
}

func recordsTombstones(b *bench) {
	d := deal("1", 1, 10, "kept")
	d.ContactID = "c1"
	b.apply(d)
	ref, unknown := model.Ref{Kind: model.KindDeal, ID: "1"}, model.Ref{Kind: model.KindDeal, ID: "9"}
	b.same("read before", b.missing(9, ref), store.Applied{Unchanged: 1, LastSeq: 1})
	b.same("gone", b.missing(11, ref, unknown, unknown, model.Ref{Kind: "nonsense", ID: "1"}),
		store.Applied{Inserted: 1, Changed: 1, Unchanged: 2, LastSeq: 3})
	got := b.record(key(model.KindDeal, "1")).(*model.Deal)
	b.same("tombstone", words(got.Title, got.ContactID, got.Deleted, got.Seq, got.UpdatedAt.Equal(at(1))), "kept c1 true 2 true")
	b.same("of an unknown id", b.record(key(model.KindDeal, "9")).Meta().Deleted, true)
	b.same("gone again", b.missing(12, ref), store.Applied{Unchanged: 1, LastSeq: 3})

	b.same("late version", b.apply(deal("1", 50, 12, "late")), store.Applied{Unchanged: 1, LastSeq: 3})
	b.same("late version of an unknown id", b.apply(deal("9", 50, 10, "late")), store.Applied{Unchanged: 1, LastSeq: 3})
	b.same("read later", b.apply(deal("1", 1, 13, "kept")), store.Applied{Changed: 1, LastSeq: 4})
	b.same("lives", b.record(key(model.KindDeal, "1")).Meta().Deleted, false)

	gone := deal("1", 2, 14, "told by the source")
	gone.Deleted = true
	b.same("deleted by the source", b.apply(gone), store.Applied{Changed: 1, LastSeq: 5})
	b.same("and so it stays", b.record(key(model.KindDeal, "1")).Meta().Deleted, true)
	b.same("nothing", must[store.Applied](b)(b.db.MarkMissing(b.ctx, project, b24, nil, at(1))), store.Applied{})
}

func recordsRefused(b *bench) {
	far := deal("2", 1, 1, "year 12025")
	far.ClosedAt = time.Date(12025, 1, 1, 0, 0, 0, 0, time.UTC)
	nameless := deal("", 1, 1, "no id")
	got := b.apply(deal("1", 1, 1, "good"), far, nameless, deal("3", 1, 1, "good too"))
	b.same("inserted", got.Inserted, 2)
	if len(got.Refused) != 2 || got.Refused[0].Key.ID != "2" || model.ClassOf(got.Refused[0].Err) != model.ClassPermanent {
		b.Errorf("refused: %+v", got.Refused)
	}
	b.same("only bad ones", len(b.apply(far).Refused), 1)
	b.record(key(model.KindDeal, "3"))
}

func recordsLarge(b *bench) {
	// Sizes around those of chunks; the first half is there already.
	for _, n := range []int{1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 1000} {
		name := fmt.Sprint("size", n)
		var batch []model.Record
		for i := range n {
			batch = append(batch, deal(words(i), 1, 1, "x"))
		}
		half := must[store.Applied](b)(b.db.ApplyRecords(b.ctx, name, batch[:n/2]))
		b.same(name, half, store.Applied{Inserted: n / 2, LastSeq: int64(n / 2)})
		all := must[store.Applied](b)(b.db.ApplyRecords(b.ctx, name, batch))
		b.same(name, all, store.Applied{Inserted: n - n/2, Unchanged: n / 2, LastSeq: int64(n)})
	}
}

func recordsByKeys(b *bench) {
	b.apply(deal("1", 1, 1, "a"), deal("2", 1, 1, "b"), contact("1", 1, 1, "c"))
	got := must[map[model.Key]model.Record](b)(b.db.RecordsByKeys(b.ctx, project,
		[]model.Key{key(model.KindDeal, "2"), key(model.KindContact, "1"), key(model.KindDeal, "404")}))
	b.same("number", len(got), 2)
	b.same("deal", got[key(model.KindDeal, "2")].(*model.Deal).Title, "b")
	b.same("contact", got[key(model.KindContact, "1")].(*model.Contact).Name, "c")
	b.same("none", len(must[map[model.Key]model.Record](b)(b.db.RecordsByKeys(b.ctx, project, nil))), 0)
}

func names(records []model.Record) string {
	var out []string
	for _, r := range records {
		out = append(out, r.Meta().Key().String())
	}
	return strings.Join(out, " ")
}

func recordsList(b *bench) {
	other := deal("2", 1, 1, "of amo")
	other.Connection = amo
	late := deal("30", 40, 40, "late")
	b.apply(deal("1", 1, 1, "100%_sure"), deal("2", 20, 20, "b"), late, other, contact("1", 1, 1, "Иван"))
	b.missing(50, model.Ref{Kind: model.KindDeal, ID: "1"})
	for _, x := range []struct {
		name string
		f    store.RecordFilter
		want string
	}{
		{"all", store.RecordFilter{}, "b24/contact/1 amo/deal/2 b24/deal/1 b24/deal/2 b24/deal/30"},
		{"kind", store.RecordFilter{Kind: model.KindDeal}, "amo/deal/2 b24/deal/1 b24/deal/2 b24/deal/30"},
		{"live", store.RecordFilter{Kind: model.KindDeal, Live: true}, "amo/deal/2 b24/deal/2 b24/deal/30"},
		{"connections", store.RecordFilter{Connections: []string{amo, "none"}}, "amo/deal/2"},
		{"ids", store.RecordFilter{Kind: model.KindDeal, IDs: []string{"2", "1"}}, "amo/deal/2 b24/deal/1 b24/deal/2"},
		{"changed", store.RecordFilter{ChangedFrom: at(20)}, "b24/deal/2 b24/deal/30"},
		{"text", store.RecordFilter{Text: "Иван"}, "b24/contact/1"},
		{"text is no pattern", store.RecordFilter{Text: "0%_s"}, "b24/deal/1"},
		{"first page", store.RecordFilter{Kind: model.KindDeal, Limit: 2}, "amo/deal/2 b24/deal/1"},
		{"second page", store.RecordFilter{Kind: model.KindDeal, Limit: 2, AfterKey: model.Key{Connection: b24, ID: "1"}}, "b24/deal/2 b24/deal/30"},
		{"page across kinds", store.RecordFilter{AfterKey: key(model.KindContact, "1"), Limit: 1}, "amo/deal/2"},
	} {
		x.f.Project = project
		b.same(x.name, names(must[[]model.Record](b)(b.db.Records(b.ctx, x.f))), x.want)
	}
}

func recordsCounts(b *bench) {
	other := deal("2", 1, 1, "of amo")
	other.Connection = amo
	b.apply(deal("1", 1, 1, ""), deal("2", 1, 1, ""), deal("10", 1, 1, ""), other, contact("1", 1, 1, ""))
	b.missing(9, model.Ref{Kind: model.KindDeal, ID: "2"})
	b.same("live", must[[]string](b)(b.db.LiveIDs(b.ctx, project, b24, model.KindDeal)), []string{"1", "10"})
	b.same("counts", must[[]store.RecordCount](b)(b.db.CountRecords(b.ctx, project)), []store.RecordCount{
		{Connection: amo, Kind: model.KindDeal, Live: 1}, {Connection: b24, Kind: model.KindContact, Live: 1},
		{Connection: b24, Kind: model.KindDeal, Live: 2, Deleted: 1}})
}

func recordsChangedKeys(b *bench) {
	create := func(connection, id string, created, updated int) model.Record {
		d := deal(id, updated, 1, "")
		d.Connection, d.CreatedAt = connection, at(created)
		return d
	}
	b.apply(create(b24, "2", 10, 10), create(b24, "1", 10, 30), create(amo, "3", 10, 0), create(b24, "4", 5, 40),
		create(b24, "5", 20, 1), create(b24, "6", 20, 20), contact("7", 50, 50, ""))
	b.missing(60, model.Ref{Kind: model.KindDeal, ID: "6"})
	for _, x := range []struct {
		name        string
		connections []string
		since       time.Time
		want        string
	}{
		{"all", []string{b24, amo}, time.Time{}, "b24/deal/4 amo/deal/3 b24/deal/1 b24/deal/2 b24/deal/5"},
		{"one connection", []string{amo}, time.Time{}, "amo/deal/3"},
		{"created or modified since", []string{b24, amo}, at(20), "b24/deal/4 b24/deal/1 b24/deal/5"},
		{"nothing since", []string{b24, amo}, at(41), ""},
	} {
		var got []string
		for _, k := range must[[]model.Key](b)(b.db.ChangedKeys(b.ctx, project, x.connections, model.KindDeal, x.since)) {
			got = append(got, k.String())
		}
		b.same(x.name, strings.Join(got, " "), x.want)
	}
}

func recordsWalls(b *bench) {
	b.apply(deal("1", 1, 1, "ours"))
	theirs := must[store.Applied](b)(b.db.ApplyRecords(b.ctx, "bakery", []model.Record{deal("1", 9, 9, "theirs")}))
	b.same("their numbers", theirs, store.Applied{Inserted: 1, LastSeq: 1})
	b.same("ours", b.record(key(model.KindDeal, "1")).(*model.Deal).Title, "ours")
	b.same("list", len(must[[]model.Record](b)(b.db.Records(b.ctx, store.RecordFilter{Project: project}))), 1)
}
