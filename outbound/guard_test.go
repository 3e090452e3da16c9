package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/svod-hub/svod/model"
)

// elsewhere is a machine whose only address is 8.8.4.4.
func elsewhere(allow ...string) guard {
	var prefixes []netip.Prefix
	for _, a := range allow {
		prefixes = append(prefixes, netip.MustParsePrefix(a))
	}
	g := newGuard(prefixes)
	g.own = func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(8, 8, 4, 4), Mask: net.CIDRMask(24, 32)}}, nil
	}
	return g
}

func TestGuardOnSamples(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/ssrf-addresses.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		verdict, text, _ := strings.Cut(line, "\t")
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			err := elsewhere().check("host", netip.MustParseAddr(text))
			if got := err == nil; got != (verdict == "allow") {
				t.Errorf("want %s, got %v", verdict, err)
			}
			if err != nil && model.CauseOf(err) != model.CauseAddressForbidden {
				t.Errorf("cause %s", model.CauseOf(err))
			}
		})
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		addr    string
		allow   []string
		refused string // the reason, "" when it may be called
	}{
		{"public", "77.88.55.242", nil, ""},
		{"public IPv6", "2a02:6b8::2:242", nil, ""},
		{"private", "10.0.0.1", nil, "a private network"},
		{"mapped private", "::ffff:10.0.0.1", nil, "a private network"},
		{"metadata", "169.254.169.254", nil, "link-local"},
		{"metadata over IPv6", "fd00:ec2::254", nil, "a private network"},
		{"documentation", "203.0.113.9", nil, "for documentation"},
		{"last of 198.18/15", "198.19.255.255", nil, "for benchmarks"},
		{"after 198.18/15", "198.20.0.1", nil, ""},
		{"last of CGNAT", "100.127.255.255", nil, "a carrier's inner network"},
		{"after CGNAT", "100.128.0.1", nil, ""},
		{"last of 172.16/12", "172.31.255.255", nil, "a private network"},
		{"after 172.16/12", "172.32.0.1", nil, ""},
		{"reserved", "250.1.2.3", nil, "reserved"},
		{"NAT64 of a public address", "64:ff9b::8.8.8.8", nil, "NAT64"},
		{"local NAT64", "64:ff9b:1::1", nil, "NAT64"},
		{"6to4", "2002:7f00:1::1", nil, "6to4"},
		{"Teredo", "2001:0:4136:e378::1", nil, "Teredo"},
		{"ORCHID", "2001:20::1", nil, "reserved"},
		{"compatible IPv4", "::8.8.8.8", nil, "reserved"},
		{"translated IPv4", "::ffff:0:127.0.0.1", nil, "reserved"},
		{"zone", "fe80::1%eth0", nil, "link-local"},
		{"site local", "fec0::1", nil, "a private network"},
		{"outside of 2000::/3", "4000::1", nil, "reserved"},
		{"this machine's public address", "8.8.4.4", nil, "this machine"},
		{"its neighbour", "8.8.4.5", nil, ""},

		{"allowed network", "10.1.2.3", []string{"10.1.0.0/16"}, ""},
		{"another private network", "10.2.2.3", []string{"10.1.0.0/16"}, "a private network"},
		{"allowed network, mapped", "::ffff:10.1.2.3", []string{"10.1.0.0/16"}, ""},
		{"allowed as mapped", "10.1.2.3", []string{"::ffff:10.1.0.0/112"}, ""},
		{"allowed unique local", "fd12::1", []string{"fd12::/16"}, ""},
		{"allowed loopback", "127.0.0.1", []string{"127.0.0.0/8"}, ""},
		{"a wide network does not open loopback", "127.0.0.1", []string{"0.0.0.0/0"}, "this machine"},
		{"a wide network does not open IPv6 loopback", "::1", []string{"::/0"}, "this machine"},
		{"a wide network does not open metadata", "169.254.169.254", []string{"169.254.0.0/16"}, "link-local"},
		{"metadata by itself", "169.254.169.254", []string{"169.254.169.254/32"}, ""},
		{"allowed own address", "8.8.4.4", []string{"8.8.4.4/32"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := elsewhere(test.allow...).check("crm.example", netip.MustParseAddr(test.addr))
			switch {
			case test.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refused != "" && (err == nil || !strings.Contains(err.Error(), "because it is "+test.refused+";")):
				t.Errorf("want %q, got %v", test.refused, err)
			}
		})
	}
}

