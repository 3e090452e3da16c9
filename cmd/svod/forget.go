package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/forget"
)

func newForget(s *settings) *cobra.Command {
	var o forgetOptions
	cmd := &cobra.Command{
		Use:   "forget",
		Short: "Remove a person from records, history, journal and answers of destinations",
		Long: "Remove a person from records, history, journal and answers of destinations.\n\n" +
			"A phone is found in any spelling. What is removed cannot be brought back; look first with --dry-run.\n" +
			"Remove the person from the CRM before: what is read from there afterwards comes back.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.phones)+len(o.emails) == 0 {
				return exitError{code: 2, err: errors.New("say who is to be forgotten: --phone or --email")}
			}
			return withHub(cmd, s, func(ctx context.Context, h *hub) error { return h.forget(ctx, cmd.OutOrStdout(), o) })
		},
	}
	cmd.Flags().StringArrayVar(&o.phones, "phone", nil, "a phone of the person; may stand several times")
	cmd.Flags().StringArrayVar(&o.emails, "email", nil, "an e-mail address of the person; may stand several times")
	cmd.Flags().StringVar(&o.project, "project", "", "only in this project")
	cmd.Flags().BoolVar(&o.related, "related", false, "also remove deals, calls and others that name the person's contact as theirs")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only count")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

type forgetOptions struct {
	phones, emails  []string
	project, output string
	related, dryRun bool
}

func (h *hub) forget(ctx context.Context, out io.Writer, o forgetOptions) error {
	results := []forget.Result{}
	waiting := 0
	for _, p := range h.cfg.Projects {
		if o.project != "" && o.project != p.ID {
			continue
		}
		person, err := forget.NewPerson(o.phones, o.emails, p.Region)
		if err != nil {
			return exitError{code: 2, err: err}
		}
		r, err := forget.Forget(ctx, h.store, forget.Request{Project: p.ID, Person: person, Related: o.related, DryRun: o.dryRun, User: operator()})
		if err != nil {
			return fmt.Errorf("project %s: %w; run the command again, it goes on where it stopped", p.ID, err)
		}
		results = append(results, r)
		waiting += r.Waiting
	}
	if len(results) == 0 {
		return exitError{code: 2, err: fmt.Errorf("there is no project %q", o.project)}
	}
	if err := printForgotten(out, results, o); err != nil {
		return err
	}
	if waiting > 0 {
		return exitError{code: 1, err: fmt.Errorf("%d journal entries that speak of the person wait to be taken in; run the command again when they are", waiting)}
	}
	return nil
}

func printForgotten(out io.Writer, results []forget.Result, o forgetOptions) error {
	if o.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	verb := "removed"
	if o.dryRun {
		verb = "would be removed"
	}
	for _, r := range results {
		if r.Empty() {
			fmt.Fprintf(out, "%s: nothing speaks of the person\n", r.Project)
			continue
		}
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(r.Records)) {
			kinds = append(kinds, fmt.Sprintf("%s %d", kind, r.Records[kind]))
		}
		fmt.Fprintf(out, "%s: %s: records (%s), former versions %d, journal entries %d, answers to uploads %d\n",
			r.Project, verb, strings.Join(kinds, ", "), r.Versions, r.Entries, r.Uploads)
		if r.Linked > 0 {
			fmt.Fprintf(out, "%s: %d records name the person's contact as theirs and stay; --related removes them too\n", r.Project, r.Linked)
		}
	}
	return nil
}

// operator names who uses the command line, for the audit log.
func operator() string {
	if u, err := user.Current(); err == nil {
		return "command line: " + u.Username
	}
	return "command line"
}
