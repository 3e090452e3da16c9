package console

import (
	"net/http"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

type recordData struct {
	Record   view.Record
	Revealed bool
	Story    view.Story
	Related  []model.Key
}

// related are the links by which records belong together.
var related = []struct {
	kind model.Kind // that holds the link
	link string
	to   model.Kind
}{
	{model.KindDeal, "contact_id", model.KindContact},
	{model.KindLead, "contact_id", model.KindContact},
	{model.KindDeal, "company_id", model.KindCompany},
	{model.KindContact, "company_id", model.KindCompany},
	{model.KindDeal, "lead_id", model.KindLead},
	{model.KindStageChange, "deal_id", model.KindDeal},
}

// record tells the story of one record. Phones and e-mails are masked until the
// operator asks for them; that is written down.
func (c *Console) record(r *request) error {
	ctx := r.Request().Context()
	key := model.Key{Connection: r.QueryParam("connection"), Kind: model.Kind(r.QueryParam("kind")), ID: r.QueryParam("id")}
	if _, ok := r.project.Connection(key.Connection); !ok || !key.Kind.Valid() || key.ID == "" {
		return store.ErrNotFound
	}
	rec, err := c.opts.Store.Record(ctx, r.project.ID, key)
	if err != nil {
		return err
	}
	data := recordData{Revealed: r.QueryParam("reveal") != ""}
	if data.Record, err = view.NewRecord(rec, data.Revealed); err != nil {
		return err
	}
	if data.Story, err = view.NewStory(ctx, c.opts.Store, r.project.ID, key, data.Revealed, c.opts.Now()); err != nil {
		return err
	}
	if data.Related, err = c.relatives(r, rec); err != nil {
		return err
	}
	if data.Revealed {
		r.note("reveal", key.String())
	}
	return r.render(http.StatusOK, "record", "record.title", data)
}

// relatives names the records that this one holds links to, and a few that hold
// links to it.
func (c *Console) relatives(r *request, rec model.Record) ([]model.Key, error) {
	base := rec.Meta()
	var keys []model.Key
	for kind, id := range map[model.Kind]string{
		model.KindCompany: base.CompanyID, model.KindContact: base.ContactID, model.KindDeal: base.DealID, model.KindLead: base.LeadID,
	} {
		if id != "" {
			keys = append(keys, model.Key{Connection: base.Connection, Kind: kind, ID: id})
		}
	}
	known, err := c.opts.Store.RecordsByKeys(r.Request().Context(), r.project.ID, keys)
	if err != nil {
		return nil, err
	}
	var list []model.Key
	for _, kind := range model.Kinds() {
		for _, key := range keys {
			if key.Kind == kind && known[key] != nil {
				list = append(list, key)
			}
		}
	}
	for _, x := range related {
		if x.to != base.Kind {
			continue
		}
		ids, err := c.opts.Store.RelatedIDs(r.Request().Context(), r.project.ID, base.Connection, x.kind, x.link, base.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			list = append(list, model.Key{Connection: base.Connection, Kind: x.kind, ID: id})
		}
	}
	return list, nil
}