func FuzzGuard(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::ffff:10.0.0.1", "2002:a00:1::", "8.8.8.8", "::"} {
		addr := netip.MustParseAddr(s)
		f.Add(addr.AsSlice())
	}
	g := elsewhere()
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok || g.check("host", addr) != nil {
			return
		}
		// What passes is a global unicast address by the standard library's view too.
		if plain := addr.Unmap(); !plain.IsGlobalUnicast() || plain.IsPrivate() || plain.IsLoopback() || plain.IsLinkLocalUnicast() {
			t.Errorf("%s passed", addr)
		}
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		host    string
		answer  string
		allow   []string
		want    string
		refused bool
	}{
		{name: "IPv4 first", host: "crm.example", answer: "2a02:6b8::1 77.88.55.242", want: "77.88.55.242 2a02:6b8::1"},
		{name: "one forbidden refuses all", host: "crm.example", answer: "77.88.55.242 10.0.0.1", refused: true},
		{name: "localhost is left with what is allowed", host: "localhost", answer: "::1 127.0.0.1", allow: []string{"127.0.0.0/8"}, want: "127.0.0.1"},
		{name: "trailing dot", host: "localhost.", answer: "127.0.0.1", refused: true},
		// These are names for Go; a system resolver may read them as addresses.
		{name: "decimal", host: "2130706433", answer: "127.0.0.1", refused: true},
		{name: "octal", host: "0177.0.0.1", answer: "127.0.0.1", refused: true},
		{name: "hex", host: "0x7f.1", answer: "127.0.0.1", refused: true},
		{name: "short", host: "127.1", answer: "127.0.0.1", refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &dialer{guard: elsewhere(test.allow...), lookup: fixed(test.answer)}
			addrs, err := d.resolve(t.Context(), test.host)
			if (err != nil) != test.refused {
				t.Fatalf("refused=%v, got %v", test.refused, err)
			}
			if err != nil && model.CauseOf(err) != model.CauseAddressForbidden {
				t.Errorf("cause %s", model.CauseOf(err))
			}
			if got := strings.Trim(join(addrs), " "); got != test.want {
				t.Errorf("want %q, got %q", test.want, got)
			}
		})
	}
}

// A name that is public when it is looked at and private when it is dialled
// cannot pass: the address that was checked is the one that is dialled, and the
// dialer's control looks again.
func TestRebinding(t *testing.T) {
	t.Parallel()
	answers := []string{"77.88.55.242", "127.0.0.1"}
	d := &dialer{guard: elsewhere(), lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		answer := answers[0]
		answers = answers[1:]
		return []netip.Addr{netip.MustParseAddr(answer)}, nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the public address is not to be called by a test
	if _, err := d.dial(ctx, "tcp", "crm.example:80"); !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	if _, err := d.dial(t.Context(), "tcp", "crm.example:80"); model.CauseOf(err) != model.CauseAddressForbidden {
		t.Errorf("second: %v", err)
	}
}

// Literal addresses skip the resolver; the control catches them.
func TestDialLiteral(t *testing.T) {
	t.Parallel()
	d := &dialer{guard: elsewhere()}
	for _, hostport := range []string{"127.0.0.1:6379", "[::1]:80", "[::ffff:127.0.0.1]:80", "[fe80::1%25eth0]:80", "0.0.0.0:80"} {
		t.Run(hostport, func(t *testing.T) {
			t.Parallel()
			conn, err := d.dial(t.Context(), "tcp", hostport)
			if err == nil {
				conn.Close()
				t.Fatal("dialled")
			}
			if hostport != "[fe80::1%25eth0]:80" && model.CauseOf(err) != model.CauseAddressForbidden {
				t.Errorf("got %v", err)
			}
		})
	}
}

func fixed(answer string) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(context.Context, string, string) ([]netip.Addr, error) {
		var addrs []netip.Addr
		for _, a := range strings.Fields(answer) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		return addrs, nil
	}
}

func join(addrs []netip.Addr) string {
	var b strings.Builder
	for _, a := range addrs {
		b.WriteString(a.String() + " ")
	}
	return b.String()
}
