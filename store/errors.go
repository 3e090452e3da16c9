package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/svod-hub/svod/model"
)

// translate classifies what a driver returned. What names the work that was
// being done.
func translate(what string, err error) error {
	if err == nil {
		return nil
	}
	var classified *model.Error
	if errors.As(err, &classified) || errors.Is(err, ErrNotFound) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if help := temporary(err); help != "" {
		return model.Errorf(model.ClassTemporary, model.CauseInternal, "%s: %s: %w", what, help, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// temporary says what is the matter when the database, not the statement, is at
// fault, and "" otherwise.
func temporary(err error) string {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return temporarySQLite(lite.Code())
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return temporaryPostgres(pg.Code)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.As(err, &connect):
		return "the database cannot be reached; is it running, and are address, user and password right?"
	case errors.As(err, &network), errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection to the database broke"
	}
	return ""
}

func temporarySQLite(code int) string {
	switch code & 0xff { // the rest is detail
	case sqlite3.SQLITE_FULL:
		return "the disk is full; free space where the database is"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "the database is busy; another process is holding it"
	case sqlite3.SQLITE_IOERR:
		return "the database file cannot be read or written; look at the disk"
	case sqlite3.SQLITE_CANTOPEN:
		return "the database file cannot be opened; look at the folder's rights"
	case sqlite3.SQLITE_READONLY:
		return "the database file may not be written; look at the file's rights"
	case sqlite3.SQLITE_NOMEM:
		return "memory is short"
	case sqlite3.SQLITE_INTERRUPT:
		return "the statement was interrupted"
	}
	return ""
}

// See PostgreSQL's appendix of error codes; the first two characters are the class.
func temporaryPostgres(code string) string {
	switch {
	case code == "53100":
		return "the database server's disk is full; free space there"
	case code == "53300":
		return "the database server takes no more connections; raise max_connections or stop other clients"
	case strings.HasPrefix(code, "53"):
		return "the database server is short of resources"
	case strings.HasPrefix(code, "40"), code == "55P03":
		return "the database is busy with a conflicting transaction"
	case strings.HasPrefix(code, "08"):
		return "the connection to the database broke"
	case strings.HasPrefix(code, "57"):
		return "the database server is stopping or starting"
	case strings.HasPrefix(code, "58"):
		return "the database server has trouble with its disk"
	case code == "25006":
		return "the database server takes no writes now"
	}
	return ""
}

// conflict reports whether the database broke a transaction off in favour of
// another one.
func conflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// noTransaction reports whether a ROLLBACK found none: SQLite rolls back by
// itself after some errors, a full disk among them.
func noTransaction(err error) bool {
	return strings.Contains(err.Error(), "no transaction is active")
}
