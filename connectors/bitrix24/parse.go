package bitrix24

import (
	"crypto/subtle"
	"encoding/json"
	"mime"
	"regexp"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// entityEvent takes the name of an event about a CRM entity apart (§4.5).
var entityEvent = regexp.MustCompile(`^ONCRM(LEAD|DEAL|CONTACT|COMPANY)(ADD|UPDATE|DELETE|MOVETOCATEGORY)$`)

// fieldEvent is about the custom fields of an entity.
var fieldEvent = regexp.MustCompile(`^ONCRM(LEAD|DEAL|CONTACT|COMPANY)USERFIELD[A-Z]+$`)

// notedEvents concern the application, not its data: they are kept in the
// journal and change nothing. The tokens in ONAPPINSTALL are not stored, because
// nothing proves where they came from (§3.5).
var notedEvents = map[string]string{
	"ONAPPINSTALL":   "the application was installed; its tokens are taken only from an authorisation",
	"ONAPPPAYMENT":   "the application was paid for",
	"ONAPPTEST":      "a test of the handler",
	"ONAPPUNINSTALL": "the application was uninstalled: authorise the connection again to go on",
	"ONAPPUPDATE":    "the application was updated: its event handlers are bound anew with the next list of reference data",
	"ONOFFLINEEVENT": "the offline queue has something; it is not used",
}

var eventKinds = map[string]model.Kind{
	"COMPANY": model.KindCompany, "CONTACT": model.KindContact, "DEAL": model.KindDeal, "LEAD": model.KindLead,
}

// hook is an event, whatever notation it came in.
type hook struct {
	event  string
	ids    []string
	token  string
	member string
}

// Receive implements connectors.Receiver. An event is only a pointer: what it
// names is re-read, deletions too (§0).
func (c *Connector) Receive(d connectors.Delivery) (connectors.Intake, error) {
	h, err := readHook(d)
	if err != nil {
		return connectors.Intake{}, err
	}
	if err := c.verify(h); err != nil {
		return connectors.Intake{}, err
	}
	if note, ok := notedEvents[h.event]; ok {
		return connectors.Intake{Note: h.event + ": " + note}, nil
	}
	if fieldEvent.MatchString(h.event) {
		return connectors.Intake{Note: h.event + ": custom fields changed"}, nil
	}
	parts := entityEvent.FindStringSubmatch(h.event)
	if parts == nil {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseUnknownEvent, "the event %s is of no use to the hub", tidy(clip(h.event)))
	}
	kind := eventKinds[parts[1]]
	out := connectors.Intake{Note: h.event + " " + string(kind)}
	for _, id := range h.ids {
		if !plainID(id) {
			out.Refused = append(out.Refused, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "%s: an id is not a number", h.event))
			continue
		}
		out.Refs = append(out.Refs, model.Ref{Kind: kind, ID: id})
		out.Note += " " + id
	}
	if len(out.Refs) == 0 {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "%s names no %s", h.event, kind)
	}
	return out, nil
}

// verify compares the token and the portal. There is no signature (§4.3).
func (c *Connector) verify(h hook) error {
	if want := c.cfg.ApplicationToken.Reveal(); want != "" &&
		subtle.ConstantTimeCompare([]byte(want), []byte(h.token)) != 1 {
		return model.Errorf(model.ClassPermanent, model.CauseWrongToken,
			"the event's application_token is not the connection's: compare it with the card of the outbound webhook")
	}
	if want := c.cfg.MemberID; want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(h.member)) != 1 {
		return model.Errorf(model.ClassPermanent, model.CauseForeignAccount, "the event comes from another portal: its member_id is not the connection's")
	}
	return nil
}

func readHook(d connectors.Delivery) (hook, error) {
	body := d.Body
	if len(body) == 0 {
		body = []byte(d.Query)
	}
	if kind, _, err := mime.ParseMediaType(d.Header.Get("Content-Type")); err == nil && kind == "application/json" {
		tree, err := treeOfJSON(body)
		if err != nil {
			return hook{}, err
		}
		return hookOf(tree)
	}
	form, err := phpform.Parse(body, phpform.Limits{})
	if err != nil {
		return hook{}, err
	}
	return hookOf(form)
}

// treeOfJSON reads the notation of the documentation as the form that is sent.
func treeOfJSON(body []byte) (phpform.Node, error) {
	var tree map[string]any
	if err := loosejson.Unmarshal(body, &tree); err != nil {
		return phpform.Node{}, err
	}
	return phpform.Parse(phpform.Encode(numbersAsText(tree)), phpform.Limits{})
}

// numbersAsText keeps ids from being written as floats.
func numbersAsText(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = numbersAsText(x)
		}
	case []any:
		for i, x := range v {
			v[i] = numbersAsText(x)
		}
	case float64:
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
	return v
}

func hookOf(form phpform.Node) (hook, error) {
	h := hook{
		event:  strings.ToUpper(strings.TrimSpace(form.Get("event").Text())),
		token:  form.Get("auth", "application_token").Text(),
		member: form.Get("auth", "member_id").Text(),
	}
	if h.event == "" {
		return h, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "the delivery names no event; a Bitrix24 event has the key event")
	}
	h.ids = idsOf(form.Get("data"))
	return h, nil
}

// idsOf finds the ids in the shapes that data comes in: FIELDS[ID] as a rule,
// FIELDS_AFTER or FIELDS_BEFORE in some events, a list of those, or ID alone.
func idsOf(data phpform.Node) []string {
	var out []string
	seen := map[string]bool{}
	take := func(n phpform.Node) {
		id := n.Get("ID")
		if !id.Exists() {
			id = n.Get("id")
		}
		for _, one := range append([]phpform.Pair{{Node: id}}, id.Children()...) {
			if text := strings.TrimSpace(one.Node.Text()); text != "" && !seen[text] {
				seen[text] = true
				out = append(out, text)
			}
		}
	}
	for _, name := range []string{"FIELDS", "FIELDS_AFTER", "FIELDS_BEFORE"} {
		fields := data.Get(name)
		take(fields)
		for _, child := range fields.Children() {
			take(child.Node)
		}
	}
	take(data)
	return out
}

// plainID reports whether an id is what CRM entities have.
func plainID(id string) bool {
	if len(id) == 0 || len(id) > 18 || id[0] == '0' {
		return false
	}
	return strings.Trim(id, "0123456789") == ""
}

func clip(text string) string {
	if len(text) > 64 {
		text = text[:64] + "…"
	}
	return strings.ToValidUTF8(text, "")
}
