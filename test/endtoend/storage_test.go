package endtoend

import (
	"path/filepath"
	"testing"
)

// storage is one way to keep the hub's data.
type storage struct {
	name string
	// open prepares an empty one and gives what svod.yaml says of it.
	open func(t *testing.T, dir string) (database, redis string)
}

// embedded is what a hub of one process has.
func embedded() storage {
	return storage{"sqlite", func(_ *testing.T, dir string) (string, string) {
		return "sqlite:" + filepath.Join(dir, "svod.db"), "embedded"
	}}
}
