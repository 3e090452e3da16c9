package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/outbound"
)

// client calls other systems; more are addresses that may be dialled besides
// public ones and those of outbound.allow.
func (h *hub) client(more ...netip.Prefix) *outbound.Client {
	return outbound.New(outbound.Options{
		Allow: slices.Concat(h.cfg.Outbound.Allow, more),
		Observe: func(x outbound.Exchange) {
			h.metrics.Exchanges.WithLabelValues(x.Host, fmt.Sprint(x.Status)).Inc()
			h.metrics.ExchangeSeconds.WithLabelValues(x.Host).Observe(x.Took.Seconds())
		},
	})
}

// writtenAddresses are the IP addresses that the operator wrote into a
// connection's own settings: a CRM at http://192.168.1.5/ is meant to be called
// there. A name that leads to a private address is not enough, because who
// answers for the name is not known; that takes outbound.allow.
func writtenAddresses(c *config.Connection) []netip.Prefix {
	var settings map[string]any
	// What is wrong with the settings is told by the connector.
	_ = c.Settings.Decode(&settings)
	var found []netip.Prefix
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case string:
			found = append(found, literalAddress(v)...)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(settings)
	return found
}

// literalAddress is the address in a URL that names one, or none.
func literalAddress(text string) []netip.Prefix {
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil
	}
	if u.Hostname() == "localhost" {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	}
	address, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	address = address.Unmap()
	return []netip.Prefix{netip.PrefixFrom(address, address.BitLen())}
}
