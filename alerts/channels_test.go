package alerts_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/svod-hub/svod/alerts"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

const botToken = "123456:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func now() time.Time { return start }

// memory keeps facts for a test.
type memory map[string]string

func (m memory) Recall(_ context.Context, _, _, name string) (string, error) { return m[name], nil }
func (m memory) Remember(_ context.Context, _, _, name, value string) error {
	m[name] = value
	return nil
}

func message() alerts.Message {
	return alerts.Writer{Language: alerts.English, PublicURL: "https://hub.example.ru"}.Message("msg_1", alerts.Notice{New: []alerts.Trouble{trouble("b24")}, At: start})
}

func TestTelegram(t *testing.T) {
	t.Parallel()
	var body map[string]any
	server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/bot"+botToken+"/sendMessage" || json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, `{"ok":true,"result":{"message_id":1}}`)
	}))
	channel := &alerts.Telegram{HTTP: server.Client(), URL: server.URL, Token: botToken, Chat: "-1001234567890", Thread: 7, Now: now}
	if err := channel.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	if body["chat_id"] != -1001234567890.0 || body["message_thread_id"] != 7.0 || body["text"] != message().Text || body["parse_mode"] != nil {
		t.Errorf("sent %v", body)
	}
	m := message()
	m.Text = strings.Repeat("строка 😀\n", 1000)
	if err := channel.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if n := len(utf16.Encode([]rune(body["text"].(string)))); n > 4096 || n < 4000 || !strings.HasSuffix(body["text"].(string), "😀\n…") {
		t.Errorf("%d units, %q", n, body["text"].(string)[:40])
	}
}

func TestTelegramRefusals(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name   string
		status int
		answer string
		class  model.Class
		retry  time.Time
	}{
		{"asks to wait", 429, sample(t, "error.429.json"), model.ClassQuota, start.Add(6 * time.Second)},
		{"no such chat", 400, sample(t, "error.400_chat_not_found.json"), model.ClassPermanent, time.Time{}},
		{"a bad token", 401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`, model.ClassReauth, time.Time{}},
		{"blocked", 403, `{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}`, model.ClassPermanent, time.Time{}},
		{"fails", 502, `<html>`, model.ClassTemporary, time.Time{}},
		{"fails with JSON", 500, `{"ok":false}`, model.ClassTemporary, time.Time{}},
		{"waits for an absurd time", 429, `{"ok":false,"error_code":429,"parameters":{"retry_after":9e9}}`, model.ClassQuota, start.Add(24*time.Hour + time.Second)},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(x.status)
				io.WriteString(w, strings.ReplaceAll(x.answer, "9e9", "9000000000"))
			}))
			channel := &alerts.Telegram{HTTP: server.Client(), URL: server.URL, Token: botToken, Chat: "1", Now: now}
			err := channel.Send(t.Context(), message())
			refused(t, err, x.class)
			if e, ok := err.(*model.Error); ok && !e.RetryAt.Equal(x.retry) {
				t.Errorf("retry at %s", e.RetryAt)
			}
		})
	}
}

func refused(t *testing.T, err error, class model.Class) {
	t.Helper()
	if err == nil || model.ClassOf(err) != class {
		t.Fatalf("%v is %q, want %q", err, model.ClassOf(err), class)
	}
	for _, secret := range []string{"AAAA", "hush", "@example.ru", "/bot"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %q", secret, err)
		}
	}
}

// A group that became a supergroup is written to under its new number, now and
// after a restart.
func TestTelegramMoved(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var chats []string
	server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Chat json.Number `json:"chat_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		defer mu.Unlock()
		chats = append(chats, body.Chat.String())
		if body.Chat == "-5" {
			w.WriteHeader(400)
			io.WriteString(w, `{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1005}}`)
			return
		}
		io.WriteString(w, `{"ok":true}`)
	}))
	kept := memory{}
	for range 2 {
		channel := &alerts.Telegram{HTTP: server.Client(), Memory: kept, URL: server.URL, Token: botToken, Chat: "-5", Now: now}
		if err := channel.Send(t.Context(), message()); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(chats, " "); got != "-5 -1005 -1005" {
		t.Errorf("written to %s", got)
	}
}

