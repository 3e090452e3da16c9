package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// Webhook posts JSON to an address, signed by Standard Webhooks where it has a
// secret (webhook-security §3).
type Webhook struct {
	HTTP   Caller
	URL    model.Secret // may hold a secret of its own
	Secret model.Secret // whsec_ and base64; "" signs nothing
	Now    func() time.Time
}

// event is the body (webhook-security §3.3).
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      eventData `json:"data"`
}

type eventData struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
	Items   []Item `json:"items"`
}

// Name implements Channel.
func (w *Webhook) Name() string { return "webhook-" + short(w.URL.Reveal()) }

// Send implements Channel.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	items := m.Items
	if items == nil {
		items = []Item{}
	}
	body, err := json.Marshal(event{Type: "svod.alert", Timestamp: m.Notice.At.UTC(), Data: eventData{Subject: m.Subject, Text: m.Text, Items: items}})
	if err != nil {
		return model.Errorf(model.ClassPermanent, model.CauseInternal, "the message cannot be encoded: %w", err)
	}
	header := http.Header{}
	stamp := strconv.FormatInt(w.Now().Unix(), 10)
	header.Set("webhook-id", m.ID)
	header.Set("webhook-timestamp", stamp)
	if w.Secret != "" {
		signature, err := Sign(w.Secret, m.ID, stamp, body)
		if err != nil {
			return err
		}
		header.Set("webhook-signature", signature)
	}
	answer, err := postJSON(ctx, w.HTTP, w.URL.Reveal(), header, body)
	if err != nil {
		return err
	}
	switch {
	case answer.Status >= 200 && answer.Status < 300:
		return nil
	case answer.Status >= 300 && answer.Status < 400:
		return model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "the webhook's address has moved; write the new one to alerts.to webhook.url")
	case answer.Status == http.StatusGone:
		return model.Errorf(model.ClassPermanent, model.CauseNotFound, "the webhook's receiver is gone for good (410)")
	}
	// Other refusals are repeated: the receiver may be about to be mended
	// (webhook-security §7).
	failed := model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "the webhook's receiver answered %d", answer.Status)
	failed.RetryAt = retryAfter(answer, w.Now())
	return failed
}

// Sign makes the value of webhook-signature (webhook-security §3.1).
func Sign(secret model.Secret, id, timestamp string, body []byte) (string, error) {
	key, err := SigningKey(secret)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// SigningKey decodes a secret of Standard Webhooks: 24 to 64 bytes.
func SigningKey(secret model.Secret) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
			"the webhook's secret is not whsec_ and 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)")
	}
	return key, nil
}

// retryAfter reads the header in seconds or as a date; zero without a usable one.
func retryAfter(answer outbound.Response, now time.Time) time.Time {
	value := answer.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds > 0 {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at
	}
	return time.Time{}
}

func newReader(body []byte) *bytes.Reader { return bytes.NewReader(body) }
