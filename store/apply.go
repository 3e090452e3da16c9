package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

var (
	keyRows     = newBatch("kind text, connection text, id text", 64, 8)
	recordRows  = newBatch(recordRow)
	changeRows  = newBatch(recordRow)
	surplusRows = newBatch("n bigint")
	contentRows = newBatch("kind text, connection text, id text, seq bigint, updated_at bigint, read_at bigint, hash bytea, data text")
	versionRows = newBatch("kind text, connection text, id text, replaced_at bigint", 64, 8)
	touchedRows = newBatch("kind text, connection text, id text, updated_at bigint, read_at bigint")
)

const recordRow = "project text, kind text, connection text, id text, seq bigint," +
	" created_at bigint, updated_at bigint, read_at bigint, deleted bigint, hash bytea," +
	" company_id text, contact_id text, deal_id text, employee_id text, lead_id text, data text"

// version is a record on its way into the database.
type version struct {
	key     model.Key
	created int64
	updated int64
	read    int64
	deleted bool
	hash    []byte
	links   model.Links
	data    []byte
}

// kept is what decides about a stored record, and what of it is in indexes.
type kept struct {
	updated int64
	read    int64
	deleted bool
	hash    []byte
	created int64
	links   model.Links
}

// sameIndexes reports whether the new version stands where the old one does in
// the indexes of links, of creation and of tombstones.
func (v *version) sameIndexes(k kept) bool {
	old := k.links
	old.VisitID = v.links.VisitID // is in none
	return v.created == k.created && v.deleted == k.deleted && v.links == old
}

// newer applies model.Newer to what the database keeps of the times.
func (v *version) newer(k kept) bool {
	return model.Newer(
		&model.Base{UpdatedAt: moment(v.updated), ReadAt: moment(v.read), Deleted: v.deleted},
		&model.Base{UpdatedAt: moment(k.updated), ReadAt: moment(k.read), Deleted: k.deleted})
}

// ApplyRecords stores the records that are newer than what is there; see
// model.Newer. A changed record gets the next change number of its project. The
// same content read again keeps its number. Of the same key twice the newer
// wins. A record that cannot be stored is named in Applied.Refused; the others
// are stored all the same.
func (db *DB) ApplyRecords(ctx context.Context, project string, records []model.Record) (Applied, error) {
	batch, refused := db.encode(project, records)
	if len(batch) == 0 {
		return Applied{Refused: refused}, nil
	}
	var out Applied
	var start int64
	err := db.write(ctx, fmt.Sprintf("apply %d records", len(records)), func(s *session) error {
		f, err := s.lockFeed(ctx, project)
		if err != nil {
			return err
		}
		if err := f.apply(ctx, batch); err != nil {
			return err
		}
		start = f.start
		out, err = f.close(ctx)
		return err
	})
	db.grown(ctx, "records", start, out.LastSeq)
	out.Refused = refused
	// Older twins within the batch were not worth asking the database about.
	out.Unchanged += len(records) - len(refused) - len(batch)
	return out, err
}

// MarkMissing makes tombstones of records that the source no longer has, as
// read at readAt. A tombstone keeps the last data. An id that was never seen
// gets an empty one, so that a late version from before stays out.
func (db *DB) MarkMissing(ctx context.Context, project, connection string, refs []model.Ref, readAt time.Time) (Applied, error) {
	if len(refs) == 0 {
		return Applied{}, nil
	}
	var out Applied
	err := db.write(ctx, fmt.Sprintf("mark %d records as missing", len(refs)), func(s *session) error {
		f, err := s.lockFeed(ctx, project)
		if err != nil {
			return err
		}
		if err := f.bury(ctx, connection, refs, readAt); err != nil {
			return err
		}
		out, err = f.close(ctx)
		return err
	})
	return out, err
}

