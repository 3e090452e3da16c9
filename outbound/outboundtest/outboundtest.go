// Package outboundtest has a server that misbehaves on demand, to test what
// callers make of it.
package outboundtest
