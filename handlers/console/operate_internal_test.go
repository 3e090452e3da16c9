package console

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestCausesPagesAreRead(t *testing.T) {
	t.Parallel()
	all := loadCauses()
	for _, code := range []string{"ru", "en"} {
		for _, cause := range model.Causes() {
			c := all.find(code, cause)
			if c.Says == "" || c.Do == "" || len(c.Says) > 400 {
				t.Errorf("%s, %s: says %q, do %q", code, cause, c.Says, c.Do)
			}
		}
	}
}

func FuzzCauses(f *testing.F) {
	f.Add("# Causes\n\n## auth\n\nRefused.\nMend it.\n")
	f.Add("## \n##  a\n.")
	f.Fuzz(func(t *testing.T, page string) {
		for _, c := range parseCauses(page) {
			if strings.Contains(string(c.Code), "\n") {
				t.Errorf("the code %q", c.Code)
			}
		}
	})
}

func TestFieldOfMessage(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"client_uniq_id is required, and contact.id is empty in this record": "client_uniq_id",
		"currency (deal.currency) wants an ISO 4217 code such as RUB":        "currency",
		"parameter TrafficSource is none of ad, organic":                     "TrafficSource",
		`status "APOLOGY" of pipeline 0 has no pair in statuses`:             "APOLOGY",
		"status APOLOGY «Анализ» of pipeline 0 has no pair":                  "APOLOGY",
		`attribute "size": names consist of Latin letters`:                   "size",
		"the body is larger than the limit of 1048576 bytes":                 "",
		"the event's application_token is not the connection's: compare it":  "",
		"no ClientID, e-mail or phone: Metrica cannot link the order":        "",
		"": "",
	} {
		if got := fieldOf(message); got != want {
			t.Errorf("%q names the field %q, want %q", message, got, want)
		}
	}
}

func FuzzFieldOf(f *testing.F) {
	f.Add(`parameter "x" is empty`)
	f.Fuzz(func(t *testing.T, message string) {
		if got := fieldOf(message); !strings.Contains(message, got) {
			t.Errorf("%q is not in %q", got, message)
		}
	})
}

func TestGroupsOfErrors(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC) }
	row := func(message string, count, first, last int) store.Trouble {
		return store.Trouble{Subject: "flow", ID: "orders", Cause: model.CauseBadValue, Error: message, Count: count, First: at(first), Last: at(last), Example: message}
	}
	groups := groupErrors([]store.Trouble{
		row("price is 7", 2, 3, 5), row("price is 8", 1, 1, 2), row("name is odd", 1, 4, 4),
	}, []store.ErrorMark{
		{Subject: "flow", ID: "orders", Cause: model.CauseBadValue, Field: "price", Mark: markResolved, At: at(4)},
		{Subject: "flow", ID: "orders", Cause: model.CauseBadValue, Field: "name", Mark: markResolved, At: at(4)},
		{Subject: "flow", ID: "gone", Mark: markIgnored},
	})
	if len(groups) != 2 {
		t.Fatalf("%d groups: %+v", len(groups), groups)
	}
	price, name := groups[0], groups[1]
	if price.Field != "price" || price.Count != 3 || !price.First.Equal(at(1)) || !price.Last.Equal(at(5)) || price.Example.Error != "price is 7" {
		t.Errorf("the group of prices is %+v", price)
	}
	if price.Mark != "" {
		t.Error("what happened again is still resolved")
	}
	if name.Mark != markResolved {
		t.Errorf("the group of names is marked %q", name.Mark)
	}
}

func TestPlotRemembersMinutesThatAreOver(t *testing.T) {
	t.Parallel()
	var a activity
	now := time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)
	start := now.Truncate(time.Minute)
	var asked []time.Duration
	count := func(_ context.Context, _ string, since time.Time) ([]store.Minute, error) {
		asked = append(asked, now.Sub(since).Truncate(time.Minute))
		var list []store.Minute
		for i := range 3 {
			if m := start.Add(time.Duration(-i) * time.Minute); !m.Before(since) {
				list = append(list, store.Minute{Start: m, Count: i + 1})
			}
		}
		return list, nil
	}
	for range 2 {
		p, err := a.plot(t.Context(), "in", "shop", now, count)
		if err != nil {
			t.Fatal(err)
		}
		if p.Total != 6 || p.Peak != 3 || p.Last() != 2 || strings.Count(p.Path(), "M") != 3 {
			t.Errorf("the plot is %+v, %s", p, p.Path())
		}
	}
	if asked[0] != 59*time.Minute || asked[1] != time.Minute {
		t.Errorf("counted from %v ago", asked)
	}
}

func TestPaceTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	var p paces
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		after time.Duration
		n     int
		left  time.Duration
	}{
		{0, 1300, 0}, {time.Second, 1290, 0}, {10 * time.Second, 1200, 2 * time.Minute}, {12 * time.Second, 1400, 0}, {13 * time.Second, 0, 0},
		{14 * time.Second, 100, 0},
	} {
		if got := p.left("b24", tt.n, now.Add(tt.after)); got != tt.left {
			t.Errorf("after %s, with %d waiting, %s are left, want %s", tt.after, tt.n, got, tt.left)
		}
	}
}
