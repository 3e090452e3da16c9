package connectortest

import (
	"net/url"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Case is one connector before the suite.
type Case struct {
	Type connectors.Type
	// Sandbox are options of the sandbox.
	Sandbox map[string]string
	// Brief leaves out the statuses that nobody sends and tries a role's first call
	// only: another case of the same connector tries them all.
	Brief bool
	// Settings change those that the sandbox gives; nil takes a key away.
	Settings map[string]any
	// Browser is the query that a browser brings back from the authorisation page
	// of an application; nil where a credential is pasted.
	Browser func(connectors.Sandbox) url.Values
	// Deaf says that the system has nothing to be called: it only calls us.
	Deaf bool
	// Wrong replaces the credential by one that the sandbox does not know.
	Wrong func(base string) map[string]any
	// Bare is the path of a call without any credential.
	Bare string
	// Mistakes are wrong values of settings. New must name all of their keys.
	Mistakes map[string]any
	// Prepare brings the sandbox into the state that the made-up rows need.
	Prepare func(connectors.Sandbox) error
	// Refs are what Fetch is asked for.
	Refs []model.Ref
	// Row changes the values of a made-up row, by parameter; what is deleted is no
	// column.
	Row func(as string, values map[string]any)
	// Options are those of a flow.
	Options map[string]string
	// Statuses are registered where the destination keeps a scheme.
	Statuses []connectors.Status
	// Excuses are answers that the connector judges otherwise than others do.
	Excuses []Excuse
}

// Excuse lets a connector judge some answers in its own way, for a reason that
// its protocol gives.
type Excuse struct {
	Role     string // as the suite names it; "" any
	From, To int    // statuses
	Body     string // "json", "html", "empty", "truncated"; "" any
	Classes  []model.Class
	Success  bool // no error is right, too
	Why      string
}

// Run puts a connector through the suite.
func Run(t *testing.T, c Case) {
	t.Helper()
	t.Run("description", func(t *testing.T) { t.Parallel(); describe(t, c) })
	t.Run("settings", func(t *testing.T) { t.Parallel(); settings(t, c) })
	t.Run("odd hooks", func(t *testing.T) { t.Parallel(); hooks(t, c) })
	t.Run("odd pulls", func(t *testing.T) { t.Parallel(); pulls(t, c) })
	if c.Deaf {
		return
	}
	t.Run("sandbox", func(t *testing.T) { t.Parallel(); strict(t, c) })
	t.Run("statuses", func(t *testing.T) { t.Parallel(); statuses(t, c) })
	t.Run("leaks", func(t *testing.T) { t.Parallel(); leaks(t, c) })
}
