package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
)

func newSandbox() *cobra.Command {
	var listen, hookURL string
	var options map[string]string
	cmd := &cobra.Command{
		Use:   "sandbox KIND",
		Short: "Run the strict fake of one external system, for dry runs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			box, err := makeSandbox(args[0], connectors.SandboxOptions{Now: time.Now, HookURL: hookURL, Options: options})
			if err != nil {
				return exitError{code: 2, err: err}
			}
			listener, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listen on %s: %w", listen, err)
			}
			base := "http://" + listener.Addr().String()
			if err := printSandbox(cmd, args[0], base, box); err != nil {
				return err
			}
			return serveUntil(cmd.Context(), listener, box)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "where to listen")
	cmd.Flags().StringVar(&hookURL, "hook-url", "", "where a source posts its events (from `svod urls`)")
	cmd.Flags().StringToStringVar(&options, "option", nil, "an option of the sandbox, NAME=VALUE; repeatable, see its page in docs/")
	return cmd
}

func makeSandbox(kind string, opts connectors.SandboxOptions) (connectors.Sandbox, error) {
	kinds := registry.New()
	t, ok := kinds.Type(kind)
	if !ok || t.Sandbox == nil {
		var have []string
		for _, t := range kinds.Types() {
			if t.Sandbox != nil {
				have = append(have, t.Kind)
			}
		}
		slices.Sort(have)
		return nil, fmt.Errorf("there is no sandbox for %q; there are: %s", kind, strings.Join(have, ", "))
	}
	return t.Sandbox(opts)
}

func printSandbox(cmd *cobra.Command, kind, base string, box connectors.Sandbox) error {
	settings := map[string]any{"kind": kind}
	for key, value := range box.Settings(base) {
		settings[key] = value
	}
	text, err := yaml.Marshal(map[string]any{"connections": []any{settings}})
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "The sandbox of %s listens on %s; its state is at %s/__fake/\nConnect a hub to it with:\n\n%s\n", kind, base, base, text)
	return nil
}

// serveUntil serves until ctx ends.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
