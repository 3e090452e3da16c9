package flow

import (
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/vm"

	"github.com/svod-hub/svod/model"
)

// env is what expressions see. Nothing in it is ever nil: what is not there is
// an empty record.
type env struct {
	Call        *model.Call        `expr:"call"`
	Chat        *model.Event       `expr:"chat"`
	Company     *model.Company     `expr:"company"`
	Contact     *model.Contact     `expr:"contact"`
	Cost        *model.Cost        `expr:"cost"`
	Deal        *model.Deal        `expr:"deal"`
	Employee    *model.Reference   `expr:"employee"`
	Goal        *model.Event       `expr:"goal"`
	Lead        *model.Deal        `expr:"lead"`
	Request     *model.Event       `expr:"request"`
	StageChange *model.StageChange `expr:"stage_change"`
	Visit       *model.Visit       `expr:"visit"`

	Project projectEnv `expr:"project"`
	Status  string     `expr:"status"`

	catalogue Catalogue
}

type projectEnv struct {
	ID       string `expr:"id"`
	Currency string `expr:"currency"`
	Timezone string `expr:"timezone"`
}

// relationKinds are the kinds that a record may be tied to.
var relationKinds = []model.Kind{
	model.KindCompany, model.KindContact, model.KindDeal, model.KindEmployee, model.KindLead, model.KindVisit,
}

// sendable reports whether records of the kind can be the subject of a flow.
func sendable(kind model.Kind) bool {
	return kind.Valid() && (!kind.Reference() || kind == model.KindEmployee)
}

// nothing is a Catalogue that knows nothing.
type nothing struct{}

func (nothing) Alias(string, model.Kind, string) (string, bool)          { return "", false }
func (nothing) StatusName(string, model.Kind, string, string) string     { return "" }
func (nothing) PipelineName(connection, pipelineID string) (name string) { return "" }

// blank makes the environment of a record without any relation.
func blank(project Project) env {
	return env{
		Call:        &model.Call{Base: model.Base{Kind: model.KindCall}},
		Chat:        &model.Event{Base: model.Base{Kind: model.KindChat}},
		Company:     &model.Company{Base: model.Base{Kind: model.KindCompany}},
		Contact:     &model.Contact{Base: model.Base{Kind: model.KindContact}},
		Cost:        &model.Cost{Base: model.Base{Kind: model.KindCost}},
		Deal:        &model.Deal{Base: model.Base{Kind: model.KindDeal}},
		Employee:    &model.Reference{Base: model.Base{Kind: model.KindEmployee}},
		Goal:        &model.Event{Base: model.Base{Kind: model.KindGoal}},
		Lead:        &model.Deal{Base: model.Base{Kind: model.KindLead}},
		Request:     &model.Event{Base: model.Base{Kind: model.KindRequest}},
		StageChange: &model.StageChange{Base: model.Base{Kind: model.KindStageChange}},
		Visit:       &model.Visit{Base: model.Base{Kind: model.KindVisit}},
		Project:     projectEnv{ID: project.ID, Currency: project.Currency, Timezone: project.Zone.String()},
		catalogue:   nothing{},
	}
}

// set puts the record and its relations in place. It reports false for a record
// whose type is not that of its kind.
func (e *env) set(rec model.Record, rel Relations) bool {
	e.relate(rec.Meta(), rel)
	kind := rec.Meta().Kind
	switch r := rec.(type) {
	case *model.Call:
		e.Call = r
	case *model.Company:
		e.Company = r
	case *model.Contact:
		e.Contact = r
	case *model.Cost:
		e.Cost = r
	case *model.Deal:
		switch kind {
		case model.KindDeal:
			e.Deal = r
		case model.KindLead:
			e.Lead = r
		default:
			return false
		}
	case *model.Event:
		switch kind {
		case model.KindChat:
			e.Chat = r
		case model.KindGoal:
			e.Goal = r
		case model.KindRequest:
			e.Request = r
		default:
			return false
		}
	case *model.Reference:
		e.Employee = r
	case *model.StageChange:
		e.StageChange = r
	case *model.Visit:
		e.Visit = r
	default:
		return false
	}
	return true
}

// relate puts relations in place. Of a related record that is not at hand the
// link still tells the id, which is all that most rows want of it.
func (e *env) relate(base *model.Base, rel Relations) {
	known := func(kind model.Kind, id string) model.Base {
		return model.Base{Kind: kind, Connection: base.Connection, ID: id}
	}
	switch {
	case rel.Company != nil:
		e.Company = rel.Company
	case base.CompanyID != "":
		e.Company = &model.Company{Base: known(model.KindCompany, base.CompanyID)}
	}
	switch {
	case rel.Contact != nil:
		e.Contact = rel.Contact
	case base.ContactID != "":
		e.Contact = &model.Contact{Base: known(model.KindContact, base.ContactID)}
	}
	switch {
	case rel.Deal != nil:
		e.Deal = rel.Deal
	case base.DealID != "":
		e.Deal = &model.Deal{Base: known(model.KindDeal, base.DealID)}
	}
	switch {
	case rel.Employee != nil:
		e.Employee = rel.Employee
	case base.EmployeeID != "":
		e.Employee = &model.Reference{Base: known(model.KindEmployee, base.EmployeeID)}
	}
	switch {
	case rel.Lead != nil:
		e.Lead = rel.Lead
	case base.LeadID != "":
		e.Lead = &model.Deal{Base: known(model.KindLead, base.LeadID)}
	}
	switch {
	case rel.Visit != nil:
		e.Visit = rel.Visit
	case base.VisitID != "":
		e.Visit = &model.Visit{Base: known(model.KindVisit, base.VisitID)}
	}
}

// machine is what one evaluation needs; machines are reused.
type machine struct {
	env env
	vm  vm.VM
}

var (
	typeDate     = reflect.TypeFor[model.Date]()
	typeDeal     = reflect.TypeFor[*model.Deal]()
	typeDecimal  = reflect.TypeFor[model.Decimal]()
	typeDuration = reflect.TypeFor[time.Duration]()
	typeEnv      = reflect.TypeFor[env]()
	typeFields   = reflect.TypeFor[model.Fields]()
	typeKind     = reflect.TypeFor[model.Kind]()
	typeRecord   = reflect.TypeFor[model.Record]()
	typeTime     = reflect.TypeFor[time.Time]()
)

// member finds the type of a member as expressions name it.
func member(of reflect.Type, name string) (reflect.Type, bool) {
	for _, field := range visible(of) {
		if field.name == name {
			return field.typ, true
		}
	}
	return nil, false
}

// members lists the names of a type's members in alphabetical order.
func members(of reflect.Type) []string {
	var names []string
	for _, field := range visible(of) {
		names = append(names, field.name)
	}
	slices.Sort(names)
	return names
}

type visibleField struct {
	name string
	typ  reflect.Type
}

// visible lists the members of a struct that carry an expr tag: those without
// are Go's business.
func visible(of reflect.Type) []visibleField {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	var fields []visibleField
	for _, field := range reflect.VisibleFields(of) {
		if tag := field.Tag.Get("expr"); tag != "" && tag != "-" && field.IsExported() {
			fields = append(fields, visibleField{tag, field.Type})
		}
	}
	return fields
}
