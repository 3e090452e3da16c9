// Package config reads svod.yaml: defaults, validation with the place of every
// mistake, and a dump without secrets.
//
// It knows the shape of the file and nothing of the systems in it: what a kind of
// connection is and which settings it takes is asked through Kinds.
package config

import (
	"net/netip"
	"time"

	"github.com/svod-hub/svod/model"
)

// Config is svod.yaml.
type Config struct {
	Server    Server
	Database  string // sqlite:PATH | postgres://…
	Redis     string // embedded | redis://… | rediss://… | redis-sentinel://… | redis-cluster://…
	SecretKey model.Secret
	Console   Console
	Retention Retention
	Outbound  Outbound
	Projects  []Project

	File string // where it was read from
}

// Server is where the hub listens and how much it takes.
type Server struct {
	Listen    string
	PublicURL string
	Limits    Limits
}

// Limits bound what callers may ask of the server.
type Limits struct {
	Body       int64 // bytes of a hook's body
	Journal    int   // entries that may wait to be written before hooks are told to come back
	HookRate   int   // hooks per second and connection; 0: unlimited
	PullHeader int   // bytes of a pull's request line and headers
}

// Console is who may operate the hub.
type Console struct {
	Users  []User
	Tokens []Token
}

// User signs in to the console.
type User struct {
	Name     string
	Password model.Secret
}

// Token opens /api/v1 to a script.
type Token struct {
	Name     string
	Token    model.Secret
	Projects []string // empty: all
}

// Retention is how long history is kept.
type Retention struct {
	Journal time.Duration
	Uploads time.Duration
}

// Outbound is what the hub may call.
type Outbound struct {
	Allow []netip.Prefix // private networks that may be dialled
}

// Project is a client's walled space.
type Project struct {
	ID          string
	Name        string
	Timezone    string
	Zone        *time.Location
	Currency    string
	Region      string // ISO 3166; of phones without a country code
	Connections []Connection
	Flows       []Flow
	Line        int
}

// Connection is an account in an external system.
type Connection struct {
	ID          string
	Kind        string
	HookSecret  model.Secret
	Poll        *time.Duration // 0: off
	RecordsFrom []string
	Settings    *Settings
	Line        int
}

// Flow is a flow and its place in the file.
type Flow struct {
	model.FlowSpec
	Line int
	// Lines gives the line of each key of the flow: "map.revenue",
	// "statuses[2].metrica".
	Lines map[string]int
}

// Kinds tells what the hub can be connected to.
type Kinds interface {
	Known(kind string) bool
	// Kinds lists all kinds, for suggestions.
	Kinds() []string
	// Settings lists the keys of a connection of the kind besides the common ones.
	Settings(kind string) []string
}

// Env looks a variable up; os.LookupEnv is one.
type Env func(name string) (string, bool)

// Problem is one mistake in the file.
type Problem struct {
	File    string
	Line    int
	Key     string
	Message string // what is wrong and what would be right
	Warning bool
}

// Problems are all mistakes of a file, in its order.
type Problems []Problem
