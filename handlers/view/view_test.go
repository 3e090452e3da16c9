package view_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/handlers/view/viewtest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var update = flag.Bool("update", false, "renew the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs from what came; renew it with -update.\n%s", path, got)
	}
}

func TestStatusOfAHub(t *testing.T) {
	t.Parallel()
	hub := viewtest.New(t)
	status, err := view.Build(t.Context(), hub.DB, hub.Projects[:1], viewtest.Now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", append(got, '\n'))
	if strings.Contains(string(got), viewtest.Marker) || strings.Contains(string(got), "-secret") {
		t.Error("the status shows another project or a secret")
	}
}

func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	hub := viewtest.New(t)
	status, err := view.Build(t.Context(), hub.DB, nil, viewtest.Now)
	if err != nil || !status.Healthy || status.Projects == nil {
		t.Errorf("got %+v, %v; want a healthy hub with an empty list", status, err)
	}
	quiet := []view.Project{{ID: "new", Connections: []view.Connection{{ID: "b24"}}}}
	if status, err = view.Build(t.Context(), hub.DB, quiet, viewtest.Now); err != nil {
		t.Fatal(err)
	}
	if c := status.Projects[0].Connections[0]; c.Status != view.ConnectionIdle || !status.Healthy {
		t.Errorf("a connection before its first event is %q, healthy %v; want idle and healthy", c.Status, status.Healthy)
	}
}

func TestBodyIsReadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		form       view.BodyForm
		has, hasNo []string
	}{
		{"Bitrix24 event", string(viewtest.BitrixEvent), view.BodyJSON, []string{`"event": "ONCRMLEADADD"`, `"ID": "1000983"`, `"application_token": "<secret>"`},
			[]string{"s6p6eclrvim6da22ft9ch94ekreb52lv", "4s386p3q0tr8dy89xvmt96234v3dljg8", "51856fefc120afa4b628cc82d3935cce"}},
		{"amoCRM form", string(viewtest.AmoForm), view.BodyForms, []string{"leads[add][0][id] = 30052055", "leads[add][0][name] = TEST MISHA (SORRY)"}, nil},
		{"form with a token", "event=X&auth%5Bapplication_token%5D=abc&auth[access_token]=def", view.BodyForms,
			[]string{"auth[application_token] = <secret>", "event = X"}, []string{"abc", "def"}},
		{"order of members and long numbers stay", `{"b":12345678901234567890,"a":1.10}`, view.BodyJSON, []string{"12345678901234567890", "1.10"}, nil},
		{"numeric secret", `{"password":12345,"n":1}`, view.BodyJSON, []string{`"password": "<secret>"`}, []string{"12345"}},
		{"broken JSON", `{"token":"abc", "x":`, view.BodyText, []string{"<secret>"}, []string{"abc"}},
		{"broken percent-encoding", "a=%zz&token=%zzabc", view.BodyForms, []string{"a = %zz", "token = <secret>"}, []string{"abc"}},
		{"not UTF-8", "\xcf\xf0\xe8\xe2\xe5\xf2 = 1", view.BodyBinary, []string{"\uFFFD"}, nil},
		{"cut off inside a secret", `{"token":"abc`, view.BodyText, []string{`"token":"<secret>"`}, []string{"abc"}},
		{"escaped quotes", `{"a\"b":"x","passwd":"a\"bc","n":null,"token":null,"tokens":["k"]}`, view.BodyJSON,
			[]string{`"a\"b": "x"`, `"passwd": "<secret>"`, `"token": null`, `"tokens": [`}, []string{"bc"}},
		{"empty", " \n", view.BodyEmpty, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := view.NewBody([]byte(tt.body))
			if got.Form != tt.form || got.Bytes != len(tt.body) {
				t.Errorf("form %q of %d bytes, want %q of %d", got.Form, got.Bytes, tt.form, len(tt.body))
			}
			for _, want := range tt.has {
				if !strings.Contains(got.Text, want) {
					t.Errorf("%q is not in:\n%s", want, got.Text)
				}
			}
			for _, bad := range tt.hasNo {
				if strings.Contains(got.Text, bad) {
					t.Errorf("%q is still in:\n%s", bad, got.Text)
				}
			}
		})
	}
}

func TestLongBodyIsCut(t *testing.T) {
	t.Parallel()
	got := view.NewBody([]byte(strings.Repeat("я", 1<<20)))
	if !got.Truncated || len(got.Text) > 256<<10 || strings.Contains(got.Text, "\uFFFD") {
		t.Errorf("truncated %v, %d bytes", got.Truncated, len(got.Text))
	}
}

func TestHeadersHideCredentials(t *testing.T) {
	t.Parallel()
	got := view.NewHeaders([]byte(`{"X-Signature":["s1"],"Authorization":"Bearer s2","Accept":["a","b"],"Odd":7}`))
	want := []view.Header{{Name: "Accept", Value: "a, b"}, {Name: "Authorization", Value: "<secret>"}, {Name: "Odd"}, {Name: "X-Signature", Value: "<secret>"}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	if view.NewHeaders([]byte("junk")) != nil {
		t.Error("junk has headers")
	}
}

func TestRecordMasksPeople(t *testing.T) {
	t.Parallel()
	c := &model.Contact{Name: "Иван", Phones: []string{"79995551122"}, Emails: []string{"ivan@example.ru"}}
	c.Base = model.Base{Kind: model.KindContact, Connection: "b24", ID: "79995551122", Comment: "мой номер 8 (999) 555-11-22, почта ivan@example.ru"}
	c.ClientID, c.UpdatedAt = "1234567890123456789", time.Unix(1_700_000_000, 0).UTC()
	c.Fields = model.Fields{"UF_PHONE": "89995551122", "LIST": []string{"ivan@example.ru", "text"}, "OPPORTUNITY": "79000000000.00"}
	masked, err := view.NewRecord(c, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"9995551122", "555-11-22", "ivan@"} {
		if strings.Contains(string(masked.Data), bad) || strings.Contains(strings.Join(masked.People, " "), bad) {
			t.Errorf("%q is still in %s %v", bad, masked.Data, masked.People)
		}
	}
	for _, good := range []string{"1234567890123456789", "text", "2023-11-14"} {
		if !strings.Contains(string(masked.Data), good) {
			t.Errorf("%q is not in %s", good, masked.Data)
		}
	}
	open, err := view.NewRecord(c, true)
	if err != nil || !strings.Contains(string(open.Data), "79995551122") {
		t.Errorf("revealed: %s, %v", open.Data, err)
	}
}

func TestStatesHaveNames(t *testing.T) {
	t.Parallel()
	for s := store.EntryNew; s <= store.EntryPartly; s++ {
		if back, ok := view.ParseEntryState(view.EntryState(s)); !ok || back != s {
			t.Errorf("entry state %d has the name %q", s, view.EntryState(s))
		}
	}
	for s := store.DeliveryNew; s <= store.DeliveryWaiting; s++ {
		if back, ok := view.ParseDeliveryState(view.DeliveryState(s)); !ok || back != s {
			t.Errorf("delivery state %d has the name %q", s, view.DeliveryState(s))
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(viewtest.BitrixEvent)
	f.Add(viewtest.AmoForm)
	f.Add([]byte(`{"token":"x`))
	f.Add([]byte("a[=%"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		body := view.NewBody(raw)
		if body.Bytes != len(raw) {
			t.Errorf("%d bytes, want %d", body.Bytes, len(raw))
		}
		view.NewHeaders(raw)
		view.NewQuery(string(raw))
	})
}
