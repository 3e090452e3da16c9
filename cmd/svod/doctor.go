package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors/registry"
	"github.com/svod-hub/svod/store"
)

func newDoctor(s *settings) *cobra.Command {
	var output string
	var offline bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the installation and say what to do about what is wrong",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{offline: offline}
			d.examine(cmd.Context(), s.config)
			if err := d.print(cmd.OutOrStdout(), output); err != nil {
				return err
			}
			if d.wrong() {
				return exitError{code: 1}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "call no other system")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// Verdicts of findings.
const (
	verdictOK   = "ok"
	verdictWarn = "warning" // works, and could be better
	verdictFail = "wrong"
)

// finding is what one check found.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Says    string `json:"says"`
	Advice  string `json:"advice,omitempty"`
}

// doctor examines an installation; what fails does not keep it from the rest.
type doctor struct {
	offline  bool
	findings []finding
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Verdict: verdictOK, Says: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check, advice, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Verdict: verdictWarn, Says: fmt.Sprintf(format, args...), Advice: advice})
}

func (d *doctor) fail(check, advice, format string, args ...any) {
	d.findings = append(d.findings, finding{Check: check, Verdict: verdictFail, Says: fmt.Sprintf(format, args...), Advice: advice})
}

func (d *doctor) wrong() bool {
	for _, f := range d.findings {
		if f.Verdict == verdictFail {
			return true
		}
	}
	return false
}

func (d *doctor) print(out io.Writer, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"healthy": !d.wrong(), "findings": d.findings})
	}
	for _, f := range d.findings {
		fmt.Fprintf(out, "%-8s %s: %s\n", f.Verdict, f.Check, f.Says)
		if f.Advice != "" {
			fmt.Fprintf(out, "         → %s\n", f.Advice)
		}
	}
	return nil
}

func (d *doctor) examine(ctx context.Context, file string) {
	cfg := d.configuration(file)
	if cfg == nil {
		return
	}
	d.files(cfg)
	d.publicURL(cfg)
	d.redis(ctx, cfg)
	if !d.database(ctx, cfg) {
		return
	}
	h, err := openHub(ctx, cfg, zap.NewNop(), false)
	if err != nil {
		d.fail("hub", "mend what is said above first", "%v", err)
		return
	}
	defer h.stop()
	d.running(ctx, h)
	d.hooks(ctx, h)
	if !d.offline {
		d.connections(ctx, h)
		d.clock(ctx, h)
	}
}

func (d *doctor) configuration(file string) *config.Config {
	const check = "configuration"
	cfg, problems := config.Load(file, os.LookupEnv, registry.New())
	if cfg != nil {
		_, more := buildSetup(cfg, registry.New(), noDeps)
		problems = append(problems, more...)
	}
	for _, p := range problems {
		if p.Warning {
			d.warn(check, "", "%s", p.String())
		} else {
			d.fail(check, "", "%s", p.String())
		}
	}
	if problems.Failed() {
		return nil
	}
	d.ok(check, "%s is valid: %d projects", file, len(cfg.Projects))
	return cfg
}

// database reports whether the hub can be opened on it.
func (d *doctor) database(ctx context.Context, cfg *config.Config) bool {
	const check = "database"
	db, err := store.Open(ctx, cfg.Database, store.Options{})
	if err != nil {
		d.fail(check, "check database in the configuration, and that this machine reaches it", "%v", err)
		return false
	}
	defer db.Close()
	pending, err := db.PendingMigrations(ctx)
	switch {
	case err != nil:
		d.fail(check, "", "%v", err)
		return false
	case pending > 0:
		d.fail(check, "run svod serve of this version once: it brings the database up to date", "%d migrations are pending", pending)
		return false
	}
	d.ok(check, "%s answers and is up to date", db.Dialect())
	d.commits(ctx, db)
	return true
}
