package roistat

import (
	"context"
	"strings"

	"github.com/svod-hub/svod/model"
)

// plainMemory holds the connection whose ids are exported without a prefix, or
// noPlain. Ids must be stable for ever (roistat §2.4): a second source must not
// rename the orders of the first, or Roistat would delete them all.
const (
	plainMemory = "plain_ids_of"
	noPlain     = "-"
)

// naming makes ids that are unique over all sources.
type naming struct {
	all   bool   // no prefixes at all
	plain string // the connection that goes without
}

func (c *Connector) naming(ctx context.Context, sources []string) (naming, error) {
	switch c.IDs {
	case idsRaw:
		return naming{all: true}, nil
	case idsPrefixed:
		return naming{}, nil
	}
	plain, err := c.recall(ctx, plainMemory)
	if err != nil || plain != "" {
		return naming{plain: plain}, err
	}
	plain = noPlain
	if len(sources) == 1 {
		plain = sources[0]
	}
	return naming{plain: plain}, c.remember(ctx, plainMemory, plain)
}

// id names something of a source to Roistat; nothing stays nothing.
func (n naming) id(connection, id string) string {
	if id == "" || n.all || connection == n.plain {
		return id
	}
	return connection + ":" + id
}

// Statuses that no CRM has.
const (
	statusNew  = "svod:new"  // a lead that the CRM has not made an order of yet
	statusNone = "svod:none" // a deal without a status
)

// place is what a deal says about where it stands.
type place struct {
	Connection string `json:"c"`
	Pipeline   string `json:"p,omitempty"`
	Status     string `json:"s"`
}

// statusID names a status; unlike the CRM's it is unique over all pipelines
// (roistat §2.3).
func (n naming) statusID(at place, pipelined bool) string {
	if at.Status == "" {
		return statusNone
	}
	id := at.Status
	if pipelined && at.Pipeline != "" {
		id = at.Pipeline + ":" + at.Status
	}
	return n.id(at.Connection, id)
}

// repeats reports whether a source's statuses are unique only inside their
// pipeline, as amoCRM's 142 and 143 are: either the source itself names them
// "pipeline:status", or the same status is in two pipelines.
func repeats(statuses []*model.Reference) bool {
	in := map[string]string{}
	for _, s := range statuses {
		if s.PipelineID == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(s.ID, s.PipelineID); ok && len(rest) == len(s.StatusID)+1 && strings.HasSuffix(rest, s.StatusID) {
			return true
		}
		if pipeline, seen := in[s.StatusID]; seen && pipeline != s.PipelineID {
			return true
		}
		in[s.StatusID] = s.PipelineID
	}
	return false
}
