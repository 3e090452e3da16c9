package amocrm

import (
	"fmt"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

// Receive implements connectors.Receiver. A webhook is only a hint: it may lack a
// price, a phone or a custom field, and come late or twice (amocrm §0.2). So
// every event of a lead, a contact or a company means "re-read it", deletions
// too: whether it is gone is told by the re-reading.
func (c *Connector) Receive(d connectors.Delivery) (connectors.Intake, error) {
	if len(d.Body) == 0 {
		return c.receiveQuery(d)
	}
	form, err := phpform.Parse(d.Body, phpform.Limits{})
	if err != nil {
		return connectors.Intake{}, err
	}
	if err := c.checkAccount(form.Get("account", "id").Text()); err != nil {
		return connectors.Intake{}, err
	}
	hook := hook{seen: map[model.Ref]bool{}}
	for _, entity := range form.Children() {
		if entity.Key != "account" {
			hook.entity(entity.Key, entity.Node)
		}
	}
	if len(hook.notes) == 0 && len(hook.refused) == 0 {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseBadPayload,
			"the body holds no event: check what posts to this address")
	}
	if len(hook.notes) == 0 {
		return connectors.Intake{}, hook.refused[0]
	}
	return connectors.Intake{Refs: hook.refs, Refused: hook.refused, Note: clip(strings.Join(hook.notes, "; "), 200)}, nil
}

// receiveQuery takes the call that says that the integration was switched off
// (amocrm §2.4). It only goes to the journal: that the token is dead shows with
// the next request.
func (c *Connector) receiveQuery(d connectors.Delivery) (connectors.Intake, error) {
	form, err := phpform.Parse([]byte(d.Query), phpform.Limits{})
	if err != nil {
		return connectors.Intake{}, err
	}
	account, signature := form.Get("account_id").Text(), form.Get("signature").Text()
	if account == "" || signature == "" {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "the request has no body and is no disconnect notice")
	}
	if err := c.checkAccount(account); err != nil {
		return connectors.Intake{}, err
	}
	if c.cfg.OAuth == nil {
		return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseUnknownEvent, "a disconnect notice, but this connection uses a long-lived token")
	}
	for _, name := range []string{"client_uuid", "client_id"} { // which of the two is not sure (amocrm §11.1)
		if client := form.Get(name).Text(); client != "" && c.cfg.OAuth.signed(client, account, signature) {
			return connectors.Intake{Note: "account " + account + " switched the integration off: connect it again in the console"}, nil
		}
	}
	return connectors.Intake{}, model.Errorf(model.ClassPermanent, model.CauseWrongToken, "the signature of the disconnect notice is wrong")
}

// checkAccount refuses other accounts' events. Bodies of old senders do not name
// their account (amocrm §3.3).
func (c *Connector) checkAccount(id string) error {
	if id == "" || c.cfg.AccountID == "" || id == c.cfg.AccountID {
		return nil
	}
	return model.Errorf(model.ClassPermanent, model.CauseForeignAccount,
		"the event is of account %s, the connection is for account %s", clip(id, 20), c.cfg.AccountID)
}

// hook gathers what one body says.
type hook struct {
	refs    []model.Ref
	seen    map[model.Ref]bool
	refused []*model.Error
	notes   []string
}

// unread are events that we acknowledge and have no use for.
var unread = []string{"catalogs", "customers", "message", "outgoing_message", "talk", "task", "unsorted"}

func (h *hook) entity(name string, node phpform.Node) {
	for _, action := range node.Children() {
		elements := elements(action.Node)
		switch {
		case contains(unread, name), action.Key == "note" && (name == "leads" || name == "contacts" || name == "companies"):
			h.notes = append(h.notes, fmt.Sprintf("%s %s (%d), not used", name, clip(action.Key, 20), len(elements)))
		case name == "leads", name == "contacts", name == "companies":
			h.action(name, action.Key, elements)
		default:
			h.refuse(model.CauseUnknownEvent, "unknown event %s %s", clip(name, 40), clip(action.Key, 20))
		}
	}
	if node.Text() != "" && len(node.Children()) == 0 {
		h.refuse(model.CauseUnknownEvent, "unknown member %s", clip(name, 40))
	}
}

// elements lists the elements of an action. Documentation shows deletions
// without an index, captures with one (amocrm §3.3).
func elements(action phpform.Node) []phpform.Node {
	if action.Get("id").Exists() {
		return []phpform.Node{action}
	}
	var out []phpform.Node
	for _, child := range action.Children() {
		out = append(out, child.Node)
	}
	return out
}

func (h *hook) action(entity, action string, elements []phpform.Node) {
	switch action {
	case "add", "update", "delete", "restore", "status", "responsible":
	default:
		h.refuse(model.CauseUnknownEvent, "unknown event %s %s", entity, clip(action, 20))
		return
	}
	var ids []string
	for i, element := range elements {
		id := element.Get("id").Text()
		if id == "" {
			id = element.Text() // a bare id
		}
		if !digits(id) || id == "0" {
			h.refuse(model.CauseBadPayload, "%s %s %d has no id", entity, action, i)
			continue
		}
		ids = append(ids, id)
		for _, kind := range kindsOf(entity, action, element.Get("type").Text()) {
			h.ref(kind, id)
		}
		// A lead's contacts change without the lead's modification time (amocrm §4.2).
		for _, linked := range element.Get("linked_leads_id").Children() {
			h.linked(linked)
		}
	}
	if len(ids) > 0 {
		h.notes = append(h.notes, entity+" "+action+" "+strings.Join(ids, ", "))
	}
}

func (h *hook) linked(p phpform.Pair) {
	for _, id := range []string{p.Node.Get("ID").Text(), p.Node.Text(), p.Key} {
		if digits(id) && id != "0" && (id != p.Key || len(id) > 3) { // a short key is a place in a list
			h.ref(model.KindDeal, id)
			return
		}
	}
}

// kindsOf tells contacts from companies, which share the entity "contacts" and
// its ids. A deletion may leave the type out; then both are looked at.
func kindsOf(entity, action, kind string) []model.Kind {
	switch {
	case entity == "leads":
		return []model.Kind{model.KindDeal}
	case entity == "companies", kind == "company":
		return []model.Kind{model.KindCompany}
	case kind == "" && action == "delete":
		return []model.Kind{model.KindContact, model.KindCompany}
	}
	return []model.Kind{model.KindContact}
}

func (h *hook) ref(kind model.Kind, id string) {
	ref := model.Ref{Kind: kind, ID: id}
	if !h.seen[ref] {
		h.seen[ref] = true
		h.refs = append(h.refs, ref)
	}
}

func (h *hook) refuse(cause model.Cause, format string, args ...any) {
	h.refused = append(h.refused, model.Errorf(model.ClassPermanent, cause, format, args...))
}

// clip bounds foreign text for people.
func clip(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most]) + "…"
}
