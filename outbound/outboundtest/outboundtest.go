// Package outboundtest has a server that misbehaves on demand, to test what
// callers make of it.
//
//	server := outboundtest.New(t, handler)
//	server.Next(outboundtest.ResetAfterBody, outboundtest.Status(503, "Retry-After", "30"))
//	client := server.Client()
//
// The first call meets a reset, the second one a 503, later ones the handler.
package outboundtest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/svod-hub/svod/outbound"
)

// Server is a server on the loopback interface. It closes with its test.
type Server struct {
	// URL is its base address, without a slash at the end.
	URL string

	handler http.Handler
	client  *outbound.Client

	mu       sync.Mutex
	faults   []Fault
	received []Received
	done     chan struct{}
}

// Received is one request as it came in.
type Received struct {
	Method string
	Path   string
	Query  string
	Header http.Header
	Body   []byte
	// Complete tells that the whole body was read.
	Complete bool
}

// Fault answers a request in the handler's place. Its body was not read yet.
type Fault func(f *Failing)

// Failing is a request that is to meet a fault.
type Failing struct {
	http.ResponseWriter
	Request *http.Request
	// ReadBody reads the body to its end and records it.
	ReadBody func()
	// Done closes when the server does.
	Done <-chan struct{}
}

// New starts a server that answers with handler; nil answers 200 "ok".
func New(tb testing.TB, handler http.Handler) *Server {
	tb.Helper()
	if handler == nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	}
	s := &Server{handler: handler, done: make(chan struct{})}
	server := httptest.NewServer(s)
	s.URL = server.URL
	s.client = outbound.New(outbound.Options{Allow: Loopback()})
	tb.Cleanup(func() {
		close(s.done)
		s.client.CloseIdle()
		server.Close()
	})
	return s
}

// Loopback is what outbound.Options.Allow needs to call a server of this package.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// Client gives a client that may call the server.
func (s *Server) Client() *outbound.Client { return s.client }

// Next queues faults, one for each of the next requests; a nil one lets the
// handler answer.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Received lists the requests so far.
func (s *Server) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	var fault Fault
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	at := len(s.received)
	s.received = append(s.received, Received{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Complete: r.ContentLength == 0,
	})
	s.mu.Unlock()

	body := recorder{from: r.Body, server: s, at: at}
	r.Body = &body
	if fault == nil {
		s.handler.ServeHTTP(w, r)
		io.Copy(io.Discard, &body)
		return
	}
	fault(&Failing{ResponseWriter: w, Request: r, Done: s.done, ReadBody: func() { io.Copy(io.Discard, &body) }})
}

// recorder keeps what is read of a body.
type recorder struct {
	from   io.ReadCloser
	server *Server
	at     int
}

func (b *recorder) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	got := &b.server.received[b.at]
	got.Body = append(got.Body, p[:n]...)
	got.Complete = got.Complete || err == io.EOF
	return n, err
}

func (b *recorder) Close() error { return b.from.Close() }

// ResetBeforeBody breaks the connection off when it has seen the head only.
func ResetBeforeBody(f *Failing) { f.reset() }

// ResetAfterBody takes the whole request and breaks the connection off then.
func ResetAfterBody(f *Failing) {
	f.ReadBody()
	f.reset()
}

// Hang takes the whole request and never answers.
func Hang(f *Failing) {
	f.ReadBody()
	select {
	case <-f.Request.Context().Done():
	case <-f.Done:
	}
}

// HTML answers 200 with a page, as a proxy or a login form does.
func HTML(f *Failing) {
	f.ReadBody()
	f.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(f, "<!doctype html><title>Service page</title><p>Technical works</p>")
}

// Truncated answers 200 and breaks off in the middle of the body.
func Truncated(f *Failing) {
	f.ReadBody()
	f.raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"result\":[{\"id\":1},")
}

// Garbage answers with what is not HTTP.
func Garbage(f *Failing) {
	f.ReadBody()
	f.raw("\x00\x01 no protocol at all\r\n\r\n")
}

// Endless answers 200 with a body that only ends when the caller hangs up.
func Endless(f *Failing) {
	f.ReadBody()
	block := slices.Repeat([]byte{' '}, 32<<10)
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

// Status answers with a status, headers given as names and values, and an empty
// JSON object.
func Status(status int, header ...string) Fault {
	return func(f *Failing) {
		f.ReadBody()
		for i := 0; i+1 < len(header); i += 2 {
			f.Header().Set(header[i], header[i+1])
		}
		f.Header().Set("Content-Length", strconv.Itoa(len("{}")))
		f.WriteHeader(status)
		io.WriteString(f, "{}")
	}
}

func (f *Failing) reset() {
	conn := f.hijack()
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // closing sends a reset
	}
	conn.Close()
}

func (f *Failing) raw(answer string) {
	conn := f.hijack()
	defer conn.Close()
	io.WriteString(conn, answer)
}

func (f *Failing) hijack() net.Conn {
	conn, _, err := http.NewResponseController(f.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}
