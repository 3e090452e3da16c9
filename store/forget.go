package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/svod-hub/svod/model"
)

// What speaks of a person is found by reading everything: a phone has too many
// spellings for an index. The functions below read page by page, so that others
// work meanwhile, and forget what the caller has picked.

const (
	recordPage  = 500
	journalPage = 50 // a body may have a megabyte
	linkedPage  = 200
)

var (
	numberRows    = newBatch("id bigint")
	forgottenRows = newBatch("kind text, connection text, id text")
)

// ScanRecords hands every record's data to each, tombstones too. Index: primary
// key.
func (db *DB) ScanRecords(ctx context.Context, project string, each func(key model.Key, data []byte)) error {
	var after model.Key
	for {
		n := 0
		err := db.read("read through the records", func(s *session) error {
			return s.query(ctx, func(rows *sql.Rows) error {
				var key model.Key
				var data []byte
				if err := rows.Scan(&key.Kind, &key.Connection, &key.ID, &data); err != nil {
					return err
				}
				n++
				after = key
				each(key, data)
				return nil
			}, `SELECT kind, connection, id, data FROM records WHERE project = ? AND (kind, connection, id) > (?, ?, ?)
				ORDER BY kind, connection, id LIMIT ?`, project, after.Kind, after.Connection, after.ID, recordPage)
		})
		if err != nil || n < recordPage {
			return err
		}
	}
}

// ScanVersions hands the history of all records to each; n is for
// ForgetVersions. Index: primary key.
func (db *DB) ScanVersions(ctx context.Context, project string, each func(n int64, data []byte)) error {
	after := int64(0)
	for {
		count := 0
		err := db.read("read through the history", func(s *session) error {
			return s.query(ctx, func(rows *sql.Rows) error {
				var owner string
				var data []byte
				if err := rows.Scan(&after, &owner, &data); err != nil {
					return err
				}
				count++
				if owner == project {
					each(after, data)
				}
				return nil
			}, "SELECT n, project, data FROM record_versions WHERE n > ? ORDER BY n LIMIT ?", after, recordPage)
		})
		if err != nil || count < recordPage {
			return err
		}
	}
}

