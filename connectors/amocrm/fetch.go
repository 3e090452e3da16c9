package amocrm

import (
	"context"
	"slices"
	"strconv"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// fewMissing is how many absent records are asked for one by one, which costs two
// calls each. Beyond that a second list without them is believed: it proves as
// much, and bulk deletions would else use up the account's rate.
const fewMissing = 1

// FetchLimit implements connectors.Fetcher.
func (c *Connector) FetchLimit() int { return pageSize }

// Fetch implements connectors.Fetcher.
func (c *Connector) Fetch(ctx context.Context, refs []model.Ref) (connectors.Fetched, error) {
	var out connectors.Fetched
	a, err := c.facts(ctx)
	if err != nil {
		return out, err
	}
	for _, p := range places {
		var ids []string
		for _, ref := range refs {
			if ref.Kind == p.kind && digits(ref.ID) && !slices.Contains(ids, ref.ID) {
				ids = append(ids, ref.ID)
			}
		}
		for chunk := range slices.Chunk(ids, pageSize) {
			f := fetch{c: c, account: a, place: p, out: &out}
			if err := f.run(ctx, chunk); err != nil {
				return out, err
			}
		}
	}
	for _, ref := range refs {
		if _, ok := placeOf(ref.Kind); !ok || !digits(ref.ID) {
			return out, model.Errorf(model.ClassPermanent, model.CauseInternal, "amoCRM has no %s with such an id to read", ref.Kind)
		}
	}
	return out, nil
}

// fetch reads the records of one kind with the given ids. A record counts as
// missing only on good evidence: an empty answer may be a mistake, and an account
// without the advanced filter answers with whatever it likes (amocrm §4.2, §5.2).
type fetch struct {
	c       *Connector
	account account
	place   place
	out     *connectors.Fetched
}

func (f *fetch) run(ctx context.Context, ids []string) error {
	if !f.c.filters(f.account) {
		return f.singly(ctx, ids)
	}
	absent, filtered, err := f.batch(ctx, ids, f.place.with)
	if err != nil {
		return err
	}
	if !filtered {
		return f.singly(ctx, absent)
	}
	if len(absent) > 0 && f.place.kind == model.KindDeal {
		if absent, filtered, err = f.bin(ctx, absent); err != nil {
			return err
		}
	}
	switch {
	case len(absent) == 0:
		return nil
	case !filtered, len(absent) <= fewMissing:
		return f.singly(ctx, absent)
	}
	absent, filtered, err = f.batch(ctx, absent, f.place.with)
	if err != nil {
		return err
	}
	if !filtered {
		return f.singly(ctx, absent)
	}
	f.missing(absent...)
	return nil
}

// batch asks for many at once and gives back the ids that were not answered.
// filtered is false when the answer holds what was not asked for: then it proves
// nothing about the absent ones.
func (f *fetch) batch(ctx context.Context, ids []string, with string) (absent []string, filtered bool, err error) {
	m := f.c.mapper(f.account)
	l, err := f.c.list(ctx, f.place, byIDs(ids, with))
	if err != nil {
		return nil, false, err
	}
	filtered, seen := true, map[string]bool{}
	for i := range l.rows {
		e := &l.rows[i]
		if id := string(e.ID); !slices.Contains(ids, id) {
			filtered = false
		} else if !seen[id] {
			seen[id] = true
			f.take(m, e)
		}
	}
	if l.next && filtered && len(seen) < len(ids) {
		filtered = false // more than was asked for
	}
	if !filtered {
		f.c.ignoresFilters()
	}
	for _, id := range ids {
		if !seen[id] {
			absent = append(absent, id)
		}
	}
	return absent, filtered, nil
}

func byIDs(ids []string, with string) *query {
	q := new(query)
	if with != "" {
		q.add("with", with)
	}
	q.add("limit", strconv.Itoa(pageSize))
	for _, id := range ids {
		q.add("filter[id][]", id)
	}
	return q
}

// bin looks for leads among the deleted ones.
func (f *fetch) bin(ctx context.Context, ids []string) (absent []string, filtered bool, err error) {
	l, err := f.c.list(ctx, f.place, byIDs(ids, "only_deleted"))
	if err != nil {
		return nil, false, err
	}
	deleted := map[string]bool{}
	for i := range l.rows {
		id := string(l.rows[i].ID)
		if !slices.Contains(ids, id) {
			f.c.ignoresFilters()
			return ids, false, nil
		}
		// An account that does not know the bin answers with living leads.
		deleted[id] = l.rows[i].Deleted.Value
	}
	for _, id := range ids {
		if deleted[id] {
			f.missing(id)
		} else {
			absent = append(absent, id)
		}
	}
	return absent, true, nil
}

// singly asks for one at a time; 204 says that it is not there (amocrm §4.3).
func (f *fetch) singly(ctx context.Context, ids []string) error {
	for _, id := range ids {
		m := f.c.mapper(f.account)
		var row rawObject
		found, err := f.c.get(ctx, f.place.path+"/"+id, f.place.query(), &row)
		if err == nil && !found {
			found, err = f.c.get(ctx, f.place.path+"/"+id, f.place.query(), &row)
		}
		if err != nil {
			return err
		}
		if !found {
			f.missing(id)
			continue
		}
		e, err := readEntity(row)
		if err != nil || string(e.ID) != id {
			return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "amoCRM answered with something else than %s %s; it is asked again", f.place.kind, id)
		}
		f.take(m, &e)
	}
	return nil
}

// rawObject keeps an answer as it came.
type rawObject []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawObject) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0], data...)
	return nil
}

func (f *fetch) take(m *mapper, e *entity) {
	if e.Deleted.Value {
		f.missing(string(e.ID))
		return
	}
	f.out.Records = append(f.out.Records, m.record(f.place.kind, e))
}

func (f *fetch) missing(ids ...string) {
	for _, id := range ids {
		f.out.Missing = append(f.out.Missing, model.Ref{Kind: f.place.kind, ID: id})
	}
}
