package yandexmetrica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

func asError(err error, into **model.Error) bool { return errors.As(err, into) }

// An upload whose answer was lost is found in the list, or is surely not there.
func TestSettle(t *testing.T) {
	t.Parallel()
	rules := map[string]func(*sandbox.Rules){
		"as documented":      func(*sandbox.Rules) {},
		"kinds are not told": func(r *sandbox.Rules) { r.HideKinds = true },
		"times without zone": func(r *sandbox.Rules) { r.ZonelessTimes = true },
		"old form of offset": func(r *sandbox.Rules) { r.OnlyOldOffsets, r.ZonelessTimes = true, true },
	}
	for name, rule := range rules {
		for _, fault := range []string{sandbox.FaultResetStored, sandbox.FaultResetAfter} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "")
				b.sandbox.SetRules(rule)
				// Answered uploads of the same size and kind are not taken for the lost one.
				u := connectors.Upload{ID: 7, As: "contacts", Columns: contactColumns, Rows: 1}
				answered := u
				answered.ID = 6
				if _, err := sent(t, b.Connector, answered, []any{"c0", "N", nil, nil}); err != nil {
					t.Fatal(err)
				}
				b.clock.advance(time.Second)
				u.StartedAt = b.clock.now()
				b.sandbox.Inject(sandbox.Fault{Name: fault, Path: "/data/"})
				if _, err := sent(t, b.Connector, u, []any{"c1", "N", nil, nil}); model.ClassOf(err) != model.ClassUnknown {
					t.Fatal(err)
				}
				out, found, err := b.Settle(t.Context(), u)
				if fault == sandbox.FaultResetStored {
					if err != nil || !found || out.State != connectors.UploadAccepted || out.Accepted != 1 {
						t.Errorf("%+v %v %v", out, found, err)
					}
					return
				}
				var e *model.Error
				if found || !asError(err, &e) || e.Class != model.ClassTemporary || e.RetryAt.IsZero() {
					t.Errorf("absence is believed at once: %+v %v %v", out, found, err)
				}
				b.clock.advance(settleGrace)
				if out, found, err := b.Settle(t.Context(), u); found || err != nil {
					t.Errorf("%+v %v %v", out, found, err)
				}
			})
		}
	}
}

// The worker died between the answer and the note of it in the database.
func TestSettleAnswered(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{ID: 7, As: "contacts", Columns: contactColumns, Rows: 1, StartedAt: b.clock.now()}
	sentOut, err := sent(t, b.Connector, u, []any{"c1", "N", nil, nil})
	if err != nil {
		t.Fatal(err)
	}
	out, found, err := b.Settle(t.Context(), u)
	if err != nil || !found || out.State != connectors.UploadAccepted || out.RemoteID != sentOut.RemoteID {
		t.Errorf("%+v %v %v", out, found, err)
	}
}

// A failed file that is found is a rejected upload.
func TestSettleFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.sandbox.Poison(counterID, "c1")
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultResetStored, Path: "/data/"})
	u := connectors.Upload{ID: 7, As: "contacts", Columns: contactColumns, Rows: 1, StartedAt: b.clock.now()}
	if _, err := sent(t, b.Connector, u, []any{"c1", "N", nil, nil}); model.ClassOf(err) != model.ClassUnknown {
		t.Fatal(err)
	}
	out, found, err := b.Settle(t.Context(), u)
	if err != nil || !found || out.State != connectors.UploadRejected || len(out.Reasons) < 2 {
		t.Errorf("%+v %v %v", out, found, err)
	}
}