func sample(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSign(t *testing.T) {
	t.Parallel()
	var vector struct {
		Secret    model.Secret
		ID        string
		Timestamp json.Number
		Payload   string
		Signature string
	}
	if err := json.Unmarshal([]byte(sample(t, "standard-webhooks.vector1.json")), &vector); err != nil {
		t.Fatal(err)
	}
	got, err := alerts.Sign(vector.Secret, vector.ID, vector.Timestamp.String(), []byte(vector.Payload))
	if err != nil || got != vector.Signature {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := alerts.Sign("whsec_abc", "1", "1", nil); err == nil {
		t.Error("signed with a short secret")
	}
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	server := outboundtest.New(t, nil)
	channel := &alerts.Webhook{HTTP: server.Client(), URL: model.Secret(server.URL + "/hush"), Secret: secret, Now: now}
	if err := channel.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	got := server.Received()[0]
	if want, _ := alerts.Sign(secret, "msg_1", got.Header.Get("webhook-timestamp"), got.Body); got.Header.Get("webhook-signature") != want || got.Header.Get("webhook-id") != "msg_1" {
		t.Errorf("headers %v", got.Header)
	}
	var body struct {
		Type string
		Data struct {
			Items []struct{ State, Project, Reason, Subject, ID, URL string }
		}
	}
	if err := json.Unmarshal(got.Body, &body); err != nil || body.Type != "svod.alert" || len(body.Data.Items) != 1 {
		t.Fatalf("%s: %v", got.Body, err)
	}
	if item := body.Data.Items[0]; item.State != "new" || item.ID != "b24" || item.URL != "https://hub.example.ru/console/p/shop/connections/b24" {
		t.Errorf("item %+v", item)
	}
	server.Next(outboundtest.Status(503, "Retry-After", "60"), outboundtest.Status(410), outboundtest.Status(302, "Location", "/"), outboundtest.ResetAfterBody)
	for _, class := range []model.Class{model.ClassTemporary, model.ClassPermanent, model.ClassPermanent, model.ClassUnknown} {
		refused(t, channel.Send(t.Context(), message()), class)
	}
}

// mailServer takes one connection and answers by script: a line beginning with
// the first word gets the second. With TLS it offers STARTTLS.
type mailServer struct {
	address string
	config  *tls.Config
	pool    *x509.CertPool
	answers map[string]string
	done    chan struct{}
	lines   []string // of the encrypted part
	message string
}

func newMailServer(t *testing.T, offer bool, answers map[string]string) *mailServer {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	https.Close()
	pool := x509.NewCertPool()
	pool.AddCert(https.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{address: listener.Addr().String(), config: https.TLS, pool: pool, answers: answers, done: make(chan struct{})}
	t.Cleanup(func() { listener.Close(); <-s.done })
	go func() {
		defer close(s.done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		s.talk(conn, offer)
	}()
	return s
}

func (s *mailServer) talk(conn net.Conn, offer bool) {
	in := bufio.NewReader(conn)
	say := func(text string) { io.WriteString(conn, text+"\r\n") }
	say("220 mail.example.ru ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.lines = append(s.lines, line)
		word, _, _ := strings.Cut(line, " ")
		if answer, ok := s.answers[word]; ok {
			say(answer)
			continue
		}
		switch word {
		case "EHLO":
			if offer {
				say("250-mail.example.ru\r\n250-AUTH PLAIN\r\n250 STARTTLS")
			} else {
				say("250-mail.example.ru\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(conn, s.config)
			if secure.Handshake() != nil {
				return
			}
			conn, offer = secure, false
			in = bufio.NewReader(conn)
		case "DATA":
			say("354 go on")
			for {
				text, err := in.ReadString('\n')
				if err != nil || text == ".\r\n" {
					break
				}
				s.message += text
			}
			say("250 taken")
		case "AUTH":
			say("235 welcome")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *mailServer) channel() *alerts.Email {
	return &alerts.Email{
		Server: s.address, User: "hub", Password: "hush", From: "Свод <hub@example.ru>", To: []string{"operator@example.ru", "second@example.ru"},
		TLS: &tls.Config{RootCAs: s.pool}, Now: now,
	}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	server := newMailServer(t, true, nil)
	m := alerts.Writer{Language: alerts.Russian, PublicURL: "https://hub.example.ru"}.Message("msg_1", everyReason())
	if err := server.channel().Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	<-server.done
	talk := strings.Join(server.lines, "\n")
	for _, line := range []string{"STARTTLS", "MAIL FROM:<hub@example.ru>", "RCPT TO:<operator@example.ru>", "RCPT TO:<second@example.ru>"} {
		if !strings.Contains(talk, line) {
			t.Errorf("%q was not said:\n%s", line, talk)
		}
	}
	if strings.Index(talk, "AUTH") < strings.Index(talk, "STARTTLS") {
		t.Error("the password went before encryption")
	}
	head, _, _ := strings.Cut(server.message, "\r\n\r\n")
	for _, line := range []string{"Subject: =?utf-8?b?", "Message-ID: <msg_1@example.ru>", "Date: Wed, 20 May 2026 12:00:00 +0000", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(head, line) {
			t.Errorf("%q is not in the head:\n%s", line, head)
		}
	}
	if strings.Contains(head, "Bcc") {
		t.Error("a name of a project got into the head")
	}
}

func TestEmailRefusals(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name    string
		offer   bool
		answers map[string]string
		change  func(*alerts.Email)
		class   model.Class
	}{
		{"no encryption", false, nil, nil, model.ClassPermanent},
		{"a foreign certificate", true, nil, func(e *alerts.Email) { e.TLS = nil }, model.ClassPermanent},
		{"a wrong password", true, map[string]string{"AUTH": "535 5.7.8 hub@example.ru: wrong"}, nil, model.ClassReauth},
		{"an unknown recipient", true, map[string]string{"RCPT": "550 no operator@example.ru here"}, nil, model.ClassPermanent},
		{"greylisted", true, map[string]string{"RCPT": "451 come later"}, nil, model.ClassTemporary},
		{"the body refused", true, map[string]string{"DATA": "554 no"}, nil, model.ClassPermanent},
		{"nobody there", true, nil, func(e *alerts.Email) { e.Server = "127.0.0.1:1" }, model.ClassTemporary},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			server := newMailServer(t, x.offer, x.answers)
			channel := server.channel()
			if x.change != nil {
				x.change(channel)
			}
			refused(t, channel.Send(t.Context(), message()), x.class)
		})
	}
}
