package model

import "time"

// FlowSpec is a flow as svod.yaml describes it.
type FlowSpec struct {
	ID         string            `yaml:"id"`
	From       []string          `yaml:"from"`   // ids of source connections
	Record     Kind              `yaml:"record"` // what is sent
	To         string            `yaml:"to"`     // id of the destination connection
	As         string            `yaml:"as"`     // kind of upload: contacts, orders…
	Mode       string            `yaml:"mode"`
	ClientType string            `yaml:"client_type"` // CONTACT or COMPANY
	IDs        string            `yaml:"ids"`         // "raw": do not prefix ids with the connection
	When       string            `yaml:"when"`        // expression; empty lets everything through
	Map        map[string]string `yaml:"map"`         // parameter → expression; empty: the schema's default
	Statuses   []StatusPair      `yaml:"statuses"`
	Attributes []AttributeSpec   `yaml:"attributes"`
	Schedule   Schedule          `yaml:"schedule"`
	// Hash lists parameters to be sent as md5 only: phones, emails.
	Hash []string `yaml:"hash"`
	// Options are settings of the destination's connector for this flow.
	Options map[string]string `yaml:"options"`
	Paused  bool              `yaml:"paused"`
}

// StatusPair is one line of a flow's status scheme.
type StatusPair struct {
	CRM     string `yaml:"crm"`     // the source's status id, or "pipeline:status"
	ID      string `yaml:"id"`      // what the destination is given; unique in the flow
	Name    string `yaml:"name"`    // for people; defaults to the source's name of it
	Metrica string `yaml:"metrica"` // the destination's type: IN_PROGRESS, PAID…
}

// AttributeSpec declares a custom attribute at the destination.
type AttributeSpec struct {
	Name     string    `yaml:"name"`
	Title    string    `yaml:"title"`
	Type     ValueType `yaml:"type"` // text, decimal, date, time; default text
	Multiple bool      `yaml:"multiple"`
}

// Schedule says when a flow sends; the zero value is "as often as the
// destination allows".
type Schedule struct {
	Every   time.Duration
	Daily   string // "03:00" in the project's zone
	MaxRows int
	// PreviousDay sends a record only when the day of its creation is over, in the
	// project's zone.
	PreviousDay bool
	// Again lists days after the day of creation on which changes to a row that
	// was sent go again; changes wait for the next of them, and after the last one
	// they are not sent. Empty: changes go as they come.
	Again []int
}
