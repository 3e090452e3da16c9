package console

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const (
	// searchTime is how long one kind of thing is searched. What has an index
	// answers at once; texts inside bodies have none.
	searchTime  = 4 * time.Second
	searchLines = 10
	// searchSpan is how far back the journal is searched when nothing else is said.
	searchSpan = 7 * 24 * time.Hour
)

var searchFields = []string{"q", "connection", "flow", "cause", "state", "since", "until"}

type searchData struct {
	Fields     *fields
	Asked      bool
	Records    []foundRecord
	Deliveries []store.Delivery
	Entries    []foundEntry
	Uploads    []view.UploadStatus
	// MoreRecords… lead to the filtered list when there is more.
	MoreRecords, MoreDeliveries, MoreEntries string
	Slow                                     []string // what could not be searched in time
	Since                                    time.Time
}

// foundRecord and foundEntry say where the text was found.
type (
	foundRecord struct {
		view.Record
		ByID   bool
		Places []string
	}
	foundEntry struct {
		store.Entry
		Place string // number, note, error or body; "" when no text was asked for
	}
)

// Nothing reports whether nothing was found.
func (d searchData) Nothing() bool {
	return len(d.Records)+len(d.Deliveries)+len(d.Entries)+len(d.Uploads) == 0
}

// search looks for a text in everything that a project has, and says where it
// found it. The address is the query.
func (c *Console) search(r *request) error {
	f := newFields(r.QueryParams(), r.project.ZoneOrUTC())
	s := &searcher{console: c, project: r.project, fields: f, now: c.opts.Now(), words: spellings(f.Get("q"))}
	f.moment("since") // notes what cannot be read
	f.moment("until")
	s.data.Fields, s.data.Asked = f, f.with(searchFields) != ""
	if s.data.Asked {
		if err := s.run(r.Request().Context()); err != nil {
			return err
		}
	}
	return r.render(http.StatusOK, "search", "nav.search", &s.data)
}

// spellings are the ways in which a thing may be written in the data: phones and
// e-mails are kept normalised in records and as they came in the journal.
func spellings(q string) []string {
	if q == "" {
		return nil
	}
	words := []string{q}
	add := func(word string, ok bool) {
		if ok && word != q && word != "" {
			words = append(words, word)
		}
	}
	if strings.Contains(q, "@") {
		add(identity.Email(q))
	} else if phoneShape.MatchString(q) {
		add(identity.Phone(q, "RU"))
	}
	return words
}

var phoneShape = regexp.MustCompile(`^\+?[\d\s().-]{10,20}$`)

type searcher struct {
	console *Console
	project *view.Project
	fields  *fields
	words   []string
	now     time.Time

	mu   sync.Mutex
	data searchData
	err  error
}

// run searches the kinds of things side by side, each for a bounded time.
func (s *searcher) run(ctx context.Context) error {
	var all sync.WaitGroup
	for name, look := range map[string]func(context.Context) error{
		"records": s.records, "deliveries": s.deliveries, "journal": s.journal, "uploads": s.uploads,
	} {
		all.Go(func() {
			inner, cancel := context.WithTimeout(ctx, searchTime)
			defer cancel()
			err := look(inner)
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case err == nil:
			case inner.Err() != nil && ctx.Err() == nil:
				s.data.Slow = append(s.data.Slow, name)
			default:
				s.err = errors.Join(s.err, err)
			}
		})
	}
	all.Wait()
	return s.err
}

// records finds by id first (an index), then by any text in the data: phone,
// e-mail, ClientID, yclid, name.
func (s *searcher) records(ctx context.Context) error {
	f := s.fields
	if len(s.words) == 0 || f.Get("flow")+f.Get("cause")+f.Get("state") != "" {
		return nil
	}
	db := s.console.opts.Store
	var keys []model.Key
	for _, c := range s.project.Connections {
		if wanted := f.Get("connection"); wanted != "" && wanted != c.ID {
			continue
		}
		for _, kind := range model.Kinds() {
			keys = append(keys, model.Key{Connection: c.ID, Kind: kind, ID: s.words[0]})
		}
	}
	byID, err := db.RecordsByKeys(ctx, s.project.ID, keys)
	if err != nil {
		return err
	}
	var found []model.Record
	for _, key := range keys {
		if rec := byID[key]; rec != nil {
			found = append(found, rec)
		}
	}
	if err := s.addRecords(found, ""); err != nil {
		return err
	}
	filter := store.RecordFilter{Project: s.project.ID, Limit: searchLines + 1}
	if connection := f.Get("connection"); connection != "" {
		filter.Connections = []string{connection}
	}
	for _, word := range s.words {
		filter.Text = word
		more, err := db.Records(ctx, filter)
		if err != nil {
			return err
		}
		fresh := more[:0]
		for _, rec := range more {
			if byID[rec.Meta().Key()] == nil {
				byID[rec.Meta().Key()] = rec
				fresh = append(fresh, rec)
			}
		}
		if err := s.addRecords(fresh, word); err != nil {
			return err
		}
	}
	return nil
}

