package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svod-hub/svod/alerts"
	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

func newAlerts(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "Messages to people when something needs them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "test",
		Short: "Send a test message to everybody in alerts.to",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHub(cmd, s, func(ctx context.Context, h *hub) error { return h.testAlerts(ctx, cmd) })
		},
	})
	return cmd
}

func (h *hub) testAlerts(ctx context.Context, cmd *cobra.Command) error {
	channels := h.channels(h.client())
	if len(channels) == 0 {
		return exitError{code: 2, err: fmt.Errorf("there is nobody to tell; add alerts.to to %s", h.cfg.File)}
	}
	failed := 0
	m := h.alertWriter().Test(alerts.NewID(), h.now())
	for i, c := range channels {
		place := fmt.Sprintf("alerts.to[%d] (%s)", i, c.Name())
		if err := c.Send(ctx, m); err != nil {
			failed++
			fmt.Fprintf(cmd.OutOrStdout(), "FAIL  %s: %v\n", place, err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "ok    %s\n", place)
	}
	if failed > 0 {
		return exitError{code: 1, err: fmt.Errorf("%d of %d messages were not sent", failed, len(channels))}
	}
	return nil
}

// startAlerts watches the hub where somebody is to be told.
func (h *hub) startAlerts() {
	if len(h.cfg.Alerts.To) == 0 {
		return
	}
	client := h.client()
	projects := views(h.cfg, h.kinds, h.secret)
	watcher := alerts.New(alerts.Options{
		Store:    h.store,
		Status:   func(ctx context.Context) (view.Status, error) { return view.Build(ctx, h.store, projects, h.now()) },
		Expiries: h.tokenExpiries, Channels: h.channels(client), Writer: h.alertWriter(), Limits: alertLimits(h.cfg),
		Repeat: *h.cfg.Alerts.Repeat, Holder: holder(), Now: h.now, Log: h.log.Named("alerts"),
	})
	watcher.Start()
	h.stops = append(h.stops, watcher.Stop)
}

func (h *hub) alertWriter() alerts.Writer {
	return alerts.Writer{Language: h.cfg.Alerts.Language, PublicURL: strings.TrimSuffix(address(h.cfg), "/")}
}

func (h *hub) channels(client *outbound.Client) []alerts.Channel {
	var all []alerts.Channel
	for _, to := range h.cfg.Alerts.To {
		switch {
		case to.Telegram != nil:
			t := to.Telegram
			all = append(all, &alerts.Telegram{HTTP: client, Memory: h.store, URL: t.URL, Token: t.Token, Chat: t.Chat, Thread: t.Thread, Now: h.now})
		case to.Email != nil:
			e := to.Email
			all = append(all, &alerts.Email{Server: e.SMTP, User: e.User, Password: e.Password, From: e.From, To: e.To, Plain: e.Plain, Now: h.now})
		case to.Webhook != nil:
			all = append(all, &alerts.Webhook{HTTP: client, URL: to.Webhook.URL, Secret: to.Webhook.Secret, Now: h.now})
		}
	}
	return all
}

func alertLimits(cfg *config.Config) alerts.Limits {
	limits := alerts.Limits{
		FlowBehind: *cfg.Alerts.FlowBehind, Silent: *cfg.Alerts.Silent, TokenExpiring: *cfg.Alerts.TokenExpiring,
		Patience: map[string]time.Duration{},
	}
	for _, p := range cfg.Projects {
		for _, f := range p.Flows {
			limits.Patience[p.ID+"/"+f.ID] = patience(f.Schedule)
		}
	}
	return limits
}

// patience is how long a row may wait because its flow's schedule says so.
func patience(s model.Schedule) time.Duration {
	const day = 24 * time.Hour
	wait := s.Every
	if s.Daily != "" {
		wait = day
	}
	if s.PreviousDay {
		wait += day
	}
	last := 0
	for _, n := range s.Again {
		wait = max(wait, time.Duration(n-last+1)*day)
		last = n
	}
	return wait
}

// tokenExpiries tells of tokens that nothing renews: stored ones without a refresh
// token, and long-lived ones of the configuration that say when they end.
func (h *hub) tokenExpiries(ctx context.Context) ([]alerts.Expiry, error) {
	var all []alerts.Expiry
	for _, p := range h.cfg.Projects {
		for _, c := range p.Connections {
			at := writtenExpiry(c.Settings)
			token, err := credentials.Tokens(h.vault, h.store, p.ID, c.ID).Load(ctx)
			var classified *model.Error
			switch {
			case errors.As(err, &classified) && classified.Class == model.ClassReauth:
				// What cannot be opened is told as a connection that needs a person.
			case err != nil:
				return nil, err
			case token.Refresh == "" && !token.Expires.IsZero():
				at = token.Expires
			}
			if !at.IsZero() {
				all = append(all, alerts.Expiry{Project: p.ID, Connection: c.ID, At: at})
			}
		}
	}
	return all, nil
}

// writtenExpiry reads when a token of the configuration ends, where it is a JSON
// Web Token, as amoCRM's long-lived ones are. Nothing is trusted because of it.
func writtenExpiry(s *config.Settings) time.Time {
	if s == nil || !slices.Contains(s.Keys(), "token") {
		return time.Time{}
	}
	var all map[string]any
	if s.Decode(&all) != nil {
		return time.Time{}
	}
	text, _ := all["token"].(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	const year10000 = 253402300800
	if json.Unmarshal(raw, &claims) != nil || !(claims.Exp > 0 && claims.Exp < year10000) {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0).UTC()
}
