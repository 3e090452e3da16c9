package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// measureSize: the binary.
func (b *bench) measureSize(_ context.Context, s *storage) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.add(line{Figure: "size of the binary", Storage: s.name, Unit: "MiB", Value: float64(info.Size()) / (1 << 20), Target: 60, Most: true})
	return nil
}

// measureStart: from the start of the program to its first accepted webhook, on
// a fresh database, migrations included.
func (b *bench) measureStart(ctx context.Context, s *storage) error {
	var took []float64
	for range b.runs {
		c, err := b.newConfig(s)
		if err != nil {
			return err
		}
		around, err := surround(c, 1)
		if err != nil {
			return err
		}
		start := time.Now()
		hub, err := b.startHub(ctx, c)
		if err != nil {
			around.close()
			return err
		}
		l := load{server: hub, path: c.hook("amo"), body: webhooks(around.leads), connections: 1, lasting: 5 * time.Second, most: 1}
		result, err := l.run(ctx)
		took = append(took, time.Since(start).Seconds())
		hub.stop()
		around.close()
		if err != nil {
			return err
		}
		if result.answered != 1 {
			return fmt.Errorf("the first webhook was not accepted: %v", result.others)
		}
	}
	b.add(line{Figure: "start to first accepted webhook", Storage: s.name, Unit: "s", Value: median(took), Target: 1, Most: true})
	return nil
}

// measureIdle: a hub with nothing to do.
func (b *bench) measureIdle(ctx context.Context, s *storage) error {
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	around, err := surround(c, 10)
	if err != nil {
		return err
	}
	defer around.close()
	hub, err := b.startHub(ctx, c)
	if err != nil {
		return err
	}
	defer hub.stop()
	pause(ctx, 5*time.Second)
	before, commands := hub.usage(), s.redisCommands(ctx)
	const watched = 10 * time.Second
	pause(ctx, watched)
	after, then := hub.usage(), s.redisCommands(ctx)
	b.add(line{Figure: "idle memory", Storage: s.name, Unit: "MiB", Value: after.rss, Target: 50, Most: true,
		Note: fmt.Sprintf("%.0f MiB of it are its own, the rest are pages of the program", after.private)})
	b.add(line{Figure: "idle CPU", Storage: s.name, Unit: "% of a core", Value: 100 * (after.cpu - before.cpu).Seconds() / watched.Seconds(), Target: 2, Most: true})
	if s.postgres != "" {
		b.add(line{Figure: "idle Redis commands", Storage: s.name, Unit: "/s", Value: (then - commands) / watched.Seconds(),
			Note: "of the whole Redis server"})
	}
	return ctx.Err()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// processed finds a counter in the text of Redis's INFO.
func processed(info string) float64 {
	var n float64
	for l := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(l, "total_commands_processed:"); ok {
			_, _ = fmt.Sscan(rest, &n) // 0 when it is no number
		}
	}
	return n
}
