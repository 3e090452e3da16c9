package amocrm

import (
	"context"
	"net/http"
	"strings"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// memoryHost is where an account that was renamed lives now. The fact holds for
// the configured address that it was found with.
const memoryHost = "host"

func (c *Connector) scheme() string {
	scheme, _, _ := strings.Cut(c.cfg.URL, "://")
	return scheme
}

// base is the account's present address.
func (c *Connector) base(ctx context.Context) (string, error) {
	known, err := c.deps.Memory.Recall(ctx, memoryHost)
	if err != nil {
		return "", err
	}
	if from, host, ok := strings.Cut(known, " "); ok && from == c.cfg.URL && c.cfg.trusted(host) {
		return c.scheme() + "://" + host, nil
	}
	return c.cfg.URL, nil
}

func (c *Connector) rememberBase(ctx context.Context, base string) error {
	_, host, _ := strings.Cut(base, "://")
	return c.deps.Memory.Remember(ctx, memoryHost, c.cfg.URL+" "+host)
}

// movedTo asks where the account lives after a renaming (amocrm §2.3), and gives
// the old address when it did not move or nobody knows. The resolver's host
// stands in the token.
func (c *Connector) movedTo(ctx context.Context, base string, header http.Header, token model.Secret) string {
	// Another worker may have found it.
	if now, err := c.base(ctx); err == nil && now != base {
		return now
	}
	resolver := readClaims(token.Reveal()).APIDomain
	if resolver == "" || !c.cfg.trusted(resolver) {
		return base
	}
	path := "/oauth2/account/subdomain"
	if header.Get("X-Refresh-Token") != "" {
		path = "/oauth2/account/current/subdomain"
	}
	if c.wait(ctx) != nil {
		return base
	}
	resp, err := c.deps.HTTP.Do(ctx, outbound.Request{URL: c.scheme() + "://" + resolver + path, Header: header, Timeout: requestTime})
	if err != nil || resp.Status != http.StatusOK {
		return base
	}
	host := c.readHost(resp.Body)
	if host == "" || !c.cfg.trusted(host) || c.scheme()+"://"+host == base {
		return base
	}
	moved := c.scheme() + "://" + host
	if err := c.rememberBase(ctx, moved); err != nil {
		c.deps.Log.Warn("the account's new address is not stored", logError(err))
	}
	return moved
}

// readHost takes the members by which the system's own client knows the answer;
// its exact form is not published.
func (c *Connector) readHost(body []byte) string {
	var answer struct {
		Domain    loosejson.Text `json:"domain"`
		Subdomain loosejson.Text `json:"subdomain"`
		Top       loosejson.Text `json:"top_level_domain"`
	}
	if loosejson.Unmarshal(body, &answer) != nil {
		return ""
	}
	if strings.Contains(string(answer.Domain), ".") || strings.Contains(string(answer.Domain), ":") {
		return strings.ToLower(string(answer.Domain))
	}
	if answer.Subdomain == "" {
		return ""
	}
	u, err := parseBase(c.cfg.URL)
	if err != nil {
		return ""
	}
	_, domain, _ := strings.Cut(u.Host, ".")
	if top := string(answer.Top); top != "" {
		if name, _, ok := strings.Cut(domain, "."); ok {
			domain = name + "." + strings.TrimPrefix(top, ".")
		}
	}
	return strings.ToLower(string(answer.Subdomain) + "." + domain)
}
