package store_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "a file")
	if err := os.WriteFile(file, []byte("no database, but long enough to be taken for one when opened"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ name, url, says string }{
		{"an unknown kind", "mysql://u:secret@h/db", "neither sqlite: nor postgres://"},
		{"no file", "sqlite:", "names no file"},
		{"a folder", "sqlite:" + folder, ""},
		{"a file in a file", "sqlite:" + filepath.Join(file, "x"), "folder of the database"},
		{"some other file", "sqlite:" + file, ""},
		{"nobody listens", "postgres://u:secret@127.0.0.1:1/db", "cannot be reached"},
		{"no address", "postgres://u:secret@h:port/db", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			db, err := store.Open(t.Context(), x.url, store.Options{})
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), x.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("says %q", err)
			}
		})
	}
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	pg := func(code string) error { return &pgconn.PgError{Code: code, Message: "m"} }
	for _, x := range []struct {
		name  string
		err   error
		class model.Class // "" for errors that are no *model.Error
		says  string
	}{
		{"disk full", pg("53100"), model.ClassTemporary, "disk is full"},
		{"too many connections", pg("53300"), model.ClassTemporary, "max_connections"},
		{"out of memory", pg("53200"), model.ClassTemporary, "short of resources"},
		{"deadlock", pg("40P01"), model.ClassTemporary, "conflicting"},
		{"lock not available", pg("55P03"), model.ClassTemporary, "conflicting"},
		{"shutting down", pg("57P01"), model.ClassTemporary, "stopping"},
		{"connection broke", pg("08006"), model.ClassTemporary, "broke"},
		{"disk trouble", pg("58030"), model.ClassTemporary, "disk"},
		{"a standby", pg("25006"), model.ClassTemporary, "no writes"},
		{"bad connection", driver.ErrBadConn, model.ClassTemporary, "broke"},
		{"end of file", io.ErrUnexpectedEOF, model.ClassTemporary, "broke"},
		{"a mistake of ours", pg("42601"), "", "do the work"},
		{"cancelled", context.Canceled, "", "do the work"},
		{"not found", store.ErrNotFound, "", "not found"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			got := store.Fail(x.err)
			var classified *model.Error
			if errors.As(got, &classified) != (x.class != "") || classified != nil && classified.Class != x.class {
				t.Errorf("class of %v", got)
			}
			if !strings.Contains(got.Error(), x.says) || !errors.Is(got, x.err) {
				t.Errorf("got %q", got)
			}
		})
	}
	if store.Fail(nil) != nil {
		t.Error("no error became one")
	}
}

// A full disk is answered as such, loses nothing that was there and leaves the
// database usable.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, store.Options{})
	ctx := t.Context()
	entry := func(n int) []*store.Entry {
		return []*store.Entry{{Project: "shop", Connection: "b24", Body: make([]byte, n)}}
	}
	if err := db.AppendJournal(ctx, entry(10)); err != nil {
		t.Fatal(err)
	}
	if err := db.FillDisk(ctx, true); err != nil {
		t.Fatal(err)
	}
	err := db.AppendJournal(ctx, entry(1<<20))
	var classified *model.Error
	if !errors.As(err, &classified) || classified.Class != model.ClassTemporary || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("a full disk: %v", err)
	}
	if err := db.FillDisk(ctx, false); err != nil {
		t.Fatal(err)
	}
	if err := db.AppendJournal(ctx, entry(1<<20)); err != nil {
		t.Fatalf("after space was made: %v", err)
	}
	got, err := db.NextJournal(ctx, "shop", "b24", 9)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d entries, %v", len(got), err)
	}
}

func TestNotMigrated(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "new.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pending, err := db.PendingMigrations(t.Context())
	if err != nil || pending == 0 {
		t.Fatalf("%d pending, %v", pending, err)
	}
	if db.Dialect() != "sqlite" {
		t.Error(db.Dialect())
	}
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ query, sqlite, postgres string }{
		{"a = ? AND b IN LIST(?) AND c = ?", "a = ? AND b IN (SELECT value FROM json_each(?)) AND c = ?", "a = $1 AND b = ANY($2) AND c = $3"},
		{"SELECT a FROM t FOR UPDATE", "SELECT a FROM t", "SELECT a FROM t FOR UPDATE"},
		{"HAS(a, ?) OR BYTESHAVE(b, ?)", "0 < instr(a, ?) OR 0 < instr(b, ?)", `0 < strpos(a, $1) OR 0 < pg_catalog."position"(b, $2)`},
		{"GREATEST(a, 1), LEAST(b, 2)", "max(a, 1), min(b, 2)", "GREATEST(a, 1), LEAST(b, 2)"},
		{"UPDATE t SET a = 1", "UPDATE OR ROLLBACK t SET a = 1", "UPDATE t SET a = 1"},
		{"INSERT INTO t VALUES (?) ON CONFLICT (a) DO UPDATE SET b = 1", "INSERT OR ROLLBACK INTO t VALUES (?) ON CONFLICT (a) DO UPDATE SET b = 1",
			"INSERT INTO t VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = 1"},
	} {
		if got := store.Translate(false, x.query); got != x.sqlite {
			t.Errorf("SQLite: %s", got)
		}
		if got := store.Translate(true, x.query); got != x.postgres {
			t.Errorf("PostgreSQL: %s", got)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "\xff", "Ж\x00\xf0\x28", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := store.Clean(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || store.Clean(got) != got {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzPromisedNumber(f *testing.F) {
	for _, s := range []string{"h1", "h", "", "h01", "h-1", "h99999999999999999999", "x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := store.PromisedNumber(s); ok && (n <= 0 || !strings.HasPrefix(s, "h")) {
			t.Errorf("%q became %d", s, n)
		}
	})
}