// encode prepares records, one version for each key, in the order of first
// appearance.
func (db *DB) encode(project string, records []model.Record) ([]version, []RefusedRecord) {
	batch := make([]version, 0, len(records))
	at := make(map[model.Key]int, len(records))
	var refused []RefusedRecord
	for _, r := range records {
		v, err := encode(r)
		if err != nil {
			db.log.Warn("record not stored", zap.String("project", project), zap.Stringer("record", v.key), zap.Error(err))
			refused = append(refused, RefusedRecord{Key: v.key, Err: err})
			continue
		}
		i, twin := at[v.key]
		switch {
		case !twin:
			at[v.key] = len(batch)
			batch = append(batch, v)
		case v.newer(batch[i].kept()):
			batch[i] = v
		}
	}
	return batch, refused
}

func (v *version) kept() kept {
	return kept{updated: v.updated, read: v.read, deleted: v.deleted, hash: v.hash, created: v.created, links: v.links}
}

func encode(r model.Record) (version, error) {
	b := r.Meta()
	v := version{
		key: cleanKey(b.Key()), links: b.Links, deleted: b.Deleted,
		created: micros(b.CreatedAt), updated: micros(b.UpdatedAt), read: micros(b.ReadAt),
	}
	if !v.key.Kind.Valid() || v.key.Connection == "" || v.key.ID == "" {
		return v, model.Errorf(model.ClassPermanent, model.CauseBadValue, "a record needs a known kind, a connection and an id")
	}
	data, err := model.Encode(r)
	if err != nil {
		return v, model.Errorf(model.ClassPermanent, model.CauseBadValue, "the record holds a value that cannot be kept: %w", err)
	}
	v.data, v.hash = data, contentHash(data, v.deleted)
	return v, nil
}

func cleanKey(k model.Key) model.Key {
	return model.Key{Connection: clean(k.Connection), Kind: k.Kind, ID: clean(k.ID)}
}

// contentHash is the first half of a SHA-256: enough to tell versions of one
// record apart.
func contentHash(data []byte, deleted bool) []byte {
	h := sha256.New()
	h.Write(data)
	if deleted {
		h.Write([]byte{1})
	}
	return h.Sum(nil)[:16]
}

// feed is a project's change feed, locked until the transaction ends. Nobody
// else gives out numbers meanwhile, so numbers become visible in their order
// and a reader cannot miss one.
type feed struct {
	s       *session
	project string
	start   int64
	out     Applied
}

func (s *session) lockFeed(ctx context.Context, project string) (*feed, error) {
	f := &feed{s: s, project: project}
	const lock = "SELECT seq FROM feeds WHERE project = ? FOR UPDATE"
	err := s.get(ctx, []any{&f.start}, lock, project)
	if errors.Is(err, ErrNotFound) {
		if _, err := s.exec(ctx, "INSERT INTO feeds (project, seq) VALUES (?, 0) ON CONFLICT DO NOTHING", project); err != nil {
			return nil, err
		}
		err = s.get(ctx, []any{&f.start}, lock, project)
	}
	f.out.LastSeq = f.start
	return f, err
}

func (f *feed) close(ctx context.Context) (Applied, error) {
	if f.out.LastSeq == f.start {
		return f.out, nil
	}
	_, err := f.s.exec(ctx, "UPDATE feeds SET seq = ? WHERE project = ?", f.out.LastSeq, f.project)
	return f.out, err
}

func (f *feed) next() int64 {
	f.out.LastSeq++
	return f.out.LastSeq
}

// apply decides about each version and writes those that count.
func (f *feed) apply(ctx context.Context, batch []version) error {
	stored, err := f.stored(ctx, batch)
	if err != nil {
		return err
	}
	w := newWrites(len(batch))
	for i := range batch {
		v := &batch[i]
		k, known := stored[v.key]
		switch {
		case !known:
			f.out.Inserted++
			f.add(w.fresh, v)
		case !v.newer(k):
			f.out.Unchanged++
		case bytes.Equal(v.hash, k.hash):
			f.out.Unchanged++
			if v.read != k.read || v.updated != k.updated {
				w.touched.add(v.key.Kind, v.key.Connection, v.key.ID, v.updated, v.read)
			}
		default:
			f.out.Changed++
			f.change(w, v, k)
		}
	}
	return f.flush(ctx, w)
}

