package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/store"
)

func newSend(s *settings) *cobra.Command {
	var all, wait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "send FLOW",
		Short: "Send what is due of a flow now (PROJECT/FLOW where the name alone is not enough)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				f, err := findFlow(h.setup, args[0])
				if err != nil {
					return exitError{code: 2, err: err}
				}
				before, err := h.store.FlowState(ctx, f.Project.ID, f.Spec.ID)
				if err != nil {
					return err
				}
				do := &actions{hub: h}
				ask := do.SendNow
				if all {
					ask = do.SendAll
				}
				if err := ask(ctx, f.Project.ID, f.Spec.ID); err != nil {
					return err
				}
				running, err := jobs.WorkersSeen(ctx, h.store, h.now())
				if err != nil {
					return err
				}
				if !running {
					fmt.Fprintln(cmd.ErrOrStderr(), "svod: no worker is running; the request is kept and done when `svod serve` runs")
					if wait {
						return exitError{code: 1}
					}
					return nil
				}
				fmt.Fprintf(cmd.OutOrStdout(), "asked %s to send\n", f.Spec.ID)
				if !wait {
					return nil
				}
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				return waitForFlow(ctx, cmd, h, f, before)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "send everything again from the beginning, changed or not")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the destination has confirmed")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Minute, "how long to wait")
	return cmd
}

func newStatuses(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "statuses FLOW",
		Short: "Register a flow's status scheme at its destination",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				f, err := findFlow(h.setup, args[0])
				if err != nil {
					return exitError{code: 2, err: err}
				}
				n, err := h.engine.RegisterStatuses(ctx, f)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s knows the %d statuses of %s\n", f.To.ID, n, f.Spec.ID)
				return nil
			})
		},
	}
}

// withHub opens the hub without starting it, for commands that leave work to
// the running one.
func withHub(cmd *cobra.Command, s *settings, fn func(context.Context, *hub) error) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	h, err := openHub(cmd.Context(), cfg, zap.NewNop(), false)
	if err != nil {
		return err
	}
	defer h.stop()
	return fn(cmd.Context(), h)
}

// findFlow finds FLOW or PROJECT/FLOW.
func findFlow(setup *jobs.Setup, name string) (*jobs.Flow, error) {
	project, id, qualified := strings.Cut(name, "/")
	if !qualified {
		project, id = "", name
	}
	var found []*jobs.Flow
	var all []string
	for _, p := range setup.Projects {
		for _, f := range p.Flows {
			all = append(all, p.ID+"/"+f.Spec.ID)
			if f.Spec.ID == id && (project == "" || p.ID == project) {
				found = append(found, f)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("there is no flow %q; there are: %s", name, strings.Join(all, ", "))
	}
	return nil, fmt.Errorf("several projects have a flow %q; name it as PROJECT/%s", id, id)
}

// waitForFlow returns when everything that was due is confirmed.
func waitForFlow(ctx context.Context, cmd *cobra.Command, h *hub, f *jobs.Flow, before store.FlowState) error {
	for {
		st, err := h.store.FlowState(ctx, f.Project.ID, f.Spec.ID)
		if err != nil {
			return waitError(err)
		}
		counts, err := h.store.FlowCounts(ctx, f.Project.ID, f.Spec.ID)
		if err != nil {
			return waitError(err)
		}
		ran := !st.Asked && st.LastRun.After(before.LastRun)
		if ran && st.Error != "" {
			return fmt.Errorf("%s: %s", f.Spec.ID, st.Error)
		}
		if ran && counts.Due == 0 && counts.Sending == 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d rows confirmed, %d waiting, %d refused\n", f.Spec.ID, counts.Sent, counts.Waiting, counts.Refused)
			return nil
		}
		select {
		case <-ctx.Done():
			return waitError(ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func waitError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("not confirmed in time; the work goes on, see `svod status`")
	}
	return err
}

func newReplay(s *settings) *cobra.Command {
	var project, connection, flow, since, until, pattern string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Put journal entries (--connection) or refused rows (--flow) back to work",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (connection == "") == (flow == "") {
				return exitError{code: 2, err: errors.New("say what to replay: --connection for journal entries, or --flow for refused rows")}
			}
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				r := replay{hub: h, project: project, connection: connection, flow: flow, pattern: pattern, dryRun: dryRun}
				var err error
				if r.since, err = parseWhen(since, h.now()); err != nil {
					return exitError{code: 2, err: fmt.Errorf("--since: %w", err)}
				}
				if r.until, err = parseWhen(until, h.now()); err != nil {
					return exitError{code: 2, err: fmt.Errorf("--until: %w", err)}
				}
				n, err := r.run(ctx)
				if err != nil {
					return err
				}
				verb := "put back to work"
				if dryRun {
					verb = "would be put back to work"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, verb)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only this project")
	cmd.Flags().StringVar(&connection, "connection", "", "journal entries of this connection")
	cmd.Flags().StringVar(&flow, "flow", "", "refused rows of this flow")
	cmd.Flags().StringVar(&since, "since", "", "not older than: 2026-05-01, 2026-05-01T10:00:00Z, or 2h ago as 2h")
	cmd.Flags().StringVar(&until, "until", "", "older than, as --since")
	cmd.Flags().StringVar(&pattern, "error", "", "only where the error matches this regular expression")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only count")
	return cmd
}

// parseWhen reads a time, a day, or a duration back from now.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time (2026-05-01T10:00:00Z), a day (2026-05-01) nor a duration (2h)", text)
}
