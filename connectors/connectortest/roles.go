package connectortest

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Personal data of the made-up rows.
const (
	rowPhone = "79161234567"
	rowEmail = "ivanov.petr@mail.example"
)

// role is one thing that a connector can be asked to do with its system.
type role struct {
	name    string
	writes  bool // an answer that is lost leaves the outcome unknown
	perform func(context.Context, *unit) (any, error)
}

// rows numbers made-up rows, so that each is new to the sandbox.
var rows atomic.Int64

// roles lists what the connector can do; it may call the sandbox to find out.
func (r *rig) roles(t *testing.T) []role {
	t.Helper()
	sample := r.connect(t, r.given())
	list := []role{{name: "Check", perform: func(ctx context.Context, u *unit) (any, error) { return u.Check(ctx) }}}
	add := func(name string, perform func(context.Context, *unit) (any, error)) {
		list = append(list, role{name: name, perform: perform})
	}
	if _, ok := sample.Connector.(connectors.Fetcher); ok {
		add("Fetch", func(ctx context.Context, u *unit) (any, error) {
			got, err := u.Connector.(connectors.Fetcher).Fetch(ctx, r.Refs)
			return nil, unlessSilent(err, len(got.Records)+len(got.Missing) > 0)
		})
	}
	if poller, ok := sample.Connector.(connectors.Poller); ok {
		for _, stream := range poller.Streams() {
			add("Poll "+stream, func(ctx context.Context, u *unit) (any, error) {
				_, err := u.Connector.(connectors.Poller).Poll(ctx, stream, "")
				return nil, err
			})
		}
	}
	if _, ok := sample.Connector.(connectors.Cataloguer); ok {
		add("Catalogue", func(ctx context.Context, u *unit) (any, error) {
			_, err := u.Connector.(connectors.Cataloguer).Catalogue(ctx)
			return nil, err
		})
	}
	if _, ok := sample.Connector.(connectors.Informer); ok {
		add("Audience", func(ctx context.Context, u *unit) (any, error) {
			return u.Connector.(connectors.Informer).Audience(ctx)
		})
	}
	if _, ok := sample.Connector.(connectors.StatusKeeper); ok {
		add("PutStatuses", func(ctx context.Context, u *unit) (any, error) {
			return nil, u.Connector.(connectors.StatusKeeper).PutStatuses(ctx, r.Statuses)
		})
	}
	if _, ok := sample.Connector.(connectors.SchemeComparer); ok {
		add("CompareStatuses", func(ctx context.Context, u *unit) (any, error) {
			return u.Connector.(connectors.SchemeComparer).CompareStatuses(ctx, r.Statuses)
		})
	}
	if _, ok := sample.Connector.(connectors.Uploader); ok {
		for i := range r.Type.Schemas {
			list = append(list, r.uploadRoles(t, &r.Type.Schemas[i])...)
		}
	}
	return list
}

// unlessSilent makes an error of an answer that brought nothing at all.
func unlessSilent(err error, brought bool) error {
	if err == nil && !brought {
		return fmt.Errorf("no error and nothing brought")
	}
	return err
}

// uploadRoles are Send, Settle and Follow of one kind of upload, and what keeps
// its attributes.
func (r *rig) uploadRoles(t *testing.T, schema *model.Schema) []role {
	t.Helper()
	first, unsent := r.encode(t, schema)
	list := []role{{name: "Send " + schema.As, writes: true, perform: func(ctx context.Context, u *unit) (any, error) {
		upload, body := first, unsent
		if r.reaches() { // what the sandbox has already makes fewer calls
			upload, body = r.encode(t, schema)
		}
		return u.Connector.(connectors.Uploader).Send(ctx, upload, body)
	}}}
	sender := r.connect(t, r.given())
	sent, body := r.encode(t, schema)
	outcome, err := sender.Connector.(connectors.Uploader).Send(t.Context(), sent, body)
	if err != nil {
		t.Fatalf("send %s: %v", schema.As, err)
	}
	if outcome.State == connectors.UploadRejected || len(outcome.Refused) > 0 {
		t.Fatalf("send %s: the made-up row is refused: %v %v; let the case change it", schema.As, outcome.Reasons, outcome.Refused)
	}
	if _, ok := sender.Connector.(connectors.Settler); ok {
		list = append(list, role{name: "Settle " + schema.As, perform: func(ctx context.Context, u *unit) (any, error) {
			out, _, err := u.Connector.(connectors.Settler).Settle(ctx, sent)
			return out, err
		}})
	}
	if _, ok := sender.Connector.(connectors.Follower); ok && outcome.State == connectors.UploadProcessing {
		followed := sent
		followed.RemoteID = outcome.RemoteID
		list = append(list, role{name: "Follow " + schema.As, perform: func(ctx context.Context, u *unit) (any, error) {
			return u.Connector.(connectors.Follower).Follow(ctx, followed)
		}})
	}
	attributes := []connectors.Attribute{{Name: "svod_conformance", Title: "Conformance", Type: model.TypeText}}
	if _, ok := sender.Connector.(connectors.AttributeKeeper); ok && schema.Attributes {
		list = append(list, role{name: "PutAttributes " + schema.As, perform: func(ctx context.Context, u *unit) (any, error) {
			return nil, u.Connector.(connectors.AttributeKeeper).PutAttributes(ctx, schema.As, attributes)
		}})
	}
	if _, ok := sender.Connector.(connectors.AttributeComparer); ok && schema.Attributes {
		list = append(list, role{name: "CompareAttributes " + schema.As, perform: func(ctx context.Context, u *unit) (any, error) {
			return u.Connector.(connectors.AttributeComparer).CompareAttributes(ctx, schema.As, attributes)
		}})
	}
	return list
}

