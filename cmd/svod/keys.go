package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/credentials"
)

// Endings of the key's file while it changes: the key that is to come, and the
// one before.
const (
	nextKey   = ".next"
	formerKey = ".old"
)

// keyFile is where the master key is kept when the configuration has none.
func keyFile(cfg *config.Config) string {
	dir := "."
	if path, ok := strings.CutPrefix(cfg.Database, "sqlite:"); ok {
		dir = filepath.Dir(path)
	} else if cfg.File != "" {
		dir = filepath.Dir(cfg.File)
	}
	return filepath.Join(dir, "svod.key")
}

// masterKey is the configured one, or one kept beside the database.
func masterKey(cfg *config.Config) (credentials.Key, error) {
	if cfg.SecretKey != "" {
		return credentials.ParseKey(cfg.SecretKey.Reveal())
	}
	return credentials.LoadOrMakeKey(keyFile(cfg))
}

// openVault also opens what former and coming keys have sealed, so that a change
// of the key that was broken off costs nothing.
func openVault(cfg *config.Config) (*credentials.Vault, error) {
	key, err := masterKey(cfg)
	if err != nil {
		return nil, err
	}
	var older []credentials.Key
	for i, text := range cfg.OldSecretKeys {
		old, err := credentials.ParseKey(text.Reveal())
		if err != nil {
			return nil, fmt.Errorf("old_secret_keys[%d]: %w", i, err)
		}
		older = append(older, old)
	}
	for _, ending := range []string{nextKey, formerKey} {
		path := keyFile(cfg) + ending
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		old, err := credentials.LoadOrMakeKey(path)
		if err != nil {
			return nil, err
		}
		older = append(older, old)
	}
	return credentials.NewVault(key, older...), nil
}
