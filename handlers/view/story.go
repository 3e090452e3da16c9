package view

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// StoryStore is what the story of a record is read from. *store.DB has it.
type StoryStore interface {
	Deliveries(ctx context.Context, f store.DeliveryFilter) ([]store.Delivery, error)
	Journal(ctx context.Context, f store.JournalFilter) ([]store.Entry, error)
	Record(ctx context.Context, project string, key model.Key) (model.Record, error)
	RecordVersions(ctx context.Context, project string, key model.Key) ([]store.RecordVersion, error)
	SentRows(ctx context.Context, project, flow, connection, id string) ([]store.SentRow, error)
	Upload(ctx context.Context, project string, id int64) (store.Upload, error)
	WaitingRef(ctx context.Context, project, connection string, ref model.Ref) (store.Waits, error)
}

// EventKind says what happened to a record.
type EventKind string

// The kinds of events, in the order of a record's way.
const (
	EventWebhook EventKind = "webhook" // a journal entry names it
	EventWaits   EventKind = "waits"   // it waits to be re-read
	EventVersion EventKind = "version" // it was read, and was new or different
	EventRow     EventKind = "row"     // a flow decided about its row
	EventUpload  EventKind = "upload"  // its row went to a destination
)

// Event is one step of a record's way through the hub.
type Event struct {
	At   time.Time
	Kind EventKind
	// Gap is the time since the event before, Mood its colour; "" where nothing
	// waited (a webhook comes when it comes).
	Gap  time.Duration
	Mood string

	Entry    *store.Entry // with body and headers
	Headers  []Header
	Body     Body
	Waits    *store.Waits
	Seq      int64    // of the version
	First    bool     // the version is the oldest known
	Deleted  bool     // the version is a tombstone
	Changes  []Change // against the version before
	Delivery *store.Delivery
	Upload   *UploadStatus // Seq says which change it carried, 0 when that is not known
	Refused  bool          // the upload was taken without this row
	Answer   Body
}

// Change is a member that two versions of a record differ in.
type Change struct {
	Name   string
	Before string // "" where it was not there
	After  string
}

// Story is a record's way through the hub, oldest event first.
type Story struct {
	Events     []Event
	Deliveries []store.Delivery
	// JournalSince is how far back the journal was searched for entries that name
	// the record; Unsearched says that it took too long.
	JournalSince time.Time
	Unsearched   bool
}

const (
	storyEntries = 50                 // webhooks shown
	storySpan    = 7 * 24 * time.Hour // of the journal
	storyPause   = 3 * time.Second    // spent on searching it
	storyLead    = time.Hour          // a webhook comes before the version that it brought
)

// NewStory tells a record's way. People are masked unless reveal is set.
func NewStory(ctx context.Context, s StoryStore, project string, key model.Key, reveal bool, now time.Time) (Story, error) {
	b := storyteller{store: s, project: project, key: key, reveal: reveal, now: now}
	for _, step := range []func(context.Context) error{b.versions, b.waits, b.rows, b.webhooks} {
		if err := step(ctx); err != nil {
			return Story{}, fmt.Errorf("tell the story of %s: %w", key, err)
		}
	}
	slices.SortStableFunc(b.story.Events, func(x, y Event) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(order[x.Kind], order[y.Kind]))
	})
	for i := range b.story.Events {
		b.gap(i)
	}
	return b.story, nil
}

// order tells apart what happened in the same moment.
var order = map[EventKind]int{EventWebhook: 1, EventWaits: 2, EventVersion: 3, EventRow: 4, EventUpload: 5}

type storyteller struct {
	store   StoryStore
	project string
	key     model.Key
	reveal  bool
	now     time.Time

	oldest time.Time // known version
	story  Story
}

func (b *storyteller) add(e Event) { b.story.Events = append(b.story.Events, e) }

// gap measures what an event had to wait for. A minute is usual, ten are not.
func (b *storyteller) gap(i int) {
	e := &b.story.Events[i]
	if i == 0 || e.Kind == EventWebhook {
		return
	}
	e.Gap = e.At.Sub(b.story.Events[i-1].At)
	switch {
	case e.Gap < time.Second:
	case e.Gap > 10*time.Minute:
		e.Mood = "bad"
	case e.Gap > time.Minute:
		e.Mood = "warn"
	default:
		e.Mood = "good"
	}
}

// versions adds what the record was and is, with the differences.
func (b *storyteller) versions(ctx context.Context) error {
	now, err := b.store.Record(ctx, b.project, b.key)
	if err != nil {
		return err
	}
	before, err := b.store.RecordVersions(ctx, b.project, b.key)
	if err != nil {
		return err
	}
	all := make([]model.Record, 0, len(before)+1)
	for _, v := range before {
		all = append(all, v.Record)
	}
	slices.Reverse(all)
	all = append(all, now)
	var last map[string]string
	for i, r := range all {
		shown, err := NewRecord(r, b.reveal)
		if err != nil {
			return err
		}
		flat := flatten(shown.Data)
		e := Event{At: shown.ReadAt, Kind: EventVersion, Seq: shown.Seq, First: i == 0, Deleted: shown.Deleted}
		if i > 0 {
			// When it was read first: ReadAt moves on while nothing changes.
			e.At = before[len(before)-i].ReplacedAt
			e.Changes = difference(last, flat)
		} else {
			b.oldest = e.At
		}
		b.add(e)
		last = flat
	}
	return nil
}

