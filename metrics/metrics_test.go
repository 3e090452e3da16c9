package metrics_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/svod-hub/svod/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// docs/metrics.md is made from the code, so that it can't say anything else.
func TestTableIsDocumented(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Metrics\n\nWhat `GET /metrics` shows besides the Go runtime's own. Made from `metrics/metrics.go`.\n\n")
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metrics.Table() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, strings.Join(d.Labels, ", "), d.Help)
	}
	const path = "../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b.Bytes()) {
		t.Error("docs/metrics.md is not what the code says; run go test ./metrics -update")
	}
}
