package main

import "io"

// keysOf reads single bytes until the end of what is read. A read from a terminal
// cannot be broken off, so it ends with the program.
func keysOf(r io.Reader) <-chan byte {
	keys := make(chan byte)
	go func() {
		defer close(keys)
		one := make([]byte, 1)
		for {
			if n, err := r.Read(one); n == 0 || err != nil {
				return
			}
			keys <- one[0]
		}
	}()
	return keys
}
