//go:build !linux

package main

import "os"

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// readKeys takes keys as the terminal gives them: followed by Enter.
func readKeys(f *os.File) (keys <-chan byte, restore func()) {
	return keysOf(f), func() {}
}
