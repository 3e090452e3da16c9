package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// register makes the destination know the status scheme and the attributes
// before the first row that uses them, and after each change.
func (r *run) register(ctx context.Context) error {
	statuses, err := r.engine.scheme(ctx, r.flow)
	if err != nil {
		return err
	}
	attributes := r.flow.Spec.Attributes
	print := fingerprint(statuses, attributes)
	if len(statuses) == 0 && len(attributes) == 0 || print == r.state.Statuses {
		return nil
	}
	if err := r.engine.registerNow(ctx, r.flow, statuses, attributes); err != nil {
		return err
	}
	r.state.Statuses = print
	return nil
}

// RegisterStatuses sends a flow's status scheme to its destination at once.
func (e *Engine) RegisterStatuses(ctx context.Context, f *Flow) (int, error) {
	statuses, err := e.scheme(ctx, f)
	if err != nil {
		return 0, err
	}
	if len(statuses) == 0 {
		return 0, fmt.Errorf("flow %s has no status scheme, or its destination needs none", f.Spec.ID)
	}
	attributes := f.Spec.Attributes
	if err := e.registerNow(ctx, f, statuses, attributes); err != nil {
		return 0, err
	}
	st, err := e.store.FlowState(ctx, f.Project.ID, f.Spec.ID)
	if err != nil {
		return 0, err
	}
	st.Project, st.Flow = f.Project.ID, f.Spec.ID
	st.Statuses = fingerprint(statuses, attributes)
	return len(statuses), e.store.SaveFlowState(ctx, st)
}

// CompareStatuses tells what RegisterStatuses would change at the destination;
// nil when it can't tell.
func (e *Engine) CompareStatuses(ctx context.Context, f *Flow) (*connectors.SchemeDifference, error) {
	comparer, ok := f.To.Connector.(connectors.SchemeComparer)
	if !ok {
		return nil, nil
	}
	statuses, err := e.scheme(ctx, f)
	if err != nil || len(statuses) == 0 {
		return nil, err
	}
	difference, err := comparer.CompareStatuses(ctx, statuses)
	if err != nil {
		return nil, fmt.Errorf("compare the status scheme of %s: %w", f.Spec.ID, err)
	}
	return &difference, nil
}

func (e *Engine) registerNow(ctx context.Context, f *Flow, statuses []connectors.Status, attributes []model.AttributeSpec) error {
	if len(statuses) > 0 {
		keeper, ok := f.To.Connector.(connectors.StatusKeeper)
		if !ok {
			return nil
		}
		if err := keeper.PutStatuses(ctx, statuses); err != nil {
			return fmt.Errorf("register the status scheme of %s: %w", f.Spec.ID, err)
		}
	}
	if len(attributes) > 0 {
		keeper, ok := f.To.Connector.(connectors.AttributeKeeper)
		if !ok {
			return nil
		}
		declared := make([]connectors.Attribute, len(attributes))
		for i, a := range attributes {
			declared[i] = connectors.Attribute{Name: a.Name, Title: a.Title, Type: a.Type, Multiple: a.Multiple}
		}
		if err := keeper.PutAttributes(ctx, f.Spec.As, declared); err != nil {
			return fmt.Errorf("register the attributes of %s: %w", f.Spec.ID, err)
		}
	}
	return nil
}

// scheme joins the status schemes of all flows that upload this kind to this
// destination: whether registering replaces the list is not documented, so the
// whole of it is sent (yandex-metrica §5.6).
func (e *Engine) scheme(ctx context.Context, f *Flow) ([]connectors.Status, error) {
	if !f.Schema.RegistersStatuses {
		return nil, nil
	}
	catalogue, err := e.catalogue(ctx, f.Project.ID)
	if err != nil {
		return nil, err
	}
	var statuses []connectors.Status
	seen := map[string]bool{}
	for _, other := range f.Project.into(f.To, f.Spec.As) {
		for _, pair := range other.Compiled.NamedStatuses(catalogue) {
			if seen[pair.ID] {
				continue
			}
			seen[pair.ID] = true
			statuses = append(statuses, connectors.Status{ID: pair.ID, Name: pair.Name, Type: pair.Metrica})
		}
	}
	return statuses, nil
}

func fingerprint(values ...any) string {
	data, err := json.Marshal(values)
	if err != nil { // plain structs of strings
		return err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:12])
}