// A list that ends before the upload began proves nothing; it is read further.
func TestSettleReadsBack(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		b := newBench(t, "")
		b.sandbox.SetRules(func(r *sandbox.Rules) {
			r.PerSecond, r.PerDay = 1e6, 1e6
			r.OnlyOldOffsets, r.ZonelessTimes = old, false
		})
		u := connectors.Upload{ID: 7, As: "contacts", Columns: contactColumns, Rows: 2, StartedAt: b.clock.now()}
		b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultResetStored, Path: "/data/"})
		if _, err := sent(t, b.Connector, u, []any{"a", "N", nil, nil}, []any{"b", "N", nil, nil}); model.ClassOf(err) != model.ClassUnknown {
			t.Fatal(err)
		}
		b.clock.advance(time.Second)
		for i := range listPage + 5 {
			if _, err := sent(t, b.Connector, connectors.Upload{As: "contacts", Columns: contactColumns}, []any{fmt.Sprint(i), "N", nil, nil}); err != nil {
				t.Fatal(err)
			}
			b.clock.advance(time.Second)
		}
		if out, found, err := b.Settle(t.Context(), u); err != nil || !found || out.State != connectors.UploadAccepted {
			t.Errorf("%+v %v %v", out, found, err)
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	three, two := count(3), count(2)
	u := connectors.Upload{As: "orders", Rows: 3}
	tests := []struct {
		name string
		got  uploading
		want bool
	}{
		{"everything agrees", uploading{Status: "PASSED", Elements: &three, Type: "SYSTEM", Subtype: "ORDERS", Format: "CSV", Source: "API"}, true},
		{"old entity_type", uploading{Status: "PASSED", Elements: &three, Type: "ORDER"}, true},
		{"kind is not told", uploading{Status: "PASSED", Elements: &three, Type: "SYSTEM"}, true},
		{"small letters", uploading{Status: "PASSED", Elements: &three, Format: "csv", Source: "api"}, true},
		{"another kind", uploading{Status: "PASSED", Elements: &three, Subtype: "CONTACTS"}, false},
		{"simple orders", uploading{Status: "PASSED", Elements: &three, Subtype: "SIMPLE_ORDERS"}, false},
		{"products", uploading{Status: "PASSED", Elements: &three, Type: "SYSTEM_LIST"}, false},
		{"another size", uploading{Status: "PASSED", Elements: &two}, false},
		{"no size", uploading{Status: "PASSED"}, false},
		{"JSON", uploading{Status: "PASSED", Elements: &three, Format: "JSON"}, false},
		{"from the interface", uploading{Status: "PASSED", Elements: &three, Source: "UI"}, false},
		{"failed", uploading{Status: "FAILED", Elements: new(count)}, true},
	}
	for _, tt := range tests {
		if got := fits(tt.got, u); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	a, b := uploading{ID: "a", Status: "PASSED"}, uploading{ID: "b", Status: "PASSED"}
	if _, ok := choose([]uploading{a, b}, "orders"); ok {
		t.Error("chose one of two that do not tell their kind")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer string
		state        connectors.UploadState
		accepted     int
	}{
		{"passed", `{"uploading_id":"x","api_validation_status":"PASSED","elements_count":2}`, connectors.UploadAccepted, 2},
		{"count as text", `{"api_validation_status":"PASSED","elements_count":"2"}`, connectors.UploadAccepted, 2},
		{"no count", `{"api_validation_status":"PASSED"}`, connectors.UploadAccepted, 2},
		{"fewer", `{"api_validation_status":"PASSED","elements_count":1}`, connectors.UploadRejected, 1},
		{"failed", `{"api_validation_status":"FAILED","elements_count":0,"api_validation_errors":["bad"]}`, connectors.UploadRejected, 0},
		{"one error as text", `{"api_validation_status":"FAILED","api_validation_errors":"bad"}`, connectors.UploadRejected, 0},
		{"unknown status", `{"uploading_id":7,"api_validation_status":"MAYBE"}`, connectors.UploadRejected, 0},
	}
	for _, tt := range tests {
		var got uploading
		if err := json.Unmarshal([]byte(tt.answer), &got); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		out := judge(got, 2, warnings{})
		if out.State != tt.state || out.Accepted != tt.accepted || !json.Valid(out.Details) {
			t.Errorf("%s: %+v", tt.name, out)
		}
	}
}

// The published payloads are read.
func TestPublishedPayloads(t *testing.T) {
	t.Parallel()
	read := func(name string, into any) {
		t.Helper()
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var up struct{ Uploading uploading }
	read("cdp_upload_response_schema_example.json", &up)
	if up.Uploading.ID != "example" || len(up.Uploading.Errors) != 1 || up.Uploading.Elements == nil {
		t.Errorf("uploading %+v", up.Uploading)
	}
	var list struct{ Counters []counter }
	read("counters_list.json", &list)
	if len(list.Counters) != 3 || list.Counters[0].Name != "" || list.Counters[1].Zone != "Europe/Minsk" || list.Counters[0].Permission != "own" {
		t.Errorf("counters %+v", list.Counters)
	}
	var statuses struct {
		Statuses []orderStatus `json:"order_statuses"`
	}
	read("order_statuses_list_schema_example.json", &statuses)
	if len(statuses.Statuses) != 1 || statuses.Statuses[0].Source == "" {
		t.Errorf("statuses %+v", statuses)
	}
	var refused answer
	read("error_measurement_token_limit.json", &refused)
	if !refused.has("invalid_parameter") || len(refused.texts()) != 1 {
		t.Errorf("error %+v", refused)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, name := range []string{"cdp_upload_response_schema_example.json", "error_measurement_token_limit.json", "order_statuses_list_schema_example.json", "counters_list.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"uploading":{"uploading_id":{},"elements_count":"-1","api_validation_errors":{"a":1}}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var up struct{ Uploading *uploading }
		if json.Unmarshal(data, &up) == nil && up.Uploading != nil {
			out := judge(*up.Uploading, 3, warnings{})
			if !json.Valid(out.Details) {
				t.Errorf("details %q", out.Details)
			}
			if out.State == connectors.UploadAccepted && up.Uploading.Status != "PASSED" {
				t.Error("accepted without PASSED")
			}
			fits(*up.Uploading, connectors.Upload{As: "orders", Rows: 3})
			moment(string(up.Uploading.Datetime), time.UTC)
		}
		a := readAnswer(data)
		_ = said(a, data)
		for _, text := range a.texts() {
			if len([]rune(text)) > maxReason+1 {
				t.Errorf("long reason %q", text)
			}
		}
		var st struct {
			Statuses []orderStatus `json:"order_statuses"`
		}
		_ = json.Unmarshal(data, &st)
		_, _ = readHeader(bytes.NewReader(data))
	})
}