func (b *storyteller) waits(ctx context.Context) error {
	w, err := b.store.WaitingRef(ctx, b.project, b.key.Connection, b.key.Ref())
	if err == nil && !w.Since.IsZero() {
		b.add(Event{At: w.Since, Kind: EventWaits, Waits: &w})
	}
	return err
}

// rows adds what flows made of the record, and the uploads that took it.
func (b *storyteller) rows(ctx context.Context) error {
	found, err := b.store.Deliveries(ctx, store.DeliveryFilter{Project: b.project, IDs: []string{b.key.ID}, Limit: 1000})
	if err != nil {
		return err
	}
	for i := range found {
		d := &found[i]
		if d.Connection != b.key.Connection || d.Kind != b.key.Kind {
			continue
		}
		b.story.Deliveries = append(b.story.Deliveries, *d)
		if err := b.uploads(ctx, d); err != nil {
			return err
		}
		b.add(Event{At: d.UpdatedAt, Kind: EventRow, Delivery: d})
	}
	return nil
}

// uploads adds each upload that the row was in. When looking for them takes too
// long, the last one is known all the same.
func (b *storyteller) uploads(ctx context.Context, d *store.Delivery) error {
	inner, cancel := context.WithTimeout(ctx, storyPause)
	defer cancel()
	sent, err := b.store.SentRows(inner, b.project, d.Flow, d.Connection, d.ID)
	if err != nil && (inner.Err() == nil || ctx.Err() != nil) {
		return err
	}
	if d.UploadID > 0 && !slices.ContainsFunc(sent, func(x store.SentRow) bool { return x.UploadID == d.UploadID }) {
		sent = append(sent, store.SentRow{UploadID: d.UploadID})
	}
	for _, x := range sent {
		u, err := b.store.Upload(ctx, b.project, x.UploadID)
		if errors.Is(err, store.ErrNotFound) {
			continue // older than its retention
		}
		if err != nil {
			return err
		}
		shown := NewUploadStatus(u)
		b.add(Event{
			At: firstTime(u.StartedAt, u.CreatedAt), Kind: EventUpload, Upload: &shown, Seq: x.Seq, Refused: x.Refused, Answer: NewBody(u.Details),
		})
	}
	return nil
}

// webhooks adds the entries that name the record. The journal has no index of
// ids (one more write for each webhook, for a page that is seldom opened), so
// the connection's last days are searched, for a few seconds.
func (b *storyteller) webhooks(ctx context.Context) error {
	b.story.JournalSince = b.now.Add(-storySpan)
	if from := b.oldest.Add(-storyLead); from.After(b.story.JournalSince) {
		b.story.JournalSince = from
	}
	inner, cancel := context.WithTimeout(ctx, storyPause)
	defer cancel()
	entries, err := b.store.Journal(inner, store.JournalFilter{
		Project: b.project, Connection: b.key.Connection, Since: b.story.JournalSince, Text: b.key.ID, Limit: 4 * storyEntries, WithBody: true,
	})
	if inner.Err() != nil && ctx.Err() == nil {
		b.story.Unsearched = true
		return nil
	}
	if err != nil {
		return err
	}
	shown := 0
	for i := range entries {
		e := &entries[i]
		if shown == storyEntries {
			break
		}
		if !b.concerns(e) {
			continue
		}
		shown++
		event := Event{At: e.ReceivedAt, Kind: EventWebhook, Entry: e, Headers: NewHeaders(e.Header), Body: NewBody(e.Body)}
		if !b.reveal {
			event.Body.Text = maskText("", event.Body.Text)
		}
		b.add(event)
	}
	return nil
}

// concerns reports whether an entry names the record, and not one of another
// kind with the same id ("contact 1" for the deal 1).
func (b *storyteller) concerns(e *store.Entry) bool {
	before, _, named := strings.Cut(e.Note+" ", " "+b.key.ID+" ")
	if words := strings.Fields(before); named && len(words) > 0 {
		kind := model.Kind(words[len(words)-1])
		return !kind.Valid() || kind == b.key.Kind
	}
	return hasWord(e.Note, b.key.ID) || hasWord(string(e.Body), b.key.ID)
}

// hasWord reports whether the text has the id with no letter or digit on either
// side: 12 is not in 4123.
func hasWord(text, id string) bool {
	for from := 0; id != ""; {
		i := strings.Index(text[from:], id)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(id)
		if (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end])) {
			return true
		}
		from = i + 1
	}
	return false
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// flatten gives the members of a JSON document by their paths.
func flatten(data []byte) map[string]string {
	flat := map[string]string{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if decoder.Decode(&tree) == nil {
		flattenInto(flat, "", tree)
	}
	return flat
}

func flattenInto(flat map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			flattenInto(flat, strings.TrimPrefix(path+"."+name, "."), inner)
		}
	case []any:
		for i, inner := range v {
			flattenInto(flat, path+"["+strconv.Itoa(i)+"]", inner)
		}
	case nil:
	default:
		flat[path] = fmt.Sprint(v)
	}
}

// Places names the members of a record's data that contain the text, a few.
func (v Record) Places(text string) []string {
	const few = 3
	var list []string
	for name, value := range flatten(v.Data) {
		if strings.Contains(value, text) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), few)]
}

func difference(before, after map[string]string) []Change {
	var list []Change
	for name, value := range after {
		if before[name] != value {
			list = append(list, Change{Name: name, Before: before[name], After: value})
		}
	}
	for name, value := range before {
		if _, ok := after[name]; !ok {
			list = append(list, Change{Name: name, Before: value})
		}
	}
	slices.SortFunc(list, func(x, y Change) int { return strings.Compare(x.Name, y.Name) })
	return list
}
