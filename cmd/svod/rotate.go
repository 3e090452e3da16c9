package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/store"
)

func newRotate(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Change the master key: encrypt stored tokens with a new one",
		Long: "Change the master key: encrypt stored tokens with a new one.\n\n" +
			"Where the key is kept in a file beside the database, a new one is made; the hub must be stopped meanwhile.\n" +
			"Where it is in the configuration (secret_key), write the new key there and the former one to old_secret_keys,\n" +
			"start the hub anew, then run this.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHub(cmd, s, func(ctx context.Context, h *hub) error {
				if h.cfg.SecretKey != "" {
					return h.rotateConfigured(ctx, cmd.OutOrStdout())
				}
				return h.rotateFile(ctx, cmd.OutOrStdout())
			})
		},
	}
}

// rotateConfigured seals again what former keys have sealed.
func (h *hub) rotateConfigured(ctx context.Context, out io.Writer) error {
	total, changed, err := reseal(ctx, h.store, h.vault)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d stored tokens; %d were encrypted anew with secret_key\n", total, changed)
	if len(h.cfg.OldSecretKeys) > 0 {
		fmt.Fprintf(out, "Nothing needs old_secret_keys any more: take them out of %s. Backups from before need them still.\n", h.cfg.File)
		return nil
	}
	fmt.Fprintf(out, "\nTo change the key without a break:\n"+
		"  1. make one: openssl rand -base64 32\n"+
		"  2. in %s write it to old_secret_keys on every machine, and start the hub anew: from now on all can read it\n"+
		"  3. write it to secret_key, the former one to old_secret_keys, and start the hub anew\n"+
		"  4. run svod rotate, then take old_secret_keys out\n"+
		"With one process, leave step 2 out.\n", h.cfg.File)
	return nil
}

// rotateFile makes a new key in a file. Every step may be the last one: the new
// key is in its own file before anything is sealed with it, and the hub opens with
// all of them.
func (h *hub) rotateFile(ctx context.Context, out io.Writer) error {
	running, err := jobs.WorkersSeen(ctx, h.store, h.now())
	if err != nil {
		return err
	}
	if running {
		return exitError{code: 1, err: errors.New("a hub works on this database, and would not know the new key; stop it, wait half a minute, and try again")}
	}
	path := keyFile(h.cfg)
	current, err := masterKey(h.cfg)
	if err != nil {
		return err
	}
	next, err := credentials.LoadOrMakeKey(path + nextKey)
	if err != nil {
		return err
	}
	older := []credentials.Key{current}
	if _, err := os.Stat(path + formerKey); err == nil {
		former, err := credentials.LoadOrMakeKey(path + formerKey)
		if err != nil {
			return err
		}
		older = append(older, former)
	}
	total, changed, err := reseal(ctx, h.store, credentials.NewVault(next, older...))
	if err != nil {
		return err
	}
	if err := replaceKey(path); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d stored tokens; %d were encrypted anew\n"+
		"%s holds the new key. %s%s opens backups from before: keep it with them, not here.\n", total, changed, path, path, formerKey)
	return nil
}

// replaceKey puts the new key in its place at once, and keeps the former one.
func replaceKey(path string) error {
	if err := os.Remove(path + formerKey); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the key before the former one: %w", err)
	}
	if err := os.Link(path, path+formerKey); err != nil {
		return fmt.Errorf("keep the former key: %w", err)
	}
	if err := os.Rename(path+nextKey, path); err != nil {
		return fmt.Errorf("put the new key in its place: %w", err)
	}
	return nil
}

// tokenName is under which connections keep their tokens.
const tokenName = "credentials.token"

// resealAttempts bounds how often a token is tried that is renewed meanwhile.
const resealAttempts = 5

// reseal encrypts all tokens with the vault's key. Tokens that cannot be opened
// do not keep it from the others.
func reseal(ctx context.Context, db *store.DB, vault *credentials.Vault) (total, changed int, err error) {
	var failed []error
	for attempt := 0; ; attempt++ {
		sealed, err := db.Memories(ctx, tokenName)
		if err != nil {
			return total, changed, err
		}
		total, failed = len(sealed), nil
		missed := 0
		for _, m := range sealed {
			if m.Value == "" || !vault.Stale(m.Value) {
				continue
			}
			text, err := vault.Open(m.Project, m.Connection, tokenName, m.Value)
			if err != nil {
				failed = append(failed, fmt.Errorf("project %s: %w", m.Project, err))
				continue
			}
			replaced, err := db.ReplaceMemory(ctx, m.Project, m.Connection, tokenName, m.Value, vault.Seal(m.Project, m.Connection, tokenName, text))
			if err != nil {
				return total, changed, err
			}
			if replaced {
				changed++
			} else {
				missed++ // renewed this moment, perhaps with the former key
			}
		}
		if missed == 0 || attempt == resealAttempts {
			break
		}
	}
	return total, changed, errors.Join(failed...)
}
