package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/api"
	"github.com/svod-hub/svod/handlers/hooks"
	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/store"
)

// servePath serves webhooks as the hub does, without anything that works on
// them, and writes profiles of it when it ends.
func servePath(ctx context.Context, database, profiles string) error {
	db, err := store.Open(ctx, database, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	set := metrics.New(prometheus.NewRegistry())
	log := journal.New(journal.Options{Append: db.AppendJournal, Wake: func(string, string) {}, Metrics: set})
	log.Start()
	defer log.Stop()
	server := api.New(api.Options{
		Listen: "127.0.0.1:0",
		Routes: []api.Routes{hooks.New(hooks.Options{
			Journal: log, Metrics: set, Log: zap.NewNop(), Now: time.Now,
			Lookup: func(string, string) (hooks.Target, bool) { return hooks.Target{Secret: hookSecret}, true },
		})},
		Health: func(context.Context) []api.Part { return nil }, Ready: func(context.Context) []api.Part { return nil },
		Metrics: http.NotFoundHandler(), Log: zap.NewNop(),
	})
	if err := server.Start(); err != nil {
		return err
	}
	cpu, err := os.Create(filepath.Join(profiles, "webhook.cpu.pprof"))
	if err != nil {
		return err
	}
	defer cpu.Close()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	fmt.Println(server.Addr())
	<-ctx.Done()
	pprof.StopCPUProfile()
	_ = server.Stop(context.WithoutCancel(ctx)) // its connections are the load's, which has ended
	return writeAllocations(filepath.Join(profiles, "webhook.allocs.pprof"))
}

func writeAllocations(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	runtime.GC()
	return pprof.Lookup("allocs").WriteTo(f, 0)
}

// profilePath loads the webhook path under a profiler.
func (b *bench) profilePath(ctx context.Context, s *storage) error {
	if b.profile == "" {
		return nil
	}
	c, err := b.newConfig(s)
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(filepath.Join(b.profile, s.name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	server, err := startFloor("path:"+c.database, "-profile", folder)
	if err != nil {
		return err
	}
	defer server.stop()
	floor, err := startFloor(c.floor(s))
	if err != nil {
		return err
	}
	defer floor.stop()
	toPath := load{server: server, path: c.hook("amo"), body: webhooks([]int64{1, 2, 3}), connections: 64, lasting: b.lasting()}
	toFloor := toPath
	toFloor.server = floor
	pairs, err := takeTurns(ctx, toPath, toFloor, b.runs)
	if err != nil {
		return err
	}
	b.addPairs("webhooks/s of the path alone, profiled", s, pairs, 0)
	return nil
}
