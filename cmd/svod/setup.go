package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
	"github.com/svod-hub/svod/flow"
	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
)

// lend gives each connection what it works with.
type lend func(p *config.Project, c *config.Connection) connectors.Deps

// buildSetup turns the configuration into connectors and compiled flows. It
// does no I/O; every mistake comes with its place in the file.
func buildSetup(cfg *config.Config, kinds *registry.Registry, deps lend) (*jobs.Setup, config.Problems) {
	b := &setupBuilder{cfg: cfg, kinds: kinds, deps: deps}
	setup := &jobs.Setup{}
	for i := range cfg.Projects {
		setup.Projects = append(setup.Projects, b.project(&cfg.Projects[i]))
	}
	return setup, b.problems
}

type setupBuilder struct {
	cfg      *config.Config
	kinds    *registry.Registry
	deps     lend
	problems config.Problems
}

func (b *setupBuilder) problem(line int, warning bool, key, format string, args ...any) {
	b.problems = append(b.problems, config.Problem{
		File: b.cfg.File, Line: line, Key: key, Warning: warning, Message: fmt.Sprintf(format, args...),
	})
}

func (b *setupBuilder) project(p *config.Project) *jobs.Project {
	project := &jobs.Project{ID: p.ID, Name: p.Name, Zone: p.Zone}
	for i := range p.Connections {
		if c := b.connection(p, &p.Connections[i]); c != nil {
			project.Connections = append(project.Connections, c)
		}
	}
	for i := range p.Flows {
		if f := b.flow(p, &p.Flows[i], project); f != nil {
			project.Flows = append(project.Flows, f)
		}
	}
	return project
}

func (b *setupBuilder) connection(p *config.Project, c *config.Connection) *jobs.Connection {
	kind, ok := b.kinds.Type(c.Kind)
	if !ok {
		return nil // told by config.Load
	}
	deps := b.deps(p, c)
	connector, err := kind.New(c.Settings, deps)
	if err != nil {
		b.connectionProblems(c, err)
		return nil
	}
	poll := 10 * time.Minute
	if c.Poll != nil {
		poll = *c.Poll
	}
	return &jobs.Connection{
		Project: p.ID, ID: c.ID, Kind: c.Kind, Title: kind.Title.EN, Connector: connector, Poll: poll,
		Receives: kind.Receives, Pulls: kind.Pulls, RecordsFrom: c.RecordsFrom,
	}
}

// connectionProblems takes errors.Join apart, one problem each.
func (b *setupBuilder) connectionProblems(c *config.Connection, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			b.connectionProblems(c, e)
		}
		return
	}
	if placed, ok := err.(interface{ Problem() config.Problem }); ok {
		b.problems = append(b.problems, placed.Problem())
		return
	}
	key, message, found := strings.Cut(err.Error(), ": ")
	if !found || strings.Contains(key, " ") {
		key, message = "", err.Error()
	}
	b.problem(c.Line, false, strings.TrimSuffix("connections."+c.ID+"."+key, "."), "%s", message)
}

func (b *setupBuilder) flow(p *config.Project, f *config.Flow, project *jobs.Project) *jobs.Flow {
	var to *jobs.Connection
	for _, c := range project.Connections {
		if c.ID == f.To {
			to = c
		}
	}
	if to == nil {
		return nil // told by config.Load, or its connection has problems
	}
	kind, _ := b.kinds.Type(to.Kind)
	schema, ok := schemaOf(kind, f.As)
	if !ok {
		b.problem(f.Lines["as"], false, "flows."+f.ID+".as", "%s takes no %q; it takes %s", to.Kind, f.As, strings.Join(uploadsOf(kind), ", "))
		return nil
	}
	compiled, problems := flow.Compile(f.FlowSpec, schema, flow.Project{
		ID: p.ID, Zone: p.Zone, Currency: p.Currency, Region: p.Region, Flows: specs(p),
	})
	broken := false
	for _, problem := range problems {
		broken = broken || problem.Severity == flow.SeverityError
		b.problem(lineOf(f, problem.Key), problem.Severity == flow.SeverityWarning, "flows."+f.ID+"."+problem.Key, "%s", problem.Message)
	}
	if compiled != nil {
		broken = b.checkOptions(f, to, compiled) || broken
	}
	if broken {
		return nil
	}
	return &jobs.Flow{Project: project, Spec: f.FlowSpec, Compiled: compiled, Schema: schema, To: to}
}

// checkOptions lets the destination's connector look at the flow's options.
func (b *setupBuilder) checkOptions(f *config.Flow, to *jobs.Connection, compiled *flow.Flow) (broken bool) {
	checker, ok := to.Connector.(connectors.FlowChecker)
	if !ok {
		return false
	}
	upload := connectors.Upload{
		As: f.As, Mode: compiled.Mode(), ClientType: f.ClientType, Columns: compiled.Columns(), Options: f.Options,
	}
	for _, err := range checker.CheckFlow(upload) {
		broken = true
		key, message, found := strings.Cut(err.Error(), ": ")
		if !found || strings.Contains(key, " ") {
			key, message = "options", err.Error()
		}
		b.problem(lineOf(f, key), false, "flows."+f.ID+"."+key, "%s", message)
	}
	return broken
}

// lineOf finds the nearest line that the file has for a key.
func lineOf(f *config.Flow, key string) int {
	for key != "" {
		if line, ok := f.Lines[key]; ok {
			return line
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return f.Line
}

func specs(p *config.Project) []model.FlowSpec {
	all := make([]model.FlowSpec, len(p.Flows))
	for i, f := range p.Flows {
		all[i] = f.FlowSpec
	}
	return all
}

func schemaOf(kind connectors.Type, as string) (model.Schema, bool) {
	for _, s := range kind.Schemas {
		if s.As == as {
			return s, true
		}
	}
	return model.Schema{}, false
}

func uploadsOf(kind connectors.Type) []string {
	names := make([]string, len(kind.Schemas))
	for i, s := range kind.Schemas {
		names[i] = s.As
	}
	if len(names) == 0 {
		return []string{"no uploads"}
	}
	return names
}

// views is the set-up as the console and `svod status` show it.
func views(cfg *config.Config, kinds *registry.Registry, secret func(project, connection string) string) []view.Project {
	var projects []view.Project
	for _, p := range cfg.Projects {
		v := view.Project{ID: p.ID, Name: p.Name, Zone: p.Zone}
		for _, c := range p.Connections {
			kind, _ := kinds.Type(c.Kind)
			vc := view.Connection{ID: c.ID, Kind: c.Kind, Title: kind.Title}
			if kind.Receives {
				vc.HookURL = address(cfg, "hooks", p.ID, c.ID, secret(p.ID, c.ID))
			}
			if kind.Pulls {
				vc.PullURL = address(cfg, "pull", p.ID, c.ID, secret(p.ID, c.ID))
			}
			v.Connections = append(v.Connections, vc)
		}
		for _, f := range p.Flows {
			v.Flows = append(v.Flows, view.Flow{
				ID: f.ID, Record: f.Record, As: f.As, From: f.From, To: f.To, Paused: f.Paused, HasStatuses: len(f.Statuses) > 0,
			})
		}
		projects = append(projects, v)
	}
	return projects
}

func address(cfg *config.Config, parts ...string) string {
	base := cfg.Server.PublicURL
	if base == "" {
		base = "http://" + cfg.Server.Listen
	}
	return strings.TrimRight(base, "/") + "/" + strings.Join(parts, "/")
}
