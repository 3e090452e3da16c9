package flow

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

// statusID is what a destination takes as a status's id. The server's \w may or
// may not take Cyrillic, so that we do not (yandex-metrica §5.6).
var statusID = regexp.MustCompile(`^[A-Za-z0-9_:-]{1,255}$`)

// scheme applies a flow's status pairs.
type scheme struct {
	byStatus map[string]string
	byBoth   map[pipelineStatus]string
}

type pipelineStatus struct{ pipeline, status string }

// newScheme indexes the pairs. "1:NEW" may be a status of pipeline 1 or, as in
// Bitrix24's "C1:NEW", a status whose own id has a colon: it is filed as both,
// and the pipeline goes first.
func newScheme(pairs []model.StatusPair, schema *model.Schema) scheme {
	s := scheme{make(map[string]string), make(map[pipelineStatus]string)}
	for _, pair := range pairs {
		text := carried(pair, schema)
		s.byStatus[pair.CRM] = text
		if pipeline, status, found := strings.Cut(pair.CRM, ":"); found {
			s.byBoth[pipelineStatus{pipeline, status}] = text
		}
	}
	return s
}

// typeOther is the type whose meaning lies in the status's id.
const typeOther = "OTHER"

// carried is what rows of the destination carry for a pair.
func carried(pair model.StatusPair, schema *model.Schema) string {
	if schema.StatusIsType && pair.Metrica != typeOther {
		return pair.Metrica
	}
	return pair.ID
}

func (s scheme) of(pipeline, status string) (string, bool) {
	if id, ok := s.byBoth[pipelineStatus{pipeline, status}]; ok {
		return id, true
	}
	id, ok := s.byStatus[status]
	return id, ok && status != ""
}

// recordStatus finds the status of a record in its source's words.
func recordStatus(rec model.Record) (pipeline, status string) {
	switch r := rec.(type) {
	case *model.Deal:
		return r.PipelineID, r.StatusID
	case *model.Call:
		return "", r.StatusID
	case *model.StageChange:
		return r.PipelineID, r.StatusID
	}
	return "", ""
}

// checkStatuses finds what is wrong with the pairs themselves.
func (b *builder) checkStatuses() {
	ids, sources := make(map[string]int), make(map[string]int)
	for i, pair := range b.spec.Statuses {
		key := func(member string) string { return fmt.Sprintf("statuses[%d].%s", i, member) }
		switch first, repeated := sources[pair.CRM]; {
		case strings.TrimSpace(pair.CRM) == "":
			b.fail(key("crm"), "the pair names no status of the source; write its id, for example crm: NEW, or pipeline:status")
		case repeated:
			b.fail(key("crm"), "status %s has a pair already (statuses[%d]); keep one of them", pair.CRM, first)
		default:
			sources[pair.CRM] = i
		}
		switch first, repeated := ids[pair.ID]; {
		case b.schema.StatusIsType && pair.Metrica != typeOther:
			// The id does not leave the hub.
		case pair.ID == "":
			b.fail(key("id"), "status %s has no id for the destination; write one, for example id: %q", pair.CRM, fmt.Sprintf("%03d", i+1))
		case !statusID.MatchString(pair.ID):
			b.fail(key("id"), "%q is no status id; use 1 to 255 Latin letters, digits, _, - and :, for example %q", short(pair.ID), fmt.Sprintf("%03d", i+1))
		case repeated:
			b.fail(key("id"), "the id %s is used by statuses[%d] already; ids are unique in a flow", pair.ID, first)
		default:
			ids[pair.ID] = i
		}
		b.checkStatusType(key("metrica"), pair)
	}
}

func (b *builder) checkStatusType(key string, pair model.StatusPair) {
	types := b.schema.StatusTypes
	if len(types) == 0 || slices.Contains(types, pair.Metrica) {
		return
	}
	if pair.Metrica == "" {
		b.fail(key, "status %s has no pair; write metrica: and one of %s", pair.CRM, strings.Join(types, ", "))
		return
	}
	b.fail(key, "%q is no status type; write one of %s%s", short(pair.Metrica), strings.Join(types, ", "), spelling.Hint(pair.Metrica, types))
}

// short cuts a foreign text for a message.
func short(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// Unmapped lists the statuses of the flow's record that its sources have and its
// scheme does not know. A flow that does not look at its scheme has none.
func (f *Flow) Unmapped(refs []model.Record) []*model.Reference {
	if !f.usesStatus {
		return nil
	}
	var missing []*model.Reference
	for _, record := range refs {
		ref, ok := record.(*model.Reference)
		if !ok || ref.Kind != model.KindStatus || ref.Deleted || !slices.Contains(f.spec.From, ref.Connection) {
			continue
		}
		if ref.Of != "" && ref.Of != f.spec.Record {
			continue
		}
		if _, paired := f.scheme.of(ref.PipelineID, ref.StatusID); !paired {
			missing = append(missing, ref)
		}
	}
	return missing
}
