package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

const lastingLeads = 2000 // different leads that a load names

// pair are the loads of one run: the hub's and the floor's, of the same minute.
type pair struct{ hub, floor loaded }

// measureWebhooks: a webhook answered after its durable commit, the workers
// elsewhere; 64 and 256 connections.
func (b *bench) measureWebhooks(ctx context.Context, s *storage) error {
	for _, connections := range []int{64, 256} {
		pairs, err := b.againstFloor(ctx, s, connections, []string{"--roles", "api"})
		if err != nil {
			return err
		}
		b.addPairs(fmt.Sprintf("webhooks/s, %d connections", connections), s, pairs, 0.80)
		var hub, floor []float64
		for _, p := range pairs {
			hub = append(hub, milliseconds(p.hub.quantile(0.99)))
			floor = append(floor, milliseconds(p.floor.quantile(0.99)))
		}
		b.add(line{Figure: fmt.Sprintf("webhook p99, %d connections", connections), Storage: s.name, Unit: "ms",
			Value: median(hub), Floor: median(floor), Target: 2, OfFloor: true, Most: true})
	}
	return nil
}

// measureDraining: the same while the workers drain everything to the
// sandboxes, and the backlog under a paced load.
func (b *bench) measureDraining(ctx context.Context, s *storage) error {
	pairs, err := b.againstFloor(ctx, s, 64, nil)
	if err != nil {
		return err
	}
	b.addPairs("webhooks/s while draining, 64 connections", s, pairs, 0.40)
	return b.measurePaced(ctx, s)
}

func (b *bench) addPairs(name string, s *storage, pairs []pair, target float64) {
	var hub, floor, hubEach, floorEach []float64
	for _, p := range pairs {
		hub, floor = append(hub, p.hub.perSecond()), append(floor, p.floor.perSecond())
		hubEach, floorEach = append(hubEach, p.hub.each()), append(floorEach, p.floor.each())
	}
	b.add(line{Figure: name, Storage: s.name, Unit: "/s", Value: median(hub), Floor: median(floor), Target: target, OfFloor: true,
		Note: fmt.Sprintf("%.0f µs of CPU each, floor %.0f", median(hubEach), median(floorEach))})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// againstFloor runs loads against the hub and the floor by turns.
func (b *bench) againstFloor(ctx context.Context, s *storage, connections int, args []string) ([]pair, error) {
	c, err := b.newConfig(s)
	if err != nil {
		return nil, err
	}
	around, err := surround(c, lastingLeads)
	if err != nil {
		return nil, err
	}
	defer around.close()
	if len(args) > 0 && s.postgres == "" {
		address, stop, err := outsideRedis()
		if err != nil {
			return nil, err
		}
		defer stop()
		c.redis = address
	}
	hub, err := b.startHub(ctx, c, args...)
	if err != nil {
		return nil, err
	}
	defer hub.stop()
	floor, err := startFloor(c.floor(s))
	if err != nil {
		return nil, err
	}
	defer floor.stop()

	body := webhooks(around.leads)
	toHub := load{server: hub, path: c.hook("amo"), body: body, connections: connections, lasting: b.lasting()}
	toFloor := toHub
	toFloor.server = floor
	return takeTurns(ctx, toHub, toFloor, b.runs)
}

// takeTurns runs two loads by turns, so that both see the same of what else the
// machine does.
func takeTurns(ctx context.Context, toHub, toFloor load, runs int) ([]pair, error) {
	for _, l := range []load{toHub, toFloor} {
		l.lasting = 500 * time.Millisecond
		if _, err := l.run(ctx); err != nil { // warm
			return nil, err
		}
	}
	var pairs []pair
	for range runs {
		var p pair
		var err error
		if p.floor, err = toFloor.run(ctx); err != nil {
			return nil, fmt.Errorf("the floor: %w", err)
		}
		if p.hub, err = toHub.run(ctx); err != nil {
			return nil, err
		}
		if err := p.hub.wrong(); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, ctx.Err()
}

func (b *bench) lasting() time.Duration { return time.Duration(b.seconds * float64(time.Second)) }

// pacedFloor gives the floor's 99th percentile, in milliseconds, under the load.
func (b *bench) pacedFloor(ctx context.Context, s *storage, c *config, l load) (float64, error) {
	server, err := startFloor(c.floor(s))
	if err != nil {
		return 0, err
	}
	defer server.stop()
	l.server, l.lasting = server, b.lasting()
	result, err := l.run(ctx)
	return milliseconds(result.quantile(0.99)), err
}

// floor names the floor's database, beside the hub's.
func (c *config) floor(s *storage) string {
	if s.postgres != "" {
		return c.database
	}
	return "sqlite:" + filepath.Join(c.dir, "floor.db")
}

// backlog counts the journal entries that wait.
func (p *process) backlog(ctx context.Context) (int, error) {
	st, err := p.status(ctx)
	if err != nil {
		return 0, err
	}
	waiting := 0
	for _, project := range st.Projects {
		for _, c := range project.Connections {
			waiting += c.Waiting.Count
		}
	}
	return waiting, nil
}

// measurePaced: 5,000 webhooks a second, drained meanwhile.
func (b *bench) measurePaced(ctx context.Context, s *storage) error {
	const perSecond = 5000
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
	l := load{server: hub, path: c.hook("amo"), body: webhooks(around.leads), connections: 64, perSecond: perSecond}
	l.lasting = 2 * time.Second
	if _, err := l.run(ctx); err != nil {
		return err
	}
	floor, err := b.pacedFloor(ctx, s, c, l)
	if err != nil {
		return err
	}
	var backlogs, p99 []float64
	for range max(3, b.runs) {
		l.lasting = b.lasting()
		result, err := l.run(ctx)
		if err != nil {
			return err
		}
		if err := result.wrong(); err != nil {
			return err
		}
		waiting, err := hub.backlog(ctx)
		if err != nil {
			return err
		}
		backlogs, p99 = append(backlogs, float64(waiting)), append(p99, milliseconds(result.quantile(0.99)))
	}
	b.add(line{Figure: "webhook p99 while draining 5,000/s", Storage: s.name, Unit: "ms", Value: median(p99), Floor: floor, Target: 25, Most: true})
	// What came in the last half second may wait.
	b.add(line{Figure: "backlog after 5,000/s", Storage: s.name, Unit: "entries", Value: backlogs[len(backlogs)-1], Target: perSecond / 2, Most: true,
		Note: fmt.Sprintf("after each run: %.0f", backlogs)})
	return nil
}
