package store

import (
	"sync"

	"modernc.org/libc"
)

// The allocator below SQLite serves small pieces from pages of one size each, and
// gives a page back to the system as soon as nothing of it is used. SQLite takes
// and returns pieces of some sizes over and over, and each time would be two
// system calls. One piece of each size that is never returned keeps a page of it.
var keepPages = sync.OnceFunc(func() {
	tls := libc.NewTLS()
	defer tls.Close()
	const smallest, largest = 16, 32 << 10
	for size := libc.Tsize_t(smallest); size <= largest; size *= 2 {
		libc.Xmalloc(tls, size)
	}
})
