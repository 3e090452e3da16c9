// Command svod is the hub and everything that its operators do from a
// terminal. This package is the only place that knows all the others.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors/registry"
)

// exitError ends the program with a code of its own. Without a text nothing is
// printed: what there was to say was said.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := 1
	var exit exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, "svod: "+text)
	}
	return code
}

// settings are the flags that all commands share.
type settings struct {
	config string
}

func newRoot() *cobra.Command {
	s := &settings{}
	root := &cobra.Command{
		Use:           "svod",
		Short:         "Bring CRMs, call tracking, ads and analytics together",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVarP(&s.config, "config", "c", "svod.yaml", "the configuration file")
	root.AddCommand(
		newAlerts(s), newDoctor(s), newForget(s), newListen(s), newRotate(s),
		newCheck(s), newDemo(), newReplay(s), newSandbox(), newSend(s), newServe(s), newStatus(s), newStatuses(s), newURLs(s),
	)
	return root
}

// load reads the configuration and prints what is wrong with it.
func (s *settings) load() (*config.Config, error) {
	cfg, problems := config.Load(s.config, os.LookupEnv, registry.New())
	printProblems(problems)
	if cfg == nil || hasErrors(problems) {
		return nil, exitError{code: 2}
	}
	return cfg, nil
}

func printProblems(problems config.Problems) {
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p.String())
	}
}

func hasErrors(problems config.Problems) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// problemsError prints problems that only turned up with the set-up.
func problemsError(problems config.Problems) error {
	printProblems(problems)
	return exitError{code: 2}
}

// newLog writes JSON lines to stderr.
func newLog(level string) (*zap.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q is not known; use debug, info, warn or error", level)
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(os.Stderr), parsed)
	return zap.New(core), nil
}
