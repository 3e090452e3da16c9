package yandexmetrica

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

// sheetBench is a bench with goals.
func sheetBench(t *testing.T, extra string, targets ...string) *bench {
	t.Helper()
	b := newBench(t, extra)
	if err := b.sandbox.AddTargets(counterID, targets...); err != nil {
		t.Fatal(err)
	}
	return b
}

type shownDetails struct {
	Uploading struct {
		Status string `json:"status"`
	} `json:"uploading"`
	Quality quality  `json:"quality"`
	Advice  []string `json:"advice"`
}

func detailsOf(t *testing.T, out connectors.Outcome) shownDetails {
	t.Helper()
	var d shownDetails
	if err := json.Unmarshal(out.Details, &d); err != nil {
		t.Fatalf("details %s: %v", out.Details, err)
	}
	return d
}

func noViolations(t *testing.T, b *bench) {
	t.Helper()
	if v := b.sandbox.Violations(); len(v) > 0 {
		t.Errorf("against the protocol: %q", v)
	}
}

// An upload of conversions from its file to its end.
func TestFollowConversions(t *testing.T) {
	t.Parallel()
	b := sheetBench(t, "", "order")
	b.sandbox.AddVisitor(counterID, visitor, testStart.Add(-2*time.Hour))
	u := conversionUpload(1)
	out, err := sent(t, b.Connector, u,
		[]any{"1", []string{visitor}, nil, nil, nil, "order", testStart.Add(-time.Hour), money(t, "10.50"), "RUB"},
		[]any{"2", nil, nil, "1234567890123", nil, "order", testStart.Add(-30 * 24 * time.Hour), nil, nil},
	)
	if err != nil || out.State != connectors.UploadProcessing || out.RemoteID == "" || out.Accepted != 2 {
		t.Fatalf("%+v %v", out, err)
	}
	u.Rows, u.RemoteID, u.StartedAt = 2, out.RemoteID, testStart
	var phases []string
	for range 5 {
		got, err := b.Follow(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		phases = append(phases, detailsOf(t, got).Uploading.Status)
		out = got
		b.clock.advance(time.Minute)
	}
	if want := []string{"PREPARED", "UPLOADED", "EXPORTED", "MATCHED", "PROCESSED"}; !slices.Equal(phases, want) {
		t.Errorf("phases %v", phases)
	}
	d := detailsOf(t, out)
	if out.State != connectors.UploadAccepted || d.Quality != (quality{Source: 2, Valid: 2, Linked: 1, NotFound: 1, Dynamic: 2}) {
		t.Errorf("%+v %+v", out, d)
	}
	if !slices.Equal(d.Advice, []string{adviceUserNotFound, adviceNoClientID, adviceOld}) {
		t.Errorf("advice %v", d.Advice)
	}
	if got := b.sandbox.Conversions(counterID); len(got) != 2 || got[0].Values["Price"] != "10.5" {
		t.Errorf("arrived %+v", got)
	}
	noViolations(t, b)
}

// A file of static calls only ends as LINKAGE_FAILURE and is fine; so do chats of
// strangers. Conversions of strangers are told, and never sent again for that.
func TestUnlinked(t *testing.T) {
	t.Parallel()
	at := testStart.Add(-time.Hour)
	tests := []struct {
		name, as string
		columns  []string
		values   []any
		state    connectors.UploadState
		advice   string
	}{
		{"static calls", asCalls, []string{"id", "DateTime", "StaticCall", "PhoneNumber"}, []any{"1", at, true, "79995551111"}, connectors.UploadAccepted, adviceAllStatic},
		{"calls of strangers", asCalls, []string{"id", "ClientId", "DateTime"}, []any{"1", []string{"99"}, at}, connectors.UploadRejected, adviceNothingLinked},
		{"chats", asChats, []string{"id", "DateTime", "ChatPlatform", "ChatUsername"}, []any{"1", at, "viber", "ivan"}, connectors.UploadAccepted, adviceUnattributed},
		{"conversions of strangers", asConversions, []string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{"99"}, "order", at}, connectors.UploadRejected, adviceNothingLinked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := sheetBench(t, "", "order")
			b.sandbox.AddVisitor(counterID, visitor, testStart)
			b.sandbox.SetRules(func(r *sandbox.Rules) { r.StatusStep = 0 })
			u := connectors.Upload{ID: 1, As: tt.as, Columns: columnsNamed(tt.as, tt.columns...)}
			out, err := sent(t, b.Connector, u, tt.values)
			if err != nil || out.State == connectors.UploadRejected {
				t.Fatalf("%+v %v", out, err)
			}
			u.Rows, u.RemoteID, u.StartedAt = 1, out.RemoteID, testStart
			if out, err = b.Follow(t.Context(), u); err != nil || out.State != tt.state || !slices.Contains(detailsOf(t, out).Advice, tt.advice) {
				t.Errorf("%+v %v", out, err)
			}
			noViolations(t, b)
		})
	}
}

