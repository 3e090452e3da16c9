package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/store"
)

// keepUsers brings the console's users in line with the configuration. When
// there is none at all, one is made and its password printed, once.
func (h *hub) keepUsers(ctx context.Context) error {
	for _, u := range h.cfg.Console.Users {
		hash, err := h.store.UserHash(ctx, u.Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if hash != "" && credentials.CheckPassword(hash, u.Password.Reveal()) {
			continue
		}
		if err := h.store.SaveUser(ctx, u.Name, credentials.HashPassword(u.Password.Reveal())); err != nil {
			return err
		}
	}
	known, err := h.store.Users(ctx)
	if err != nil {
		return err
	}
	if len(h.cfg.Console.Users) > 0 {
		return h.dropUsers(ctx, known)
	}
	if len(known) > 0 {
		return nil
	}
	password := rand.Text()[:16]
	if err := h.store.SaveUser(ctx, firstUser, credentials.HashPassword(password)); err != nil {
		return err
	}
	// Not to the log, which others keep and read.
	fmt.Fprintf(os.Stdout, "Console user made: name %s, password %s (printed once; set console.users to choose your own)\n", firstUser, password)
	return nil
}

// dropUsers removes users that the configuration does not name any more.
func (h *hub) dropUsers(ctx context.Context, known []string) error {
	for _, name := range known {
		named := slices.ContainsFunc(h.cfg.Console.Users, func(u config.User) bool { return u.Name == name })
		if named {
			continue
		}
		if err := h.store.DeleteUser(ctx, name); err != nil {
			return err
		}
		h.log.Info("console user removed", zap.String("user", name))
	}
	return nil
}

const firstUser = "operator"
