package amocrm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

func receiver(t testing.TB, yaml string) *Connector {
	t.Helper()
	c, err := New(connectortest.YAML("{url: https://example.amocrm.ru, "+yaml+"}"), connectors.Deps{Connection: "amo"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bodyOf is a sample as the body of a webhook.
func bodyOf(t testing.TB, name string) []byte {
	t.Helper()
	data := sample(t, name)
	if strings.HasSuffix(name, ".form") {
		return data
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return phpform.Encode(tree)
}

func TestReceiveSamples(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/samples/webhook-*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no samples", err)
	}
	c := receiver(t, "token: t")
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body []byte
			if name == "webhook-message-add-2023.json" { // flat: its keys are those of the form
				var flat map[string]string
				if err := json.Unmarshal(sample(t, name), &flat); err != nil {
					t.Fatal(err)
				}
				var form []string
				for key, value := range flat {
					form = append(form, key+"="+strings.ReplaceAll(value, "&", "%26"))
				}
				slices.Sort(form)
				body = []byte(strings.Join(form, "&"))
			} else {
				body = bodyOf(t, name)
			}
			got, err := c.Receive(connectors.Delivery{Method: "POST", Body: body})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "intake-"+strings.TrimSuffix(name, filepath.Ext(name)), got)
		})
	}
}

func TestReceive(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		refs       []string
		refused    []model.Cause
		cause      model.Cause // of the error
	}{
		{"several entities, actions and elements",
			"leads[add][0][id]=1&leads[add][1][id]=2&leads[status][0][id]=1&contacts[update][0][id]=3&contacts[update][0][type]=contact&contacts[add][0][id]=4&contacts[add][0][type]=company",
			[]string{"company 4", "contact 3", "deal 1", "deal 2"}, nil, ""},
		{"brackets percent-encoded", "leads%5Bupdate%5D%5B0%5D%5Bid%5D=5", []string{"deal 5"}, nil, ""},
		{"indexes with gaps", "leads[update][7][id]=5&leads[update][2][id]=6", []string{"deal 5", "deal 6"}, nil, ""},
		{"delete with index", "leads[delete][0][id]=5&leads[delete][0][status_id]=142", []string{"deal 5"}, nil, ""},
		{"delete without index", "contacts[delete][id]=5&contacts[delete][type]=contact", []string{"contact 5"}, nil, ""},
		{"delete of who knows what", "contacts[delete][0][id]=5", []string{"company 5", "contact 5"}, nil, ""},
		{"delete of bare ids", "leads[delete][0]=5&leads[delete][1]=6", []string{"deal 5", "deal 6"}, nil, ""},
		{"restore and responsible", "leads[restore][0][id]=5&leads[responsible][0][id]=6", []string{"deal 5", "deal 6"}, nil, ""},
		{"companies under their own name", "companies[update][0][id]=5", []string{"company 5"}, nil, ""},
		{"digital pipeline", "leads[status][0][id]=5&leads[status][0][status_id]=142&account[id]=77&account[subdomain]=x", []string{"deal 5"}, nil, ""},
		{"a contact's leads", "contacts[update][0][id]=5&contacts[update][0][type]=contact&contacts[update][0][linked_leads_id][9982719][ID]=9982719", []string{"contact 5", "deal 9982719"}, nil, ""},
		{"one bad element", "leads[update][0][id]=x&leads[update][1][id]=5", []string{"deal 5"}, []model.Cause{model.CauseBadPayload}, ""},
		{"note", "leads[note][0][note][id]=1&leads[note][0][note][element_id]=5", nil, nil, ""},
		{"task, talk, unsorted", "task[add][0][id]=1&talk[add][0][talk_id]=1&unsorted[delete][0][uid]=a", nil, nil, ""},
		{"unknown entity beside a known one", "robots[add][0][id]=1&leads[add][0][id]=5", []string{"deal 5"}, []model.Cause{model.CauseUnknownEvent}, ""},
		{"unknown entity", "robots[add][0][id]=1", nil, nil, model.CauseUnknownEvent},
		{"unknown action", "leads[explode][0][id]=1", nil, nil, model.CauseUnknownEvent},
		{"only the account", "account[id]=77", nil, nil, model.CauseBadPayload},
		{"another account", "account[id]=78&leads[add][0][id]=5", nil, nil, model.CauseForeignAccount},
		{"2016 without an account id", "leads[add][0][id]=5&account[subdomain]=test", []string{"deal 5"}, nil, ""},
		{"broken percent-encoding", "leads[add][0][id]=%ZZ", nil, nil, model.CauseBadEncoding},
		{"no body", "", nil, nil, model.CauseBadPayload},
		{"not a form", `{"leads":1}`, nil, nil, model.CauseBadPayload},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := receiver(t, "token: t, account_id: 77").Receive(connectors.Delivery{Method: "POST", Body: []byte(tc.body)})
			if tc.cause != "" {
				classOf(t, err, model.ClassPermanent, tc.cause)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if refs := sortedRefs(got.Refs); !slices.Equal(refs, tc.refs) {
				t.Errorf("refs %v, want %v", refs, tc.refs)
			}
			var causes []model.Cause
			for _, e := range got.Refused {
				causes = append(causes, e.Cause)
			}
			if !slices.Equal(causes, tc.refused) {
				t.Errorf("refused %v, want %v", causes, tc.refused)
			}
			if got.Note == "" {
				t.Error("no note")
			}
		})
	}
}

