package connectortest

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// oddBodies are what reaches an address that everybody may post to.
func oddBodies(t *testing.T) map[string][]byte {
	t.Helper()
	odd := map[string][]byte{
		"empty":                {},
		"page":                 []byte("<!doctype html><html><body>login</body></html>"),
		"null":                 []byte("null"),
		"a number":             []byte("1e999999"),
		"a text":               []byte(`"text"`),
		"deep json":            []byte(strings.Repeat(`{"a":[`, 5000) + strings.Repeat(`]}`, 5000)),
		"1 MiB of brackets":    []byte(strings.Repeat("[", 1<<20)),
		"deep form":            []byte("a" + strings.Repeat("[b]", 5000) + "=1"),
		"unbalanced form":      []byte("leads[add][0][id=1&leads]add[=2&[]=3&=4&&&data[FIELDS][ID"),
		"broken escapes":       []byte("event=%&data[FIELDS][ID]=%zz&a=%E&%=%%%"),
		"zeros":                []byte("event=\x00\x00&data\x00[FIELDS]\x00=\x00"),
		"no utf-8":             []byte("event=\xff\xfe\xc3\x28&\x80=\x81"),
		"utf-16":               []byte("\xff\xfee\x00v\x00e\x00n\x00t\x00"),
		"byte order mark":      []byte("\xef\xbb\xbf{}"),
		"wrong types":          []byte(`{"event":{},"data":[[]],"auth":7,"leads":"x","contacts":{"add":{"x":null}},"call":[],"payload":{"0":false}}`),
		"huge numbers":         []byte(`{"id":99999999999999999999999999,"price":1e400,"date":-9223372036854775809}`),
		"many keys":            []byte(strings.Repeat("leads[add][999999999][id]=1&", 20000)),
		"multipart without it": []byte("--x\r\nContent-Disposition: form-data; name=\"a\r\n\r\n--"),
	}
	// Tests run in the connector's folder; its sisters' samples are as odd as any.
	for _, folder := range []string{"testdata", filepath.Join("..", "*", "testdata")} {
		found, err := filepath.Glob(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range found {
			err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() || strings.HasSuffix(path, ".golden") || strings.HasSuffix(path, ".md") {
					return err
				}
				data, err := os.ReadFile(path)
				odd[path] = data
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return odd
}

var contentTypes = []string{
	"", "application/json", "application/x-www-form-urlencoded", "text/plain; charset=windows-1251",
	"multipart/form-data", "multipart/form-data; boundary=x", "application/xml", ";;;",
}

// hooks demands of a receiver that no body makes it panic, that refusals are
// classified and that they hold no secret.
func hooks(t *testing.T, c Case) {
	r := newRig(t, c)
	u := r.connect(t, r.given())
	receiver, ok := u.Connector.(connectors.Receiver)
	if ok != c.Type.Receives {
		t.Fatalf("Receives is %v, but being a Receiver is %v", c.Type.Receives, ok)
	}
	if !ok {
		return
	}
	forbidden := u.secrets(c.Type.Settings)
	for name, body := range oddBodies(t) {
		for _, kind := range contentTypes {
			for _, method := range []string{http.MethodPost, http.MethodGet} {
				d := connectors.Delivery{ID: 1, ReceivedAt: r.clock.Now(), Method: method, Header: http.Header{}, Body: body}
				if method == http.MethodGet {
					d.Query, d.Body = string(body), nil
				}
				if kind != "" {
					d.Header.Set("Content-Type", kind)
				}
				if problem := receive(receiver, d, forbidden); problem != "" {
					t.Errorf("%s, %s as %q: %s", name, method, kind, problem)
				}
			}
		}
	}
	if seen, _ := r.progress(); seen != 0 {
		t.Errorf("Receive made %d calls", seen)
	}
}

// receive says what is wrong with how a delivery was taken, or "".
func receive(receiver connectors.Receiver, d connectors.Delivery, forbidden []string) (problem string) {
	defer func() {
		if panicked := recover(); panicked != nil {
			problem = "panics"
		}
	}()
	if responder, ok := receiver.(connectors.Responder); ok {
		if status, _, _ := responder.Respond(d); status < 200 || status > 299 {
			return "answers a hook that was taken with an error"
		}
	}
	in, err := receiver.Receive(d)
	said := in.Note
	refused := in.Refused
	if err != nil {
		var e *model.Error
		if !errors.As(err, &e) {
			return "the error is not classified: " + err.Error()
		}
		refused = append(slices.Clone(refused), e)
	}
	for _, e := range refused {
		said += "\n" + e.Error()
		if e.Class == "" || !slices.Contains(model.Causes(), e.Cause) || e.Cause == model.CauseInternal {
			return "a refusal is not classified: " + e.Error()
		}
	}
	for _, secret := range forbidden {
		if strings.Contains(said, secret) {
			return "shows a secret: " + said
		}
	}
	for _, record := range in.Records {
		if base := record.Meta(); base.ID == "" || !base.Kind.Valid() {
			return "makes a record without kind or id"
		}
	}
	for _, ref := range in.Refs {
		if ref.ID == "" || !ref.Kind.Valid() {
			return "makes a reference without kind or id"
		}
	}
	return ""
}

// pulls demands of a puller that it refuses what it cannot read or answer, and
// never answers with a success while the store is silent.
func pulls(t *testing.T, c Case) {
	r := newRig(t, c)
	u := r.connect(t, r.given())
	puller, ok := u.Connector.(connectors.Puller)
	if ok != c.Type.Pulls {
		t.Fatalf("Pulls is %v, but being a Puller is %v", c.Type.Pulls, ok)
	}
	if !ok {
		return
	}
	forbidden := u.secrets(c.Type.Settings)
	for name, body := range oddBodies(t) {
		query, _ := connectors.ParseQuery(string(body), 1000)
		for _, request := range []connectors.PullRequest{
			{Method: http.MethodGet, Query: query, Form: url.Values{}, ReceivedAt: r.clock.Now()},
			{Method: http.MethodPost, Query: url.Values{}, Form: query, ContentType: "application/x-www-form-urlencoded", ReceivedAt: r.clock.Now()},
			{Method: http.MethodPost, Query: query, Form: url.Values{}, Body: body, ContentType: "application/json", ReceivedAt: r.clock.Now(), Basic: true, BasicUser: name},
		} {
			answer := puller.Pull(t.Context(), request, silent{})
			for _, secret := range forbidden {
				if strings.Contains(answer.Note+string(answer.Body), secret) {
					t.Errorf("%s: the answer shows a secret", name)
				}
			}
			if answer.Status < 200 || answer.Status > 599 || answer.Status < 300 && answer.Cause == "" && strings.Contains(string(answer.Body), "orders") {
				t.Errorf("%s: answered %d %q while the store is silent", name, answer.Status, answer.Body)
			}
		}
	}
}

var errSilent = errors.New("the store does not answer")

// silent is a desk whose store is down.
type silent struct{}

var _ connectors.Desk = silent{}

func (silent) Sources(context.Context) ([]connectors.PullSource, error) { return nil, errSilent }
func (silent) Snapshot(context.Context, string) ([]byte, error)         { return nil, errSilent }
func (silent) Put(context.Context, []model.Record) error                { return errSilent }
func (silent) Alert(context.Context, model.Cause, string) error         { return errSilent }
func (silent) Calm(context.Context) error                               { return errSilent }
func (silent) Promises(context.Context) (map[model.Key]string, error)   { return nil, errSilent }
func (silent) Records(context.Context, []model.Key) (map[model.Key]model.Record, error) {
	return nil, errSilent
}
func (silent) References(context.Context, string, model.Kind) ([]*model.Reference, error) {
	return nil, errSilent
}
func (silent) ChangedKeys(context.Context, []string, model.Kind, time.Time) ([]model.Key, error) {
	return nil, errSilent
}
func (silent) LiveKeys(context.Context, []string, model.Kind) ([]model.Key, error) {
	return nil, errSilent
}
func (silent) SaveSnapshot(context.Context, string, []byte, time.Time) error { return errSilent }
func (silent) Promise(context.Context, string, time.Time) (string, bool, error) {
	return "", false, errSilent
}
func (silent) LinkPromise(context.Context, string, model.Key) error { return errSilent }
