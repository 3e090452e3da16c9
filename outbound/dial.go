package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/svod-hub/svod/model"
)

// dialer connects to what the guard lets pass. It resolves names itself, so that
// a name with one forbidden address among several is refused as a whole, and
// checks once more what is really dialled (webhook-security §5.2, §5.3).
type dialer struct {
	guard  guard
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	proxy  string // host:port that the guard leaves alone, or ""
}

func newDialer(opts Options) *dialer {
	d := &dialer{guard: newGuard(opts.Allow), lookup: net.DefaultResolver.LookupNetIP}
	if opts.Proxy != nil {
		d.proxy = hostPort(opts.Proxy)
	}
	return d
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (d *dialer) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errConnectTimeout)
	defer cancel()
	if d.proxy != "" && hostport == d.proxy {
		return counted((&net.Dialer{}).DialContext(ctx, network, hostport))
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	guarded := &net.Dialer{ControlContext: func(_ context.Context, _, dialled string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return model.Errorf(model.ClassPermanent, model.CauseAddressForbidden, "%s has an address that cannot be checked", host)
		}
		return d.guard.check(host, ap.Addr())
	}}
	var failed error
	for i, addr := range addrs {
		conn, err := dialOne(ctx, guarded, network, net.JoinHostPort(addr.String(), port), len(addrs)-i)
		if err == nil {
			return counted(conn, nil)
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// dialOne gives one address its share of the time that is left.
func dialOne(ctx context.Context, dialer *net.Dialer, network, address string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Until(deadline)/time.Duration(left), errConnectTimeout)
		defer cancel()
	}
	return dialer.DialContext(ctx, network, address)
}

// resolve gives the addresses to try, IPv4 first: a broken IPv6 route costs no
// time then. One forbidden address refuses the whole name. Only where the
// administrator allowed another address of it, as for "localhost", the forbidden
// ones are merely left out.
func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var refused error
	allowed := false
	usable := addrs[:0:0]
	for _, addr := range addrs {
		if err := d.guard.check(host, addr); err != nil {
			refused = err
			continue
		}
		allowed = allowed || d.guard.allowed(addr.Unmap().WithZone(""))
		usable = append(usable, addr.Unmap())
	}
	if refused != nil && !allowed {
		return nil, refused
	}
	slices.SortStableFunc(usable, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return usable, nil
}

// countingConn counts what was given to the network, to know for sure that
// nothing was.
type countingConn struct {
	net.Conn
	written atomic.Int64
}

func counted(conn net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn}, nil
}

// Write implements net.Conn. It counts before it writes: a count that is too
// high only makes us less sure.
func (c *countingConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n - len(p)))
	return n, err
}