func TestReceiveDisconnectNotice(t *testing.T) {
	t.Parallel()
	c := receiver(t, "account_id: 77, oauth: {client_id: client, client_secret: secret}")
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte("client|77"))
	signature := hex.EncodeToString(mac.Sum(nil))
	for name, tc := range map[string]struct {
		query string
		cause model.Cause
	}{
		"as documented": {"account_id=77&client_uuid=client&signature=" + signature, ""},
		"as in code":    {"account_id=77&client_id=client&signature=" + signature, ""},
		"forged":        {"account_id=77&client_uuid=client&signature=" + strings.Repeat("0", 64), model.CauseWrongToken},
		"unsigned":      {"account_id=77&client_uuid=client", model.CauseBadPayload},
		"foreign":       {"account_id=78&client_uuid=client&signature=" + signature, model.CauseForeignAccount},
	} {
		got, err := c.Receive(connectors.Delivery{Method: "GET", Query: tc.query})
		if tc.cause != "" {
			classOf(t, err, model.ClassPermanent, tc.cause)
		} else if err != nil || !strings.Contains(got.Note, "switched the integration off") {
			t.Errorf("%s: %v %q", name, err, got.Note)
		}
	}
}

// What the sandbox sends is understood, in both generations.
func TestReceiveSandbox(t *testing.T) {
	t.Parallel()
	for _, generation := range []string{"new", "2016"} {
		b := newBench(t, map[string]string{"hooks": generation, "price": "hidden"}, nil)
		hub := newHub(t)
		b.account.SetHookURL(hub.server.URL)
		var lead, contact, company int64
		b.account.Together(func() {
			company = b.account.Add(sandbox.Companies, sandbox.Entity{Name: "ООО"})
			contact = b.account.Add(sandbox.Contacts, sandbox.Entity{Name: "Иван", Fields: map[int64][]string{sandbox.ContactBirthday: {"1542067200"}}})
			lead = b.account.Add(sandbox.Leads, sandbox.Entity{Name: "Сделка", ContactIDs: []int64{contact}})
		})
		b.account.Delete(sandbox.Contacts, contact)
		if err := b.account.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var refs []model.Ref
		for _, d := range hub.deliveries() {
			got, err := b.Receive(d)
			if err != nil || len(got.Refused) > 0 {
				t.Fatal(err, got.Refused)
			}
			refs = append(refs, got.Refs...)
		}
		want := []string{"company " + itoa(company), "contact " + itoa(contact), "contact " + itoa(contact), "deal " + itoa(lead)}
		if got := sortedRefs(refs); !slices.Equal(got, want) {
			t.Errorf("%s: refs %v, want %v", generation, got, want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	paths, err := filepath.Glob("testdata/samples/webhook-*.form")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("contacts[delete]=1&leads[add][][id]=2&linked_leads_id=&leads=1"))
	c := receiver(f, "token: t")
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := c.Receive(connectors.Delivery{Method: "POST", Body: body})
		if err != nil {
			return
		}
		for _, ref := range got.Refs {
			if !digits(ref.ID) {
				t.Errorf("ref %v is not a number", ref)
			}
		}
	})
}
