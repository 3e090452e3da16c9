package credentials

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/svod-hub/svod/model"
)

// KeySize is the length of a master key in bytes.
const KeySize = 32

// Key is a master key. It prints as its id only.
type Key struct {
	id     string
	secret [KeySize]byte
}

// NewKey makes a random key.
func NewKey() Key {
	var secret [KeySize]byte
	rand.Read(secret[:]) // never fails; the runtime stops the program instead
	return keyOf(secret)
}

// ParseKey reads a key of 32 bytes in base64, standard or URL-safe, with or
// without padding, as secret_key in svod.yaml has it.
func ParseKey(text string) (Key, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(raw) != KeySize {
		return Key{}, model.Errorf(model.ClassPermanent, model.CauseBadValue,
			"the master key is not 32 bytes in base64; make one with: openssl rand -base64 32")
	}
	return keyOf([KeySize]byte(raw)), nil
}

// LoadOrMakeKey reads the key in the file at path, or makes one there that only
// its owner may read. Of several processes that start at once one makes the key
// and all read the same.
func LoadOrMakeKey(path string) (Key, error) {
	key, err := loadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKeyFile(path, NewKey()); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("make a master key in %s: %w", path, err)
	}
	return loadKey(path)
}

// ID tells keys apart without giving them away.
func (k Key) ID() string { return k.id }

// String hides the key.
func (k Key) String() string { return "<key " + k.id + ">" }

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }

// Base64 gives the key away, as ParseKey reads it.
func (k Key) Base64() string { return base64.StdEncoding.EncodeToString(k.secret[:]) }

func keyOf(secret [KeySize]byte) Key {
	sum := sha256.Sum256(append([]byte("svod key id\x00"), secret[:]...))
	return Key{id: hex.EncodeToString(sum[:4]), secret: secret}
}

func loadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the master key: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return Key{}, model.Errorf(model.ClassPermanent, model.CauseForbidden,
			"other users may read the master key in %s; run: chmod 600 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the master key: %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("read the master key in %s: %w", path, err)
	}
	return key, nil
}

// makeKeyFile writes the whole key before the file gets its name, and never
// replaces one that is there.
func makeKeyFile(path string, key Key) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(key.Base64() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
