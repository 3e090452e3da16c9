package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/svod-hub/svod/model"
)

var (
	errTimeout        = errors.New("the exchange took too long")
	errConnectTimeout = errors.New("the connection took too long")
	errTooLong        = errors.New("the answer is too long")
)

// failure turns what the standard library says into an error that the hub can
// decide by. The library's own texts hold URLs and are never shown.
type failure struct {
	caller  context.Context // as it was given to Do
	ctx     context.Context // with our time limit
	request Request
	host    string
	sent    *progress
}

func (f failure) classify(err error) error {
	var refused *model.Error
	if errors.As(err, &refused) {
		return refused
	}
	class := model.ClassTemporary
	if f.request.Method != http.MethodGet && f.request.Method != http.MethodHead && f.sent.mayHaveArrived() {
		class = model.ClassUnknown
	}
	cause, message := f.describe(err)
	if class == model.ClassUnknown {
		message += "; whether it took the request is not known"
	}
	return &model.Error{Class: class, Cause: cause, Message: message, Err: unshown{err}}
}

func (f failure) describe(err error) (model.Cause, string) {
	if f.sent.bodyFailure() != nil {
		return model.CauseInternal, "the body for " + f.host + " could not be read"
	}
	if f.caller.Err() != nil {
		if errors.Is(f.caller.Err(), context.DeadlineExceeded) {
			return model.CauseNetwork, "the time for this work ran out before " + f.host + " answered"
		}
		return model.CauseNetwork, "the call to " + f.host + " was broken off"
	}
	if errors.Is(err, errTooLong) {
		return model.CauseRemoteFailure, f.host + " gave a longer answer than we take"
	}
	if f.ctx.Err() != nil {
		if !f.sent.reached() {
			return model.CauseNetwork, "no connection to " + f.host + " within " + f.request.Timeout.String()
		}
		return model.CauseNetwork, f.host + " did not answer within " + f.request.Timeout.String()
	}
	if message := describeDNS(err, f.host); message != "" {
		return model.CauseNetwork, message
	}
	if message := describeTLS(err, f.host); message != "" {
		return model.CauseNetwork, message
	}
	return describeConnection(err, f.host, f.sent.reached())
}

func describeDNS(err error, host string) string {
	var dns *net.DNSError
	switch {
	case !errors.As(err, &dns):
		return ""
	case dns.IsNotFound:
		return "the name " + host + " does not exist; check the address"
	case dns.IsTimeout:
		return "the name server did not answer when asked for " + host
	}
	return "the address of " + host + " could not be found out"
}

func describeTLS(err error, host string) string {
	var (
		alert     tls.AlertError
		authority x509.UnknownAuthorityError
		expired   x509.CertificateInvalidError
		name      x509.HostnameError
		record    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &authority):
		return "the certificate of " + host + " is signed by an authority that this machine does not trust"
	case errors.As(err, &name):
		return "the certificate of " + host + " is for another name"
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "the certificate of " + host + " has expired or is not valid yet"
	case errors.As(err, &expired), errors.As(err, &verify):
		return "the certificate of " + host + " is not valid"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return host + " does not speak TLS at this port; is https right?"
	case errors.As(err, &alert):
		return host + " refused the TLS connection (" + alert.Error() + ")"
	}
	return ""
}

func describeConnection(err error, host string, connected bool) (model.Cause, string) {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return model.CauseNetwork, host + " refuses connections"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return model.CauseNetwork, host + " closed the connection before its answer was complete"
	case errors.As(err, &errno):
		return model.CauseNetwork, "no connection to " + host + ": " + errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return model.CauseNetwork, "no connection to " + host + " in time"
	case !connected:
		return model.CauseNetwork, "no connection to " + host
	}
	return model.CauseRemoteFailure, host + " gave an answer that is not proper HTTP, or broke it off"
}

// unshown keeps an error for errors.Is and As without its text.
type unshown struct{ err error }

func (unshown) Error() string   { return "" }
func (u unshown) Unwrap() error { return u.err }
