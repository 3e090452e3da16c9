package bitrix24

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

const (
	// maxLeads keeps batches of creates small: large ones answer 500 although part
	// of them was done (§6).
	maxLeads = 20
	// originator marks what the hub made; an option of the flow may replace it.
	originator       = "svod"
	originatorOption = "originator"
	// settleAfter is when a call that got no answer is surely over: the cloud cuts
	// it at 60 s (§5.1).
	settleAfter = 90 * time.Second

	maxOrigin = 255
)

// lead is one line of an encoded upload.
type lead struct {
	Key    string         `json:"key"`
	Fields map[string]any `json:"fields"`
}

// Plan implements connectors.Uploader.
func (c *Connector) Plan(string) connectors.UploadPlan {
	return connectors.UploadPlan{MaxRows: maxLeads, MaxBytes: 1 << 20}
}

// Group implements connectors.Uploader: all leads may share an upload.
func (c *Connector) Group(connectors.Upload, *model.Row) string { return "" }

// Encode implements connectors.Uploader: a line of JSON for each lead.
func (c *Connector) Encode(ctx context.Context, u connectors.Upload, w io.Writer) (connectors.RowWriter, error) {
	if u.As != asLeads {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "Bitrix24 takes no %q, only leads", clip(u.As))
	}
	known, err := c.trackingFields(ctx)
	if err != nil {
		return nil, err
	}
	return &leadWriter{
		to: json.NewEncoder(w), columns: u.Columns, tracking: known[model.KindLead],
		originator: cmp.Or(u.Options[originatorOption], originator),
	}, nil
}

type leadWriter struct {
	to         *json.Encoder
	columns    []model.Column
	tracking   trackingCodes
	originator string
}

// leadFields are the codes of parameters that are written as they are.
var leadFields = map[string]string{
	"amount": "OPPORTUNITY", "comment": "COMMENTS", "currency": "CURRENCY_ID", "last_name": "LAST_NAME", "name": "NAME",
	"responsible": "ASSIGNED_BY_ID", "source": "SOURCE_ID", "source_description": "SOURCE_DESCRIPTION", "status": "STATUS_ID",
	"title": "TITLE", "utm_campaign": "UTM_CAMPAIGN", "utm_content": "UTM_CONTENT", "utm_medium": "UTM_MEDIUM",
	"utm_source": "UTM_SOURCE", "utm_term": "UTM_TERM",
}

// Write implements connectors.RowWriter.
func (w *leadWriter) Write(row *model.Row) error {
	if row.Key == "" || len(row.Key) > maxOrigin {
		return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "id must have 1 to %d characters: it goes to ORIGIN_ID", maxOrigin)
	}
	f := map[string]any{"ORIGINATOR_ID": w.originator, "ORIGIN_ID": row.Key}
	person := ""
	for i, column := range w.columns {
		if i >= len(row.Values) || row.Values[i] == nil || column.Name == "id" {
			continue
		}
		value := row.Values[i]
		switch {
		case column.Attribute:
			f[column.Name] = plain(value)
		case column.Name == "phones":
			phones := texts(value)
			for j, phone := range phones {
				phones[j] = "+" + strings.TrimPrefix(phone, "+")
			}
			f["PHONE"] = multiField(phones)
			person = cmp.Or(firstText(phones...), person)
		case column.Name == "emails":
			f["EMAIL"] = multiField(texts(value))
			person = cmp.Or(person, firstText(texts(value)...))
		case leadFields[column.Name] != "":
			f[leadFields[column.Name]] = plain(value)
		default:
			w.track(f, column.Name, plain(value))
		}
	}
	// Without a name a portal in simple mode does not convert the lead (§7.7).
	if text, _ := f["NAME"].(string); text == "" && f["LAST_NAME"] == nil && person != "" {
		f["NAME"] = person
	}
	if text, _ := f["TITLE"].(string); text == "" {
		f["TITLE"] = cmp.Or(textOf(f["NAME"]), "Svod "+row.Key)
	}
	return w.to.Encode(lead{Key: row.Key, Fields: f})
}