// Rows that Metrica drops without a word are told.
func TestPartialUpload(t *testing.T) {
	t.Parallel()
	b := sheetBench(t, "", "order")
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultFewer, Path: "/upload"})
	out, err := sent(t, b.Connector, conversionUpload(1), conversion("1", testStart.Add(-time.Hour)), conversion("2", testStart.Add(-2*time.Hour)))
	if err != nil || out.State != connectors.UploadProcessing || out.Accepted != 1 || len(out.Reasons) != 1 || !strings.Contains(out.Reasons[0], "1 of 2 rows") {
		t.Errorf("%+v %v", out, err)
	}
}

// What each failure means: nothing that may have arrived is simply sent again.
func TestFailuresOfASheet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault   string
		class   model.Class // "": an outcome
		state   connectors.UploadState
		arrived bool
	}{
		{fault: sandbox.FaultInvalid, state: connectors.UploadRejected},
		{fault: sandbox.FaultInvalidParam, class: model.ClassPermanent},
		{fault: sandbox.FaultResetBefore, class: model.ClassTemporary},
		{fault: sandbox.FaultResetAfter, class: model.ClassUnknown},
		{fault: sandbox.FaultResetStored, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultTruncated, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultResetAnswer, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultNonsense, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultHTMLStored, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultHTML502, class: model.ClassUnknown},
		{fault: sandbox.Fault503, class: model.ClassUnknown},
		{fault: sandbox.Fault504, class: model.ClassUnknown},
		{fault: sandbox.Fault504Stored, class: model.ClassUnknown, arrived: true},
		{fault: sandbox.FaultQuota + "quota_parallel_requests", class: model.ClassQuota},
		{fault: sandbox.FaultUnauthorized, class: model.ClassReauth},
		{fault: sandbox.FaultForbidden, class: model.ClassReauth},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			b := sheetBench(t, "", "order")
			if _, err := b.listGoals(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			b.sandbox.Inject(sandbox.Fault{Name: tt.fault, Path: "/upload"})
			u := conversionUpload(1)
			out, err := sent(t, b.Connector, u, conversion("1", testStart.Add(-time.Hour)))
			if tt.class == "" && (err != nil || out.State != tt.state || len(out.Reasons) == 0) || tt.class != "" && (err == nil || tt.class != model.ClassTemporary && model.ClassOf(err) != tt.class) {
				t.Fatalf("%+v %v (%s)", out, err, model.ClassOf(err))
			}
			if got := b.sandbox.RowCount(counterID, asConversions) > 0; got != tt.arrived {
				t.Errorf("arrived: %v", got)
			}
			if err != nil && strings.Contains(err.Error(), testToken) {
				t.Error("the error tells the token")
			}
		})
	}
}

