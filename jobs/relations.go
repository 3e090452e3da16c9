package jobs

import (
	"context"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// relations loads what the flow's expressions may ask of each due record, in
// one query for all.
func (r *run) relations(ctx context.Context, due []store.Due) ([]flow.Relations, error) {
	result := make([]flow.Relations, len(due))
	related := r.flow.Compiled.Related()
	if len(related) == 0 {
		return result, nil
	}
	wanted := map[model.Key]bool{}
	for i := range due {
		for _, kind := range related {
			if key, ok := relationKey(due[i].Record.Meta(), kind); ok {
				wanted[key] = true
			}
		}
	}
	if len(wanted) == 0 {
		return result, nil
	}
	keys := make([]model.Key, 0, len(wanted))
	for key := range wanted {
		keys = append(keys, key)
	}
	found, err := r.engine.store.RecordsByKeys(ctx, r.flow.Project.ID, keys)
	if err != nil {
		return nil, err
	}
	for i := range due {
		for _, kind := range related {
			if key, ok := relationKey(due[i].Record.Meta(), kind); ok {
				relate(&result[i], kind, found[key])
			}
		}
	}
	return result, nil
}

func relationKey(b *model.Base, kind model.Kind) (model.Key, bool) {
	id := ""
	switch kind {
	case model.KindCompany:
		id = b.CompanyID
	case model.KindContact:
		id = b.ContactID
	case model.KindDeal:
		id = b.DealID
	case model.KindEmployee:
		id = b.EmployeeID
	case model.KindLead:
		id = b.LeadID
	case model.KindVisit:
		id = b.VisitID
	}
	return model.Key{Connection: b.Connection, Kind: kind, ID: id}, id != ""
}

// relate fills in one relation. A deleted client is still the one whose order
// it was: the destination knows it by its id.
func relate(rel *flow.Relations, kind model.Kind, record model.Record) {
	switch r := record.(type) {
	case *model.Company:
		rel.Company = r
	case *model.Contact:
		rel.Contact = r
	case *model.Deal:
		if kind == model.KindLead {
			rel.Lead = r
		} else {
			rel.Deal = r
		}
	case *model.Reference:
		rel.Employee = r
	case *model.Visit:
		rel.Visit = r
	}
}
