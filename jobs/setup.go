package jobs

import (
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/model"
)

// Setup is what the configuration asks for, ready to work with. It does not
// change while the hub runs.
type Setup struct {
	Projects []*Project
}

// Project is a client's walled space.
type Project struct {
	ID          string
	Name        string
	Zone        *time.Location
	Connections []*Connection
	Flows       []*Flow
}

// Connection is an account in an external system.
type Connection struct {
	Project   string
	ID        string
	Kind      string
	Title     string // of the kind
	Connector connectors.Connector
	Poll      time.Duration // between polls; 0: only the import
	Receives  bool
	Pulls     bool
	// RecordsFrom are the connections whose records a puller may read.
	RecordsFrom []string
}

// Flow is a compiled flow with its two ends.
type Flow struct {
	Project  *Project
	Spec     model.FlowSpec
	Compiled *flow.Flow
	Schema   model.Schema
	To       *Connection
}

// Project finds a project.
func (s *Setup) Project(id string) *Project {
	for _, p := range s.Projects {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Connection finds a connection of the project.
func (s *Setup) Connection(project, id string) *Connection {
	if p := s.Project(project); p != nil {
		for _, c := range p.Connections {
			if c.ID == id {
				return c
			}
		}
	}
	return nil
}

// Flow finds a flow of the project.
func (s *Setup) Flow(project, id string) *Flow {
	if p := s.Project(project); p != nil {
		for _, f := range p.Flows {
			if f.Spec.ID == id {
				return f
			}
		}
	}
	return nil
}

// fedBy lists the flows that a connection's records may concern.
func (p *Project) fedBy(connection string) []*Flow {
	var fed []*Flow
	for _, f := range p.Flows {
		for _, from := range f.Spec.From {
			if from == connection {
				fed = append(fed, f)
				break
			}
		}
	}
	return fed
}

// into lists the flows that upload one kind to one destination.
func (p *Project) into(to *Connection, as string) []*Flow {
	var flows []*Flow
	for _, f := range p.Flows {
		if f.To == to && f.Spec.As == as {
			flows = append(flows, f)
		}
	}
	return flows
}

// waitingOn lists the flows whose rows need a row of the given flow first.
func (p *Project) waitingOn(f *Flow) []*Flow {
	var flows []*Flow
	for _, other := range p.Flows {
		if other.To == f.To && other.Schema.NeedsAs == f.Spec.As && other.Schema.NeedsAs != "" {
			flows = append(flows, other)
		}
	}
	return flows
}

func flowIDs(flows []*Flow) []string {
	ids := make([]string, len(flows))
	for i, f := range flows {
		ids[i] = f.Spec.ID
	}
	return ids
}
