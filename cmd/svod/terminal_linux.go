package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// readKeys hands out keys as they are pressed, until restore, which also brings
// the terminal back. Ctrl+C stays a signal.
func readKeys(f *os.File) (keys <-chan byte, restore func()) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, func() {}
	}
	single := *before
	single.Lflag &^= unix.ICANON | unix.ECHO
	single.Cc[unix.VMIN], single.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(fd, unix.TCSETS, &single) != nil {
		return nil, func() {}
	}
	return keysOf(f), func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
}