// track writes a tracking value into the portal's field for it, if there is one.
func (w *leadWriter) track(f map[string]any, name string, value any) {
	if codes := w.tracking[name]; len(codes) > 0 {
		f[codes[0]] = value
	}
}

// Close implements connectors.RowWriter.
func (w *leadWriter) Close() error { return nil }

func texts(v any) []string {
	switch v := v.(type) {
	case []string:
		return append([]string(nil), v...)
	case string:
		return []string{v}
	}
	return nil
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

func multiField(values []string) []map[string]string {
	var out []map[string]string
	for _, v := range values {
		if v != "" && v != "+" {
			out = append(out, map[string]string{"VALUE": v, "VALUE_TYPE": "WORK"})
		}
	}
	return out
}

// plain writes a value as the portal reads it: texts, and lists of texts.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		return v
	case []string:
		return v
	case time.Time:
		return isoTime(v)
	case bool:
		if v {
			return "1"
		}
		return "0"
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}

// Send implements connectors.Uploader. It may be repeated: leads that are there
// already, by ORIGIN_ID, are not made again (§7.6).
func (c *Connector) Send(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	leads, err := readLeads(body)
	if err != nil {
		return connectors.Outcome{}, err
	}
	out := connectors.Outcome{State: connectors.UploadAccepted, Created: map[string]string{}}
	for from := 0; from < len(leads); from += maxLeads {
		if err := c.sendLeads(ctx, leads[from:min(from+maxLeads, len(leads))], &out); err != nil {
			return connectors.Outcome{}, err
		}
	}
	out.Accepted = len(out.Created)
	out.Details, err = json.Marshal(map[string]any{"created": len(out.Created), "refused": len(out.Refused)})
	return out, err
}