// An upload in doubt is found by its comment, or is surely not there.
func TestSettleSheets(t *testing.T) {
	t.Parallel()
	at := testStart.Add(-time.Hour)
	kinds := map[string]struct {
		columns []string
		values  []any
	}{
		asConversions: {[]string{"id", "ClientId", "Target", "DateTime"}, []any{"1", []string{visitor}, "order", at}},
		asCalls:       {[]string{"id", "ClientId", "DateTime"}, []any{"1", []string{visitor}, at}},
		asChats:       {[]string{"id", "DateTime", "ChatPlatform", "ChatUsername"}, []any{"1", at, "viber", "ivan"}},
		asUserParams:  {[]string{"id", "ClientId", "crm_id"}, []any{"1", []string{visitor}, "1"}},
		asExpenses:    {[]string{"id", "Date", "UTMSource", "Expenses"}, []any{"1", model.Date("2026-11-20"), "vk", model.Decimal{}}},
	}
	for as, kind := range kinds {
		for _, order := range []string{"newest", "oldest"} {
			for _, fault := range []string{sandbox.FaultResetStored, sandbox.FaultResetAfter, sandbox.FaultHTMLStored} {
				t.Run(as+"/"+order+"/"+fault, func(t *testing.T) {
					t.Parallel()
					b := sheetBench(t, "", "order")
					b.sandbox.SetRules(func(r *sandbox.Rules) { r.ListOrder = order })
					u := connectors.Upload{ID: 7, Token: "token7", As: as, Columns: columnsNamed(as, kind.columns...), Rows: 1, StartedAt: testStart}
					values := slices.Clone(kind.values)
					if as == asExpenses {
						values[3] = money(t, "5")
					}
					b.sandbox.Inject(sandbox.Fault{Name: fault, Path: "/upload", Delay: time.Minute})
					if as == asConversions {
						if _, err := b.listGoals(t.Context(), 0); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := sent(t, b.Connector, u, values); model.ClassOf(err) != model.ClassUnknown {
						t.Fatal(err)
					}
					var e *model.Error
					if _, found, err := b.Settle(t.Context(), u); found || !asError(err, &e) || e.Class != model.ClassTemporary || e.RetryAt.IsZero() {
						t.Fatalf("absence is believed at once: %v %v", found, err)
					}
					b.clock.advance(sheetGrace)
					out, found, err := b.Settle(t.Context(), u)
					if err != nil || found != (fault != sandbox.FaultResetAfter) {
						t.Fatalf("%v %v", found, err)
					}
					if found && (out.State == connectors.UploadRejected || out.RemoteID == "" || out.Accepted != 1) {
						t.Errorf("%+v", out)
					}
					if found && as == asUserParams && b.sandbox.UserParams(counterID)["ClientId="+visitor]["crm_id"] != "1" {
						t.Error("the parameters were not confirmed")
					}
					noViolations(t, b)
				})
			}
		}
	}
}

// The list is read to its end, whatever its pages are like, before an upload is
// declared missing.
func TestSettleReadsWholeList(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"newest", "oldest"} {
		b := sheetBench(t, "check_goals: off\ntoken: "+testToken)
		b.sandbox.SetRules(func(r *sandbox.Rules) { r.PerSecond, r.PerDay, r.ListOrder = 1e6, 1e6, order })
		u := conversionUpload(9000)
		u.Rows, u.StartedAt = 1, testStart
		b.sandbox.Inject(sandbox.Fault{Name: sandbox.FaultResetStored, Path: "/upload"})
		if _, err := sent(t, b.Connector, u, conversion("x", testStart.Add(-time.Hour))); model.ClassOf(err) != model.ClassUnknown {
			t.Fatal(err)
		}
		for i := range listPage + 5 {
			b.clock.advance(time.Second)
			if _, err := sent(t, b.Connector, conversionUpload(int64(i)), conversion("x", testStart.Add(-time.Duration(i+2)*time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		out, found, err := b.Settle(t.Context(), u)
		if err != nil || !found || out.RemoteID == "" {
			t.Errorf("%s first: %+v %v %v", order, out, found, err)
		}
		u.ID++
		u.StartedAt = testStart.Add(-sheetGrace)
		if _, found, err := b.Settle(t.Context(), u); err != nil || found {
			t.Errorf("%s first: %v %v", order, found, err)
		}
	}
}

// Two hubs, or a hub set up anew, do not take each other's uploads for theirs.
func TestComments(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	u := connectors.Upload{ID: 5, As: asCalls, StartedAt: testStart}
	own := b.tokenOf(u)
	if len(own) > 255 || strings.Trim(own, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || own == b.tokenOf(connectors.Upload{ID: 6, As: asCalls}) {
		t.Errorf("token %q", own)
	}
	if u.Token = "AbC1"; b.tokenOf(u) != "AbC1" {
		t.Error("the hub's token is not used")
	}
	for created, want := range map[string]bool{"2026-11-21T09:00:01Z": true, "2026-11-21T12:00:01+03:00": true, "2025-11-21T09:00:01Z": false, "?": true} {
		if got := b.isOurs(fate{Comment: "AbC1", Created: text(created)}, u); got != want {
			t.Errorf("%s: %v", created, got)
		}
	}
	if b.isOurs(fate{Comment: "abc1"}, u) {
		t.Error("comments are compared loosely")
	}
}

// Nothing is applied before it is confirmed, and a crash between the two is made
// good.
func TestUserParams(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"upload", "success"} {
		for _, fault := range []string{"", sandbox.Fault503, sandbox.FaultResetStored, sandbox.FaultResetAfter} {
			t.Run(answer+"/"+fault, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "")
				b.sandbox.SetRules(func(r *sandbox.Rules) { r.ConfirmAnswer = answer })
				u := connectors.Upload{ID: 3, As: asUserParams, Rows: 1, StartedAt: testStart, Columns: columnsNamed(asUserParams, "id", "ClientId", "crm_id", "crm_source")}
				if fault != "" {
					b.sandbox.Inject(sandbox.Fault{Name: fault, Path: "/confirm"})
				}
				out, err := sent(t, b.Connector, u, []any{"1", []string{visitor}, "17", "Сайт"})
				if fault != "" {
					if model.ClassOf(err) != model.ClassUnknown {
						t.Fatal(err)
					}
					var found bool
					if out, found, err = b.Settle(t.Context(), u); err != nil || !found {
						t.Fatalf("%v %v", found, err)
					}
				}
				if err != nil || out.State != connectors.UploadProcessing {
					t.Fatalf("%+v %v", out, err)
				}
				if got := b.sandbox.UserParams(counterID)["ClientId="+visitor]; !maps.Equal(got, map[string]string{"crm_id": "17", "crm_source": "Сайт"}) {
					t.Errorf("applied %v", got)
				}
				b.clock.advance(10 * time.Minute)
				u.RemoteID = out.RemoteID
				if out, err = b.Follow(t.Context(), u); err != nil || out.State != connectors.UploadAccepted {
					t.Errorf("%+v %v", out, err)
				}
				if ups := b.sandbox.ManagedUploads(counterID, asUserParams); len(ups) != 1 || ups[0].Confirms > 1 && fault != sandbox.FaultResetStored {
					t.Errorf("uploads %+v", ups)
				}
				noViolations(t, b)
			})
		}
	}
}

// Expenses that are sent again first make room, and wait until there is room.
func TestReplaceExpenses(t *testing.T) {
	t.Parallel()
	for _, replace := range []string{"true", "days"} {
		t.Run(replace, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "")
			b.sandbox.SetRules(func(r *sandbox.Rules) { r.Expenses = "add" })
			id := int64(0)
			send := func(source, amount string) error {
				id++
				u := connectors.Upload{ID: id, As: asExpenses, Options: map[string]string{"replace": replace},
					Columns: columnsNamed(asExpenses, "id", "Date", "UTMSource", "Expenses", "Currency")}
				_, err := sent(t, b.Connector, u, []any{"1", model.Date("2026-11-20"), source, money(t, amount), "RUB"})
				return err
			}
			replaced := func(source, amount string) {
				t.Helper()
				var e *model.Error
				if err := send(source, amount); !asError(err, &e) || e.Class != model.ClassTemporary || e.RetryAt.IsZero() {
					t.Fatalf("it does not wait for the removal: %v", err)
				}
				if err := send(source, amount); !asError(err, &e) {
					t.Fatal("it does not wait long enough")
				}
				b.clock.advance(5 * time.Minute)
				if err := send(source, amount); err != nil {
					t.Fatal(err)
				}
			}
			replaced("vk", "100")
			replaced("mytarget", "7")
			replaced("vk", "150")
			got := map[string]string{}
			for _, row := range b.sandbox.Expenses(counterID) {
				got[row.Values["UTMSource"]] = row.Values["Expenses"]
			}
			want := map[string]string{"vk": "150", "mytarget": "7"}
			if replace == "days" {
				want = map[string]string{"vk": "150"}
			}
			if !maps.Equal(got, want) {
				t.Errorf("expenses %v", got)
			}
			removals := 0
			for _, up := range b.sandbox.ManagedUploads(counterID, asExpenses) {
				if up.Type == "REMOVES" {
					removals++
				}
			}
			if removals != 3 {
				t.Errorf("%d removals", removals)
			}
			noViolations(t, b)
		})
	}
}

// One list serves all open uploads.
func TestFollowAsksLittle(t *testing.T) {
	t.Parallel()
	b := sheetBench(t, "check_goals: off\ntoken: "+testToken)
	var uploads []connectors.Upload
	for i := range 20 {
		u := conversionUpload(int64(i + 1))
		out, err := sent(t, b.Connector, u, conversion("1", testStart.Add(-time.Duration(i+1)*time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		u.Rows, u.RemoteID = 1, out.RemoteID
		uploads = append(uploads, u)
	}
	b.clock.advance(time.Hour)
	before := b.limiter.waits[addressKey]
	for _, u := range uploads {
		if out, err := b.Follow(t.Context(), u); err != nil || out.State != connectors.UploadAccepted {
			t.Fatalf("%+v %v", out, err)
		}
	}
	if n := b.limiter.waits[addressKey] - before; n != 1 {
		t.Errorf("%d requests", n)
	}
	u := uploads[0]
	u.RemoteID = "1"
	if _, err := b.Follow(t.Context(), u); model.CauseOf(err) != model.CauseNotFound {
		t.Errorf("an unknown upload: %v", err)
	}
}
