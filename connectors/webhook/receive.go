package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/expr-lang/expr/vm"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// maxElements bounds what one delivery may be split into.
const maxElements = 10000

// Connector takes the hooks of one system.
type Connector struct {
	token      *tokenVerifier
	signature  *signatureVerifier
	split      *vm.Program
	records    []mapping
	answer     answerSettings
	connection string
	region     string
	zone       *time.Location
}

// mapping makes records of one kind.
type mapping struct {
	kind    model.Kind
	when    *vm.Program
	deleted *vm.Program
	members []mapped
	hasID   bool
}

type mapped struct {
	name    string
	member  member
	program *vm.Program
}

var (
	_ connectors.Receiver  = (*Connector)(nil)
	_ connectors.Responder = (*Connector)(nil)
)

// Check has nobody to ask: the other system calls us.
func (c *Connector) Check(context.Context) (string, error) { return "takes hooks; nothing to ask", nil }

// Respond gives what the sender expects.
func (c *Connector) Respond(connectors.Delivery) (int, string, []byte) {
	contentType := c.answer.ContentType
	if contentType == "" {
		contentType = "text/plain; charset=utf-8"
	}
	return c.answer.Status, contentType, []byte(c.answer.Body)
}

// Receive makes records of a delivery. A part that cannot be used is refused
// with its place; the others go on.
func (c *Connector) Receive(d connectors.Delivery) (connectors.Intake, error) {
	if err := c.verify(d); err != nil {
		return connectors.Intake{}, err
	}
	body, refused := parseBody(d)
	if refused != nil {
		return connectors.Intake{}, refused
	}
	env := map[string]any{
		"body": body, "item": body, "query": queryOf(d.Query), "headers": headersOf(d.Header),
		"method": d.Method, "received_at": d.ReceivedAt,
	}
	items := []any{body}
	if c.split != nil {
		found, err := run(c.split, env)
		if err == nil {
			items, err = elements(found)
		}
		if err != nil {
			return connectors.Intake{}, refuse(model.CauseExpression, "split: %v", err)
		}
	}
	if len(items) > maxElements {
		return connectors.Intake{}, refuse(model.CauseTooLarge, "split gives %d elements, more than %d", len(items), maxElements)
	}
	return c.take(items, env, d)
}

func (c *Connector) take(items []any, env map[string]any, d connectors.Delivery) (connectors.Intake, error) {
	var in connectors.Intake
	for i, item := range items {
		env["item"] = item
		place := ""
		if c.split != nil {
			place = fmt.Sprintf("element %d, ", i)
		}
		for n := range c.records {
			r, err := c.records[n].record(c, env, d)
			if err != nil {
				err.Message = fmt.Sprintf("%srecords[%d]: %s", place, n, err.Message)
				in.Refused = append(in.Refused, err)
			} else if r != nil {
				in.Records = append(in.Records, r)
			}
		}
	}
	if len(in.Records) == 0 && len(in.Refused) == 0 {
		if len(items) == 0 {
			in.Note = "no elements"
			return in, nil
		}
		return in, refuse(model.CauseUnmapped, "none of the records' conditions (when) fits the payload")
	}
	in.Note = note(in)
	return in, nil
}

// note is one line for the journal.
func note(in connectors.Intake) string {
	switch {
	case len(in.Records) == 1:
		m := in.Records[0].Meta()
		return string(m.Kind) + " " + m.ID
	case len(in.Records) == 0:
		return "nothing usable"
	}
	counts := map[model.Kind]int{}
	for _, r := range in.Records {
		counts[r.Meta().Kind]++
	}
	text := ""
	for _, kind := range model.Kinds() {
		if counts[kind] > 0 {
			text += fmt.Sprintf(", %d × %s", counts[kind], kind)
		}
	}
	return text[2:]
}

// record makes one record, or nil when the condition does not fit.
func (m *mapping) record(c *Connector, env map[string]any, d connectors.Delivery) (model.Record, *model.Error) {
	fits, err := condition(m.when, "when", env, true)
	if err != nil || !fits {
		return nil, err
	}
	r, newErr := model.New(m.kind)
	if newErr != nil {
		return nil, refuse(model.CauseInternal, "%w", newErr)
	}
	for _, to := range m.members {
		value, err := run(to.program, env)
		if err != nil {
			return nil, refuse(model.CauseExpression, "map.%s: %v", to.name, err)
		}
		if err := c.fill(r, to.name, to.member, value); err != nil {
			return nil, refuse(model.CauseBadValue, "map.%s: the value %v", to.name, err)
		}
	}
	b := r.Meta()
	b.Connection = c.connection
	if !m.hasID {
		b.ID = sumOf(env["item"])
	}
	if b.ID == "" {
		return nil, refuse(model.CauseMissingRequired, "map.id: the payload holds no id")
	}
	gone, err := condition(m.deleted, "deleted", env, b.Deleted)
	if err != nil {
		return nil, err
	}
	b.Deleted = gone
	b.ReadAt = d.ReceivedAt.UTC()
	if b.UpdatedAt.IsZero() {
		b.UpdatedAt = b.ReadAt // the sender has no versions: the last one told counts
	}
	return r, nil
}

func condition(program *vm.Program, key string, env map[string]any, absent bool) (bool, *model.Error) {
	if program == nil {
		return absent, nil
	}
	value, err := run(program, env)
	if err != nil {
		return false, refuse(model.CauseExpression, "%s: %v", key, err)
	}
	yes, err := truth(value)
	if err != nil {
		return false, refuse(model.CauseExpression, "%s: the result %v", key, err)
	}
	return yes, nil
}

// sumOf names an element that has no id of its own; the same content again is
// the same record.
func sumOf(item any) string {
	data, err := json.Marshal(item)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}
