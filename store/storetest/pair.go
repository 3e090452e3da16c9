package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// OpenPair opens the same new, empty, not yet migrated database twice, as two
// processes would.
type OpenPair func(t *testing.T, opts store.Options) [2]*store.DB

// RunPair checks that two processes on one database do not disturb each other.
func RunPair(t *testing.T, open OpenPair) {
	t.Helper()
	clock := &Clock{now: start}
	pair := open(t, store.Options{Now: clock.Now})
	both := func(do func(who int, db *store.DB) error) {
		t.Helper()
		var wg sync.WaitGroup
		for who, db := range pair {
			wg.Go(func() {
				if err := do(who, db); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	ctx := t.Context()
	both(func(_ int, db *store.DB) error { return db.Migrate(ctx) })
	if t.Failed() {
		return
	}

	var winners atomic.Int32
	var secrets, promised [2]string
	both(func(who int, db *store.DB) error {
		_, taken, err := db.TakeLease(ctx, work, fmt.Sprint("process ", who), time.Minute)
		if taken {
			winners.Add(1)
		}
		var err2, err3 error
		secrets[who], err2 = db.HookSecret(ctx, project, b24, func() string { return fmt.Sprint(who) })
		promised[who], _, err3 = db.Promise(ctx, project, b24, "the same", at(10))
		return errors.Join(err, err2, err3)
	})
	b := &bench{T: t, db: pair[0], clock: clock, ctx: ctx}
	b.same("holders of the lease", winners.Load(), 1)
	b.same("hook secrets", secrets[0], secrets[1])
	b.same("promised ids", promised, [2]string{"h1", "h1"})

	const rounds, size = 15, 20
	both(func(who int, db *store.DB) error {
		for i := range rounds {
			var batch []model.Record
			for j := range size { // half of the records are the other one's, too
				batch = append(batch, deal(fmt.Sprint((j+who*size/2)%(size*3/2)), i, i, fmt.Sprint(who, i, j)))
			}
			_, err := db.ApplyRecords(ctx, project, batch)
			end, err2 := db.FeedEnd(ctx, project)
			_, err3 := db.FanOut(ctx, store.FanOut{Project: project, Flow: flow, Connections: []string{b24}, Kind: model.KindDeal, To: end})
			err4 := db.RequestRefs(ctx, project, b24, refs([]string{"1", "2", fmt.Sprint(i)}))
			err5 := db.AppendJournal(ctx, []*store.Entry{entry(b24, i, "x"), entry(amo, i, "y")})
			if err := errors.Join(err, err2, err3, err4, err5); err != nil {
				return err
			}
		}
		return nil
	})
	b.same("due rows", len(b.due()), size*3/2)
	seen := map[int64]bool{}
	for _, d := range b.due() {
		if seen[d.Record.Meta().Seq] || d.WantedSeq != d.Record.Meta().Seq {
			b.Errorf("record %s has number %d, its delivery wants %d", d.ID, d.Record.Meta().Seq, d.WantedSeq)
		}
		seen[d.Record.Meta().Seq] = true
	}
	b.same("journal", len(must[[]store.Entry](b)(b.db.NextJournal(ctx, project, b24, 1000))), 2*rounds)
}
