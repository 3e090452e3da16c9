package bitrix24

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

func sampleAnswer(t *testing.T, file string) answer {
	t.Helper()
	var a answer
	if err := loosejson.Unmarshal(sample(t, file), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func sampleRows(t *testing.T, file string) []json.RawMessage {
	t.Helper()
	all, err := rows(sampleAnswer(t, file).Result)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Each sample of reference data, as records.
func TestCatalogueSamples(t *testing.T) {
	t.Parallel()
	c := offline(t, webhookSettings)
	fieldsOf := func(kind model.Kind, defs map[string]*fieldDef) []model.Record {
		all := map[model.Kind][]fieldDef{}
		for _, code := range sortedCodes(defs) {
			all[kind] = append(all[kind], *defs[code])
		}
		return c.fieldRecords(all, nil)
	}
	for file, read := range map[string]func(file string) []model.Record{
		"rest-crm-category-list-doc.json": func(file string) []model.Record {
			var wrapped struct {
				Categories loosejson.List[category] `json:"categories"`
			}
			if err := loosejson.Unmarshal(sampleAnswer(t, file).Result, &wrapped); err != nil {
				t.Fatal(err)
			}
			return c.pipelineRecords(wrapped.Categories)
		},
		"rest-crm-deal-userfield-list-doc.json": func(file string) []model.Record {
			defs := map[string]*fieldDef{}
			readUserFields(defs, sampleAnswer(t, file).Result)
			return fieldsOf(model.KindDeal, defs)
		},
		"rest-crm-deal-userfield-get-doc.json": func(file string) []model.Record {
			defs := map[string]*fieldDef{}
			one, err := json.Marshal([]json.RawMessage{sampleAnswer(t, file).Result})
			if err != nil {
				t.Fatal(err)
			}
			readUserFields(defs, one)
			return fieldsOf(model.KindDeal, defs)
		},
		"rest-crm-lead-fields-doc.json": func(file string) []model.Record {
			return fieldsOf(model.KindLead, readFields(model.KindLead, sampleAnswer(t, file).Result))
		},
		"rest-crm-status-list-doc.json": func(file string) []model.Record {
			return c.statusRecords(c.readStatuses(sampleRows(t, file)))
		},
		"rest-user-get-doc.json": func(file string) []model.Record { return c.employeeRecords(sampleRows(t, file)) },
	} {
		t.Run(file, func(t *testing.T) { golden(t, file, connectortest.Show(read(file)...)) })
	}
}

// The samples of errors and of the batch answer.
func TestErrorSamples(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]model.Cause{
		"rest-error-crm-empty-code-doc.json": model.CauseRequestRejected,
		"rest-error-lead-not-found-doc.json": model.CauseNotFound,
	} {
		f, bad := readFault(outbound.Response{Status: 400, Body: sample(t, file)})
		if e := f.classify("crm.lead.get", connectortest.NewClock().Now()); !bad || e.Cause != want || e.Class != model.ClassPermanent {
			t.Errorf("%s: got %v, %+v", file, bad, e)
		}
	}
	if _, bad := readFault(outbound.Response{Status: 200, Body: sample(t, "rest-batch-ok-doc.json")}); bad {
		t.Error("a good batch is no fault")
	}
	if id := createdID(sampleAnswer(t, "rest-crm-deal-add-doc.json").Result); id != "394" {
		t.Errorf("id of a new deal: %q", id)
	}
}

func FuzzReferenceData(f *testing.F) {
	for _, name := range []string{"rest-crm-lead-fields-doc.json", "rest-crm-deal-userfield-list-doc.json", "rest-crm-status-list-doc.json", "rest-user-get-doc.json"} {
		var a answer
		if err := loosejson.Unmarshal(sample(f, name), &a); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(a.Result))
	}
	c := offline(f, webhookSettings)
	f.Fuzz(func(_ *testing.T, raw []byte) {
		defs := readFields(model.KindLead, raw)
		readUserFields(defs, raw)
		if all, err := rows(raw); err == nil {
			c.statusRecords(c.readStatuses(all))
			c.employeeRecords(all)
		}
	})
}

// The authorization server's samples: the portal is client_endpoint, not domain,
// and the expiry is worked out where it is not told.
func TestTokenSamples(t *testing.T) {
	t.Parallel()
	for file, expires := range map[string]time.Time{
		"rest-oauth-refresh-doc.json": time.Unix(1780319382, 0),
		"rest-oauth-token-doc.json":   connectortest.NewClock().Now().Add(time.Hour),
	} {
		c := offline(t, "oauth: {client_id: a, client_secret: b}")
		c.do = func(context.Context, outbound.Request) (outbound.Response, error) {
			return outbound.Response{Status: 200, Body: sample(t, file)}, nil
		}
		token, err := c.token(t.Context(), "https://oauth.bitrix.info", url.Values{})
		if err != nil {
			t.Fatal(err)
		}
		if token.Extra[extraEndpoint] != "https://portal.bitrix24.com/rest/" || token.Extra[extraMember] != "a223c6b3710f85df22e9377d6c4f7553" ||
			!token.Expires.Equal(expires) || len(token.Refresh.Reveal()) != 32 {
			t.Errorf("%s: got %v, expires %v", file, token.Extra, token.Expires)
		}
	}
}