// change writes a new version and keeps the old one as history.
func (f *feed) change(w writes, v *version, old kept) {
	w.history.add(v.key.Kind, v.key.Connection, v.key.ID, v.read)
	if !v.sameIndexes(old) {
		f.add(w.changed, v)
		return
	}
	w.content.add(v.key.Kind, v.key.Connection, v.key.ID, f.next(), v.updated, v.read, v.hash, string(v.data))
}

// writes are what a batch does to the table. What is there and what is not was
// read under the feed's lock, so nothing needs to be tried.
type writes struct {
	fresh   *rows
	history *rows // what changed, to be kept as it was
	changed *rows
	content *rows // changed where no index of links is concerned
	touched *rows // only read again
}

func newWrites(n int) writes {
	return writes{fresh: recordRows.rows(n), history: versionRows.rows(0), changed: changeRows.rows(0), content: contentRows.rows(0), touched: touchedRows.rows(0)}
}

func (f *feed) add(r *rows, v *version) {
	r.add(f.project, v.key.Kind, v.key.Connection, v.key.ID, f.next(),
		v.created, v.updated, v.read, v.deleted, v.hash,
		v.links.CompanyID, v.links.ContactID, v.links.DealID, v.links.EmployeeID, v.links.LeadID, string(v.data))
}

func (f *feed) flush(ctx context.Context, w writes) error {
	const itsRow = ` FROM v
		WHERE records.project = ? AND records.kind = v.kind AND records.connection = v.connection AND records.id = v.id`
	if err := f.s.insertEach(ctx, w.fresh, "records", ""); err != nil {
		return err
	}
	if err := f.keepVersions(ctx, w.history); err != nil {
		return err
	}
	if _, err := f.s.execEach(ctx, w.content, `UPDATE records SET seq = v.seq, updated_at = v.updated_at, read_at = v.read_at, hash = v.hash,
		data = v.data`+itsRow, f.project); err != nil {
		return err
	}
	if _, err := f.s.execEach(ctx, w.changed, `UPDATE records SET seq = v.seq,
		created_at = v.created_at, updated_at = v.updated_at, read_at = v.read_at, deleted = v.deleted, hash = v.hash,
		company_id = v.company_id, contact_id = v.contact_id, deal_id = v.deal_id, employee_id = v.employee_id, lead_id = v.lead_id,
		data = v.data`+itsRow, f.project); err != nil {
		return err
	}
	_, err := f.s.execEach(ctx, w.touched, "UPDATE records SET updated_at = v.updated_at, read_at = v.read_at"+itsRow, f.project)
	return err
}

// keepVersions copies records that are about to change, and forgets the oldest
// versions of those that have too many.
func (f *feed) keepVersions(ctx context.Context, changed *rows) error {
	if _, err := f.s.execEach(ctx, changed, `INSERT INTO record_versions
		(project, kind, connection, id, seq, updated_at, read_at, replaced_at, deleted, data)
		SELECT r.project, r.kind, r.connection, r.id, r.seq, r.updated_at, r.read_at, v.replaced_at, r.deleted, r.data FROM v CROSS JOIN records r
		WHERE r.project = ? AND r.kind = v.kind AND r.connection = v.connection AND r.id = v.id`, f.project); err != nil {
		return err
	}
	surplus := surplusRows.rows(0)
	if err := f.s.queryEach(ctx, changed, func(rows *sql.Rows) error {
		var number int64
		err := rows.Scan(&number)
		surplus.add(number)
		return err
	}, `SELECT h.n FROM v CROSS JOIN record_versions h
		WHERE h.project = ? AND h.kind = v.kind AND h.connection = v.connection AND h.id = v.id
		AND h.seq <= (SELECT o.seq FROM record_versions o WHERE o.project = ? AND o.kind = v.kind AND o.connection = v.connection AND o.id = v.id
			ORDER BY o.seq DESC LIMIT 1 OFFSET ?)`, f.project, f.project, maxVersions); err != nil {
		return err
	}
	_, err := f.s.execEach(ctx, surplus, "DELETE FROM record_versions USING v WHERE record_versions.n = v.n")
	return err
}

