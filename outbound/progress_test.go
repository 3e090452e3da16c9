package outbound

import (
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"strings"
	"testing"
)

// The story of one request, as the transport tells it.
func TestMayHaveArrived(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for _, test := range []struct {
		name string
		body string
		read int64 // bytes of the body that the transport took
		tell func(p *progress, trace *httptrace.ClientTrace, conn *countingConn)
		want bool
	}{
		{name: "never connected", tell: func(*progress, *httptrace.ClientTrace, *countingConn) {}},
		{name: "connected, nothing begun", tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn})
		}},
		{name: "head written", want: true, tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn})
			trace.WroteHeaders()
			conn.written.Add(100)
			trace.WroteRequest(httptrace.WroteRequestInfo{})
		}},
		{name: "a kept connection was closed before any byte", tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			conn.written.Add(700) // by earlier requests
			trace.GotConn(httptrace.GotConnInfo{Conn: conn, Reused: true})
			trace.WroteHeaders() // to the buffer
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: broken})
		}},
		{name: "some bytes went before it broke", want: true, tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn, Reused: true})
			trace.WroteHeaders()
			conn.written.Add(10)
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: broken})
		}},
		{name: "body half read", body: "0123456789", read: 5, tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			conn.written.Add(100)
			trace.WroteHeaders()
		}},
		{name: "body read to its end", body: "0123456789", read: 10, want: true, tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			conn.written.Add(100)
			trace.WroteHeaders()
		}},
		{name: "a second attempt that got nowhere", tell: func(_ *progress, trace *httptrace.ClientTrace, conn *countingConn) {
			trace.GotConn(httptrace.GotConnInfo{Conn: conn, Reused: true})
			trace.WroteHeaders()
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: broken})
			trace.GotConn(httptrace.GotConnInfo{Conn: &countingConn{}})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := &progress{size: int64(len(test.body))}
			trace, conn := p.trace(), &countingConn{}
			if test.body != "" {
				trace.GotConn(httptrace.GotConnInfo{Conn: conn})
				io.CopyN(io.Discard, p.body(strings.NewReader(test.body)), test.read)
			}
			test.tell(p, trace, conn)
			if got := p.mayHaveArrived(); got != test.want {
				t.Errorf("want %v, got %v", test.want, got)
			}
		})
	}
}

func TestCountingConn(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	go func() {
		io.CopyN(io.Discard, there, 3)
		there.Close()
	}()
	conn := &countingConn{Conn: here}
	n, err := conn.Write([]byte("12345"))
	if n != 3 || err == nil || conn.written.Load() != 3 {
		t.Errorf("wrote %d, counted %d, %v", n, conn.written.Load(), err)
	}
	here.Close()
}
