package connectors

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

// Puller answers a system that reads from us. It decides who may read and in
// which form; what there is to read it finds on its Desk.
type Puller interface {
	// Pull never fails: a refusal is an answer in the reader's form. A list that
	// is not known to be complete is never answered with a 2xx status.
	Pull(ctx context.Context, r PullRequest, desk Desk) PullAnswer
}

// Releaser is a Puller that may hold an answer back until an operator lets it
// go, because it would make the reader delete far more than usual.
type Releaser interface {
	// Held says what is held back and why; "" when nothing is.
	Held(ctx context.Context) (string, error)
	// Release lets the next answer go once.
	Release(ctx context.Context) error
}

// PullRequest is one question, read but not interpreted.
type PullRequest struct {
	Method      string
	Query       url.Values
	Form        url.Values // of a form body
	Body        []byte     // of any other body
	ContentType string
	Accept      string
	// Basic says that the request had an Authorization header of that scheme.
	Basic         bool
	BasicUser     string
	BasicPassword string
	ReceivedAt    time.Time
}

// PullAnswer is what goes back.
type PullAnswer struct {
	Status      int
	ContentType string
	Body        []byte
	// RetryAfter, when not zero, asks the reader to come back then.
	RetryAfter time.Duration
	// Note is one line for the log, without secrets and personal data.
	Note string
	// Cause says why the answer is a refusal; "" otherwise.
	Cause model.Cause
}

// Desk is a puller's walled view of the store: one project, the connections in
// its records_from, and its own memory. All errors mean that nothing can be
// said now; the puller answers with a temporary failure.
type Desk interface {
	// Sources lists the connections that may be read, in the order of the
	// settings, and whether what we have of them is complete.
	Sources(ctx context.Context) ([]PullSource, error)
	// References gives all live statuses, pipelines, fields or employees of a
	// source.
	References(ctx context.Context, connection string, kind model.Kind) ([]*model.Reference, error)
	// ChangedKeys lists live records that the source created or changed at or
	// after since (zero: all), ordered by creation, connection and id. A puller may
	// also name its own connection.
	ChangedKeys(ctx context.Context, connections []string, kind model.Kind, since time.Time) ([]model.Key, error)
	// LiveKeys lists all live records of a kind.
	LiveKeys(ctx context.Context, connections []string, kind model.Kind) ([]model.Key, error)
	// Records reads records by key; deleted ones come with their last data and
	// Deleted set, unknown ones are missing in the answer.
	Records(ctx context.Context, keys []model.Key) (map[model.Key]model.Record, error)
	// Put stores records under the puller's own connection and wakes the flows
	// that read from it. When it returns, they are durable.
	Put(ctx context.Context, records []model.Record) error

	// SaveSnapshot keeps a part of an answer until expires, so that later pages
	// agree with earlier ones. Snapshot gives nil for none.
	SaveSnapshot(ctx context.Context, name string, data []byte, expires time.Time) error
	Snapshot(ctx context.Context, name string) ([]byte, error)

	// Promise gives an order id before the CRM has given one; the same until
	// expires for the same dedupKey. fresh says that it is new.
	Promise(ctx context.Context, dedupKey string, expires time.Time) (orderID string, fresh bool, err error)
	// LinkPromise says which record of a source the promised order became.
	LinkPromise(ctx context.Context, orderID string, key model.Key) error
	// Promises maps records of sources to the order ids that were promised for
	// them.
	Promises(ctx context.Context) (map[model.Key]string, error)

	// Alert shows the operator that the puller is being refused, and why. Calm
	// takes that back.
	Alert(ctx context.Context, cause model.Cause, text string) error
	Calm(ctx context.Context) error
}

// PullSource is a connection that a puller may read.
type PullSource struct {
	Connection string
	// Importing: the first pass through its history is not over.
	Importing bool
	// Failing: it cannot be read now; Cause and Text say why.
	Failing bool
	Cause   model.Cause
	Text    string
	// Polled: it is read regularly, last at ReadAt.
	Polled bool
	ReadAt time.Time
}

// ParseQuery reads a query or a form body as forgivingly as the senders are
// careless: a semicolon is no separator, and what is wrongly escaped stays as it
// is. At most limit pairs are taken; complete is false when there were more.
func ParseQuery(raw string, limit int) (values url.Values, complete bool) {
	values = url.Values{}
	for n := 0; raw != ""; n++ {
		if n == limit {
			return values, false
		}
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name = unescape(name)
		values[name] = append(values[name], unescape(value))
	}
	return values, true
}

func unescape(text string) string {
	if clean, err := url.QueryUnescape(text); err == nil {
		return clean
	}
	// One bad escape must not cost the good ones: escape lone percent signs.
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && !(i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2])) {
			b.WriteString("%25")
			continue
		}
		b.WriteByte(text[i])
	}
	clean, err := url.QueryUnescape(b.String())
	if err != nil {
		return text
	}
	return clean
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