// addRecords keeps what was found, and by which text; "" by the id.
func (s *searcher) addRecords(found []model.Record, word string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range found {
		if len(s.data.Records) == 2*searchLines {
			s.data.MoreRecords = "/records?" + s.fields.with([]string{"connection"}, "text", s.words[len(s.words)-1])
			return nil
		}
		shown, err := view.NewRecord(rec, false)
		if err != nil {
			return err
		}
		line := foundRecord{Record: shown, ByID: word == ""}
		if word != "" {
			open, err := view.NewRecord(rec, true) // what is masked can be found too
			if err != nil {
				return err
			}
			line.Places = open.Places(word)
		}
		s.data.Records = append(s.data.Records, line)
	}
	return nil
}

func (s *searcher) deliveries(ctx context.Context) error {
	f := s.fields
	filter := newFields(f.values, f.zone).deliveries(s.project.ID)
	filter.Text, filter.IDs, filter.RowKeys, filter.UploadID, filter.Limit = f.Get("q"), nil, nil, 0, searchLines+1
	if f.Get("state") != "" && len(filter.States) == 0 {
		return nil // a state that rows do not have
	}
	found, err := s.console.opts.Store.Deliveries(ctx, filter)
	if err != nil {
		return err
	}
	kept := found[:0]
	for _, d := range found {
		if wanted := f.Get("connection"); wanted == "" || wanted == d.Connection {
			kept = append(kept, d)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(kept) > searchLines {
		kept = kept[:searchLines]
		s.data.MoreDeliveries = "/deliveries?" + f.with([]string{"flow", "cause", "since", "until"}, "state", f.Get("state"), "text", f.Get("q"))
	}
	s.data.Deliveries = kept
	return nil
}

func (s *searcher) journal(ctx context.Context) error {
	f := s.fields
	if f.Get("flow") != "" {
		return nil
	}
	filter := newFields(f.values, f.zone).journal(s.project.ID)
	if f.Get("state") != "" && len(filter.States) == 0 {
		return nil
	}
	filter.Limit = searchLines + 1
	if filter.Since.IsZero() {
		filter.Since = s.now.Add(-searchSpan)
	}
	db := s.console.opts.Store
	var found []store.Entry
	if id, err := strconv.ParseInt(f.Get("q"), 10, 64); err == nil && id > 0 {
		entry, err := db.JournalEntry(ctx, s.project.ID, id)
		if err == nil {
			found = append(found, entry)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	words := s.words
	if len(words) == 0 {
		words = []string{""}
	}
	for _, word := range words {
		filter.Text = word
		more, err := db.Journal(ctx, filter)
		if err != nil {
			return err
		}
		for _, e := range more {
			if len(found) == 0 || found[0].ID != e.ID {
				found = append(found, e)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Since = filter.Since
	if len(found) > searchLines {
		found = found[:searchLines]
		s.data.MoreEntries = "/journal?" + f.with([]string{"connection", "cause", "state", "since", "until"}, "text", f.Get("q"))
	}
	for _, e := range found {
		s.data.Entries = append(s.data.Entries, foundEntry{Entry: e, Place: s.place(e)})
	}
	return nil
}

// place says where in an entry the text stands. Lists come without bodies: what
// is nowhere else is there.
func (s *searcher) place(e store.Entry) string {
	if len(s.words) == 0 {
		return ""
	}
	for _, word := range s.words {
		switch {
		case strconv.FormatInt(e.ID, 10) == word:
			return "number"
		case strings.Contains(e.Note, word):
			return "note"
		case strings.Contains(e.Error, word):
			return "error"
		}
	}
	return "body"
}

func (s *searcher) uploads(ctx context.Context) error {
	f := s.fields
	if len(s.words) == 0 || f.Get("connection")+f.Get("cause")+f.Get("state") != "" {
		return nil
	}
	db := s.console.opts.Store
	var found []store.Upload
	if id, err := strconv.ParseInt(s.words[0], 10, 64); err == nil && id > 0 {
		u, err := db.Upload(ctx, s.project.ID, id)
		if err == nil {
			found = append(found, u)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	more, err := db.FindUploads(ctx, s.project.ID, s.words[0], searchLines)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range append(found, more...) {
		if flow := f.Get("flow"); (flow == "" || flow == u.Flow) && (len(s.data.Uploads) == 0 || s.data.Uploads[0].ID != u.ID) {
			s.data.Uploads = append(s.data.Uploads, view.NewUploadStatus(u))
		}
	}
	return nil
}