// ScanJournal hands every journal entry to each. Index: journal_list.
func (db *DB) ScanJournal(ctx context.Context, project string, each func(Entry)) error {
	after := int64(0)
	for {
		var page []Entry
		err := db.read("read through the journal", func(s *session) (err error) {
			page, err = list(ctx, s, scanEntryFull, "SELECT "+entryFull+" FROM journal WHERE project = ? AND id > ? ORDER BY id LIMIT ?",
				project, after, journalPage)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			after = e.ID
			each(e)
		}
		if len(page) < journalPage {
			return nil
		}
	}
}

// ScanUploads hands every upload to each. Index: uploads_list.
func (db *DB) ScanUploads(ctx context.Context, project string, each func(Upload)) error {
	after := int64(0)
	for {
		var page []Upload
		err := db.read("read through the uploads", func(s *session) (err error) {
			page, err = list(ctx, s, scanUpload, "SELECT id, "+uploadColumns+" FROM uploads WHERE project = ? AND id > ? ORDER BY id LIMIT ?",
				project, after, recordPage)
			return err
		})
		if err != nil {
			return err
		}
		for _, u := range page {
			after = u.ID
			each(u)
		}
		if len(page) < recordPage {
			return nil
		}
	}
}

// RecordsOfContacts names the records that hold one of the contacts as their
// link. Index: records_contact.
func (db *DB) RecordsOfContacts(ctx context.Context, project string, contacts []model.Key) ([]model.Key, error) {
	ids := map[string]texts{}
	for _, c := range contacts {
		if c.Kind == model.KindContact {
			ids[c.Connection] = append(ids[c.Connection], c.ID)
		}
	}
	var out []model.Key
	for connection, all := range ids {
		for from := 0; from < len(all); from += linkedPage {
			page := all[from:min(from+linkedPage, len(all))]
			err := db.read("find records of contacts", func(s *session) error {
				found, err := list(ctx, s, func(rows *sql.Rows, k *model.Key) error { return rows.Scan(&k.Kind, &k.Connection, &k.ID) },
					`SELECT kind, connection, id FROM records WHERE project = ? AND connection = ? AND contact_id <> '' AND contact_id IN LIST(?)
					ORDER BY kind, id`, project, connection, page)
				out = append(out, found...)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Forgotten counts what ForgetRecords changed.
type Forgotten struct {
	Records    int
	Versions   int
	Deliveries int
}

// ForgetRecords replaces records by empty tombstones, deletes their history, and
// drops what destinations said about their rows. Keys stay: they tell versions
// that come late that they are late, and destinations what was sent. A tombstone
// is as new as the moment; only what is read from the source afterwards replaces
// it.
func (db *DB) ForgetRecords(ctx context.Context, project string, keys []model.Key) (Forgotten, error) {
	var out Forgotten
	for from := 0; from < len(keys); from += recordPage {
		page := keys[from:min(from+recordPage, len(keys))]
		var done Forgotten
		err := db.write(ctx, fmt.Sprintf("forget %d records", len(page)), func(s *session) (err error) {
			done, err = s.forgetRecords(ctx, project, page)
			return err
		})
		if err != nil {
			return out, err
		}
		out.Records += done.Records
		out.Versions += done.Versions
		out.Deliveries += done.Deliveries
	}
	return out, nil
}

func (s *session) forgetRecords(ctx context.Context, project string, keys []model.Key) (Forgotten, error) {
	f, err := s.lockFeed(ctx, project)
	if err != nil {
		return Forgotten{}, err
	}
	batch := make([]version, len(keys))
	r := forgottenRows.rows(len(keys))
	for i, key := range keys {
		batch[i] = version{key: cleanKey(key), read: s.now, deleted: true}
		r.add(key.Kind, key.Connection, key.ID)
	}
	stored, err := f.contents(ctx, batch)
	if err != nil {
		return Forgotten{}, err
	}
	w := newWrites(len(batch))
	for i := range batch {
		v := &batch[i]
		old, known := stored[v.key]
		if !known {
			continue
		}
		if err := v.empty(); err != nil {
			return Forgotten{}, err
		}
		// A source whose clock is ahead must not bring the old version back.
		v.read = max(v.read, old.read)
		f.out.Changed++
		f.change(w, v, old.kept())
	}
	if err := f.flush(ctx, w); err != nil {
		return Forgotten{}, err
	}
	out := Forgotten{Records: f.out.Changed}
	// After the change, which adds what was before to the history.
	if out.Versions, err = s.execEach(ctx, r, `DELETE FROM record_versions USING v WHERE record_versions.project = ?
		AND record_versions.kind = v.kind AND record_versions.connection = v.connection AND record_versions.id = v.id`, project); err != nil {
		return Forgotten{}, err
	}
	if out.Deliveries, err = s.forgetDeliveries(ctx, project, r); err != nil {
		return Forgotten{}, err
	}
	_, err = f.close(ctx)
	return out, err
}

// forgetDeliveries goes through the project's flows, which are few: the primary
// key begins with them.
func (s *session) forgetDeliveries(ctx context.Context, project string, r *rows) (int, error) {
	total := 0
	for flow := ""; ; {
		err := s.get(ctx, []any{&flow}, "SELECT flow FROM deliveries WHERE project = ? AND flow > ? ORDER BY flow LIMIT 1", project, flow)
		if errors.Is(err, ErrNotFound) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := s.execEach(ctx, r, `UPDATE deliveries SET error = '', updated_at = ? FROM v WHERE deliveries.project = ? AND deliveries.flow = ?
			AND deliveries.connection = v.connection AND deliveries.id = v.id AND deliveries.kind = v.kind`, s.now, project, flow)
		total += n
		if err != nil {
			return total, err
		}
	}
}

// ForgetVersions deletes versions by the numbers of ScanVersions, and says how
// many.
func (db *DB) ForgetVersions(ctx context.Context, project string, numbers []int64) (int, error) {
	return db.forgetNumbers(ctx, "forget versions of records", numbers,
		"DELETE FROM record_versions USING v WHERE record_versions.n = v.id AND record_versions.project = ?", project)
}

// ForgetEntries drops everything that journal entries brought; their place in the
// journal stays. Entries that wait for intake are left alone.
func (db *DB) ForgetEntries(ctx context.Context, project string, ids []int64) (int, error) {
	return db.forgetNumbers(ctx, "forget journal entries", ids,
		`UPDATE journal SET query = '', header = NULL, body = NULL, remote = '', error = '', note = 'removed' FROM v
		WHERE journal.id = v.id AND journal.project = ? AND journal.state <> 0`, project)
}

// ForgetUploads drops what destinations said about uploads.
func (db *DB) ForgetUploads(ctx context.Context, project string, ids []int64) (int, error) {
	return db.forgetNumbers(ctx, "forget answers to uploads", ids,
		"UPDATE uploads SET error = '', details = NULL FROM v WHERE uploads.id = v.id AND uploads.project = ?", project)
}

func (db *DB) forgetNumbers(ctx context.Context, what string, numbers []int64, stmt, project string) (int, error) {
	total := 0
	for from := 0; from < len(numbers); from += recordPage {
		r := numberRows.rows(recordPage)
		for _, n := range numbers[from:min(from+recordPage, len(numbers))] {
			r.add(n)
		}
		n := 0
		err := db.write(ctx, what, func(s *session) (err error) {
			n, err = s.execEach(ctx, r, stmt, project)
			return err
		})
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// ForgetSnapshots deletes a project's answers that pullers are reading page by
// page, and says how many; pullers begin again.
func (db *DB) ForgetSnapshots(ctx context.Context, project string) (int, error) {
	deleted := 0
	err := db.write(ctx, "forget snapshots", func(s *session) (err error) {
		deleted, err = s.exec(ctx, "DELETE FROM snapshots WHERE project = ?", project)
		return err
	})
	return deleted, err
}
