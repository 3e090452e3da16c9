package amocrm

import (
	"cmp"
	"context"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// account holds the facts about an account that reading and mapping need.
type account struct {
	ID       string
	Name     string
	Zone     *time.Location
	Currency string // ISO 4217
	Region   string // of phone numbers
	// Filters: whether lists can be filtered; unknown counts as yes until an answer
	// shows otherwise (amocrm §5.2).
	Filters bool
	ReadAt  time.Time
}

type accountAnswer struct {
	ID       loosejson.Text `json:"id"`
	Name     loosejson.Text `json:"name"`
	Country  loosejson.Text `json:"country"`
	Currency loosejson.Text `json:"currency"`
	Filters  loosejson.Bool `json:"is_api_filter_enabled"`
	Embedded struct {
		Filters loosejson.Bool `json:"is_api_filter_enabled"`
		Dates   struct {
			Zone loosejson.Text `json:"timezone"`
		} `json:"datetime_settings"`
	} `json:"_embedded"`
}

// facts gives the account's facts, at most ten minutes old.
func (c *Connector) facts(ctx context.Context) (account, error) {
	c.mu.Lock()
	known := c.account
	c.mu.Unlock()
	if known.ID != "" && c.deps.Now().Sub(known.ReadAt) < factsLast {
		return known, nil
	}
	return c.readAccount(ctx)
}

// readAccount asks for the account (amocrm §5.1).
func (c *Connector) readAccount(ctx context.Context) (account, error) {
	var answer accountAnswer
	at := c.deps.Now()
	q := new(query).add("with", "datetime_settings,is_api_filter_enabled")
	found, err := c.get(ctx, "/account", q, &answer)
	if err != nil {
		return account{}, err
	}
	if !found || answer.ID == "" {
		return account{}, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "amoCRM did not say which account this is; it is asked again")
	}
	if c.cfg.AccountID != "" && c.cfg.AccountID != string(answer.ID) {
		return account{}, model.Errorf(model.ClassPermanent, model.CauseForeignAccount,
			"the token belongs to account %s, but the connection is for account %s: correct account_id or connect the right account", answer.ID, c.cfg.AccountID)
	}
	a := account{
		ID: string(answer.ID), Name: string(answer.Name), ReadAt: at,
		Zone: c.zone(string(answer.Embedded.Dates.Zone)), Currency: c.currency(string(answer.Currency)),
		Region: c.region(string(answer.Country)), Filters: true,
	}
	for _, flag := range []loosejson.Bool{answer.Filters, answer.Embedded.Filters} {
		if flag.Set {
			a.Filters = flag.Value
		}
	}
	c.mu.Lock()
	c.account = a
	c.mu.Unlock()
	return a, nil
}

func (c *Connector) zone(name string) *time.Location {
	if name == "" || name == "Local" {
		return c.deps.Zone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		c.deps.Log.Warn("account's time zone unknown, project's used", zap.String("zone", name))
		return c.deps.Zone
	}
	return zone
}

func (c *Connector) currency(code string) string {
	code = strings.ToUpper(strings.TrimSpace(code))
	if code == "RUR" { // left the standard in 1998, still written
		code = "RUB"
	}
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return c.deps.Currency
	}
	return code
}

func (c *Connector) region(country string) string {
	for _, code := range []string{c.cfg.Region, country} {
		if code = strings.ToUpper(strings.TrimSpace(code)); len(code) == 2 {
			return code
		}
	}
	return cmp.Or(c.deps.Region, "RU")
}

// filters reports whether lists may be filtered.
func (c *Connector) filters(a account) bool {
	if c.cfg.AdvancedFilter == filterOff {
		return false
	}
	c.mu.Lock()
	blind := c.blind
	c.mu.Unlock()
	return !blind && (a.Filters || c.cfg.AdvancedFilter == filterOn)
}

// ignoresFilters remembers that an answer held rows that were not asked for.
func (c *Connector) ignoresFilters() {
	c.mu.Lock()
	known := c.blind
	c.blind = true
	c.mu.Unlock()
	if !known {
		c.deps.Log.Warn("the account ignores filters of lists; they are read in full from now on")
	}
}

func logError(err error) zap.Field { return zap.String("error", err.Error()) }

// cached is a fact with the time of its reading.
type cached[V any] struct {
	value  V
	readAt time.Time
}
