// Package credentials keeps what must not be read by others: it encrypts OAuth
// tokens with the installation's master key, lets one worker at a time renew them,
// makes hook secrets and hashes the passwords of console users.
package credentials
