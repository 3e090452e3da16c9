package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svod-hub/svod/store"
)

var leaseTests = []test{
	{"a lease has one holder", leaseOneHolder},
	{"a lease that ran out is taken over", leaseTakenOver},
	{"a lease is renewed", leaseRenewed},
	{"of many who want a lease one gets it", leaseRace},
	{"no wish for a lease is lost", leaseWishes},
}

const work = "deliver shop/orders"

func (b *bench) take(holder string) (store.Lease, bool) {
	b.Helper()
	l, taken, err := b.db.TakeLease(b.ctx, work, holder, time.Minute)
	b.ok(err)
	return l, taken
}

func leaseOneHolder(b *bench) {
	b.same("epoch before", must[int64](b)(b.db.LeaseEpoch(b.ctx, work)), 0)
	l, taken := b.take("one")
	b.same("taken", words(taken, l.Name, l.Epoch, l.Until.Equal(at(1))), "true "+work+" 1 true")
	_, taken = b.take("two")
	b.same("taken by another", taken, false)
	b.same("wanted", must[bool](b)(b.db.ReleaseLease(b.ctx, l)), true)
	b.same("released twice", must[bool](b)(b.db.ReleaseLease(b.ctx, l)), false)
	l, taken = b.take("two")
	b.same("taken after", words(taken, l.Epoch), "true 2")
	b.same("not wanted", must[bool](b)(b.db.ReleaseLease(b.ctx, l)), false)
	b.same("epoch stays", must[int64](b)(b.db.LeaseEpoch(b.ctx, work)), 2)
}

func leaseTakenOver(b *bench) {
	first, _ := b.take("one")
	b.take("two")
	b.same("not dead", len(must[[]store.Lease](b)(b.db.DeadLeases(b.ctx, b.clock.Now()))), 0)
	b.clock.Move(time.Minute)
	b.same("dead", must[[]store.Lease](b)(b.db.DeadLeases(b.ctx, b.clock.Now())), []store.Lease{first})
	second, taken := b.take("two")
	b.same("taken over", words(taken, second.Epoch), "true 2")
	b.same("dead no more", len(must[[]store.Lease](b)(b.db.DeadLeases(b.ctx, b.clock.Now()))), 0)
	b.same("lost", must[bool](b)(b.db.RenewLease(b.ctx, first, time.Hour)), false)
	b.same("the old one cannot release it", must[bool](b)(b.db.ReleaseLease(b.ctx, first)), false)
	b.same("still held", must[bool](b)(b.db.RenewLease(b.ctx, second, time.Minute)), true)
	b.same("a wish before the work began is no wish", must[bool](b)(b.db.ReleaseLease(b.ctx, second)), false)
	again, _ := b.take("one")
	same, taken := b.take("one")
	b.same("the same holder begins anew", words(taken, same.Epoch-again.Epoch), "true 1")
}

func leaseRenewed(b *bench) {
	l, _ := b.take("one")
	b.clock.Move(50 * time.Second)
	b.same("renewed", must[bool](b)(b.db.RenewLease(b.ctx, l, time.Minute)), true)
	b.clock.Move(50 * time.Second)
	_, taken := b.take("two")
	b.same("still held", taken, false)
	b.same("released", must[bool](b)(b.db.ReleaseLease(b.ctx, l)), true)
	b.same("renewed after release", must[bool](b)(b.db.RenewLease(b.ctx, l, time.Minute)), false)
}

func leaseRace(b *bench) {
	const rivals = 8
	var winners atomic.Int32
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			_, taken, err := b.db.TakeLease(b.ctx, work, fmt.Sprint("worker ", i), time.Minute)
			if err != nil {
				b.Error(err)
			}
			if taken {
				winners.Add(1)
			}
		})
	}
	wg.Wait()
	b.same("winners", winners.Load(), 1)
}

// Whoever is turned away has either made the holder look again, or comes after
// the release and takes the lease: so all work is seen by somebody.
func leaseWishes(b *bench) {
	const workers, rounds = 4, 15
	var posted, seen atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				posted.Add(1)
				for {
					l, taken, err := b.db.TakeLease(b.ctx, work, fmt.Sprint("worker ", w), time.Hour)
					if err != nil {
						b.Error(err)
						return
					}
					if !taken {
						break
					}
					seen.Store(posted.Load())
					wanted, err := b.db.ReleaseLease(b.ctx, l)
					if err != nil {
						b.Error(err)
						return
					}
					if !wanted {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	b.same("seen", seen.Load(), posted.Load())
}
