package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/outbound/outboundtest"
)

// The URL of every call holds what must not be seen in an error.
const path = "/rest/1/t0pSecret/crm.deal.add?token=t0pSecret&phone=79001234567"

func assertDiscreet(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); strings.Contains(text, "t0pSecret") || strings.Contains(text, "7900") || strings.HasSuffix(text, ": ") {
		t.Errorf("the error tells too much: %q", text)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault outboundtest.Fault
		post  model.Class
		get   model.Class
		cause model.Cause
	}{
		{"reset before the body was read", outboundtest.ResetBeforeBody, model.ClassUnknown, model.ClassTemporary, model.CauseNetwork},
		{"reset after the body", outboundtest.ResetAfterBody, model.ClassUnknown, model.ClassTemporary, model.CauseNetwork},
		{"no answer", outboundtest.Hang, model.ClassUnknown, model.ClassTemporary, model.CauseNetwork},
		{"half an answer", outboundtest.Truncated, model.ClassUnknown, model.ClassTemporary, model.CauseNetwork},
		{"no HTTP", outboundtest.Garbage, model.ClassUnknown, model.ClassTemporary, model.CauseRemoteFailure},
		{"too long an answer", outboundtest.Endless, model.ClassUnknown, model.ClassTemporary, model.CauseRemoteFailure},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for method, class := range map[string]model.Class{http.MethodPost: test.post, http.MethodGet: test.get} {
				server := outboundtest.New(t, nil)
				// The transport repeats a GET whose kept connection broke, which a new one
				// is not.
				server.Next(test.fault)
				request := outbound.Request{Method: method, URL: server.URL + path, MaxAnswer: 1 << 20, Timeout: 500 * time.Millisecond}
				if method == http.MethodPost {
					request.Body = strings.NewReader("TITLE=Order")
				}
				_, err := server.Client().Do(t.Context(), request)
				if err == nil || model.ClassOf(err) != class || model.CauseOf(err) != test.cause {
					t.Fatalf("%s: want %s/%s, got %s/%s: %v", method, class, test.cause, model.ClassOf(err), model.CauseOf(err), err)
				}
				assertDiscreet(t, err)
			}
		})
	}
}

func TestAnswersOfAnyStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 302, 400, 401, 429, 500, 503} {
		server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/inside")
			w.WriteHeader(status)
			if status != 204 {
				io.WriteString(w, "text")
			}
		}))
		resp, err := server.Client().Do(t.Context(), outbound.Request{URL: server.URL + path})
		if err != nil || resp.Status != status {
			t.Errorf("%d: got %d, %v", status, resp.Status, err)
		}
		if n := len(server.Received()); n != 1 {
			t.Errorf("%d: %d requests", status, n)
		}
	}
}

// A failure is a failure even when its page does not arrive as a whole.
func TestBrokenOffErrorPage(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, "<html>")
	}))
	resp, err := server.Client().Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL})
	if err != nil || resp.Status != 502 || string(resp.Body) != "<html>" {
		t.Errorf("got %+v, %v", resp, err)
	}
}

func TestNotReached(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	plain := outboundtest.New(t, nil)
	trusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	trusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	trusted.StartTLS()
	defer trusted.Close()
	for _, test := range []struct {
		name string
		url  string
		want string
	}{
		{"refused", closed.URL, "refuses connections"},
		{"no TLS there", strings.Replace(plain.URL, "http:", "https:", 1), "is https right?"},
		{"unknown authority", trusted.URL, "does not trust"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := plain.Client().Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: test.url + path, Body: strings.NewReader("x")})
			if model.ClassOf(err) != model.ClassTemporary || model.CauseOf(err) != model.CauseNetwork || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %s/%s: %v", model.ClassOf(err), model.CauseOf(err), err)
			}
			assertDiscreet(t, err)
		})
	}
}

func TestForbiddenByDefault(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, nil)
	client := outbound.New(outbound.Options{})
	defer client.CloseIdle()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost", "0.0.0.0"} {
		_, err := client.Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: "http://user:t0pSecret@" + host + ":" + port + path})
		if model.ClassOf(err) != model.ClassPermanent || model.CauseOf(err) != model.CauseAddressForbidden {
			t.Errorf("%s: %v", host, err)
			continue
		}
		assertDiscreet(t, err)
	}
	if n := len(server.Received()); n != 0 {
		t.Errorf("%d requests came through", n)
	}
}