// stored reads what decides about the versions of a batch. Index: primary key.
func (f *feed) stored(ctx context.Context, batch []version) (map[model.Key]kept, error) {
	keys := keyRows.rows(len(batch))
	for i := range batch {
		keys.add(batch[i].key.Kind, batch[i].key.Connection, batch[i].key.ID)
	}
	out := make(map[model.Key]kept, len(batch))
	err := f.s.queryEach(ctx, keys, func(rows *sql.Rows) error {
		var key model.Key
		var k kept
		if err := rows.Scan(&key.Kind, &key.Connection, &key.ID, &k.updated, &k.read, &k.deleted, &k.hash, &k.created,
			&k.links.CompanyID, &k.links.ContactID, &k.links.DealID, &k.links.EmployeeID, &k.links.LeadID); err != nil {
			return err
		}
		out[key] = k
		return nil
	}, `SELECT r.kind, r.connection, r.id, r.updated_at, r.read_at, r.deleted, r.hash, r.created_at,
		r.company_id, r.contact_id, r.deal_id, r.employee_id, r.lead_id FROM v CROSS JOIN records r
		WHERE r.project = ? AND r.kind = v.kind AND r.connection = v.connection AND r.id = v.id`, f.project)
	return out, err
}

// bury makes tombstones.
func (f *feed) bury(ctx context.Context, connection string, refs []model.Ref, readAt time.Time) error {
	read := micros(readAt)
	batch := make([]version, 0, len(refs))
	seen := make(map[model.Key]bool, len(refs))
	for _, ref := range refs {
		key := cleanKey(model.Key{Connection: connection, Kind: ref.Kind, ID: ref.ID})
		if !key.Kind.Valid() || key.ID == "" || seen[key] {
			f.out.Unchanged++
			continue
		}
		seen[key] = true
		batch = append(batch, version{key: key, read: read, deleted: true})
	}
	stored, err := f.contents(ctx, batch)
	if err != nil {
		return err
	}
	w := newWrites(len(batch))
	for i := range batch {
		v := &batch[i]
		old, known := stored[v.key]
		switch {
		case !known:
			if err := v.empty(); err != nil {
				return err
			}
			f.out.Inserted++
			f.add(w.fresh, v)
		case old.read >= read:
			f.out.Unchanged++
		case old.deleted:
			f.out.Unchanged++
			w.touched.add(v.key.Kind, v.key.Connection, v.key.ID, old.updated, read)
		default:
			f.out.Changed++
			*v = old
			v.read, v.deleted, v.hash = read, true, contentHash(old.data, true)
			f.change(w, v, old.kept())
		}
	}
	return f.flush(ctx, w)
}

// empty fills in the content of a record of which nothing but its end is known.
func (v *version) empty() error {
	r, err := model.New(v.key.Kind)
	if err != nil {
		return err
	}
	r.Meta().Deleted = true
	if v.data, err = model.Encode(r); err != nil {
		return err
	}
	v.hash = contentHash(v.data, true)
	return nil
}

// contents reads whole stored versions. Index: primary key.
func (f *feed) contents(ctx context.Context, batch []version) (map[model.Key]version, error) {
	keys := keyRows.rows(len(batch))
	for i := range batch {
		keys.add(batch[i].key.Kind, batch[i].key.Connection, batch[i].key.ID)
	}
	out := make(map[model.Key]version, len(batch))
	err := f.s.queryEach(ctx, keys, func(rows *sql.Rows) error {
		var v version
		if err := rows.Scan(&v.key.Kind, &v.key.Connection, &v.key.ID, &v.created, &v.updated, &v.read, &v.deleted, &v.data,
			&v.links.CompanyID, &v.links.ContactID, &v.links.DealID, &v.links.EmployeeID, &v.links.LeadID); err != nil {
			return err
		}
		out[v.key] = v
		return nil
	}, `SELECT r.kind, r.connection, r.id, r.created_at, r.updated_at, r.read_at, r.deleted, r.data,
		r.company_id, r.contact_id, r.deal_id, r.employee_id, r.lead_id FROM v CROSS JOIN records r
		WHERE r.project = ? AND r.kind = v.kind AND r.connection = v.connection AND r.id = v.id`, f.project)
	return out, err
}
