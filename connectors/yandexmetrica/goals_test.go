package yandexmetrica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

// An upload without any goal to reach, and with goals that have to be made.
func TestGoals(t *testing.T) {
	t.Parallel()
	at := testStart.Add(-time.Hour)
	write := func(t *testing.T, b *bench, targets ...string) map[int]error {
		t.Helper()
		var rows [][]any
		for i, target := range targets {
			rows = append(rows, []any{fmt.Sprint(i), []string{visitor}, nil, nil, nil, target, at, nil, nil})
		}
		_, refused := encoded(t, b.Connector, conversionUpload(1), rows...)
		return refused
	}
	t.Run("known and unknown", func(t *testing.T) {
		t.Parallel()
		b := sheetBench(t, "", "order")
		refused := write(t, b, "order", "lead", "order")
		if len(refused) != 1 || model.CauseOf(refused[1]) != model.CauseNotFound || !strings.Contains(refused[1].Error(), "create_goals") {
			t.Errorf("%v", refused)
		}
		// The operator makes the goal and sends again.
		if err := b.sandbox.AddTargets(counterID, "lead"); err != nil {
			t.Fatal(err)
		}
		b.clock.advance(goalsFresh)
		if refused := write(t, b, "lead"); len(refused) > 0 {
			t.Errorf("%v", refused)
		}
		if n := b.limiter.waits[addressKey]; n > 4 {
			t.Errorf("%d requests", n)
		}
		noViolations(t, b)
	})
	t.Run("created", func(t *testing.T) {
		t.Parallel()
		b := sheetBench(t, "create_goals: true\ntoken: "+testToken, "order")
		if refused := write(t, b, "lead", "order", "lead"); len(refused) > 0 {
			t.Fatalf("%v", refused)
		}
		goals := b.sandbox.Goals(counterID)
		if len(goals) != 2 || goals[1].Type != "action" || goals[1].Conditions[0].Type != "exact" || goals[1].Conditions[0].URL != "lead" {
			t.Errorf("goals %+v", goals)
		}
		noViolations(t, b)
	})
	t.Run("conflicts", func(t *testing.T) {
		t.Parallel()
		for want, g := range map[string]sandbox.Goal{
			"of the type url":   {Name: "x", Type: "url", Conditions: []sandbox.GoalCondition{{Type: "exact", URL: "lead"}}},
			"condition contain": {Name: "x", Type: "action", Conditions: []sandbox.GoalCondition{{Type: "contain", URL: "lead"}}},
			"several":           {Name: "x", Type: "action", Conditions: []sandbox.GoalCondition{{Type: "exact", URL: "lead"}, {Type: "exact", URL: "b"}}},
			"as its name":       {Name: "lead", Type: "action", Conditions: []sandbox.GoalCondition{{Type: "exact", URL: "real_lead"}}},
		} {
			b := sheetBench(t, "create_goals: on\ntoken: "+testToken)
			if _, err := b.sandbox.AddGoal(counterID, g); err != nil {
				t.Fatal(err)
			}
			refused := write(t, b, "lead")
			if model.CauseOf(refused[0]) != model.CauseNotFound || !strings.Contains(refused[0].Error(), want) {
				t.Errorf("%s: %v", want, refused)
			}
		}
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		b := sheetBench(t, "create_goals: on\ntoken: "+testToken)
		b.sandbox.SetRules(func(r *sandbox.Rules) { r.MaxGoals = 0 })
		if refused := write(t, b, "lead"); model.ClassOf(refused[0]) != model.ClassPermanent || model.CauseOf(refused[0]) != model.CauseNotFound {
			t.Errorf("%v", refused)
		}
	})
	t.Run("Metrica does not answer", func(t *testing.T) {
		t.Parallel()
		b := sheetBench(t, "")
		b.sandbox.Inject(sandbox.Fault{Name: sandbox.Fault503, Path: "/goals", Times: -1})
		w, err := b.Encode(t.Context(), conversionUpload(1), &strings.Builder{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&model.Row{Values: conversion("1", at)}); err == nil || model.ClassOf(err) == model.ClassPermanent {
			t.Errorf("%v", err)
		}
	})
}
