// Package config reads svod.yaml: defaults, validation with the place of every
// mistake, and a dump without secrets.
//
// It knows the shape of the file and nothing of the systems in it: what a kind of
// connection is and which settings it takes is asked through Kinds.
package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/svod-hub/svod/model"
)

// Config is svod.yaml. The tags doc are its documentation: they are printed into
// the JSON Schema.
type Config struct {
	Server    Server       `yaml:"server" doc:"Where the hub listens and how much it takes."`
	Database  string       `yaml:"database" doc:"sqlite:PATH or postgres://… Defaults to sqlite:data/svod.db."`
	Redis     string       `yaml:"redis" doc:"embedded, redis://…, rediss://…, redis-sentinel://… or redis-cluster://… Defaults to embedded."`
	SecretKey model.Secret `yaml:"secret_key" doc:"32 bytes in base64 that encrypt stored tokens. Made beside the database when absent."`
	// OldSecretKeys open what was stored before the key was changed; see svod rotate.
	OldSecretKeys []model.Secret `yaml:"old_secret_keys" doc:"Former or coming secret keys, which only open stored tokens; for a change of the key."`
	Console       Console        `yaml:"console" doc:"Who may operate the hub."`
	Alerts        Alerts         `yaml:"alerts" doc:"Who is told that something needs a person."`
	Retention     Retention      `yaml:"retention" doc:"How long history is kept."`
	Outbound      Outbound       `yaml:"outbound" doc:"What the hub may call."`
	Projects      []Project      `yaml:"projects" doc:"Clients, each with a walled space of its own."`

	File string `yaml:"-"` // where it was read from
}

// Server is where the hub listens and how much it takes.
type Server struct {
	Listen    string `yaml:"listen" doc:"Address and port to listen on. Defaults to 127.0.0.1:8080."`
	PublicURL string `yaml:"public_url" doc:"Address of the hub as other systems reach it; part of the addresses that it hands out."`
	Limits    Limits `yaml:"limits" doc:"What callers may ask of the server."`
}

// Limits bound what callers may ask of the server.
type Limits struct {
	Body       int64 `yaml:"body" as:"size" doc:"Largest body of a hook: bytes, or with KiB or MiB. Defaults to 1MiB."`
	HookRate   int   `yaml:"hook_rate" doc:"Hooks per second and connection; 0 does not limit them. Defaults to 0."`
	Journal    int   `yaml:"journal" doc:"Hooks that may wait to be written before senders are told to come back. Defaults to 20000."`
	PullHeader int   `yaml:"pull_header" as:"size" doc:"Largest request line with headers of a pull. Defaults to 1MiB."`
}

// Console is who may operate the hub.
type Console struct {
	Users  []User  `yaml:"users" doc:"Who may sign in. None given: one is made and printed once at first start."`
	Tokens []Token `yaml:"tokens" doc:"Bearer tokens for /api/v1."`
}

// User signs in to the console.
type User struct {
	Name     string       `yaml:"name" doc:"Name to sign in with."`
	Password model.Secret `yaml:"password" doc:"Password, best as ${NAME} or ${file:PATH}."`
}

// Token opens /api/v1 to a script.
type Token struct {
	Name     string       `yaml:"name" doc:"Name in logs and lists."`
	Token    model.Secret `yaml:"token" doc:"The token, best as ${NAME} or ${file:PATH}."`
	Projects []string     `yaml:"projects" doc:"Ids of the projects that it opens; all when left out."`
}

// Retention is how long history is kept.
type Retention struct {
	Journal time.Duration `yaml:"journal" doc:"Raw deliveries. Defaults to 30d."`
	Uploads time.Duration `yaml:"uploads" doc:"Finished uploads. Defaults to 180d."`
}

// Outbound is what the hub may call.
type Outbound struct {
	Allow []netip.Prefix `yaml:"allow" doc:"Private networks that may be dialled, such as 10.1.0.0/16. Public addresses always may."`
}

// Project is a client's walled space.
type Project struct {
	ID          string       `yaml:"id" doc:"Id in addresses and commands: lower-case Latin letters, digits and hyphens."`
	Name        string       `yaml:"name" doc:"Name for people. Defaults to the id."`
	Timezone    string       `yaml:"timezone" doc:"IANA time zone. Defaults to Europe/Moscow."`
	Currency    string       `yaml:"currency" doc:"ISO 4217 code. Defaults to RUB."`
	Region      string       `yaml:"region" doc:"Country (ISO 3166) of phones without a country code. Defaults to RU."`
	Connections []Connection `yaml:"connections" doc:"Accounts in external systems."`
	Flows       []Flow       `yaml:"flows" doc:"What goes from where to where."`

	Zone *time.Location `yaml:"-"` // of Timezone
	Line int            `yaml:"-"`
}

// Connection is an account in an external system.
type Connection struct {
	ID          string         `yaml:"id" doc:"Id in addresses and flows: lower-case Latin letters, digits and hyphens."`
	Kind        string         `yaml:"kind" doc:"What it connects to: bitrix24, yandex-metrica… The kind's own settings stand beside these keys."`
	HookSecret  model.Secret   `yaml:"hook_secret" doc:"Last part of the hook and pull address. Made and kept when absent."`
	Poll        *time.Duration `yaml:"poll" doc:"How often the system is asked for what hooks missed; 0 switches it off. Defaults to 10m."`
	RecordsFrom []string       `yaml:"records_from" doc:"Ids of connections whose records the system may read."`

	Settings *Settings `yaml:"-"` // the keys of the kind
	Line     int       `yaml:"-"`
}

// Flow is a flow and its place in the file.
type Flow struct {
	model.FlowSpec `yaml:",inline"`

	Line int `yaml:"-"`
	// Lines gives the line of each key of the flow: "map.revenue",
	// "statuses[2].metrica".
	Lines map[string]int `yaml:"-"`
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
	Key     string // projects[0].flows[1].map.revenue
	Message string // what is wrong and what would be right
	Warning bool
}

// String renders the problem for people: "svod.yaml:12: projects[0].id: …".
func (p Problem) String() string {
	text := p.File
	if p.Line > 0 {
		text += fmt.Sprintf(":%d", p.Line)
	}
	if p.Warning {
		text += ": warning"
	}
	if p.Key != "" {
		text += ": " + p.Key
	}
	return text + ": " + p.Message
}

// Problems are mistakes of a file, in its order.
type Problems []Problem

// Failed reports whether one of them is more than a warning.
func (p Problems) Failed() bool {
	for _, problem := range p {
		if !problem.Warning {
			return true
		}
	}
	return false
}

// problemError is a Problem that Decode returns as an error.
type problemError struct{ problem Problem }

// Error implements error. The place comes first.
func (e *problemError) Error() string { return e.problem.String() }

// Problem gives the mistake with its place.
func (e *problemError) Problem() Problem { return e.problem }
