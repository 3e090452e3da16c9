package flow

import (
	"strings"

	"github.com/svod-hub/svod/model"
)

// Catalogue answers questions about the sources' reference data.
type Catalogue interface {
	// Alias finds the code of a field by another name of it: its code in other
	// letters, its numeric id or its label.
	Alias(connection string, kind model.Kind, name string) (code string, ok bool)
	// StatusName and PipelineName give "" for what is not known.
	StatusName(connection string, kind model.Kind, pipelineID, statusID string) string
	PipelineName(connection, pipelineID string) string
}

// References is a Catalogue in memory. Its methods may be called concurrently.
type References struct {
	fields    map[fieldKey]string
	statuses  map[statusKey]string
	pipelines map[pipelineKey]string
}

type fieldKey struct {
	connection string
	kind       model.Kind
	name       string // lower case
}

type statusKey struct {
	connection string
	kind       model.Kind
	pipeline   string
	status     string
}

type pipelineKey struct{ connection, id string }

// NewCatalogue collects what the reference records among refs tell. When two
// fields answer to one name, a code goes before an alias and an alias before a
// label; between equals the first wins.
func NewCatalogue(refs []model.Record) *References {
	c := &References{
		fields:    make(map[fieldKey]string),
		statuses:  make(map[statusKey]string),
		pipelines: make(map[pipelineKey]string),
	}
	var fields []*model.Reference
	for _, record := range refs {
		ref, ok := record.(*model.Reference)
		if !ok || ref == nil || ref.Deleted {
			continue
		}
		switch ref.Kind {
		case model.KindField:
			fields = append(fields, ref)
		case model.KindPipeline:
			c.pipelines[pipelineKey{ref.Connection, ref.ID}] = ref.Name
		case model.KindStatus:
			c.addStatus(ref)
		}
	}
	for _, ref := range fields {
		c.addField(ref, ref.Code)
	}
	for _, ref := range fields {
		for _, alias := range ref.Aliases {
			c.addField(ref, alias)
		}
		c.addField(ref, ref.ID)
	}
	for _, ref := range fields {
		c.addField(ref, ref.Name)
	}
	return c
}

func (c *References) addField(ref *model.Reference, name string) {
	name = strings.ToLower(strings.TrimSpace(name))
	key := fieldKey{ref.Connection, ref.Of, name}
	if _, taken := c.fields[key]; name == "" || taken {
		return
	}
	code := ref.Code
	if code == "" {
		code = ref.ID
	}
	c.fields[key] = code
}

func (c *References) addStatus(ref *model.Reference) {
	status := ref.StatusID
	if status == "" {
		status = ref.ID
	}
	for _, key := range []statusKey{
		{ref.Connection, ref.Of, ref.PipelineID, status},
		{ref.Connection, ref.Of, "", status},
	} {
		if _, taken := c.statuses[key]; !taken {
			c.statuses[key] = ref.Name
		}
	}
}

// Alias implements Catalogue.
func (c *References) Alias(connection string, kind model.Kind, name string) (string, bool) {
	key := fieldKey{connection, kind, strings.ToLower(strings.TrimSpace(name))}
	if code, ok := c.fields[key]; ok {
		return code, true
	}
	key.kind = "" // a field that does not say what it belongs to
	code, ok := c.fields[key]
	return code, ok
}

// StatusName implements Catalogue.
func (c *References) StatusName(connection string, kind model.Kind, pipelineID, statusID string) string {
	for _, key := range []statusKey{
		{connection, kind, pipelineID, statusID},
		{connection, "", pipelineID, statusID},
		{connection, kind, "", statusID},
		{connection, "", "", statusID},
	} {
		if name, ok := c.statuses[key]; ok {
			return name
		}
	}
	return ""
}

// PipelineName implements Catalogue.
func (c *References) PipelineName(connection, pipelineID string) string {
	return c.pipelines[pipelineKey{connection, pipelineID}]
}
