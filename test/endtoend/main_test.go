// Package endtoend starts the real binary among sandboxes, plays what CRMs,
// operators and bad luck do to it, and compares what the destinations have with
// what the sources hold. Nothing in here looks into the hub but through the
// addresses and commands that its users have.
//
// The normal run is small. `go test ./test/endtoend -run BulkEdit -args -full`
// plays the size that the hub is made for, and `make acceptance` does so on both
// kinds of storage.
package endtoend

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var (
	full   = flag.Bool("full", false, "play bulk edits in full size")
	binary string // the program under test, built once
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "svod-endtoend-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "svod")
	build := exec.Command("go", "build", "-o", binary, "./cmd/svod")
	build.Dir = filepath.Join("..", "..")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the program under test:", err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
