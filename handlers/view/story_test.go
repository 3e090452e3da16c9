package view_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/handlers/view/viewtest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestStoryOfADeal(t *testing.T) {
	t.Parallel()
	hub := viewtest.New(t)
	ctx := t.Context()
	key := model.Key{Connection: "b24", Kind: model.KindDeal, ID: "001"}
	rec, err := hub.DB.Record(ctx, "shop", key)
	if err != nil {
		t.Fatal(err)
	}
	deal := rec.(*model.Deal)
	deal.StatusID, deal.Comment = "WON", "звонить +7 999 555-11-22"
	deal.UpdatedAt, deal.ReadAt = viewtest.Now.Add(time.Minute), viewtest.Now.Add(5*time.Minute)
	if _, err := hub.DB.ApplyRecords(ctx, "shop", []model.Record{deal}); err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{"deal 001 changed", "deal 4001 changed", "ONCRMCONTACTUPDATE contact 001"} {
		e := &store.Entry{Project: "shop", Connection: "b24", ReceivedAt: viewtest.Now.Add(2 * time.Minute), Note: note, State: store.EntryDone}
		if err := hub.DB.AppendJournal(ctx, []*store.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := hub.DB.RequestRefs(ctx, "shop", "b24", []model.Ref{key.Ref()}); err != nil {
		t.Fatal(err)
	}
	story, err := view.NewStory(ctx, hub.DB, "shop", key, false, viewtest.Now.Add(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range story.Events {
		line := fmt.Sprintf("%s %s %s", e.At.Sub(viewtest.Now), e.Kind, e.Mood)
		for _, c := range e.Changes {
			line += fmt.Sprintf(" %s:%s→%s", c.Name, c.Before, c.After)
		}
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"-10m0s upload",
		"0s waits warn", "0s version", "0s row", "2m0s webhook",
		"5m0s version warn comment:→звонить +7 9**********22 status_id:NEW→WON updated_at:2026-02-28T12:00:00Z→2026-03-01T12:01:00Z",
	}
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("the story is\n%s\nwant\n%s", a, b)
	}
	if _, err := view.NewStory(ctx, hub.DB, "shop", model.Key{Connection: "b24", Kind: model.KindDeal, ID: "none"}, false, viewtest.Now); err == nil {
		t.Error("a record that is not there has a story")
	}
}
