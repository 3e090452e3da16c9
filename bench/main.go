// Command bench measures the hub: it builds the release binary, runs bounded
// loads against it on the loopback, and prints each figure beside its floor, a
// tiny program that does only what cannot be left out. Floors run in the same
// minute on the same machine, so that their ratio means something on any
// machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	only     *regexp.Regexp
	binary   string
	json     string
	record   string
	postgres string
	redis    string
	size     int
	entries  int
	runs     int
	seconds  float64
	profile  string
	floor    string
}

func readOptions(args []string) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&only, "only", "", "measure the figures whose names match this expression")
	f.StringVar(&o.binary, "binary", "", "measure this binary (default: build one)")
	f.StringVar(&o.json, "json", "", "write the results to this file as JSON")
	f.StringVar(&o.record, "record", "", "append the results to this document, such as docs/benchmarks.md")
	f.StringVar(&o.postgres, "postgres", "", "also measure with this PostgreSQL; a schema is made in it and dropped")
	f.StringVar(&o.redis, "redis", "", "use this Redis together with -postgres; its database must be empty")
	f.IntVar(&o.size, "size", 100_000, "how many records there are, where that matters")
	f.IntVar(&o.entries, "entries", 200_000, "how many journal entries are searched")
	f.IntVar(&o.runs, "runs", 3, "how often each load is run; medians are shown")
	f.Float64Var(&o.seconds, "seconds", 3, "how long each load lasts, at most 20")
	f.StringVar(&o.profile, "profile", "", "write CPU and allocation profiles of the webhook path into this folder")
	f.StringVar(&o.floor, "floor", "", "be a floor's server (used by bench itself)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is not an option", f.Arg(0))
	}
	if o.seconds > 20 || o.seconds <= 0 || o.runs < 1 || o.runs > 20 {
		return o, errors.New("-seconds is at most 20, -runs from 1 to 20")
	}
	var err error
	o.only, err = regexp.Compile(only)
	return o, err
}

func run(ctx context.Context, args []string) error {
	o, err := readOptions(args)
	if err != nil {
		return err
	}
	if database, ok := strings.CutPrefix(o.floor, "path:"); ok {
		return servePath(ctx, database, o.profile)
	}
	if o.floor != "" {
		return serveFloor(ctx, o.floor)
	}
	dir, err := os.MkdirTemp("", "svod-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir}
	if err := b.build(ctx); err != nil {
		return err
	}
	b.report.Machine = describeMachine()
	b.report.At = time.Now().UTC().Truncate(time.Second)
	for _, s := range b.storages() {
		err := b.measure(ctx, s)
		if err = errors.Join(err, s.clear()); err != nil {
			return err
		}
	}
	return b.publish()
}

// bench is one run of the suite.
type bench struct {
	options
	dir    string
	report report
}

// figure is one part of the suite.
type figure struct {
	name    string
	measure func(context.Context, *storage) error
	once    bool // does not depend on the storage
}

func (b *bench) figures() []figure {
	return []figure{
		{name: "size", measure: b.measureSize, once: true},
		{name: "start", measure: b.measureStart},
		{name: "idle", measure: b.measureIdle},
		{name: "profile", measure: b.profilePath},
		{name: "webhook", measure: b.measureWebhooks},
		{name: "drain", measure: b.measureDraining},
		{name: "ready", measure: b.measureReady},
		{name: "intake", measure: b.measureIntake},
		{name: "delivery", measure: b.measureDelivery},
		{name: "export", measure: b.measureExport},
		{name: "search", measure: b.measureSearch},
	}
}

// measure takes the figures of one storage. A figure that can't be taken is
// reported and does not hold up the others.
func (b *bench) measure(ctx context.Context, s *storage) error {
	for _, f := range b.figures() {
		if !b.only.MatchString(f.name) || f.once && s.name != embedded {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s on %s…\n", f.name, s.name)
		if err := f.measure(ctx, s); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			b.add(line{Figure: f.name, Storage: s.name, Error: err.Error()})
		}
	}
	return nil
}

func (b *bench) add(l line) { b.report.Lines = append(b.report.Lines, l) }

// publish prints the table and writes what was asked for. Missed targets are
// shown, and are the exit code too.
func (b *bench) publish() error {
	fmt.Print(b.report.table())
	if b.json != "" {
		data, err := json.MarshalIndent(b.report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	if b.record != "" {
		f, err := os.OpenFile(filepath.Clean(b.record), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.WriteString(b.report.markdown())
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if missed := b.report.missed(); len(missed) > 0 {
		return errors.New("missed: " + strings.Join(missed, "; "))
	}
	return nil
}
