// Package sandbox plays a shop that nobody wrote a connector for: it posts
// orders and clients as signed JSON hooks and complains when they are not taken.
package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/svod-hub/svod/connectors"
)

// secret is known to everybody: it signs invented orders.
const secret = "c2FuZGJveC1zZWNyZXQtb2YtdGhlLXNob3A="

// Sandbox is the shop.
type Sandbox struct {
	now  func() time.Time
	hook string

	mu         sync.Mutex
	random     *rand.Rand
	orders     int
	violations []string
}

var _ connectors.Sandbox = (*Sandbox)(nil)

// New makes a shop; its hooks go to o.HookURL.
func New(o connectors.SandboxOptions) (*Sandbox, error) {
	s := &Sandbox{now: o.Now, hook: o.HookURL, random: rand.New(rand.NewPCG(o.Seed, 1))}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Order is one order of the shop as it is posted.
type Order struct {
	ID      int         `json:"id"`
	Number  string      `json:"number"`
	Status  string      `json:"status"`
	Total   json.Number `json:"total"`
	Changed string      `json:"changed"`
	Client  Client      `json:"client"`
}

// Client is who ordered.
type Client struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Phone string `json:"phone"`
	Email string `json:"email"`
}

var statuses = []string{"new", "packed", "paid", "cancelled"}

// Post sends n new orders in one hook.
func (s *Sandbox) Post(ctx context.Context, n int) ([]Order, error) {
	orders := s.make(n)
	body, err := json.Marshal(map[string]any{"event": "orders", "orders": orders})
	if err != nil {
		return nil, err
	}
	return orders, s.send(ctx, body)
}

func (s *Sandbox) make(n int) []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	orders := make([]Order, 0, n)
	for range n {
		s.orders++
		client := s.random.IntN(50) + 1
		orders = append(orders, Order{
			ID: s.orders, Number: "S-" + strconv.Itoa(s.orders), Status: statuses[s.random.IntN(len(statuses))],
			Total:   json.Number(fmt.Sprintf("%d.%02d", 100+s.random.IntN(90000), s.random.IntN(100))),
			Changed: s.now().UTC().Format(time.RFC3339),
			Client: Client{
				ID: client, Name: "Покупатель " + strconv.Itoa(client),
				Phone: fmt.Sprintf("+7 (900) 000-%02d-%02d", client/100, client%100), Email: fmt.Sprintf("client%d@example.ru", client),
			},
		})
	}
	return orders
}

// send signs by Standard Webhooks (webhook-security §3).
func (s *Sandbox) send(ctx context.Context, body []byte) error {
	id, stamp := fmt.Sprintf("msg_%x", sha256.Sum256(body))[:28], strconv.FormatInt(s.now().Unix(), 10)
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.hook, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the hook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", stamp)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("post the hook: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1024))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK || string(text) != "ok" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.violations = append(s.violations, fmt.Sprintf("a hook was answered with %d %q, not with 200 \"ok\"", answer.StatusCode, text))
	}
	return nil
}

// ServeHTTP lets a person post orders: POST /__fake/orders?n=10.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/__fake/orders" {
		http.NotFound(w, r)
		return
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 1 || n > 1000 {
		n = 1
	}
	orders, err := s.Post(r.Context(), n)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(orders) // the reader has gone when this fails
}

// Settings are the keys of svod.yaml that take this shop's hooks.
func (s *Sandbox) Settings(string) map[string]any {
	return map[string]any{
		"signature": map[string]any{"scheme": "standard-webhooks", "secret": "whsec_" + secret},
		"split":     "body.orders",
		"answer":    map[string]any{"status": 200, "body": "ok"},
		"records": []any{
			map[string]any{"kind": "deal", "map": map[string]any{
				"id": "item.id", "title": "item.number", "status_id": "item.status", "amount": "item.total",
				"currency": `"RUB"`, "contact_id": "item.client.id", "updated_at": "item.changed", "created_at": "item.changed",
			}},
			map[string]any{"kind": "contact", "map": map[string]any{
				"id": "item.client.id", "name": "item.client.name", "phones": "item.client.phone",
				"emails": "item.client.email", "updated_at": "item.changed",
			}},
		},
	}
}

// Violations lists hooks that were not answered as the shop expects.
func (s *Sandbox) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}
