package flow

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr"

	"github.com/svod-hub/svod/internal/spelling"
	"github.com/svod-hub/svod/model"
)

// Client types of orders (yandex-metrica §5.4).
const (
	clientContact = "CONTACT"
	clientCompany = "COMPANY"
)

// idsRaw is the setting that keeps ids as the source has them.
const idsRaw = "raw"

// Flow is a compiled flow. Its methods may be called concurrently.
type Flow struct {
	spec        model.FlowSpec
	schema      model.Schema
	mode        string
	clientType  string
	when        *expression // nil: everything
	columns     []column
	key         int // index of the schema's key in columns
	needs       int // index of the parameter that names the needed row, or -1
	anyOf       [][]int
	prefix      bool
	related     []model.Kind
	usesStatus  bool
	scheme      scheme
	convert     conversion
	fingerprint string
	template    env
	machines    sync.Pool
}

// column is one value of the row and where it comes from.
type column struct {
	model.Column
	required bool
	prefix   bool          // put the connection before the value
	constant any           // when there are no sources
	sources  []*expression // more than one only for hashes
	hashOf   model.ValueType
}

// Compile checks a flow against the rows that its destination takes. The flow is
// nil when one of the problems is an error.
func Compile(spec model.FlowSpec, schema model.Schema, project Project) (*Flow, []Problem) {
	if project.Zone == nil {
		project.Zone = time.UTC
	}
	if project.Region == "" {
		project.Region = "RU"
	}
	b := &builder{
		spec: spec, schema: schema, project: project,
		compiler: newCompiler(helpers{zone: project.Zone, region: project.Region}),
		roots:    make(map[model.Kind]bool),
	}
	return b.build()
}

// builder compiles one flow and collects what is wrong with it.
type builder struct {
	spec       model.FlowSpec
	schema     model.Schema
	project    Project
	compiler   *compiler
	problems   []Problem
	paths      map[string]string // the effective map
	texts      map[string]*expression
	roots      map[model.Kind]bool
	usesStatus bool
	needsOff   bool // nobody sends what the rows need
}

func (b *builder) fail(key, format string, args ...any) {
	b.problems = append(b.problems, Problem{key, SeverityError, fmt.Sprintf(format, args...)})
}

func (b *builder) warn(key, format string, args ...any) {
	b.problems = append(b.problems, Problem{key, SeverityWarning, fmt.Sprintf(format, args...)})
}

func (b *builder) build() (*Flow, []Problem) {
	f := &Flow{spec: b.spec, schema: b.schema, needs: -1, convert: conversion{b.project.Zone, b.project.Region}}
	b.checkSource()
	f.mode = b.chooseMode()
	f.clientType = b.chooseClientType()
	b.chooseMap()
	f.prefix = len(b.spec.From) > 1 && b.spec.IDs != idsRaw
	if strings.TrimSpace(b.spec.When) != "" {
		f.when = b.compile("when", b.spec.When, expr.AsBool())
		b.checkSubject("when", f.when)
	}
	b.compileMap()
	b.checkRequired()
	b.checkClient(f.clientType)
	b.checkStatuses()
	b.checkStatusUse()
	b.checkAttributes()
	b.checkHash()
	b.arrange(f)
	for _, problem := range b.problems {
		if problem.Severity == SeverityError {
			return nil, b.problems
		}
	}
	f.usesStatus = b.usesStatus
	f.scheme = newScheme(b.spec.Statuses, &b.schema)
	f.related = b.related()
	f.template = blank(b.project)
	f.machines.New = func() any {
		m := new(machine)
		m.vm.MemoryBudget = memoryBudget
		return m
	}
	f.fingerprint = f.computeFingerprint(b.project)
	return f, b.problems
}

