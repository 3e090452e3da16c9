package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var togetherTests = []test{
	{"a reader of the feed never misses a number", feedWithoutGaps},
	{"writers of the same records agree", writersAgree},
	{"references and pages at once", refsAtOnce},
	{"migrating again changes nothing", migrateAgain},
	{"a cancelled call leaves nothing behind", cancelled},
}

// Writers add records all the time; a flow follows. Whatever number the flow
// has passed must not appear later.
func feedWithoutGaps(b *bench) {
	const writers, batches, size = 4, 12, 20
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range batches {
				var batch []model.Record
				for j := range size {
					batch = append(batch, deal(fmt.Sprintf("%d-%d-%d", w, i, j), 1, 1, ""))
				}
				if _, err := b.db.ApplyRecords(b.ctx, project, batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		end := must[int64](b)(b.db.FeedEnd(b.ctx, project))
		b.fanOut(end)
		due := b.due()
		if int64(len(due)) != end {
			b.Fatalf("the feed ends at %d, and %d records were taken in", end, len(due))
		}
		for i, d := range due {
			if d.WantedSeq != int64(i+1) {
				b.Fatalf("number %d is missing", i+1)
			}
		}
	}
	b.same("all", len(b.due()), writers*batches*size)
}

func writersAgree(b *bench) {
	const writers, versions, ids = 4, 10, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for v := range versions {
				var batch []model.Record
				for i := range ids {
					// Each writer has another order, of records and of versions.
					id := (i*7 + w*3) % ids
					version := (v + w*3) % versions
					batch = append(batch, deal(fmt.Sprint(id), version, version, fmt.Sprint("version ", version)))
				}
				if _, err := b.db.ApplyRecords(b.ctx, project, batch); err != nil {
					b.Error(err)
					return
				}
				if _, err := b.db.MarkMissing(b.ctx, project, b24, refs([]string{fmt.Sprint("gone ", w, v)}), at(v)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for _, r := range must[[]model.Record](b)(b.db.Records(b.ctx, store.RecordFilter{Project: project, Live: true})) {
		d := r.(*model.Deal)
		b.same(d.ID, d.Title, fmt.Sprint("version ", versions-1))
		if seen[d.Seq] {
			b.Errorf("two records have number %d", d.Seq)
		}
		seen[d.Seq] = true
	}
	b.same("records", len(seen), ids)
}

func refsAtOnce(b *bench) {
	const writers = 4
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range 10 {
				var list []string
				for j := range 40 {
					list = append(list, fmt.Sprint((j*(w+1)+i)%40))
				}
				err := b.db.RequestRefs(b.ctx, project, b24, refs(list))
				state := store.PollState{Project: project, Connection: b24, Stream: fmt.Sprint(w)}
				_, err2 := b.db.ApplyPage(b.ctx, state, []model.Record{deal(fmt.Sprint(i), i, i, "")}, refs(list[:20]), nil, at(i))
				if err := errors.Join(err, err2); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			got, err := b.db.PendingRefs(b.ctx, project, b24, 20)
			if err = errors.Join(err, b.db.SettleRefs(b.ctx, project, b24, got)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	wg.Wait()
}

func migrateAgain(b *bench) {
	b.apply(deal("1", 1, 1, "kept"))
	b.same("pending", must[int](b)(b.db.PendingMigrations(b.ctx)), 0)
	b.ok(b.db.Migrate(b.ctx))
	b.ok(b.db.Ping(b.ctx))
	b.same("kept", b.record(key(model.KindDeal, "1")).(*model.Deal).Title, "kept")
}

func cancelled(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.db.ApplyRecords(ctx, project, []model.Record{deal("1", 1, 1, "")}); !errors.Is(err, context.Canceled) {
		b.Errorf("cancelled: %v", err)
	}
	b.same("applied afterwards", b.apply(deal("1", 1, 1, "")), store.Applied{Inserted: 1, LastSeq: 1})
}
