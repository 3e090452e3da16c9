package connectortest

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/svod-hub/svod/model"
)

// Golden compares got with the file at path, or writes the file when update is
// set.
func Golden(tb testing.TB, update bool, path string, got []byte) {
	tb.Helper()
	if update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatalf("%v (make it with -update)", err)
	}
	if !bytes.Equal(got, want) {
		tb.Errorf("%s differs (go test -update renews it):\n%s\nwant:\n%s", path, got, want)
	}
}

// JSON writes a value for a golden file.
func JSON(tb testing.TB, value any) []byte {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Shown is a record with its key, for golden files.
type Shown struct {
	Key    string
	Record model.Record
}

// Show adds keys to records.
func Show(records ...model.Record) []Shown {
	out := []Shown{}
	for _, r := range records {
		out = append(out, Shown{Key: r.Meta().Key().String(), Record: r})
	}
	return out
}

// File reads a file of a test.
func File(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
