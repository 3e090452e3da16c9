package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// probes are leads whose changes are followed from the webhook to the record.
type probes struct {
	leads []int64

	mu    sync.Mutex
	sent  []time.Time // of the change that is on its way; zero: none
	price []int64
	waits []time.Duration
}

// changed notes that a lead's webhook leaves now.
func (p *probes) changed(around *surroundings, i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.sent[i].IsZero() {
		return // the last change is still on its way; this webhook tells nothing new
	}
	p.price[i]++
	price := strconv.FormatInt(p.price[i], 10)
	around.account.Change(amocrm.Leads, p.leads[i], func(e *amocrm.Entity) { e.Price = price })
	p.sent[i] = time.Now()
}

// look finds the changes that have arrived.
func (p *probes) look(ctx context.Context, db *store.DB) error {
	keys := make([]model.Key, len(p.leads))
	for i, id := range p.leads {
		keys[i] = model.Key{Connection: "amo", Kind: model.KindDeal, ID: strconv.FormatInt(id, 10)}
	}
	records, err := db.RecordsByKeys(ctx, project, keys)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, key := range keys {
		deal, ok := records[key].(*model.Deal)
		if ok && !p.sent[i].IsZero() && deal.Amount.String() == strconv.FormatInt(p.price[i], 10) {
			p.waits = append(p.waits, time.Since(p.sent[i]))
			p.sent[i] = time.Time{}
		}
	}
	return nil
}

// measureReady: from the sending of a webhook until the record, re-read from the
// CRM, has its change number and is in the feed of its flows; 1,000 webhooks a
// second, a tenth of them followed.
func (b *bench) measureReady(ctx context.Context, s *storage) error {
	const perSecond, every, followed = 1000, 10, 200
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, lastingLeads)
	if err != nil {
		return err
	}
	defer around.close()
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	db, err := store.Open(ctx, c.database, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	p := &probes{leads: around.leads[:followed], sent: make([]time.Time, followed), price: make([]int64, followed)}
	bodies := webhooks(around.leads)
	l := load{server: hub, path: c.hook("amo"), connections: 32, perSecond: perSecond, lasting: b.lasting() + 3*time.Second}
	l.body = func(n int) []byte {
		if n%every != 0 {
			return bodies(followed + n%(lastingLeads-followed))
		}
		i := n / every % followed
		p.changed(around, i)
		return bodies(i)
	}
	watching, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			if err := p.look(ctx, db); err != nil {
				stop(err)
			}
			pause(watching, 20*time.Millisecond)
		}
	}()
	result, err := l.run(ctx)
	pause(ctx, 3*time.Second) // what is on its way arrives
	stop(errors.New("over"))
	<-watched
	if err = errors.Join(err, result.wrong()); err != nil {
		return err
	}
	return b.addReady(s, p)
}

func (b *bench) addReady(s *storage, p *probes) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waits) == 0 {
		return errors.New("no change arrived")
	}
	missing := 0
	for _, at := range p.sent {
		if !at.IsZero() {
			missing++
		}
	}
	slices.Sort(p.waits)
	found := loaded{waits: p.waits}
	note := fmt.Sprintf("%d changes followed, %d have not arrived", len(p.waits)+missing, missing)
	b.add(line{Figure: "webhook to row ready at 1,000/s, p50", Storage: s.name, Unit: "s", Value: found.quantile(0.5).Seconds(), Target: 1, Most: true, Note: note})
	b.add(line{Figure: "webhook to row ready at 1,000/s, p99", Storage: s.name, Unit: "s", Value: found.quantile(0.99).Seconds(), Target: 3, Most: true})
	return nil
}

// measureIntake: a journal full of waiting webhooks is parsed and their records
// are asked for.
func (b *bench) measureIntake(ctx context.Context, s *storage) error {
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, lastingLeads)
	if err != nil {
		return err
	}
	defer around.close()
	err = c.prepare(ctx, func(db *store.DB) error {
		return fillJournal(ctx, db, b.size, webhooks(around.leads), func(int, *store.Entry) {})
	})
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, c.database, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	type point struct {
		at   time.Time
		left int
	}
	var points []point
	for deadline := time.Now().Add(60 * time.Second); ; pause(ctx, 200*time.Millisecond) { // counting costs the more the more wait
		backlogs, err := db.JournalBacklogs(ctx)
		if err != nil {
			return err
		}
		left := 0
		for _, one := range backlogs {
			left += one.Count
		}
		if left < b.size { // it has begun
			points = append(points, point{time.Now(), left})
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%d entries still wait", left)
		}
	}
	cpu := hub.usage().cpu
	first, last := points[0], points[len(points)-1]
	if len(points) < 3 {
		return errors.New("too few entries to measure; raise -size")
	}
	b.add(line{Figure: "webhooks taken in from a full journal", Storage: s.name, Unit: "/s", Target: 20_000,
		Value: float64(first.left) / last.at.Sub(first.at).Seconds(),
		Note: fmt.Sprintf("%d entries, %.0f µs of CPU each with everything that follows from them, peak memory %.0f MiB",
			b.size, float64(cpu.Microseconds())/float64(b.size), hub.usage().peak)})
	return nil
}