// encode makes an upload of one new row, with the help of the sandbox.
func (r *rig) encode(t *testing.T, schema *model.Schema) (connectors.Upload, connectors.Body) {
	t.Helper()
	r.mu.Lock()
	kept := r.answer
	r.answer = nil
	seen := r.seen
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answer, r.seen = kept, seen
	}()
	n := rows.Add(1)
	values := map[string]any{}
	for _, p := range schema.Parameters {
		values[p.Name] = r.value(p, n)
	}
	if r.Row != nil {
		r.Row(schema.As, values)
	}
	row := model.Row{Record: model.Key{Connection: "crm", Kind: model.KindDeal, ID: fmt.Sprint(n)}, Seq: n, Key: fmt.Sprint(values[schema.Key])}
	upload := connectors.Upload{
		ID: n, Token: "svod" + strconv.FormatInt(n, 10), As: schema.As, ClientType: "CONTACT", Rows: 1,
		StartedAt: r.clock.Now().Add(-time.Hour), Options: r.Options,
	}
	if len(schema.Modes) > 0 {
		upload.Mode = schema.Modes[0]
	}
	for _, p := range schema.Parameters {
		if value, ok := values[p.Name]; ok {
			upload.Columns = append(upload.Columns, model.Column{Name: p.Name, Type: p.Type})
			row.Values = append(row.Values, value)
		}
	}
	uploader := r.connect(t, r.given()).Connector.(connectors.Uploader)
	upload.Group = uploader.Group(upload, &row)
	var file bytes.Buffer
	w, err := uploader.Encode(t.Context(), upload, &file)
	if err != nil {
		t.Fatalf("encode %s: %v", schema.As, err)
	}
	if err := w.Write(&row); err != nil {
		t.Fatalf("encode %s: the made-up row is refused: %v; let the case change it", schema.As, err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("encode %s: %v", schema.As, err)
	}
	upload.Bytes = int64(file.Len())
	return upload, bytes.NewReader(file.Bytes())
}

// value makes up a value for a parameter.
func (r *rig) value(p model.Parameter, n int64) any {
	switch p.Type {
	case model.TypeID:
		return strconv.FormatInt(1000+n, 10)
	case model.TypeTime:
		return r.clock.Now().Add(-2 * time.Hour)
	case model.TypeDate:
		return model.Date("1990-05-17")
	case model.TypeDecimal:
		d, _ := model.ParseDecimal("100.50")
		return d
	case model.TypeInteger:
		return int64(1)
	case model.TypeFlag:
		return false
	case model.TypeTexts:
		return []string{"one"}
	case model.TypePhones:
		return []string{rowPhone}
	case model.TypePhone:
		return rowPhone
	case model.TypeEmails:
		return []string{rowEmail}
	case model.TypeMD5s:
		return []string{"0cc175b9c0f1b6a831c399e269772661"}
	case model.TypeClientIDs:
		return []string{"1234567890123456789"}
	case model.TypeCurrency:
		return "RUB"
	case model.TypeStatus:
		return "PAID"
	case model.TypeProducts:
		return nil
	case model.TypeGoals:
		return nil
	}
	return "text"
}

// browser is what an authorisation page sends back.
func browser(code string) url.Values { return url.Values{"code": {code}, "state": {"s"}} }
