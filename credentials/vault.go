package credentials

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/svod-hub/svod/model"
)

// Vault encrypts small secrets with XChaCha20-Poly1305. A ciphertext names its
// key and can be opened only for the project, connection and name that it was
// sealed for, so that one moved to another place in the database is of no use.
type Vault struct {
	current Key
	keys    map[string]Key
}

// NewVault makes a vault that seals with current and also opens what older keys
// sealed.
func NewVault(current Key, older ...Key) *Vault {
	v := &Vault{current: current, keys: make(map[string]Key, 1+len(older))}
	for _, k := range older {
		v.keys[k.id] = k
	}
	v.keys[current.id] = current
	return v
}

const sealedPrefix = "v1."

// Seal encrypts a text: "v1.KEYID.BASE64(nonce, ciphertext)".
func (v *Vault) Seal(project, connection, name string, text []byte) string {
	aead, err := chacha20poly1305.NewX(v.current.secret[:])
	if err != nil {
		panic(err) // only for a key of the wrong size, which Key does not have
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(text)+aead.Overhead())
	rand.Read(nonce)
	sealed := aead.Seal(nonce, nonce, text, place(v.current.id, project, connection, name))
	return sealedPrefix + v.current.id + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open decrypts what Seal made for the same place. The error is
// model.ClassPermanent.
func (v *Vault) Open(project, connection, name, sealed string) ([]byte, error) {
	rest, ok := strings.CutPrefix(sealed, sealedPrefix)
	id, encoded, found := strings.Cut(rest, ".")
	if !ok || !found {
		return nil, unopened(connection, name, "it is not one of ours")
	}
	key, ok := v.keys[id]
	if !ok {
		return nil, unopened(connection, name, "it was encrypted with another master key; give that key, or connect the account again")
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	aead, keyErr := chacha20poly1305.NewX(key.secret[:])
	if err != nil || keyErr != nil || len(raw) < aead.NonceSize() {
		return nil, unopened(connection, name, "it is damaged")
	}
	text, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], place(id, project, connection, name))
	if err != nil {
		return nil, unopened(connection, name, "it is damaged or belongs elsewhere")
	}
	return text, nil
}

// Stale reports whether a sealed text should be sealed again because an older
// key sealed it.
func (v *Vault) Stale(sealed string) bool {
	return !strings.HasPrefix(sealed, sealedPrefix+v.current.id+".")
}

func unopened(connection, name, why string) error {
	return model.Errorf(model.ClassPermanent, model.CauseInternal,
		"cannot decrypt %q of connection %q: %s", name, connection, why)
}

// place is the additional data: its parts with their lengths, so that no two
// places look alike.
func place(parts ...string) []byte {
	var data []byte
	for _, p := range parts {
		data = binary.AppendUvarint(data, uint64(len(p)))
		data = append(data, p...)
	}
	return data
}
