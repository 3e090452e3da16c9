package yandexmetrica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

const testMS = "ms-secret-of-the-test"

func eventBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t, "ms: "+testMS+"\ntoken: "+testToken)
	b.CollectURL = b.base + "/collect"
	if err := b.sandbox.AddCounter(sandbox.Counter{ID: counterID, Owner: sandbox.DefaultLogin, Zone: sandbox.DefaultZone, Measurement: []string{testMS}}); err != nil {
		t.Fatal(err)
	}
	return b
}

func eventUpload(id int64, options map[string]string) connectors.Upload {
	return connectors.Upload{ID: id, As: asEvents, Columns: columnsNamed(asEvents, "id", "cid", "et", "ea", "ev"), Options: options}
}

// sentEvents encodes and sends n events, each with its own key.
func sentEvents(t *testing.T, b *bench, u connectors.Upload, n int) (connectors.Outcome, error) {
	t.Helper()
	var file strings.Builder
	w, err := b.Encode(t.Context(), u, &file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		key := fmt.Sprintf("b24:%d", i)
		row := &model.Row{Key: key, Values: []any{key, []string{visitor}, testStart.Add(-time.Duration(i+1) * time.Minute), "order", money(t, "5")}}
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	u.Rows, u.StartedAt = n, b.clock.now()
	return b.Send(t.Context(), u, strings.NewReader(file.String()))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := eventBench(t)
	out, err := sentEvents(t, b, eventUpload(1, nil), 3)
	if err != nil || out.State != connectors.UploadAccepted || out.Accepted != 3 || len(out.Refused) != 0 {
		t.Fatalf("%+v %v", out, err)
	}
	got := b.sandbox.Collected(counterID)
	if len(got) != 3 || got[0].Goal != "order" || got[0].Value != "5" || got[0].Currency != "RUB" || got[0].ClientID != visitor || !got[0].At.Equal(testStart.Add(-time.Minute)) {
		t.Errorf("collected %+v", got)
	}
	if b.limiter.waits[addressKey] != 3 {
		t.Errorf("the limiter was asked %d times", b.limiter.waits[addressKey])
	}
	noViolations(t, b)
}

// A batch that breaks off goes on where it stopped; an event whose answer was
// lost is not repeated unless the flow asks for it.
func TestBrokenEvents(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fault string
		options     map[string]string
		class       model.Class // of the first try; "": it comes through
		refused     int
		twice       bool
	}{
		{"refused for a while", sandbox.Fault503, nil, model.ClassTemporary, 0, false},
		{"a gateway's page", sandbox.FaultHTML502, nil, model.ClassTemporary, 0, false},
		{"asked to wait", sandbox.FaultQuota + "quota_requests_by_ip", nil, model.ClassQuota, 0, false},
		{"answer lost", sandbox.FaultResetStored, nil, "", 1, false},
		{"answer lost, to be repeated", sandbox.FaultResetStored, map[string]string{"in_doubt": "repeat"}, model.ClassTemporary, 0, true},
		{"one is wrong", sandbox.FaultInvalidParam, nil, "", 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := eventBench(t)
			b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultSlow, Path: "/collect", Delay: 1, Times: 2})
			b.sandbox.Inject(sandbox.Fault{Name: tt.fault, Path: "/collect"})
			out, err := sentEvents(t, b, eventUpload(1, tt.options), 5)
			if tt.class != "" {
				if model.ClassOf(err) != tt.class || err == nil {
					t.Fatalf("%+v %v", out, err)
				}
				b.limiter.paused = map[string]time.Time{}
				out, err = sentEvents(t, b, eventUpload(2, tt.options), 5)
			}
			if err != nil || len(out.Refused) != tt.refused || out.Accepted != 5-tt.refused {
				t.Fatalf("%+v %v", out, err)
			}
			for _, r := range out.Refused {
				if r.Key != "b24:2" || strings.Contains(r.Err.Message, testMS) {
					t.Errorf("refused %s: %v", r.Key, r.Err)
				}
			}
			for _, e := range b.sandbox.Collected(counterID) {
				if e.Times > 1 && !tt.twice {
					t.Errorf("sent %d times: %+v", e.Times, e)
				}
			}
		})
	}
}

// The worker died between the end of a batch and the note of it.
func TestSettleEvents(t *testing.T) {
	t.Parallel()
	b := eventBench(t)
	u := eventUpload(1, nil)
	if _, err := sentEvents(t, b, u, 2); err != nil {
		t.Fatal(err)
	}
	u.Rows = 2
	if out, found, err := b.Settle(t.Context(), u); err != nil || !found || out.Accepted != 2 {
		t.Errorf("%+v %v %v", out, found, err)
	}
	u.ID = 2
	if _, found, err := b.Settle(t.Context(), u); err != nil || found {
		t.Errorf("another batch: %v %v", found, err)
	}
	// An operator may send everything again.
	if out, err := sentEvents(t, b, u, 2); err != nil || out.Accepted != 2 || b.sandbox.Collected(counterID)[0].Times != 2 {
		t.Errorf("%+v %v", out, err)
	}
}

// An event that grows old while it waits is refused by itself.
func TestEventsGrowOld(t *testing.T) {
	t.Parallel()
	b := eventBench(t)
	var file strings.Builder
	w, err := b.Encode(t.Context(), eventUpload(1, nil), &file)
	if err != nil {
		t.Fatal(err)
	}
	for i, age := range []time.Duration{time.Hour, 11 * time.Hour} {
		if err := w.Write(&model.Row{Key: fmt.Sprint(i), Values: []any{"1", []string{visitor}, testStart.Add(-age), "order", nil}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(2 * time.Hour)
	out, err := b.Send(t.Context(), eventUpload(1, nil), strings.NewReader(file.String()))
	if err != nil || out.Accepted != 1 || len(out.Refused) != 1 || out.Refused[0].Key != "1" {
		t.Errorf("%+v %v", out, err)
	}
	noViolations(t, b)
}

func FuzzEvents(f *testing.F) {
	f.Add("b24:1 cid=1&t=event\n")
	f.Add("%zz x\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		events, err := readEvents(strings.NewReader(text))
		if err == nil {
			for _, e := range events {
				markOf(e)
			}
		}
	})
}
