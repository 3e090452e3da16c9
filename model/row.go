package model

// ValueType says how a destination's parameter is to be filled.
type ValueType string

// The types of parameters. The Go type of a Row's value is given behind each.
const (
	TypeText      ValueType = "text"       // string
	TypeID        ValueType = "id"         // string without spaces around
	TypeTime      ValueType = "time"       // time.Time
	TypeDate      ValueType = "date"       // Date
	TypeDecimal   ValueType = "decimal"    // Decimal
	TypeInteger   ValueType = "integer"    // int64
	TypeFlag      ValueType = "flag"       // bool
	TypeTexts     ValueType = "texts"      // []string
	TypePhones    ValueType = "phones"     // []string, digits with country code, 10 to 15
	TypePhone     ValueType = "phone"      // string, likewise
	TypeEmails    ValueType = "emails"     // []string, lower case
	TypeMD5s      ValueType = "md5s"       // []string, lower-case hex
	TypeClientIDs ValueType = "client_ids" // []string of digits
	TypeCurrency  ValueType = "currency"   // string, ISO 4217
	TypeStatus    ValueType = "status"     // string: an id of the flow's status scheme
	TypeProducts  ValueType = "products"   // []Product
	TypeGoals     ValueType = "goals"      // []GoalHit
)

// GoalHit is a goal that a row reaches, with an optional price.
type GoalHit struct {
	ID    string  `json:"id" expr:"id"`
	Price Decimal `json:"price,omitzero" expr:"price"`
}

// Parameter is one member of a destination's row.
type Parameter struct {
	Name     string
	Type     ValueType
	Required bool
	Doc      string // one sentence, English; for `svod help` and the docs
}

// Schema describes the rows of one kind of upload.
type Schema struct {
	As         string // contacts, orders…
	Parameters []Parameter
	// Key is the parameter that identifies the row at the destination.
	Key string
	// Modes are the accepted values of a flow's mode; the first is the default.
	// Empty: the flow has no mode.
	Modes []string
	// StatusTypes are the destination's types of status; empty: rows carry none.
	StatusTypes []string
	// RegistersStatuses says that the flow's status scheme must be registered at
	// the destination before the first row that uses it.
	RegistersStatuses bool
	// StatusIsType says that nothing is registered: rows carry the type of the
	// status itself or, for OTHER, its id.
	StatusIsType bool
	// AnyOf lists groups of parameters of which at least one must be filled.
	AnyOf [][]string
	// NeedsAs and NeedsParameter: a row may be sent only after the row of the
	// flow kind NeedsAs whose key is in NeedsParameter was accepted by the same
	// destination.
	NeedsAs        string
	NeedsParameter string
	// Attributes says that the flow may declare attributes of its own.
	Attributes bool
	// Defaults are the documented maps per kind of record.
	Defaults map[Kind]map[string]string
}

// Parameter finds a parameter by name.
func (s *Schema) Parameter(name string) (Parameter, bool) {
	for _, p := range s.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// Row is a record as a destination wants it. Values stand in the order of the
// flow's columns; a nil value means empty.
type Row struct {
	Record Key    // where it came from
	Seq    int64  // the record's change number
	Key    string // value of the schema's key
	Needs  string // key of the row that must be there first, or ""
	Values []any
}

// Column is one filled parameter of a flow, in the order of the schema.
type Column struct {
	Name      string
	Type      ValueType
	Attribute bool // declared by the flow, not known to the schema
}
