package alerts

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// Email sends by SMTP. The connection is encrypted by STARTTLS, or from its
// beginning on port 465, unless Plain allows to do without: for a relay on the
// same machine. Mail servers are often inside, so the address guard of calls to
// other systems does not apply to what the configuration names here.
type Email struct {
	Server   string // host:port
	User     string // "": the server wants none
	Password model.Secret
	From     string
	To       []string
	Plain    bool
	TLS      *tls.Config // for tests; nil: the system's authorities
	Now      func() time.Time
}

const mailTimeout = 30 * time.Second

// Name implements Channel.
func (e *Email) Name() string {
	return "email-" + short(append([]string{e.Server, e.From}, e.To...)...)
}

// Send implements Channel. It answers with success as soon as the server has
// taken the message for all addresses.
func (e *Email) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(e.Server)
	if err != nil {
		return model.Errorf(model.ClassPermanent, model.CauseBadValue, "the mail server is not host:port")
	}
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", e.Server)
	if err != nil {
		return model.Errorf(model.ClassTemporary, model.CauseNetwork, "the mail server cannot be reached")
	}
	defer conn.Close()
	// The protocol below knows no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	config := e.config(host)
	if port == "465" {
		conn = tls.Client(conn, config)
	}
	client, err := smtp.NewClient(conn, host)
	if err != nil {
		return mailError("greet the mail server", err)
	}
	defer client.Close()
	if err := e.prepare(client, host, port == "465", config); err != nil {
		return err
	}
	return e.deliver(client, m)
}

func (e *Email) config(host string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.TLS != nil {
		config = e.TLS.Clone()
	}
	config.ServerName = host
	return config
}

func (e *Email) prepare(client *smtp.Client, host string, encrypted bool, config *tls.Config) error {
	if offered, _ := client.Extension("STARTTLS"); offered && !encrypted {
		if err := client.StartTLS(config); err != nil {
			return mailError("encrypt the connection to the mail server", err)
		}
		encrypted = true
	}
	if !encrypted && !e.Plain {
		return model.Errorf(model.ClassPermanent, model.CauseForbidden,
			"the mail server offers no encryption; use another port, or set plain: true for a relay on the same machine")
	}
	if e.User == "" {
		return nil
	}
	if err := client.Auth(smtp.PlainAuth("", e.User, e.Password.Reveal(), host)); err != nil {
		return mailError("sign in to the mail server", err)
	}
	return nil
}

func (e *Email) deliver(client *smtp.Client, m Message) error {
	from, err := mail.ParseAddress(e.From)
	if err != nil {
		return model.Errorf(model.ClassPermanent, model.CauseBadValue, "alerts.to email.from is no e-mail address")
	}
	if err := client.Mail(from.Address); err != nil {
		return mailError("name the sender to the mail server", err)
	}
	for i, to := range e.To {
		if err := client.Rcpt(to); err != nil {
			return mailError(fmt.Sprintf("name recipient %d to the mail server", i+1), err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return mailError("hand the message to the mail server", err)
	}
	if _, err := w.Write(e.compose(from, m)); err != nil {
		return mailError("hand the message to the mail server", err)
	}
	if err := w.Close(); err != nil {
		return mailError("hand the message to the mail server", err)
	}
	_ = client.Quit() // the message is taken
	return nil
}

func (e *Email) compose(from *mail.Address, m Message) []byte {
	_, domain, _ := strings.Cut(from.Address, "@")
	var out bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", strings.Join(e.To, ", ")},
		{"Subject", mime.BEncoding.Encode("utf-8", oneLine(m.Subject))},
		{"Date", e.Now().UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + m.ID + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		out.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	out.WriteString("\r\n")
	body := quotedprintable.NewWriter(&out)
	_, _ = body.Write([]byte(m.Text)) // into memory
	_ = body.Close()
	return out.Bytes()
}

// mailError keeps the server's words out: they repeat addresses.
func mailError(what string, err error) error {
	var said *textproto.Error
	if errors.As(err, &said) {
		switch {
		case said.Code == 530 || said.Code == 534 || said.Code == 535 || said.Code == 538:
			return model.Errorf(model.ClassReauth, model.CauseAuth, "cannot %s: it refused user and password (%d)", what, said.Code)
		case said.Code >= 500:
			return model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "cannot %s: it answered %d", what, said.Code)
		}
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "cannot %s: it answered %d", what, said.Code)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return model.Errorf(model.ClassPermanent, model.CauseNetwork, "cannot %s: its certificate is not trusted", what)
	}
	return model.Errorf(model.ClassTemporary, model.CauseNetwork, "cannot %s: the connection broke", what)
}
