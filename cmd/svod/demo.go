package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors"
	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/registry"
	roistat "github.com/svod-hub/svod/connectors/roistat/sandbox"
	webhook "github.com/svod-hub/svod/connectors/webhook/sandbox"
	metrica "github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
)

func newDemo() *cobra.Command {
	var listen, dir, level string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole hub with sandboxes of the external systems and sample traffic",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once && !cmd.Flags().Changed("listen") {
				listen = "127.0.0.1:0" // a demo that runs already is not in the way
			}
			log, err := newLog(level)
			if err != nil {
				return exitError{code: 2, err: err}
			}
			d := &demo{cmd: cmd, log: log, dir: dir, listen: listen}
			if err := d.open(cmd.Context()); err != nil {
				d.close()
				return err
			}
			defer d.close()
			if once {
				return d.once(cmd.Context())
			}
			return d.forever(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "where the console listens")
	cmd.Flags().StringVar(&dir, "dir", "", "keep the data in this folder (default: a temporary one)")
	cmd.Flags().BoolVar(&once, "once", false, "play the sample traffic, wait until everything is delivered, print a summary and exit")
	cmd.Flags().StringVar(&level, "log-level", "error", "debug, info, warn or error")
	return cmd
}

// demo is a hub among sandboxes.
type demo struct {
	cmd    *cobra.Command
	log    *zap.Logger
	dir    string
	listen string

	temporary bool
	servers   []*http.Server
	portal    *bitrix24.Portal
	account   *amocrm.Account
	counter   *metrica.Sandbox
	roistat   *roistat.Sandbox
	shop      *webhook.Sandbox
	hub       *hub

	bad badTraffic
}

// open starts the sandboxes, writes svod.yaml, and starts the hub from it.
func (d *demo) open(ctx context.Context) error {
	if err := d.openDir(); err != nil {
		return err
	}
	if err := d.reserveAddress(); err != nil {
		return err
	}
	settings, err := d.openSandboxes()
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, "svod.yaml")
	if err := writeDemoConfig(path, d.listen, d.dir, settings); err != nil {
		return err
	}
	cfg, problems := config.Load(path, os.LookupEnv, registry.New())
	if cfg == nil || hasErrors(problems) {
		return problemsError(problems)
	}
	if d.hub, err = openHub(ctx, cfg, d.log, true); err != nil {
		return err
	}
	if err := d.hub.start(ctx, []string{roleAPI, roleScheduler, roleWorker}); err != nil {
		return err
	}
	d.portal.SetHookURL(d.hook("b24"))
	d.account.SetHookURL(d.hook("amo"))
	d.shop, err = webhook.New(connectors.SandboxOptions{Seed: demoSeed, HookURL: d.hook("site")})
	return err
}

const (
	demoProject = "shop"
	demoSeed    = 7
)

func (d *demo) openDir() error {
	if d.dir != "" {
		return os.MkdirAll(d.dir, 0o755)
	}
	dir, err := os.MkdirTemp("", "svod-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	d.dir, d.temporary = dir, true
	return nil
}

// reserveAddress turns port 0 into a free port, because the sandboxes must know
// the hub's address before it listens.
func (d *demo) reserveAddress() error {
	listener, err := net.Listen("tcp", d.listen)
	if err != nil {
		return fmt.Errorf("the console can't listen on %s: %w; choose another address with --listen", d.listen, err)
	}
	d.listen = listener.Addr().String()
	return listener.Close()
}

func (d *demo) openSandboxes() (map[string]map[string]any, error) {
	opts := connectors.SandboxOptions{Now: time.Now, Seed: demoSeed}
	settings := map[string]map[string]any{}
	var err error
	if d.portal, err = bitrix24.New(opts); err != nil {
		return nil, err
	}
	if d.account, err = amocrm.New(opts); err != nil {
		return nil, err
	}
	if d.counter, err = metrica.New(opts); err != nil {
		return nil, err
	}
	if d.roistat, err = roistat.New(connectors.SandboxOptions{Seed: demoSeed, Options: map[string]string{"user": "hub", "password": "demo"}}); err != nil {
		return nil, err
	}
	site, err := webhook.New(opts)
	if err != nil {
		return nil, err
	}
	settings["site"] = site.Settings("")
	settings["roistat"] = map[string]any{"user": "hub", "password": "demo"}
	for id, box := range map[string]connectors.Sandbox{"b24": d.portal, "amo": d.account, "metrica": d.counter} {
		base, err := d.serve(box)
		if err != nil {
			return nil, err
		}
		settings[id] = box.Settings(base)
	}
	return settings, nil
}

func (d *demo) serve(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("open a sandbox: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	d.servers = append(d.servers, server)
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), nil
}

func (d *demo) hook(connection string) string {
	return address(d.hub.cfg, "hooks", demoProject, connection, d.hub.secret(demoProject, connection))
}

func (d *demo) pull() string {
	return address(d.hub.cfg, "pull", demoProject, "roistat", d.hub.secret(demoProject, "roistat"))
}

func (d *demo) close() {
	if d.portal != nil {
		_ = d.portal.Close()
	}
	if d.account != nil {
		d.account.Close()
	}
	if d.hub != nil {
		d.hub.stop()
	}
	for _, server := range d.servers {
		_ = server.Close()
	}
	if d.temporary {
		_ = os.RemoveAll(d.dir)
	}
}

// forever plays the sample traffic, then small changes until it is stopped.
func (d *demo) forever(ctx context.Context) error {
	fmt.Fprintf(d.cmd.OutOrStdout(), "Svod runs with sandboxes of Bitrix24, amoCRM, a shop, Yandex Metrica and Roistat.\n\n"+
		"  console  %s/\n  data     %s\n\nStop it with Ctrl+C.\n", address(d.hub.cfg, "console"), d.dir)
	err := d.play(ctx)
	for err == nil {
		err = d.trickle(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// trickle is what a quiet minute in three systems looks like.
func (d *demo) trickle(ctx context.Context) error {
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error {
		return d.portal.Traffic(together, bitrix24.Load{Deals: 1, Contacts: 1, Changes: 20, PerSecond: 1})
	})
	group.Go(func() error {
		return d.account.Traffic(together, amocrm.Load{Contacts: 1, Leads: 1, Changes: 15, PerSecond: 1})
	})
	group.Go(func() error {
		_, err := d.shop.Post(together, 2)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := d.roistat.Run(ctx, d.pull())
	return err
}

// once plays the sample traffic and tells what became of it.
func (d *demo) once(ctx context.Context) error {
	start := time.Now()
	if err := d.play(ctx); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	summary, err := d.summarise(ctx)
	if err != nil {
		return err
	}
	summary.took = time.Since(start)
	summary.print(d.cmd.OutOrStdout())
	if len(summary.wrong) > 0 {
		return exitError{code: 1}
	}
	return nil
}
