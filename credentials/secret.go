package credentials

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// NewHookSecret makes the unguessable last part of a hook's or pull's address:
// 24 random bytes, URL-safe.
func NewHookSecret() string {
	raw := make([]byte, 24)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Equal compares secrets in constant time, whatever their lengths
// (webhook-security §4.2).
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Cost of a password hash: about 50 ms on a small server. A hash carries its own
// cost, so these may change.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonSize    = 32
)

// HashPassword hashes a console user's password with argon2id.
func HashPassword(password string) string {
	salt := make([]byte, 16)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonSize)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// CheckPassword reports whether hash was made from password. With an empty or
// foreign hash it says no after the same work, so that the time taken does not
// tell which users exist.
func CheckPassword(hash, password string) bool {
	memory, time, threads, salt, want, ok := parseHash(hash)
	if !ok {
		memory, time, threads, salt, want = argonMemory, argonTime, argonThreads, make([]byte, 16), make([]byte, argonSize)
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && ok
}

func parseHash(hash string) (memory, time uint32, threads uint8, salt, sum []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return 0, 0, 0, nil, nil, false
	}
	n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &threads)
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[5])
	// Bounds keep a forged hash from taking the machine down.
	ok = n == 3 && err == nil && saltErr == nil && sumErr == nil &&
		memory <= 1<<20 && 0 < time && time <= 16 && 0 < threads && len(salt) >= 8 && len(sum) >= 16 && len(sum) <= 64
	return memory, time, threads, salt, sum, ok
}