func readLeads(body connectors.Body) ([]lead, error) {
	var out []lead
	lines := bufio.NewReader(io.NewSectionReader(body, 0, body.Size()))
	for {
		line, err := lines.ReadBytes('\n')
		if len(strings.TrimSpace(string(line))) > 0 {
			var l lead
			if err := json.Unmarshal(line, &l); err != nil {
				return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "a line of the encoded upload cannot be read: %w", err)
			}
			out = append(out, l)
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *Connector) sendLeads(ctx context.Context, leads []lead, out *connectors.Outcome) error {
	there, err := c.findLeads(ctx, leads)
	if err != nil {
		return err
	}
	var todo []lead
	for _, l := range leads {
		if id := there[l.Key]; id != "" {
			out.Created[l.Key] = id
			continue
		}
		there[l.Key] = "-" // a key twice in one upload makes one lead
		todo = append(todo, l)
	}
	if len(todo) == 0 {
		return nil
	}
	commands := make([]command, len(todo))
	for i, l := range todo {
		commands[i] = addLead(l)
	}
	replies, _, err := c.batch(ctx, commands, writing)
	if err != nil {
		return err
	}
	if f := replies[0].fault; f != nil && f.methodMissing() {
		for i, l := range todo {
			commands[i] = addItem(l)
		}
		if replies, _, err = c.batch(ctx, commands, writing); err != nil {
			return err
		}
	}
	return c.takeCreated(todo, replies, out)
}

// findLeads asks which of these were made before.
func (c *Connector) findLeads(ctx context.Context, leads []lead) (map[string]string, error) {
	if len(leads) == 0 {
		return map[string]string{}, nil
	}
	var keys []string
	for _, l := range leads {
		keys = append(keys, l.Key)
	}
	filter := fields("ORIGINATOR_ID", textOf(leads[0].Fields["ORIGINATOR_ID"]), "@ORIGIN_ID", keys)
	commands := []command{{method: "crm.lead.list", query: fields(
		"order", fields("ID", "ASC"), "filter", filter, "select", []string{"ID", "ORIGIN_ID"}, "start", "-1")}}
	replies, _, err := c.batch(ctx, commands, reading)
	if err != nil {
		return nil, err
	}
	if f := replies[0].fault; f != nil && f.methodMissing() {
		filter = fields("originatorId", textOf(leads[0].Fields["ORIGINATOR_ID"]), "@originId", keys)
		commands = []command{{method: "crm.item.list", query: fields("entityTypeId", "1",
			"order", fields("id", "ASC"), "filter", filter, "select", []string{"id", "originId"}, "start", "-1")}}
		if replies, _, err = c.batch(ctx, commands, reading); err != nil {
			return nil, err
		}
	}
	if f := replies[0].fault; f != nil {
		return nil, f.classify("look for leads by ORIGIN_ID", c.deps.Now())
	}
	all, err := rows(replies[0].result)
	if err != nil {
		return nil, err
	}
	n := namer{kind: model.KindLead, codes: map[string]string{}}
	out := map[string]string{}
	for _, raw := range all {
		if it, err := n.readItem(raw); err == nil && out[it.text("ORIGIN_ID")] == "" {
			out[it.text("ORIGIN_ID")] = it.id("ID")
		}
	}
	return out, nil
}

func addLead(l lead) command {
	return command{method: "crm.lead.add", query: fields("fields", l.Fields, "params", fields("REGISTER_SONET_EVENT", "N"))}
}

// addItem is addLead for portals that have lost the classic methods: names in
// camelCase, phones and e-mails as fm (§7.4).
func addItem(l lead) command {
	named := map[string]any{}
	var fm []any
	for code, value := range l.Fields {
		if code != "PHONE" && code != "EMAIL" {
			named[itemCode(code)] = value
			continue
		}
		list, _ := value.([]any)
		for _, one := range list {
			if m, ok := one.(map[string]any); ok {
				fm = append(fm, map[string]any{"typeId": code, "valueType": m["VALUE_TYPE"], "value": m["VALUE"]})
			}
		}
	}
	if fm != nil {
		named["fm"] = fm
	}
	return command{method: "crm.item.add", query: fields("entityTypeId", "1", "useOriginalUfNames", "Y", "fields", named)}
}

// itemCode is the reverse of classicCode for the fields of a new lead.
func itemCode(code string) string {
	if strings.HasPrefix(code, "UF_") {
		return code
	}
	if code == "STATUS_ID" {
		return "stageId"
	}
	parts := strings.Split(strings.ToLower(code), "_")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}

// takeCreated sorts the portal's answers. A command that may succeed later makes
// the whole upload be sent again: those that were made are then found.
func (c *Connector) takeCreated(todo []lead, replies []reply, out *connectors.Outcome) error {
	var later error
	for i, l := range todo {
		r := replies[i]
		if r.fault == nil {
			if id := createdID(r.result); id != "" {
				out.Created[l.Key] = id
				continue
			}
			r.fault = &fault{code: "error_unexpected_answer", text: "no id of the new lead"}
		}
		e := r.fault.classify("make a lead", c.deps.Now())
		switch {
		case e.Class == model.ClassPermanent && e.Cause == model.CauseRequestRejected:
			e.Cause = model.CauseRefusedByRemote
			out.Refused = append(out.Refused, connectors.RowError{Key: l.Key, Err: e})
		case later == nil:
			later = e
		}
	}
	return later
}

// createdID reads the bare number of crm.lead.add or the item of crm.item.add.
func createdID(result json.RawMessage) string {
	var wrapped struct {
		Item struct {
			ID loosejson.Int `json:"id"`
		} `json:"item"`
	}
	var bare loosejson.Int
	switch {
	case bare.UnmarshalJSON(result) == nil && bare.Set && bare.Value > 0:
		return fmt.Sprint(bare.Value)
	case loosejson.Unmarshal(result, &wrapped) == nil && wrapped.Item.ID.Value > 0:
		return fmt.Sprint(wrapped.Item.ID.Value)
	}
	return ""
}

// Settle implements connectors.Settler. Send looks for each lead before it makes
// it, so an upload in doubt may be sent again as soon as the lost call is surely
// over.
func (c *Connector) Settle(_ context.Context, u connectors.Upload) (connectors.Outcome, bool, error) {
	if over := u.StartedAt.Add(settleAfter); c.deps.Now().Before(over) {
		return connectors.Outcome{}, false, &model.Error{
			Class: model.ClassTemporary, Cause: model.CauseInDoubt, RetryAt: over,
			Message: "the portal may still be working on the leads; they are looked for after that",
		}
	}
	return connectors.Outcome{}, false, nil
}