func TestBadTargets(t *testing.T) {
	t.Parallel()
	client := outbound.New(outbound.Options{})
	for _, target := range []string{"", "://t0pSecret", "ftp://host/t0pSecret", "/t0pSecret", "http://", "http://[::1/t0pSecret", "https://host:t0pSecret/"} {
		_, err := client.Do(t.Context(), outbound.Request{URL: target})
		if model.ClassOf(err) != model.ClassPermanent {
			t.Errorf("%q: %v", target, err)
			continue
		}
		assertDiscreet(t, err)
	}
}

// Variables of the environment are not asked. Not parallel because of them.
func TestEnvironmentProxyIsIgnored(t *testing.T) {
	proxy := outboundtest.New(t, nil)
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	server := outboundtest.New(t, nil)
	if _, err := server.Client().Do(t.Context(), outbound.Request{URL: server.URL}); err != nil {
		t.Fatal(err)
	}
	if len(proxy.Received()) != 0 || len(server.Received()) != 1 {
		t.Error("the call went through the proxy")
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.URL.Host) }))
	defer proxy.Close()
	address, _ := url.Parse(proxy.URL)
	client := outbound.New(outbound.Options{Proxy: address})
	defer client.CloseIdle()
	if _, err := client.Do(t.Context(), outbound.Request{URL: "http://crm.example/x"}); err != nil || asked.Load() != "crm.example" {
		t.Errorf("asked %v, %v", asked.Load(), err)
	}
	if _, err := client.Do(t.Context(), outbound.Request{URL: "http://10.0.0.1/x"}); model.CauseOf(err) != model.CauseAddressForbidden {
		t.Errorf("a forbidden literal through the proxy: %v", err)
	}
}

// stuck gives its text, waits for release and fails then.
type stuck struct {
	text    io.Reader
	release <-chan struct{}
}

func (s stuck) Read(p []byte) (int, error) {
	if n, err := s.text.Read(p); n > 0 || err != io.EOF {
		return n, nil
	}
	<-s.release
	return 0, errors.New("disk t0pSecret is gone")
}

func TestHowFarTheBodyCame(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	close(released)
	for _, test := range []struct {
		name   string
		body   io.Reader
		length int64
		class  model.Class
		cause  model.Cause
		want   string
	}{
		{"shorter than announced", strings.NewReader(strings.Repeat("x", 10)), 0, "", "", ""},
		{"streamed and shorter", io.MultiReader(strings.NewReader("short")), 1000, model.ClassTemporary, model.CauseInternal, "could not be read"},
		{"its source fails", stuck{strings.NewReader("part"), released}, 1000, model.ClassTemporary, model.CauseInternal, "could not be read"},
		{"without a length", io.MultiReader(strings.NewReader("x")), 0, model.ClassPermanent, model.CauseInternal, "length"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := outboundtest.New(t, nil)
			_, err := server.Client().Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL + path, Body: test.body, ContentLength: test.length})
			if test.class == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if model.ClassOf(err) != test.class || model.CauseOf(err) != test.cause || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %s/%s: %v", model.ClassOf(err), model.CauseOf(err), err)
			}
			assertDiscreet(t, err)
		})
	}
}

// A reset in the middle of a long body: the whole cannot have arrived.
func TestResetInMidBody(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, nil)
	reset := make(chan struct{})
	server.Next(func(f *outboundtest.Failing) {
		outboundtest.ResetBeforeBody(f)
		close(reset)
	})
	// The second half becomes readable only after the reset.
	body := io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), gate{reset}, strings.NewReader(strings.Repeat("x", 8<<20)))
	_, err := server.Client().Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL + path, Body: body, ContentLength: 9 << 20})
	if model.ClassOf(err) != model.ClassTemporary || model.CauseOf(err) != model.CauseNetwork {
		t.Errorf("got %s/%s: %v", model.ClassOf(err), model.CauseOf(err), err)
	}
}

type gate struct{ open <-chan struct{} }

func (g gate) Read([]byte) (int, error) { <-g.open; return 0, io.EOF }

func TestStreamedBodies(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("row;1\n", 50_000)
	section := io.NewSectionReader(strings.NewReader("head"+text), 4, int64(len(text)))
	begun := io.NewSectionReader(strings.NewReader("head"+text), 0, int64(4+len(text)))
	io.CopyN(io.Discard, begun, 4)
	for name, request := range map[string]outbound.Request{
		"bytes":         {Body: bytes.NewReader([]byte(text))},
		"buffer":        {Body: bytes.NewBufferString(text)},
		"section":       {Body: section},
		"begun section": {Body: begun},
		"stream":        {Body: io.MultiReader(strings.NewReader(text)), ContentLength: int64(len(text))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := outboundtest.New(t, nil)
			request.Method, request.URL = http.MethodPost, server.URL
			if _, err := server.Client().Do(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			got := server.Received()[0]
			if string(got.Body) != text || !got.Complete || got.Header.Get("Content-Length") == "" {
				t.Errorf("%d bytes came, length %q", len(got.Body), got.Header.Get("Content-Length"))
			}
		})
	}
}

