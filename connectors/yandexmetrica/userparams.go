package yandexmetrica

import (
	"context"
	"strings"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// userParamsSchema is yandex-metrica §9. What is sent besides a few parameters of
// the record are the flow's own attributes.
func userParamsSchema() model.Schema {
	return model.Schema{
		As: asUserParams, Key: keyParameter, Attributes: true, AnyOf: [][]string{{"ClientId", "UserId"}},
		Parameters: []model.Parameter{
			keyOf(),
			{Name: "ClientId", Type: model.TypeClientIDs, Doc: "The visitor's Metrica ClientID. Of several the first is used; it wins over UserId."},
			{Name: "UserId", Type: model.TypeText, Doc: "The site's own id of the visitor, as given to setUserID."},
			{Name: "crm_id", Type: model.TypeID, Doc: "The record's id in the CRM, as a parameter of the visitor."},
			{Name: "crm_source", Type: model.TypeText, Doc: "Where the CRM says that the record came from."},
			{Name: "crm_created", Type: model.TypeDate, Doc: "Day on which the record was made."},
			{Name: "crm_tags", Type: model.TypeText, Doc: "The record's tags."},
		},
		Defaults: map[model.Kind]map[string]string{
			model.KindContact: {
				"id":          "contact.id",
				"ClientId":    "coalesce(contact.client_id, first(contact.client_ids))",
				"UserId":      "coalesce(contact.user_id, first(contact.user_ids))",
				"crm_id":      "contact.id",
				"crm_source":  "contact.source",
				"crm_created": "contact.created_at",
				"crm_tags":    "contact.tags",
			},
		},
	}
}

func userIdentifiers() []string { return []string{"ClientId", "UserId"} }

// identifierOf says by which identifier a row goes.
func identifierOf(columns []model.Column, row *model.Row) string {
	for _, name := range userIdentifiers() {
		for i, col := range columns {
			if col.Name == name && i < len(row.Values) && filled(row.Values[i]) {
				return name
			}
		}
	}
	return ""
}

// userParamRules are the checks of §9. The layout of the file is not known beyond
// doubt (§19.9): long has a line for each parameter, wide a column.
func userParamRules(_ context.Context, _ *Connector, u connectors.Upload, o flowOptions) (rules, error) {
	return rules{
		long: true,
		finish: func(row *cells) *model.Error {
			if !row.hasAny(userIdentifiers()...) {
				return model.Errorf(model.ClassPermanent, model.CauseNoIdentifier, "no ClientID and no UserID: whose parameters are these?")
			}
			return nil
		},
		wide: o.wide,
	}, nil
}

// longWriter writes user parameters: the identifier of the file's group first.
type longWriter struct {
	*sheetWriter
	identifier string
	begun      bool
}

// Write implements connectors.RowWriter.
func (w *longWriter) Write(row *model.Row) error {
	if w.failed != nil {
		return w.failed
	}
	if err := w.fill(row); err != nil {
		return err
	}
	group := ""
	for _, name := range userIdentifiers() {
		if group == "" && w.cells.has(name) {
			group = name
		}
	}
	if w.identifier == "" {
		w.identifier = group
	}
	if group != w.identifier {
		return w.fail(model.Errorf(model.ClassTemporary, model.CauseInternal, "a row goes by another identifier than the upload that it was put into"))
	}
	w.begin()
	mark := len(w.buf)
	if err := w.parameters(); err != nil {
		w.buf = w.buf[:mark]
		return err
	}
	if len(w.buf) == mark {
		return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "none of the parameters has a value; there is nothing to send of this visitor")
	}
	return w.keep(mark)
}

func (w *longWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	w.buf = append(w.buf, w.identifier...)
	if !w.rules.wide {
		w.buf = append(w.buf, ",Key,Value\n"...)
		return
	}
	for _, col := range w.columns {
		if !isIdentifier(col.name) {
			w.buf = append(append(w.buf, ','), col.name...)
		}
	}
	w.buf = append(w.buf, '\n')
}

func isIdentifier(name string) bool { return name == "ClientId" || name == "UserId" }

func (w *longWriter) parameters() error {
	var err error
	at := w.cells.at[w.identifier]
	id, err := w.cell.append(nil, &w.columns[at], w.cells.values[at])
	if err != nil {
		return err
	}
	if w.rules.wide {
		w.buf = append(w.buf, id...)
	}
	any := false
	for i := range w.columns {
		col := &w.columns[i]
		if isIdentifier(col.name) {
			continue
		}
		present := filled(w.cells.values[i])
		any = any || present
		switch {
		case w.rules.wide:
			w.buf = append(w.buf, ',')
		case !present:
			continue
		default:
			w.buf = append(append(append(append(w.buf, id...), ','), col.name...), ',')
		}
		if w.buf, err = w.cell.parameter(w.buf, col, w.cells.values[i]); err != nil {
			return err
		}
		if !w.rules.wide {
			w.buf = append(w.buf, '\n')
		}
	}
	if w.rules.wide {
		w.buf = append(w.buf, '\n')
		if !any {
			w.buf = w.buf[:len(w.buf)]
			return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "none of the parameters has a value; there is nothing to send of this visitor")
		}
	}
	return nil
}

// parameter writes a value of a visitor's parameter: text whatever its type.
func (c sheetCell) parameter(buf []byte, col *column, v any) ([]byte, error) {
	if list, ok := v.([]string); ok {
		return appendText(buf, strings.Join(list, ",")), nil
	}
	return c.append(buf, col, v)
}

// Close implements connectors.RowWriter.
func (w *longWriter) Close() error {
	if done, err := w.ended(); done {
		return err
	}
	if w.identifier == "" {
		w.identifier = userIdentifiers()[0]
	}
	w.begin()
	return w.finish()
}