func (b *builder) checkSource() {
	if len(b.spec.From) == 0 {
		b.fail("from", "the flow has no source; write from: and the ids of connections")
	}
	switch {
	case b.spec.Record == "":
		b.fail("record", "the flow does not say what it sends; write record: and one of %s", strings.Join(subjects(), ", "))
	case !sendable(b.spec.Record):
		b.fail("record", "%q cannot be sent by a flow; write one of %s%s", short(string(b.spec.Record)), strings.Join(subjects(), ", "),
			spelling.Hint(string(b.spec.Record), subjects()))
	}
	if b.spec.IDs != "" && b.spec.IDs != idsRaw {
		b.fail("ids", "%q is no way to write ids; leave the key out, or write raw to send ids without the connection before them", short(b.spec.IDs))
	}
}

func subjects() []string {
	var names []string
	for _, kind := range model.Kinds() {
		if sendable(kind) {
			names = append(names, string(kind))
		}
	}
	return names
}

func (b *builder) chooseMode() string {
	modes := b.schema.Modes
	switch {
	case b.spec.Mode == "" && len(modes) > 0:
		return modes[0]
	case b.spec.Mode != "" && len(modes) == 0:
		b.fail("mode", "%s have no mode; leave the key out", b.schema.As)
	case b.spec.Mode != "" && !slices.Contains(modes, b.spec.Mode):
		b.fail("mode", "%q is no mode of %s; write one of %s%s", short(b.spec.Mode), b.schema.As, strings.Join(modes, ", "), spelling.Hint(b.spec.Mode, modes))
	}
	return b.spec.Mode
}

func (b *builder) chooseClientType() string {
	switch b.spec.ClientType {
	case "", clientContact, clientCompany:
	default:
		b.fail("client_type", "%q is no client type; write CONTACT or COMPANY", short(b.spec.ClientType))
	}
	if b.schema.NeedsParameter == "" {
		if _, has := b.schema.Parameter("client_type"); !has && b.spec.ClientType != "" {
			b.warn("client_type", "%s have no client type; leave the key out", b.schema.As)
		}
		return b.spec.ClientType
	}
	if b.spec.ClientType == "" {
		return clientContact
	}
	return b.spec.ClientType
}

func (b *builder) chooseMap() {
	b.paths = b.spec.Map
	if len(b.paths) > 0 {
		return
	}
	b.paths = b.schema.Defaults[b.spec.Record]
	if len(b.paths) == 0 && sendable(b.spec.Record) {
		b.fail("map", "there is no default map from %s to %s; write map: with at least %s", b.spec.Record, b.schema.As, strings.Join(b.requiredNames(), ", "))
	}
}

