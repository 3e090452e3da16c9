package console

import (
	"net/http"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var recordFields = []string{"connection", "kind", "text", "live"}

type recordsData struct {
	Fields  *fields
	Records []view.Record
	More    string
}

// records lists records; phones and e-mails are masked.
func (c *Console) records(r *request) error {
	f := newFields(r.QueryParams(), r.project.ZoneOrUTC())
	data := recordsData{Fields: f}
	filter := store.RecordFilter{
		Project: r.project.ID, Kind: model.Kind(f.Get("kind")), Text: f.Get("text"), Live: f.Get("live") != "",
		AfterKey: model.Key{Connection: f.Get("after_connection"), ID: f.Get("after")}, Limit: pageSize,
	}
	if !filter.Kind.Valid() {
		filter.Kind = model.KindDeal
		f.values.Set("kind", string(filter.Kind))
	}
	filter.AfterKey.Kind = filter.Kind
	if filter.AfterKey.ID == "" {
		filter.AfterKey = model.Key{}
	}
	if connection := f.Get("connection"); connection != "" {
		filter.Connections = []string{connection}
	}
	list, err := c.opts.Store.Records(r.Request().Context(), filter)
	if err != nil {
		return err
	}
	for _, rec := range list {
		shown, err := view.NewRecord(rec, false)
		if err != nil {
			return err
		}
		data.Records = append(data.Records, shown)
	}
	if len(list) == pageSize {
		last := data.Records[len(list)-1]
		data.More = r.at("/records?" + f.with(recordFields, "after_connection", last.Connection, "after", last.ID))
	}
	return r.render(http.StatusOK, "records", "nav.records", data)
}
