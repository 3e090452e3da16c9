package credentials

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/svod-hub/svod/model"
)

func TestVault(t *testing.T) {
	t.Parallel()
	older, current := NewKey(), NewKey()
	vault := NewVault(current, older)
	sealed := vault.Seal("shop", "amo", "token", []byte("secret text"))
	byOlder := NewVault(older).Seal("shop", "amo", "token", []byte("old text"))
	broken := sealed[:len(sealed)-1] + string('A'+('B'-sealed[len(sealed)-1]&1))
	for _, test := range []struct {
		name                      string
		project, connection, item string
		sealed                    string
		want                      string
		err                       string
	}{
		{"as it was", "shop", "amo", "token", sealed, "secret text", ""},
		{"by an older key", "shop", "amo", "token", byOlder, "old text", ""},
		{"another project", "other", "amo", "token", sealed, "", "belongs elsewhere"},
		{"another connection", "shop", "b24", "token", sealed, "", "belongs elsewhere"},
		{"another name", "shop", "amo", "secret", sealed, "", "belongs elsewhere"},
		{"parts shifted", "sho", "pamo", "token", sealed, "", "belongs elsewhere"},
		{"another key's", "shop", "amo", "token", NewVault(NewKey()).Seal("shop", "amo", "token", nil), "", "another master key"},
		{"a key id changed", "shop", "amo", "token", strings.Replace(sealed, current.ID(), older.ID(), 1), "", "damaged"},
		{"cut", "shop", "amo", "token", sealed[:20], "", "damaged"},
		{"changed", "shop", "amo", "token", broken, "", "damaged"},
		{"clear text", "shop", "amo", "token", "secret text", "", "not one of ours"},
		{"empty", "shop", "amo", "token", "", "", "not one of ours"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := vault.Open(test.project, test.connection, test.item, test.sealed)
			if string(got) != test.want {
				t.Errorf("got %q", got)
			}
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got error %v", err)
			}
			if err != nil && (model.ClassOf(err) != model.ClassPermanent || strings.Contains(err.Error(), "secret text")) {
				t.Errorf("error %v", err)
			}
		})
	}
	if vault.Stale(sealed) || !vault.Stale(byOlder) {
		t.Error("stale is wrong")
	}
	if again := vault.Seal("shop", "amo", "token", []byte("secret text")); again == sealed {
		t.Error("the same text is sealed alike twice")
	}
}

func FuzzOpen(f *testing.F) {
	key, err := ParseKey(strings.Repeat("A", 43))
	if err != nil {
		f.Fatal(err)
	}
	vault := NewVault(key)
	f.Add(vault.Seal("p", "c", "n", []byte("text")))
	f.Add("v1." + key.ID() + ".")
	f.Add("v1..")
	f.Fuzz(func(t *testing.T, sealed string) {
		if text, err := vault.Open("p", "c", "n", sealed); err == nil && string(text) != "text" {
			t.Errorf("%q opens to %q", sealed, text)
		}
	})
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	key := NewKey()
	standard := key.Base64()
	for name, text := range map[string]string{
		"standard":   standard,
		"unpadded":   strings.TrimRight(standard, "="),
		"URL-safe":   strings.NewReplacer("+", "-", "/", "_").Replace(standard),
		"with space": " " + standard + "\n",
	} {
		if got, err := ParseKey(text); err != nil || got != key {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := base64.StdEncoding.EncodeToString([]byte("too short a secret"))
	for name, text := range map[string]string{"empty": "", "short": short, "no base64": "пароль", "long": standard + standard} {
		if _, err := ParseKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, key); !strings.HasPrefix(text, "<key ") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "svod.key")
	keys := make([]Key, 8)
	var processes sync.WaitGroup
	for i := range keys {
		processes.Go(func() {
			key, err := LoadOrMakeKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	processes.Wait()
	for _, k := range keys {
		if k != keys[0] || k == (Key{}) {
			t.Fatal("two processes have different keys")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrMakeKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	os.WriteFile(path, []byte("nonsense"), 0o600)
	os.Chmod(path, 0o600)
	if _, err := LoadOrMakeKey(path); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash := HashPassword("пароль 1")
	for _, test := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"right", hash, "пароль 1", true},
		{"wrong", hash, "пароль 2", false},
		{"empty password", hash, "", false},
		{"no such user", "", "пароль 1", false},
		{"nobody knows the stand-in", "", "", false},
		{"foreign hash", "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy", "x", false},
		{"a costly forgery", "$argon2id$v=19$m=4294967295,t=99,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "x", false},
		{"no threads", "$argon2id$v=19$m=64,t=1,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "x", false},
		{"no sum", "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$", "x", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := CheckPassword(test.hash, test.password); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if HashPassword("x") == HashPassword("x") {
		t.Error("no salt")
	}
}

func TestHookSecret(t *testing.T) {
	t.Parallel()
	a, b := NewHookSecret(), NewHookSecret()
	if a == b || len(a) != 32 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		t.Errorf("got %q and %q", a, b)
	}
	if !Equal(a, a) || Equal(a, b) || Equal(a, a[:31]) || Equal("", a) || !Equal("", "") {
		t.Error("equal is wrong")
	}
}
