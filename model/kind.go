package model

import "slices"

// Kind says what a record is about.
type Kind string

// The kinds of records. Reference data (Status, Pipeline, Field, Employee) are
// records too, so that they have history, lists and a place in the feed.
const (
	KindCall        Kind = "call"
	KindChat        Kind = "chat"
	KindCompany     Kind = "company"
	KindContact     Kind = "contact"
	KindCost        Kind = "cost"
	KindDeal        Kind = "deal"
	KindEmployee    Kind = "employee"
	KindField       Kind = "field"
	KindGoal        Kind = "goal"
	KindLead        Kind = "lead"
	KindPipeline    Kind = "pipeline"
	KindRequest     Kind = "request"
	KindStageChange Kind = "stage_change"
	KindStatus      Kind = "status"
	KindVisit       Kind = "visit"
)

var kinds = []Kind{
	KindCall, KindChat, KindCompany, KindContact, KindCost, KindDeal, KindEmployee, KindField,
	KindGoal, KindLead, KindPipeline, KindRequest, KindStageChange, KindStatus, KindVisit,
}

// Kinds lists every kind in alphabetical order.
func Kinds() []Kind { return slices.Clone(kinds) }

// Valid reports whether k is a kind that we know.
func (k Kind) Valid() bool { return slices.Contains(kinds, k) }

// Reference reports whether records of this kind describe the source itself
// (its pipelines, fields, people) rather than its business.
func (k Kind) Reference() bool {
	switch k {
	case KindEmployee, KindField, KindPipeline, KindStatus:
		return true
	}
	return false
}

// Ref names one record inside a connection.
type Ref struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"` // the source's own id, as text
}

// Key names one record inside a project.
type Key struct {
	Connection string `json:"connection"`
	Kind       Kind   `json:"kind"`
	ID         string `json:"id"`
}

// Ref drops the connection.
func (k Key) Ref() Ref { return Ref{Kind: k.Kind, ID: k.ID} }

// String renders the key for people: "b24/deal/123".
func (k Key) String() string { return k.Connection + "/" + string(k.Kind) + "/" + k.ID }
