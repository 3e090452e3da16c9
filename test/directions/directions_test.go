// Package directions keeps the directions in which rooms of the hub may import
// each other: see "Rooms" in docs/architecture.md.
package directions

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/svod-hub/svod/"

// rooms says for every folder at the top which others it may import. A room may
// always import its own subfolders. cmd and test wire everything, and nobody
// imports them.
var rooms = map[string][]string{
	"alerts":      {"handlers/view", "model", "outbound", "store"},
	"api":         {"handlers"},
	"bench":       {"*"},
	"broker":      {},
	"cmd":         {"*"},
	"config":      {"internal/spelling", "model"},
	"credentials": {"connectors", "model"},
	"docs":        {},
	"flow":        {"identity", "internal/spelling", "model"},
	"forget":      {"identity", "model", "store"},
	"handlers":    {"connectors", "credentials", "docs", "flow", "identity", "jobs", "journal", "metrics", "model", "store"},
	"identity":    {},
	"internal":    {},
	"jobs":        {"connectors", "flow", "journal", "metrics", "model", "store"},
	"journal":     {"connectors", "metrics", "model", "store"},
	"loosejson":   {"model"},
	"metrics":     {},
	"model":       {},
	"outbound":    {"model"},
	"phpform":     {"model"},
	"ratelimit":   {"connectors", "model"},
	"store":       {"model"},
	"test":        {"*"},
}

// connector is what one connector may import besides its own folder: never the
// hub, its database or another connector.
var connector = []string{"connectors", "identity", "loosejson", "model", "outbound", "phpform"}

// contracts are the packages of the room connectors that are no connector.
var contracts = map[string][]string{
	"connectors":               {"model", "outbound"},
	"connectors/connectortest": {"connectors", "model", "outbound", "outbound/outboundtest"},
	"connectors/registry":      {"connectors", "connectors/*"},
}

func TestDirections(t *testing.T) {
	t.Parallel()
	for from, list := range imports(t) {
		allowed, mine := allowance(from)
		if allowed == nil {
			t.Errorf("%s is a room that nobody planned: give it its directions here and a line in docs/architecture.md", from)
		}
		for _, to := range list {
			if root(to) == "cmd" || root(to) == "test" || root(to) == "bench" {
				t.Errorf("%s imports %s, which nobody may", from, to)
			}
			if !within(to, mine) && !may(allowed, to) {
				t.Errorf("%s imports %s; it may import only %v", from, to, allowed)
			}
		}
	}
}

// The pure middle asks nobody: no network, no files, no database.
func TestPureMiddle(t *testing.T) {
	t.Parallel()
	for _, room := range []string{"model", "flow", "identity", "phpform", "loosejson"} {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, module+room).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", room, err)
		}
		for _, to := range strings.Fields(string(out)) {
			if slices.Contains([]string{"net", "net/http", "os", "os/exec", "database/sql"}, to) {
				t.Errorf("%s imports %s; it is to be a pure function of what it is given", room, to)
			}
		}
	}
}

// What the model needs, everything needs: it stays free of the hub and of
// whatever talks to the outside.
func TestModelDependsOnNothingOfOurs(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", module+"model").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range strings.Fields(string(out)) {
		if own, ok := strings.CutPrefix(to, module); ok && own != "model" {
			t.Errorf("model depends on %s", own)
		}
	}
}

// imports lists our packages and what each imports of ours, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	all := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		names := strings.Fields(line)
		from, ok := strings.CutPrefix(names[0], module)
		if !ok {
			continue
		}
		all[from] = []string{}
		for _, name := range names[1:] {
			if to, ok := strings.CutPrefix(name, module); ok {
				all[from] = append(all[from], to)
			}
		}
	}
	if len(all) < len(rooms) {
		t.Fatalf("go list knows only %d packages", len(all))
	}
	return all
}

// allowance gives what a package may import and which folder is its own.
func allowance(from string) (allowed []string, mine string) {
	if root(from) != "connectors" {
		return rooms[root(from)], root(from)
	}
	if allowed, ok := contracts[from]; ok {
		return allowed, from
	}
	parts := strings.Split(from, "/")
	return connector, strings.Join(parts[:2], "/")
}

func may(allowed []string, to string) bool {
	for _, one := range allowed {
		folder, wide := strings.CutSuffix(one, "/*")
		// Of the room connectors only the roles are meant, not the connectors.
		if one == "*" || to == one || wide && within(to, folder) || one != "connectors" && within(to, one) {
			return true
		}
	}
	return false
}

func within(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

func root(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}