func (b *builder) requiredNames() []string {
	var names []string
	for _, p := range b.schema.Parameters {
		if p.Required && !b.automatic(p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

func (b *builder) compile(key, source string, options ...expr.Option) *expression {
	e, problems := b.compiler.compile(source, options...)
	for _, problem := range problems {
		b.fail(key, "%s", problem)
	}
	if e != nil {
		for root := range e.uses.roots {
			b.roots[root] = true
		}
		b.usesStatus = b.usesStatus || e.uses.status
	}
	return e
}

// checkSubject tells expressions over records that are neither the flow's nor
// related to them: they would always be empty.
func (b *builder) checkSubject(key string, e *expression) {
	if e == nil || !sendable(b.spec.Record) {
		return
	}
	for _, root := range slices.Sorted(maps.Keys(e.uses.roots)) {
		if root != b.spec.Record && !slices.Contains(relationKinds, root) {
			b.fail(key, "%s is neither the flow's record (%s) nor related to it; use %s or one of its relations", root, b.spec.Record, b.spec.Record)
		}
	}
}

func (b *builder) compileMap() {
	b.texts = make(map[string]*expression, len(b.paths))
	for _, name := range slices.Sorted(maps.Keys(b.paths)) {
		key := "map." + name
		as, known := b.typeOf(name)
		if !known {
			b.fail(key, "%s have no parameter %s%s", b.schema.As, short(name), b.unknownHint(name))
			continue
		}
		e := b.compile(key, b.paths[name])
		if e == nil {
			continue
		}
		b.checkSubject(key, e)
		b.checkValue(key, name, as, e)
		b.texts[name] = e
	}
}

func (b *builder) checkValue(key, name string, as model.ValueType, e *expression) {
	if !fits(e.result, as) {
		b.fail(key, "%s wants %s, and the expression gives another type of value", name, wants[as])
		return
	}
	if !e.isText {
		return
	}
	if _, problem := (conversion{b.project.Zone, b.project.Region}).convert(e.literal, as); problem != nil {
		b.fail(key, "%s %s: %q", name, problem.text, short(e.literal))
	}
}

// wants names types in a user's words.
var wants = map[model.ValueType]string{
	model.TypeText: "text", model.TypeID: "an id", model.TypeTime: "a time", model.TypeDate: "a date", model.TypeDecimal: "a number",
	model.TypeInteger: "a whole number", model.TypeFlag: "yes or no", model.TypeTexts: "texts", model.TypePhones: "phones",
	model.TypePhone: "a phone", model.TypeEmails: "e-mails", model.TypeMD5s: "md5 hashes", model.TypeClientIDs: "ClientIDs",
	model.TypeCurrency: "a currency code", model.TypeStatus: "a status id", model.TypeProducts: "products", model.TypeGoals: "goals",
}

// typeOf finds the type of a parameter or declared attribute.
func (b *builder) typeOf(name string) (model.ValueType, bool) {
	if p, ok := b.schema.Parameter(name); ok {
		return p.Type, true
	}
	for _, attribute := range b.spec.Attributes {
		if attribute.Name == name {
			return attributeType(attribute), true
		}
	}
	return "", false
}

func (b *builder) unknownHint(name string) string {
	var names []string
	for _, p := range b.schema.Parameters {
		names = append(names, p.Name)
	}
	hint := spelling.Hint(name, names)
	if hint == "" && b.schema.Attributes {
		return "; declare it under attributes if it is a custom one"
	}
	if hint == "" {
		return "; there are " + strings.Join(names, ", ")
	}
	return hint
}

func (b *builder) checkRequired() {
	if len(b.paths) == 0 {
		return
	}
	for _, p := range b.schema.Parameters {
		if _, mapped := b.paths[p.Name]; mapped || !p.Required || b.automatic(p.Name) {
			continue
		}
		example := ""
		if source := b.schema.Defaults[b.spec.Record][p.Name]; source != "" {
			example = fmt.Sprintf(", for example %s: %s", p.Name, source)
		}
		b.fail("map."+p.Name, "%s is required and has no source; add it to map%s", p.Name, example)
	}
	for _, group := range b.schema.AnyOf {
		if !slices.ContainsFunc(group, func(name string) bool { _, ok := b.paths[name]; return ok }) {
			b.fail("map", "at least one of %s must have a source, or nothing links the row to a visitor", strings.Join(group, ", "))
		}
	}
}

// automatic tells parameters that follow from the flow's settings.
func (b *builder) automatic(name string) bool { return name == "client_type" }

// checkStatusUse compares the scheme with the places that look at it.
func (b *builder) checkStatusUse() {
	switch {
	case b.usesStatus && len(b.spec.Statuses) == 0:
		b.fail("statuses", "%s uses status, and the flow has no statuses; add a pair for each status, for example {crm: WON, id: \"003\", metrica: PAID}", b.statusUser())
	case !b.usesStatus && len(b.spec.Statuses) > 0 && len(b.problems) == 0:
		b.warn("statuses", "no expression uses status, so that the statuses do nothing; write status where the destination wants it")
	}
}

func (b *builder) statusUser() string {
	for _, name := range slices.Sorted(maps.Keys(b.texts)) {
		if b.texts[name].uses.status {
			return "map." + name
		}
	}
	return "when"
}