// The other side closes a kept connection while it is idle: the next POST goes
// over a new one, or is told to be unknown; it is never lost silently.
func TestKeptConnectionClosed(t *testing.T) {
	t.Parallel()
	var addresses atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		addresses.Store(r.RemoteAddr)
	}))
	defer server.Close()
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback()})
	defer client.CloseIdle()
	for i := range 20 {
		_, err := client.Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL, Body: strings.NewReader("x")})
		if err != nil && model.ClassOf(err) != model.ClassUnknown {
			t.Fatalf("call %d: %v", i, err)
		}
		server.CloseClientConnections()
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	server.Next(func(f *outboundtest.Failing) {
		f.ReadBody()
		cancel()
		<-f.Request.Context().Done()
	})
	_, err := server.Client().Do(ctx, outbound.Request{Method: http.MethodPost, URL: server.URL + path, Body: strings.NewReader("x")})
	if !errors.Is(err, context.Canceled) || model.ClassOf(err) != model.ClassUnknown {
		t.Errorf("got %s: %v", model.ClassOf(err), err)
	}
	_, err = server.Client().Do(ctx, outbound.Request{Method: http.MethodPost, URL: server.URL + path, Body: strings.NewReader("x")})
	if !errors.Is(err, context.Canceled) || model.ClassOf(err) != model.ClassTemporary {
		t.Errorf("cancelled before: %s: %v", model.ClassOf(err), err)
	}
}

func TestCompressedBomb(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	zip.Write(make([]byte, 8<<20))
	zip.Close()
	server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	}))
	_, err := server.Client().Do(t.Context(), outbound.Request{URL: server.URL, MaxAnswer: 1 << 20})
	if model.CauseOf(err) != model.CauseRemoteFailure {
		t.Errorf("got %v", err)
	}
	resp, err := server.Client().Do(t.Context(), outbound.Request{URL: server.URL, MaxAnswer: 8 << 20})
	if err != nil || len(resp.Body) != 8<<20 {
		t.Errorf("exactly at the limit: %d bytes, %v", len(resp.Body), err)
	}
}

func TestHugeHeader(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	}))
	if _, err := server.Client().Do(t.Context(), outbound.Request{URL: server.URL + path}); model.ClassOf(err) != model.ClassTemporary || err == nil {
		t.Errorf("got %v", err)
	}
}

func TestTLSAndHTTP2(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.UserAgent())
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback(), RootCAs: roots, UserAgent: "Svod/test"})
	defer client.CloseIdle()
	resp, err := client.Do(t.Context(), outbound.Request{URL: server.URL})
	if err != nil || string(resp.Body) != "HTTP/2.0 Svod/test" {
		t.Errorf("got %q, %v", resp.Body, err)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, nil)
	server.Next(outboundtest.Status(503), outboundtest.ResetAfterBody)
	var seen []outbound.Exchange
	client := outbound.New(outbound.Options{Allow: outboundtest.Loopback(), Observe: func(e outbound.Exchange) { seen = append(seen, e) }})
	defer client.CloseIdle()
	for range 2 {
		client.Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL + path})
	}
	if len(seen) != 2 || seen[0].Status != 503 || seen[0].Err != nil || seen[1].Status != 0 || seen[1].Err == nil || seen[0].Took <= 0 {
		t.Fatalf("saw %+v", seen)
	}
	if want := strings.TrimPrefix(server.URL, "http://"); seen[0].Host != want || seen[0].Method != http.MethodPost {
		t.Errorf("saw %+v", seen[0])
	}
}

// A login form or a proxy's page is an answer; what it means is the connector's
// to say.
func TestPageInsteadOfJSON(t *testing.T) {
	t.Parallel()
	server := outboundtest.New(t, nil)
	server.Next(outboundtest.HTML)
	resp, err := server.Client().Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL, Body: strings.NewReader("{}")})
	if err != nil || resp.Status != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || len(resp.Body) == 0 {
		t.Errorf("got %+v, %v", resp, err)
	}
}

func BenchmarkDo(b *testing.B) {
	server := outboundtest.New(b, nil)
	body := []byte(strings.Repeat("x", 1024))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := server.Client().Do(b.Context(), outbound.Request{Method: http.MethodPost, URL: server.URL, Body: bytes.NewReader(body)}); err != nil {
			b.Fatal(err)
		}
	}
}
