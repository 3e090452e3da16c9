package amocrm

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// settings are the keys of an amocrm connection in svod.yaml.
type settings struct {
	URL            string            `yaml:"url"`
	Token          model.Secret      `yaml:"token"`
	OAuth          *oauthSettings    `yaml:"oauth"`
	AccountID      string            `yaml:"account_id"`
	Rate           int               `yaml:"rate"`
	AdvancedFilter string            `yaml:"advanced_filter"`
	Events         string            `yaml:"events"`
	Region         string            `yaml:"region"`
	Tracking       map[string]string `yaml:"tracking"`
	TrustedHosts   []string          `yaml:"trusted_hosts"`
}

type oauthSettings struct {
	ClientID     string       `yaml:"client_id"`
	ClientSecret model.Secret `yaml:"client_secret"`
	RedirectURI  string       `yaml:"redirect_uri"`
	Code         model.Secret `yaml:"code"`
}

// Values of advanced_filter.
const (
	filterAuto = "auto"
	filterOn   = "on"
	filterOff  = "off"
)

// Values of events.
const (
	eventsComma = "comma"
	eventsArray = "array"
	eventsOff   = "off"
)

const (
	defaultRate = 5 // of the 7 that the account allows (amocrm §4.1)
	maxRate     = 7
)

// trackingNames are the members of `tracking`.
var trackingNames = []string{
	"client_id", "ga_client_id", "gclid", "roistat", "user_id",
	"utm_campaign", "utm_content", "utm_medium", "utm_source", "utm_term", "yclid",
}

func readSettings(from connectors.Settings) (settings, error) {
	s := settings{}
	if err := from.Decode(&s); err != nil {
		return s, err
	}
	s.URL = strings.TrimRight(strings.TrimSpace(s.URL), "/")
	if s.Rate == 0 {
		s.Rate = defaultRate
	}
	if s.AdvancedFilter == "" {
		s.AdvancedFilter = filterAuto
	}
	if s.Events == "" {
		s.Events = eventsComma
	}
	if s.AccountID == "" {
		s.AccountID = readClaims(s.Token.Reveal()).AccountID
	}
	return s, s.check()
}

func (s *settings) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := parseBase(s.URL); err != nil {
		fail("url: %w", err)
	}
	switch {
	case s.Token == "" && s.OAuth == nil:
		fail("token or oauth: one of them is needed; a long-lived token is made on the integration's tab \"Keys and scopes\"")
	case s.Token != "" && s.OAuth != nil:
		fail("token and oauth: give only one of them")
	case s.OAuth != nil:
		if s.OAuth.ClientID == "" {
			fail("oauth.client_id: the integration's id is needed")
		}
		if s.OAuth.ClientSecret == "" {
			fail("oauth.client_secret: the integration's secret key is needed")
		}
	}
	if claimed := readClaims(s.Token.Reveal()).AccountID; claimed != "" && claimed != s.AccountID {
		fail("account_id: the token belongs to account %s", claimed)
	}
	if s.AccountID != "" && !digits(s.AccountID) {
		fail("account_id: %q is not a number; it is shown in amoCRM under Settings, General", s.AccountID)
	}
	if s.Rate < 1 || s.Rate > maxRate {
		fail("rate: %d requests a second; amoCRM allows 1 to %d", s.Rate, maxRate)
	}
	switch s.AdvancedFilter {
	case filterAuto, filterOn, filterOff:
	default:
		fail("advanced_filter: %q is none of auto, on, off", s.AdvancedFilter)
	}
	switch s.Events {
	case eventsComma, eventsArray, eventsOff:
	default:
		fail("events: %q is none of comma, array, off", s.Events)
	}
	for name := range s.Tracking {
		if !contains(trackingNames, name) {
			fail("tracking.%s: unknown; known are %s", name, strings.Join(trackingNames, ", "))
		}
	}
	return errors.Join(errs...)
}

// parseBase checks the address of an account: a scheme and a host, nothing else.
func parseBase(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("the account's address is needed, such as https://example.amocrm.ru")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New("not an address such as https://example.amocrm.ru")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("only the host is wanted: %s://%s", u.Scheme, u.Host)
	}
	if strings.HasPrefix(u.Hostname(), "www.") {
		return nil, errors.New("www hosts do not serve the API; give the account's own host") // amocrm §1
	}
	return u, nil
}

// trusted reports whether host may be given our secrets: it came from the
// network, and an address bar can be forged (amocrm §2.2).
func (s *settings) trusted(host string) bool {
	if base, err := parseBase(s.URL); err == nil && strings.EqualFold(base.Host, host) {
		return true
	}
	if contains(s.TrustedHosts, host) {
		return true
	}
	name, ok := strings.CutPrefix(strings.ToLower(host), "www.")
	if ok || strings.ContainsAny(name, ":/@?#% ") {
		return false
	}
	for _, domain := range officialDomains {
		if label, ok := strings.CutSuffix(name, "."+domain); ok && label != "" {
			return true
		}
	}
	return false
}

var officialDomains = []string{"amocrm.ru", "amocrm.com", "kommo.com"}

// claims are what the JWT of a token says about itself. It is not verified: it
// only saves the operator some typing (amocrm §2.1).
type claims struct {
	AccountID string
	APIDomain string
	Expires   time.Time
}

func readClaims(token string) claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[1]) > 16<<10 {
		return claims{}
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return claims{}
	}
	var raw struct {
		AccountID json.Number `json:"account_id"`
		APIDomain string      `json:"api_domain"`
		Expires   int64       `json:"exp"`
	}
	if json.Unmarshal(data, &raw) != nil {
		return claims{}
	}
	c := claims{AccountID: raw.AccountID.String(), APIDomain: raw.APIDomain}
	if raw.Expires > 0 {
		c.Expires = time.Unix(raw.Expires, 0).UTC()
	}
	return c
}

func contains(list []string, text string) bool {
	for _, one := range list {
		if one == text {
			return true
		}
	}
	return false
}

// digits reports whether text is a plain positive number of sane length: every
// id of this system is.
func digits(text string) bool {
	if text == "" || len(text) > 19 {
		return false
	}
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}
