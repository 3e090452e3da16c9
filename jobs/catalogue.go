package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// catalogues keeps each project's reference data at hand for a short while.
type catalogues struct {
	mu   sync.Mutex
	kept map[string]keptCatalogue
}

type keptCatalogue struct {
	catalogue flow.Catalogue
	until     time.Time
}

// catalogueKept bounds how long another process's renaming goes unseen.
const catalogueKept = 15 * time.Second

func (k *catalogues) forget(project string) {
	k.mu.Lock()
	delete(k.kept, project)
	k.mu.Unlock()
}

// catalogue gives the project's reference data.
func (e *Engine) catalogue(ctx context.Context, project string) (flow.Catalogue, error) {
	e.catalogues.mu.Lock()
	kept, ok := e.catalogues.kept[project]
	e.catalogues.mu.Unlock()
	if ok && e.now().Before(kept.until) {
		return kept.catalogue, nil
	}
	var refs []model.Record
	for _, kind := range []model.Kind{model.KindField, model.KindPipeline, model.KindStatus} {
		records, err := allRecords(ctx, e.store, store.RecordFilter{Project: project, Kind: kind, Live: true})
		if err != nil {
			return nil, err
		}
		refs = append(refs, records...)
	}
	catalogue := flow.NewCatalogue(refs)
	e.catalogues.mu.Lock()
	if e.catalogues.kept == nil {
		e.catalogues.kept = map[string]keptCatalogue{}
	}
	e.catalogues.kept[project] = keptCatalogue{catalogue: catalogue, until: e.now().Add(catalogueKept)}
	e.catalogues.mu.Unlock()
	return catalogue, nil
}

// allRecords pages through everything that a filter selects.
func allRecords(ctx context.Context, db *store.DB, f store.RecordFilter) ([]model.Record, error) {
	f.Limit = 1000
	var all []model.Record
	for {
		page, err := db.Records(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < f.Limit {
			return all, nil
		}
		f.AfterKey = page[len(page)-1].Meta().Key()
	}
}
