package forget

import (
	"context"
	"fmt"
	"slices"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Store is what the package needs of the database; *store.DB has it.
type Store interface {
	ScanRecords(ctx context.Context, project string, each func(model.Key, []byte)) error
	ScanVersions(ctx context.Context, project string, each func(int64, []byte)) error
	ScanJournal(ctx context.Context, project string, each func(store.Entry)) error
	ScanUploads(ctx context.Context, project string, each func(store.Upload)) error
	RecordsOfContacts(ctx context.Context, project string, contacts []model.Key) ([]model.Key, error)
	ForgetRecords(ctx context.Context, project string, keys []model.Key) (store.Forgotten, error)
	ForgetVersions(ctx context.Context, project string, numbers []int64) (int, error)
	ForgetEntries(ctx context.Context, project string, ids []int64) (int, error)
	ForgetUploads(ctx context.Context, project string, ids []int64) (int, error)
	ForgetSnapshots(ctx context.Context, project string) (int, error)
	AppendAudit(ctx context.Context, a store.Audit) error
}

// Request says what to forget.
type Request struct {
	Project string
	Person  *Person
	// Related also forgets records that name a forgotten contact as theirs.
	Related bool
	DryRun  bool
	User    string // for the audit log
}

// Result says what was forgotten or, in a dry run, would be.
type Result struct {
	Project string             `json:"project"`
	Records map[model.Kind]int `json:"records"`
	// Versions are former versions of any record.
	Versions   int `json:"versions"`
	Entries    int `json:"journal_entries"`
	Deliveries int `json:"deliveries"`
	Uploads    int `json:"uploads"`
	// Waiting are journal entries that intake must take first.
	Waiting int `json:"waiting_entries"`
	// Linked are records that name a forgotten contact and were left.
	Linked int `json:"linked_records"`
}

// Empty reports whether nothing was found.
func (r Result) Empty() bool {
	return len(r.Records)+r.Versions+r.Entries+r.Uploads+r.Waiting == 0
}

// found is what speaks of the person.
type found struct {
	keys     []model.Key
	versions []int64
	entries  []int64
	uploads  []int64
}

// Forget removes a person from one project. Doing it again goes on where it was
// broken off.
func Forget(ctx context.Context, db Store, r Request) (Result, error) {
	result := Result{Project: r.Project, Records: map[model.Kind]int{}}
	f, err := look(ctx, db, r, &result)
	if err != nil {
		return result, err
	}
	linked, err := db.RecordsOfContacts(ctx, r.Project, f.keys)
	if err != nil {
		return result, err
	}
	for _, key := range linked {
		switch {
		case slices.Contains(f.keys, key):
		case r.Related:
			f.keys = append(f.keys, key)
		default:
			result.Linked++
		}
	}
	for _, key := range f.keys {
		result.Records[key.Kind]++
	}
	result.Versions, result.Entries, result.Uploads = len(f.versions), len(f.entries), len(f.uploads)
	if r.DryRun || len(f.keys)+len(f.versions)+len(f.entries)+len(f.uploads) == 0 {
		return result, nil
	}
	return result, remove(ctx, db, r, f, &result)
}

func look(ctx context.Context, db Store, r Request, result *Result) (found, error) {
	var f found
	err := db.ScanRecords(ctx, r.Project, func(key model.Key, data []byte) {
		if r.Person.In(data) {
			f.keys = append(f.keys, key)
		}
	})
	if err != nil {
		return f, err
	}
	err = db.ScanVersions(ctx, r.Project, func(n int64, data []byte) {
		if r.Person.In(data) {
			f.versions = append(f.versions, n)
		}
	})
	if err != nil {
		return f, err
	}
	err = db.ScanJournal(ctx, r.Project, func(e store.Entry) {
		switch {
		case !r.Person.inEntry(e):
		case e.State == store.EntryNew:
			result.Waiting++
		default:
			f.entries = append(f.entries, e.ID)
		}
	})
	if err != nil {
		return f, err
	}
	err = db.ScanUploads(ctx, r.Project, func(u store.Upload) {
		if r.Person.In(u.Details) || r.Person.In([]byte(u.Error)) {
			f.uploads = append(f.uploads, u.ID)
		}
	})
	return f, err
}

func (p *Person) inEntry(e store.Entry) bool {
	return p.In(e.Body) || p.In([]byte(e.Query)) || p.In(e.Header) || p.In([]byte(e.Error)) || p.In([]byte(e.Note))
}

func remove(ctx context.Context, db Store, r Request, f found, result *Result) error {
	done, err := db.ForgetRecords(ctx, r.Project, f.keys)
	if err != nil {
		return err
	}
	result.Deliveries = done.Deliveries
	// Some versions went with their records.
	if _, err = db.ForgetVersions(ctx, r.Project, f.versions); err != nil {
		return err
	}
	if result.Entries, err = db.ForgetEntries(ctx, r.Project, f.entries); err != nil {
		return err
	}
	if result.Uploads, err = db.ForgetUploads(ctx, r.Project, f.uploads); err != nil {
		return err
	}
	if _, err = db.ForgetSnapshots(ctx, r.Project); err != nil {
		return err
	}
	return db.AppendAudit(ctx, store.Audit{
		User: r.User, Action: "forget", Project: r.Project,
		// Whom is not said: the log would remember him.
		Subject: fmt.Sprintf("a person: %d records, %d journal entries", done.Records, result.Entries),
	})
}
