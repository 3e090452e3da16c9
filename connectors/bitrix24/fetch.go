package bitrix24

import (
	"context"
	"slices"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// FetchLimit implements connectors.Fetcher: one batch of 50 lists of 50.
func (c *Connector) FetchLimit() int { return maxBatch * pageSize }

// question is one command of a fetch: these ids of this kind.
type question struct {
	entity entity
	ids    []string
}

// Fetch implements connectors.Fetcher. Kinds may be mixed. What a list leaves out
// is not there any more: lists do not show deleted objects (§7.9), nor those that
// the webhook's user may not see.
func (c *Connector) Fetch(ctx context.Context, refs []model.Ref) (connectors.Fetched, error) {
	questions, out := c.questions(refs)
	if len(questions) == 0 {
		return out, nil
	}
	known, err := c.trackingFields(ctx)
	if err != nil {
		return out, err
	}
	family, err := c.family(ctx)
	if err != nil {
		return out, err
	}
	for len(questions) > 0 {
		part := questions[:min(c.width(), len(questions))]
		questions = questions[len(part):]
		again, err := c.fetchBatch(ctx, family, part, known, &out)
		if again {
			family = readClassic
			_, err = c.fetchBatch(ctx, family, part, known, &out)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// questions divides references into commands. What cannot be an entity of this
// portal is missing from the start.
func (c *Connector) questions(refs []model.Ref) ([]question, connectors.Fetched) {
	var out connectors.Fetched
	byKind := map[model.Kind][]string{}
	seen := map[model.Ref]bool{}
	for _, ref := range refs {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		if _, ok := entityOf(ref.Kind); !ok || !plainID(ref.ID) {
			out.Missing = append(out.Missing, ref)
			continue
		}
		byKind[ref.Kind] = append(byKind[ref.Kind], ref.ID)
	}
	var questions []question
	for _, e := range entities {
		for ids := range slices.Chunk(byKind[e.kind], pageSize) {
			questions = append(questions, question{entity: e, ids: ids})
		}
	}
	return questions, out
}

// fetchBatch asks one batch; again says that it should be asked anew with the
// classic methods.
func (c *Connector) fetchBatch(ctx context.Context, family string, part []question, known tracking, out *connectors.Fetched) (again bool, err error) {
	commands := make([]command, len(part))
	for i, q := range part {
		commands[i] = q.entity.list(family, listing{ids: q.ids})
	}
	readAt := c.deps.Now()
	replies, _, err := c.batch(ctx, commands, reading)
	if err != nil {
		return false, err
	}
	mappers := map[model.Kind]*mapper{}
	for i, q := range part {
		if again, err := c.fallBack(ctx, family, replies[i].fault); again || err != nil {
			return again, err
		}
		m := mappers[q.entity.kind]
		if m == nil {
			m = c.mapper(q.entity.kind, known, readAt)
			mappers[q.entity.kind] = m
		}
		// One command's failure leaves the others' answers; what it asked for is
		// asked for again.
		if e := c.takeReply(m, q, replies[i], out); e != nil && err == nil {
			err = e
		}
	}
	return false, err
}

func (c *Connector) takeReply(m *mapper, q question, r reply, out *connectors.Fetched) error {
	if r.fault != nil {
		return r.fault.classify("read "+q.entity.name+" by ids", c.deps.Now())
	}
	all, err := rows(r.result)
	if err != nil {
		return err
	}
	got := map[string]bool{}
	broken := false
	for _, raw := range all {
		rec, err := m.record(raw)
		if err != nil {
			broken = true
			c.deps.Log.Warn("an object of the portal's answer cannot be read", logError(err))
			continue
		}
		got[rec.Meta().ID] = true
		out.Records = append(out.Records, rec)
	}
	if broken { // then nobody knows which of the absent ones are gone
		return nil
	}
	for _, id := range q.ids {
		if !got[id] {
			out.Missing = append(out.Missing, model.Ref{Kind: q.entity.kind, ID: id})
		}
	}
	return nil
}
