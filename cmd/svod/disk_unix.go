//go:build unix

package main

import "syscall"

// freeSpace is what a folder's disk has left for us, in bytes.
func freeSpace(folder string) (bytes uint64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, false
	}
	return uint64(st.Bavail) * uint64(st.Bsize), true
}
