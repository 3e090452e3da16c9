package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
	"github.com/svod-hub/svod/model"
)

func newCheck(s *settings) *cobra.Command {
	var online bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration; with --online also try each connection",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, problems := config.Load(s.config, os.LookupEnv, registry.New())
			if cfg != nil {
				_, more := buildSetup(cfg, registry.New(), noDeps)
				problems = append(problems, more...)
			}
			printProblems(problems)
			if cfg == nil || hasErrors(problems) {
				return exitError{code: 2}
			}
			connections, flows := 0, 0
			for _, p := range cfg.Projects {
				connections += len(p.Connections)
				flows += len(p.Flows)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %d projects, %d connections, %d flows\n", s.config, len(cfg.Projects), connections, flows)
			if !online {
				return nil
			}
			return checkOnline(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "also try the credentials of each connection")
	return cmd
}

// noDeps is for validation, which does no I/O.
func noDeps(p *config.Project, c *config.Connection) connectors.Deps {
	return connectors.Deps{
		Project: p.ID, Connection: c.ID, Zone: p.Zone, Currency: p.Currency, Region: p.Region, Log: zap.NewNop(), Now: time.Now,
	}
}

func checkOnline(ctx context.Context, cfg *config.Config, out io.Writer) error {
	h, err := openHub(ctx, cfg, zap.NewNop(), true)
	if err != nil {
		return err
	}
	defer h.stop()
	bad := 0
	for _, p := range h.setup.Projects {
		for _, c := range p.Connections {
			try, cancel := context.WithTimeout(ctx, 30*time.Second)
			says, err := c.Connector.Check(try)
			cancel()
			if err != nil {
				bad++
				fmt.Fprintf(out, "FAIL  %s/%s (%s): %v\n", p.ID, c.ID, c.Kind, err)
				if model.ClassOf(err) == model.ClassReauth {
					fmt.Fprintf(out, "      give it a new credential in %s, or authorise it with the address of `svod urls`\n", cfg.File)
				}
				continue
			}
			fmt.Fprintf(out, "ok    %s/%s (%s): %s\n", p.ID, c.ID, c.Kind, says)
		}
	}
	if bad > 0 {
		return exitError{code: 3, err: fmt.Errorf("%d connections failed", bad)}
	}
	return nil
}

func newURLs(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "urls",
		Short: "Print the addresses to paste into the other systems",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			h, err := openHub(cmd.Context(), cfg, zap.NewNop(), true)
			if err != nil {
				return err
			}
			defer h.stop()
			out := cmd.OutOrStdout()
			for _, p := range h.setup.Projects {
				for _, c := range p.Connections {
					secret := h.secret(p.ID, c.ID)
					if c.Receives {
						fmt.Fprintf(out, "%s/%s (%s): webhooks are sent to\n    %s\n", p.ID, c.ID, c.Title, address(cfg, "hooks", p.ID, c.ID, secret))
					}
					if c.Pulls {
						fmt.Fprintf(out, "%s/%s (%s): reads from\n    %s\n", p.ID, c.ID, c.Title, address(cfg, "pull", p.ID, c.ID, secret))
					}
					if _, ok := c.Connector.(connectors.Authorizer); ok && usesOAuth(cfg, p.ID, c.ID) {
						fmt.Fprintf(out, "%s/%s (%s): to authorise it, open\n    %s\n", p.ID, c.ID, c.Title, address(cfg, "oauth", p.ID, c.ID, secret, "start"))
					}
				}
			}
			return nil
		},
	}
}

// usesOAuth reports whether the connection is set up for authorisation in a
// browser rather than with a pasted credential.
func usesOAuth(cfg *config.Config, project, connection string) bool {
	for _, p := range cfg.Projects {
		for _, c := range p.Connections {
			if p.ID == project && c.ID == connection {
				return slices.Contains(c.Settings.Keys(), "oauth")
			}
		}
	}
	return false
}
