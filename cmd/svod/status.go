package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/jobs"
)

func newStatus(s *settings) *cobra.Command {
	var output string
	var alive bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show connections, flows, lag, last uploads and errors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				if alive {
					return checkAlive(ctx, h)
				}
				status, err := view.Build(ctx, h.store, views(h.cfg, h.kinds, h.secret), h.now())
				if err != nil {
					return err
				}
				if output == "json" {
					encoder := json.NewEncoder(cmd.OutOrStdout())
					encoder.SetIndent("", "  ")
					err = encoder.Encode(status)
				} else {
					err = printStatus(cmd.OutOrStdout(), status)
				}
				if err != nil {
					return err
				}
				if !status.Healthy {
					return exitError{code: 1}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&alive, "alive", false, "only tell by the exit code whether a hub works on this database; for health checks")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func checkAlive(ctx context.Context, h *hub) error {
	running, err := jobs.WorkersSeen(ctx, h.store, h.now())
	if err != nil {
		return err
	}
	if !running {
		return exitError{code: 1, err: errors.New("no hub has worked on this database for some seconds")}
	}
	return nil
}

func printStatus(out io.Writer, status view.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range status.Projects {
		fmt.Fprintf(w, "PROJECT %s (%s)\n\n", p.ID, p.Name)
		fmt.Fprintln(w, "CONNECTION\tKIND\tSTATUS\tLAST EVENT\tLAST READ\tWAITING\tERROR")
		for _, c := range p.Connections {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", c.ID, c.Kind, c.Status,
				ago(c.LastEventAt, status.At), ago(c.LastReadAt, status.At), c.Waiting.Count+c.WaitingRefs.Count, oneLine(c.Error))
		}
		fmt.Fprintln(w, "\nFLOW\tAS\tLAG\tDUE\tSENT\tWAITING\tREFUSED\tLAST UPLOAD\tERROR")
		for _, f := range p.Flows {
			last := "-"
			if f.LastUpload != nil {
				last = fmt.Sprintf("%s, %d rows, %s", f.LastUpload.Status, f.LastUpload.Rows, ago(f.LastUpload.StartedAt, status.At))
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", f.ID, f.As, f.Lag, f.Due, f.Sent, f.Waiting, f.Refused, last, oneLine(f.Error))
		}
		if len(p.Attention) > 0 {
			fmt.Fprintln(w, "\nNEEDS ATTENTION")
			for _, a := range p.Attention {
				fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\n", a.Severity, a.Subject, a.ID, a.Reason, oneLine(a.Error))
			}
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// ago says how long ago something was, in words that fit a table.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	switch d := now.Sub(t); {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

// oneLine cuts a message to what a table can show.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:99]) + "…"
	}
	return text
}
