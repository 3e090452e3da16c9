package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Schemes of signatures.
const (
	schemeStandard = "standard-webhooks"
	schemeHMAC     = "hmac-sha256"
)

const (
	defaultTolerance  = 5 * time.Minute // webhook-security §3.2
	maxSignatures     = 20
	maxSignatureBytes = 4 << 10
)

// verify checks who sent a delivery, over its raw bytes and before anything of
// it is parsed. Times are compared with the moment of receiving, so that a
// delivery replayed from the journal is still good.
func (c *Connector) verify(d connectors.Delivery) error {
	if c.token != nil && !c.token.admits(d) {
		return refuse(model.CauseWrongToken, "the delivery's token is missing or wrong")
	}
	if c.signature != nil {
		if why := c.signature.check(d); why != "" {
			return refuse(model.CauseWrongToken, "%s", why)
		}
	}
	return nil
}

type tokenVerifier struct {
	header string
	query  string
	value  string
}

func (t *tokenSettings) verifier(wrong *mistakes) *tokenVerifier {
	if t == nil {
		return nil
	}
	if t.Value == "" {
		wrong.add("token.value", "write the value that the sender gives")
	}
	if t.Header == "" && t.Query == "" {
		wrong.add("token", "say where the sender puts it: header: X-Token, or query: token")
	}
	if name := http.CanonicalHeaderKey(t.Header); name == "Authorization" || name == "Cookie" {
		wrong.add("token.header", "%s is not kept; use a header of its own, such as X-Token", name)
	}
	return &tokenVerifier{header: t.Header, query: t.Query, value: t.Value.Reveal()}
}

// admits accepts the value in either of the two places.
func (t *tokenVerifier) admits(d connectors.Delivery) bool {
	ok := false
	if t.header != "" {
		ok = same(d.Header.Get(t.header), t.value)
	}
	if t.query != "" {
		values, _ := connectors.ParseQuery(d.Query, maxParts)
		ok = same(values.Get(t.query), t.value) || ok
	}
	return ok
}

// same compares in a time that tells nothing, not even the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

type signatureVerifier struct {
	scheme    string
	keys      [][]byte // several while secrets change
	header    string
	prefix    string
	timestamp string
	tolerance time.Duration
}

func (s *signatureSettings) verifier(wrong *mistakes) *signatureVerifier {
	if s == nil {
		return nil
	}
	v := &signatureVerifier{scheme: s.Scheme, header: s.Header, prefix: s.Prefix, timestamp: s.TimestampHeader, tolerance: defaultTolerance}
	if s.Tolerance != "" {
		d, err := time.ParseDuration(s.Tolerance)
		if err != nil || d <= 0 {
			wrong.add("signature.tolerance", "%q is not a duration; write for example 5m", s.Tolerance)
		}
		v.tolerance = d
	}
	switch s.Scheme {
	case schemeStandard:
	case schemeHMAC:
		if s.Header == "" {
			wrong.add("signature.header", "say which header holds the signature, for example X-Signature")
		}
	default:
		wrong.add("signature.scheme", "%q is neither %s nor %s", s.Scheme, schemeStandard, schemeHMAC)
	}
	if s.Secret == "" {
		wrong.add("signature.secret", "write the secret that you share with the sender")
	}
	for key, secret := range map[string]model.Secret{"signature.secret": s.Secret, "signature.old_secret": s.OldSecret} {
		if secret == "" {
			continue
		}
		bytes, ok := secretBytes(s.Scheme, secret)
		if !ok {
			wrong.add(key, "is not a secret of Standard Webhooks: whsec_ and base64")
			continue
		}
		v.keys = append(v.keys, bytes)
	}
	return v
}

// secretBytes decodes the secrets of Standard Webhooks; others are used as they
// are written (webhook-security §3.1, §4.1).
func secretBytes(scheme string, secret model.Secret) ([]byte, bool) {
	if scheme != schemeStandard {
		return []byte(secret.Reveal()), true
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	return key, err == nil && len(key) > 0
}

// check says what is wrong with the signature; "" when it is right.
func (v *signatureVerifier) check(d connectors.Delivery) string {
	if v.scheme == schemeStandard {
		return v.checkStandard(d)
	}
	return v.checkHMAC(d)
}

// checkStandard follows webhook-security §3.2.
func (v *signatureVerifier) checkStandard(d connectors.Delivery) string {
	id, stamp, list := standardHeader(d.Header, "id"), standardHeader(d.Header, "timestamp"), standardHeader(d.Header, "signature")
	if id == "" || stamp == "" || list == "" || len(list) > maxSignatureBytes {
		return "the headers webhook-id, webhook-timestamp and webhook-signature are not all there"
	}
	if why := v.checkTime(stamp, d.ReceivedAt); why != "" {
		return why
	}
	for n, one := range strings.Fields(list) {
		if n == maxSignatures {
			break
		}
		version, signature, _ := strings.Cut(one, ",")
		if version != "v1" {
			continue
		}
		if v.matches(signature, base64.StdEncoding.DecodeString, []byte(id+"."+stamp+"."), d.Body) {
			return ""
		}
	}
	return "the signature does not match"
}

// standardHeader also knows the names that Svix sends.
func standardHeader(h http.Header, name string) string {
	if value := h.Get("webhook-" + name); value != "" {
		return value
	}
	return h.Get("svix-" + name)
}

// checkTime wants Unix seconds; more digits are somebody's milliseconds and are
// not guessed.
func (v *signatureVerifier) checkTime(stamp string, received time.Time) string {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(stamp) > 10 {
		return "the signature's time is not in Unix seconds"
	}
	switch age := received.Sub(time.Unix(seconds, 0)); {
	case age > v.tolerance:
		return "the signature is too old"
	case age < -v.tolerance:
		return "the signature's time is in the future"
	}
	return ""
}

// checkHMAC takes hex or base64 of the body's HMAC, with the timestamp and a dot
// before it when a header for that is set (webhook-security §4.1).
func (v *signatureVerifier) checkHMAC(d connectors.Delivery) string {
	value := d.Header.Get(v.header)
	if value == "" || len(value) > maxSignatureBytes {
		return "the signature's header is missing"
	}
	var before []byte
	if v.timestamp != "" {
		stamp := d.Header.Get(v.timestamp)
		if why := v.checkTime(stamp, d.ReceivedAt); why != "" {
			return why
		}
		before = []byte(stamp + ".")
	}
	value = strings.TrimPrefix(strings.TrimSpace(value), v.prefix)
	if v.matches(value, hex.DecodeString, before, d.Body) || v.matches(value, base64.StdEncoding.DecodeString, before, d.Body) {
		return ""
	}
	return "the signature does not match"
}

// matches compares decoded bytes with the MAC of every live secret.
func (v *signatureVerifier) matches(signature string, decode func(string) ([]byte, error), parts ...[]byte) bool {
	given, err := decode(signature)
	if err != nil || len(given) == 0 {
		return false
	}
	ok := false
	for _, key := range v.keys {
		mac := hmac.New(sha256.New, key)
		for _, part := range parts {
			mac.Write(part)
		}
		ok = hmac.Equal(given, mac.Sum(nil)) || ok
	}
	return ok
}
