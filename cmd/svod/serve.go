package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func newServe(s *settings) *cobra.Command {
	var roles, level, listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the hub",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted := strings.Split(roles, ",")
			for _, role := range wanted {
				if !slices.Contains([]string{roleAPI, roleScheduler, roleWorker}, role) {
					return exitError{code: 2, err: fmt.Errorf("role %q is not known; use api, worker, scheduler", role)}
				}
			}
			cfg, err := s.load()
			if err != nil {
				return err
			}
			if listen != "" {
				cfg.Server.Listen = listen
			}
			log, err := newLog(level)
			if err != nil {
				return exitError{code: 2, err: err}
			}
			defer func() { _ = log.Sync() }()
			ctx := cmd.Context()
			h, err := openHub(ctx, cfg, log, true)
			if err != nil {
				return err
			}
			defer h.stop()
			if err := h.start(ctx, wanted); err != nil {
				return err
			}
			log.Info("the hub runs", zap.Strings("roles", wanted), zap.Stringer("listen", h.http.Addr()))
			select {
			case <-ctx.Done():
				log.Info("stopping: what is under way is finished or given back")
				return nil
			case err := <-h.http.Failed():
				return fmt.Errorf("the HTTP server ended: %w", err)
			}
		},
	}
	cmd.Flags().StringVar(&roles, "roles", "api,worker,scheduler", "what this process does")
	cmd.Flags().StringVar(&listen, "listen", "", "listen here instead of server.listen; for several processes on one machine")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}
