package outbound

import (
	"net"
	"net/netip"

	"github.com/svod-hub/svod/model"
)

// network is a range that is not dialled, with its name for people.
type network struct {
	prefix netip.Prefix
	name   string
}

// The ranges of webhook-security §5.2. What IPv6 has outside of 2000::/3 is
// refused as a whole, with all forms that embed an IPv4 address, except for the
// mapped one, which is undone before; the names of its parts only make better
// messages.
var (
	loopback4  = netip.MustParsePrefix("127.0.0.0/8")
	loopback6  = netip.MustParsePrefix("::1/128")
	linkLocal4 = netip.MustParsePrefix("169.254.0.0/16")
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
	global6    = netip.MustParsePrefix("2000::/3")

	forbidden4 = []network{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
		{netip.MustParsePrefix("10.0.0.0/8"), "a private network"},
		{netip.MustParsePrefix("100.64.0.0/10"), "a carrier's inner network"},
		{loopback4, "this machine"},
		{linkLocal4, "link-local"},
		{netip.MustParsePrefix("172.16.0.0/12"), "a private network"},
		{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
		{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
		{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
		{netip.MustParsePrefix("192.168.0.0/16"), "a private network"},
		{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
		{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
		{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	}
	forbidden6 = []network{
		{netip.MustParsePrefix("::/128"), "unspecified"},
		{loopback6, "this machine"},
		{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64"},
		{netip.MustParsePrefix("100::/64"), "discarded"},
		{netip.MustParsePrefix("2001::/32"), "Teredo"},
		{netip.MustParsePrefix("2001::/23"), "reserved"},
		{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
		{netip.MustParsePrefix("2002::/16"), "6to4"},
		{netip.MustParsePrefix("3fff::/20"), "for documentation"},
		{netip.MustParsePrefix("fc00::/7"), "a private network"},
		{linkLocal6, "link-local"},
		{netip.MustParsePrefix("fec0::/10"), "a private network"},
		{netip.MustParsePrefix("ff00::/8"), "multicast"},
	}
)

// guard decides which addresses may be dialled.
type guard struct {
	allow []netip.Prefix
	// own lists the addresses of this machine's interfaces, which are not dialled
	// even when they are public.
	own func() ([]net.Addr, error)
}

func newGuard(allow []netip.Prefix) guard {
	g := guard{own: net.InterfaceAddrs}
	for _, p := range allow {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		g.allow = append(g.allow, p.Masked())
	}
	return g
}

// check refuses an address with an error that names the host as the caller wrote
// it.
func (g guard) check(host string, addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if g.allowed(addr) {
		return nil
	}
	if name := g.forbidden(addr); name != "" {
		return model.Errorf(model.ClassPermanent, model.CauseAddressForbidden,
			"%s has the address %s, which is not called because it is %s; an administrator may allow the network in the outbound settings", host, addr, name)
	}
	return nil
}

// allowed reports whether Options.Allow opens an address.
func (g guard) allowed(addr netip.Addr) bool {
	for _, p := range g.allow {
		if p.Contains(addr) && narrow(p, addr) {
			return true
		}
	}
	return false
}

// narrow keeps a wide network from opening loopback and link-local addresses.
func narrow(p netip.Prefix, addr netip.Addr) bool {
	switch {
	case loopback4.Contains(addr):
		return p.Bits() >= loopback4.Bits()
	case addr.IsLoopback(), linkLocal4.Contains(addr), linkLocal6.Contains(addr):
		return p.IsSingleIP()
	}
	return true
}

// forbidden names the range that an unmapped address is refused for.
func (g guard) forbidden(addr netip.Addr) string {
	if !addr.IsValid() {
		return "not an address"
	}
	if addr.Is4() {
		if name := find(forbidden4, addr); name != "" {
			return name
		}
		return g.ofThisMachine(addr)
	}
	if name := find(forbidden6, addr); name != "" {
		return name
	}
	if !global6.Contains(addr) {
		return "reserved"
	}
	return g.ofThisMachine(addr)
}

func (g guard) ofThisMachine(addr netip.Addr) string {
	own, err := g.own()
	if err != nil {
		return "possibly this machine"
	}
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().WithZone("") == addr {
			return "this machine"
		}
	}
	return ""
}

func find(networks []network, addr netip.Addr) string {
	for _, n := range networks {
		if n.prefix.Contains(addr) {
			return n.name
		}
	}
	return ""
}
