package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	amocrm "github.com/svod-hub/svod/connectors/amocrm/sandbox"
	bitrix24 "github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	roistat "github.com/svod-hub/svod/connectors/roistat/sandbox"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// badTraffic counts what the demo sends wrongly on purpose.
type badTraffic struct {
	rows    map[model.Cause]int // refused rows
	entries map[model.Cause]int // refused journal entries
	rude    int                 // requests that must not be journalled
}

// play sends the sample traffic of all systems, with a few bad pieces among it.
func (d *demo) play(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	traffic, played := context.WithCancel(ctx)
	group.Go(func() error {
		defer played()
		return d.playAll(ctx)
	})
	group.Go(func() error {
		// Roistat reads while everything changes.
		for traffic.Err() == nil {
			if _, err := d.roistat.Run(ctx, d.pull()); err != nil && ctx.Err() == nil {
				return err
			}
			wait(traffic, 2*time.Second)
		}
		return nil
	})
	return group.Wait()
}

func (d *demo) playAll(ctx context.Context) error {
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error {
		load := bitrix24.DemoLoad
		load.PerSecond = 50
		return d.portal.Traffic(together, load)
	})
	group.Go(func() error {
		load := amocrm.DemoLoad
		load.PerSecond = 40
		return d.account.Traffic(together, load)
	})
	group.Go(func() error {
		for range 8 {
			if _, err := d.shop.Post(together, 5); err != nil {
				return err
			}
			wait(together, 300*time.Millisecond)
		}
		return nil
	})
	group.Go(func() error {
		_, err := d.roistat.PushLead(together, d.pull(), roistat.SampleLead(time.Now()))
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return d.playBad(ctx)
}

// playBad shows what becomes of input that is no good.
func (d *demo) playBad(ctx context.Context) error {
	d.bad = badTraffic{rows: map[model.Cause]int{}, entries: map[model.Cause]int{}}
	contact := d.portal.AddContact(bitrix24.Fields{"NAME": "Пробный", "PHONE": "+7 900 555-35-35"})
	d.portal.AddDeal(bitrix24.Fields{"TITLE": "Без клиента", "OPPORTUNITY": "100.00"})
	d.bad.rows[model.CauseMissingRequired]++
	d.portal.AddDeal(bitrix24.Fields{"TITLE": "Статус без пары", "STAGE_ID": "APOLOGY", "OPPORTUNITY": "100.00", "CONTACT_ID": contact})
	d.bad.rows[model.CauseStatusUnmapped]++
	d.portal.AddDeal(bitrix24.Fields{"TITLE": "Не та валюта", "CURRENCY_ID": "РУБ", "OPPORTUNITY": "100.00", "CONTACT_ID": contact})
	d.bad.rows[model.CauseCurrency]++
	if err := d.portal.Flush(ctx); err != nil {
		return err
	}
	for _, bad := range []struct {
		name, url, contentType, body string
		want                         int
		cause                        model.Cause
	}{
		{"a wrong application token", d.hook("b24"), form, "event=ONCRMDEALUPDATE&data[FIELDS][ID]=1&auth[application_token]=forged&auth[member_id]=" + bitrix24.MemberID, 200, model.CauseWrongToken},
		{"an unknown event", d.hook("b24"), form, "event=ONSOMETHING&auth[application_token]=" + bitrix24.ApplicationToken + "&auth[member_id]=" + bitrix24.MemberID, 200, model.CauseUnknownEvent},
		{"broken encoding", d.hook("b24"), form, "event=%ZZ%&data[FIELDS][ID]=1", 200, model.CauseBadEncoding},
		{"a body over the limit", d.hook("b24"), form, "event=" + strings.Repeat("x", 5<<20), 413, model.CauseTooLarge},
		{"a wrong secret", address(d.hub.cfg, "hooks", demoProject, "b24", "guessed"), form, "event=ONCRMDEALUPDATE", 404, ""},
	} {
		status, err := post(ctx, bad.url, bad.contentType, bad.body)
		if err != nil {
			return fmt.Errorf("send %s: %w", bad.name, err)
		}
		if status != bad.want {
			return fmt.Errorf("%s was answered with %d, not %d", bad.name, status, bad.want)
		}
		if bad.cause == "" {
			d.bad.rude++
		} else {
			d.bad.entries[bad.cause]++
		}
	}
	return nil
}

const form = "application/x-www-form-urlencoded"

func post(ctx context.Context, url, contentType, body string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", contentType)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// settle waits until the hub has nothing left to do.
func (d *demo) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	for quiet := 0; quiet < 3; {
		busy, err := d.busy(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the hub did not come to rest: %s", busy)
		case err != nil:
			return err
		case busy == "":
			quiet++
		default:
			quiet = 0
		}
		wait(ctx, 200*time.Millisecond)
	}
	return nil
}

// busy says what there is still to do, or "".
func (d *demo) busy(ctx context.Context) (string, error) {
	db := d.hub.store
	journal, err := db.JournalBacklogs(ctx)
	if err != nil || len(journal) > 0 {
		return "journal entries wait", err
	}
	refs, err := db.RefBacklogs(ctx)
	if err != nil || len(refs) > 0 {
		return "records wait to be re-read", err
	}
	for _, f := range d.hub.setup.Projects[0].Flows {
		counts, err := db.FlowCounts(ctx, demoProject, f.Spec.ID)
		if err != nil {
			return "", err
		}
		if counts.Behind > 0 || counts.Due > 0 || counts.Sending > 0 {
			return fmt.Sprintf("flow %s: %d changes, %d due, %d being sent", f.Spec.ID, counts.Behind, counts.Due, counts.Sending), nil
		}
	}
	polls, err := db.PollStates(ctx, demoProject)
	for _, p := range polls {
		if p.Importing {
			return "an import runs", err
		}
	}
	return "", err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// refusedEntries counts what the journal refused.
func (d *demo) refusedEntries(ctx context.Context) (map[model.Cause]int, int, error) {
	stats, err := d.hub.store.JournalStats(ctx, demoProject, time.Time{})
	if err != nil {
		return nil, 0, err
	}
	refused, total := map[model.Cause]int{}, 0
	for _, s := range stats {
		total += s.Count
		if s.State == store.EntryRefused || s.State == store.EntryPartly {
			refused[s.Cause] += s.Count
		}
	}
	return refused, total, nil
}
