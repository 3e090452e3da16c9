package bitrix24

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// Every sample event, in the notation of the documentation and as the form that
// is really sent, says the same.
func TestReceiveSamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/event-*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no samples", err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".golden") {
			continue
		}
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := offline(t, webhookSettings)
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			header := formHeader()
			if strings.HasSuffix(name, ".json") {
				tree, err := treeOfJSON(body)
				if err != nil {
					t.Fatal(err)
				}
				asJSON, errJSON := c.Receive(connectors.Delivery{Method: "POST", Body: body, Header: http.Header{"Content-Type": {"application/json"}}})
				body = phpform.Encode(tree)
				asForm, errForm := c.Receive(connectors.Delivery{Method: "POST", Body: body, Header: header})
				if asJSON.Note != asForm.Note || model.CauseOf(errJSON) != model.CauseOf(errForm) {
					t.Errorf("JSON says %q (%v), form says %q (%v)", asJSON.Note, errJSON, asForm.Note, errForm)
				}
			}
			in, err := c.Receive(connectors.Delivery{Method: "POST", Body: body, Header: header})
			out := map[string]any{"note": in.Note, "refs": in.Refs}
			if err != nil {
				out = map[string]any{"cause": model.CauseOf(err), "error": err.Error()}
			}
			golden(t, name, out)
		})
	}
}

func TestReceive(t *testing.T) {
	t.Parallel()
	const settings = webhookSettings + "application_token: t0ken\nmember_id: m3mber\n"
	const auth = "&auth[application_token]=t0ken&auth[member_id]=m3mber"
	deal := func(ids ...string) []model.Ref {
		var out []model.Ref
		for _, id := range ids {
			out = append(out, model.Ref{Kind: model.KindDeal, ID: id})
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		body  string
		refs  []model.Ref
		cause model.Cause
		note  string
	}{
		{name: "update", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=7" + auth, refs: deal("7"), note: "ONCRMDEALUPDATE deal 7"},
		{name: "mixed case", body: "event=onCrmDealUpdate&data[FIELDS][ID]=7" + auth, refs: deal("7")},
		{name: "percent-encoded brackets", body: "event=ONCRMDEALADD&data%5BFIELDS%5D%5BID%5D=7" + auth, refs: deal("7")},
		{name: "deletion is re-read too", body: "event=ONCRMDEALDELETE&data[FIELDS][ID]=7" + auth, refs: deal("7")},
		{name: "move to another pipeline", body: "event=ONCRMDEALMOVETOCATEGORY&data[FIELDS][ID]=7&data[FIELDS][CATEGORY_ID]=2&data[FIELDS][STAGE_ID]=C2:NEW" + auth, refs: deal("7")},
		{name: "list of fields", body: "event=ONCRMDEALUPDATE&data[FIELDS][0][ID]=7&data[FIELDS][1][ID]=8" + auth, refs: deal("7", "8")},
		{name: "list of ids", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID][0]=7&data[FIELDS][ID][1]=8" + auth, refs: deal("7", "8")},
		{name: "fields after", body: "event=ONCRMDEALUPDATE&data[FIELDS_AFTER][ID]=7&data[FIELDS_BEFORE][ID]=7" + auth, refs: deal("7")},
		{name: "bare id", body: "event=ONCRMDEALUPDATE&data[ID]=7" + auth, refs: deal("7")},
		{name: "lead", body: "event=ONCRMLEADADD&data[FIELDS][ID]=1" + auth, refs: []model.Ref{{Kind: model.KindLead, ID: "1"}}},
		{name: "contact", body: "event=ONCRMCONTACTADD&data[FIELDS][ID]=1" + auth, refs: []model.Ref{{Kind: model.KindContact, ID: "1"}}},
		{name: "company", body: "event=ONCRMCOMPANYADD&data[FIELDS][ID]=1" + auth, refs: []model.Ref{{Kind: model.KindCompany, ID: "1"}}},
		{name: "custom field", body: "event=ONCRMDEALUSERFIELDADD&data[FIELDS][ID]=1" + auth, note: "ONCRMDEALUSERFIELDADD: custom fields changed"},
		{name: "no data key", body: "event=ONOFFLINEEVENT" + auth, note: "ONOFFLINEEVENT: the offline queue has something; it is not used"},
		{name: "wrong token", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=7&auth[application_token]=other&auth[member_id]=m3mber", cause: model.CauseWrongToken},
		{name: "no auth", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=7", cause: model.CauseWrongToken},
		{name: "another portal", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=7&auth[application_token]=t0ken&auth[member_id]=x", cause: model.CauseForeignAccount},
		{name: "unknown event", body: "event=ONCRMINVOICEADD&data[FIELDS][ID]=7" + auth, cause: model.CauseUnknownEvent},
		{name: "unknown event with a wrong token", body: "event=ONSOMETHING&auth[application_token]=x", cause: model.CauseWrongToken},
		{name: "no id", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=" + auth, cause: model.CauseBadPayload},
		{name: "id is no number", body: "event=ONCRMDEALUPDATE&data[FIELDS][ID]=7%27--" + auth, cause: model.CauseBadPayload},
		{name: "no event", body: "hello=world" + auth, cause: model.CauseBadPayload},
		{name: "empty", body: "", cause: model.CauseBadPayload},
		{name: "broken encoding", body: "event=%zz", cause: model.CauseBadEncoding},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in, err := offline(t, settings).Receive(connectors.Delivery{Method: "POST", Body: []byte(tt.body), Header: formHeader()})
			if tt.cause != "" {
				if err == nil || model.CauseOf(err) != tt.cause {
					t.Fatalf("got %v, want cause %s", err, tt.cause)
				}
				if strings.Contains(err.Error(), "t0ken") {
					t.Errorf("the error shows the token: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(in.Refs) != len(tt.refs) {
				t.Fatalf("got %v, want %v", in.Refs, tt.refs)
			}
			for i := range tt.refs {
				if in.Refs[i] != tt.refs[i] {
					t.Errorf("got %v, want %v", in.Refs, tt.refs)
				}
			}
			if tt.note != "" && in.Note != tt.note {
				t.Errorf("note %q, want %q", in.Note, tt.note)
			}
		})
	}
}

// A part that is no id does not take the others down.
func TestReceiveKeepsGoodParts(t *testing.T) {
	t.Parallel()
	in, err := offline(t, webhookSettings).Receive(connectors.Delivery{Body: []byte("event=ONCRMDEALUPDATE&data[FIELDS][0][ID]=x&data[FIELDS][1][ID]=8"), Header: formHeader()})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Refs) != 1 || in.Refs[0].ID != "8" || len(in.Refused) != 1 {
		t.Errorf("got %+v", in)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("event=ONCRMDEALUPDATE&data[FIELDS][ID]=7"), false)
	f.Add([]byte(`{"event":"ONCRMDEALADD","data":{"FIELDS":{"ID":7405}}}`), true)
	f.Add([]byte("event[a]=1&data[FIELDS][][ID]=1&data[FIELDS][ID][x]=2"), false)
	c := offline(f, webhookSettings)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		header := formHeader()
		if asJSON {
			header = http.Header{"Content-Type": {"application/json"}}
		}
		in, err := c.Receive(connectors.Delivery{Body: body, Header: header})
		if err == nil && in.Note == "" {
			t.Error("taken without a note")
		}
		for _, ref := range in.Refs {
			if _, perr := url.ParseQuery("id=" + ref.ID); perr != nil || !plainID(ref.ID) {
				t.Errorf("id %q went through", ref.ID)
			}
		}
	})
}
