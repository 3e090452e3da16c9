package outbound

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/svod-hub/svod/model"
)

// progress watches how far a request got, to tell "surely not there" from "may
// be there". It describes the last attempt: the transport repeats by itself only
// what it knows to be unharmed by that (nothing written, or a GET).
type progress struct {
	size     int64 // of the body
	detached atomic.Bool

	mu        sync.Mutex
	connected bool
	conn      *countingConn // nil when it cannot be counted
	before    int64         // what the connection had written before this request
	headers   bool          // the head was given to the connection's buffer
	complete  bool          // the body was read to its end
	nothing   bool          // writing failed before a single byte
	bodyErr   error         // our own body could not be read
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.connected, p.headers, p.complete, p.nothing = true, false, false, false
			if p.conn = countingOf(info.Conn); p.conn != nil {
				p.before = p.conn.written.Load()
			}
		},
		WroteHeaders: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.headers = true
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.nothing = info.Err != nil && p.conn != nil && p.conn.written.Load() == p.before
		},
	}
}

// mayHaveArrived reports whether the other side may have the whole request. A
// body that we did not read to its end cannot have arrived as a whole, and a
// receiver must treat a shorter one than announced as incomplete (RFC 9112 §8).
func (p *progress) mayHaveArrived() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected && !p.nothing && p.headers && (p.size == 0 || p.complete)
}

func (p *progress) reached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.connected
}

func (p *progress) bodyFailure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodyErr
}

// countingOf finds our connection under a TLS one.
func countingOf(conn net.Conn) *countingConn {
	for {
		switch c := conn.(type) {
		case *countingConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

// body wraps a body so that its reading is watched.
func (p *progress) body(r io.Reader) io.ReadCloser {
	return &watchedBody{progress: p, from: io.LimitReader(r, p.size), left: p.size}
}

type watchedBody struct {
	progress *progress
	from     io.Reader
	left     int64
}

func (b *watchedBody) Read(buf []byte) (int, error) {
	if b.progress.detached.Load() {
		return 0, errDetached
	}
	n, err := b.from.Read(buf)
	b.left -= int64(n)
	if b.left > 0 && err == nil {
		return n, nil
	}
	if b.left > 0 && err == io.EOF {
		err = errBodyTooShort
	}
	b.progress.mu.Lock()
	defer b.progress.mu.Unlock()
	if b.left <= 0 {
		b.progress.complete = true
	} else if b.progress.bodyErr == nil {
		b.progress.bodyErr = err
	}
	return n, err
}

// Close leaves the caller's reader open: it is the caller's.
func (b *watchedBody) Close() error { return nil }

// detach ends the reading of the body: the transport may go on with it for a
// while after an early answer, when the caller has taken it back.
func (p *progress) detach() { p.detached.Store(true) }

var (
	errBodyTooShort = errors.New("the body is shorter than its announced length")
	errDetached     = errors.New("the exchange is over")
)

// openBody finds a body's length and, where it can be read again, a way to do
// that from where it stands now.
func openBody(body io.Reader, size int64) (open func() io.Reader, n int64, err error) {
	switch b := body.(type) {
	case *bytes.Buffer:
		data := b.Bytes()
		return func() io.Reader { return bytes.NewReader(data) }, int64(len(data)), nil
	case *bytes.Reader:
		snapshot := *b
		return func() io.Reader { r := snapshot; return &r }, int64(b.Len()), nil
	case *strings.Reader:
		snapshot := *b
		return func() io.Reader { r := snapshot; return &r }, int64(b.Len()), nil
	case *io.SectionReader:
		at, err := b.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, 0, model.Errorf(model.ClassPermanent, model.CauseInternal, "cannot tell the length of the body to send")
		}
		left := max(b.Size()-at, 0)
		return func() io.Reader { return io.NewSectionReader(b, at, left) }, left, nil
	}
	if size <= 0 {
		return nil, 0, model.Errorf(model.ClassPermanent, model.CauseInternal,
			"a streamed body must come with its length; this is a mistake in the program")
	}
	return nil, size, nil
}
