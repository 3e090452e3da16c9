package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var restTests = []test{
	{"connection states", connectionStates},
	{"memories of a connection", memories},
	{"a hook secret is made once", hookSecret},
	{"snapshots", snapshots},
	{"promises", promises},
	{"promises made at once", promisesAtOnce},
	{"usage", usage},
	{"users and sessions", users},
	{"audit log", audit},
}

func connectionStates(b *bench) {
	get := func() store.ConnectionState {
		b.Helper()
		return must[store.ConnectionState](b)(b.db.ConnectionState(b.ctx, project, b24))
	}
	want := store.ConnectionState{Project: project, Connection: b24, Status: "ok"}
	b.same("unknown", get(), want)
	set := func(status string, cause model.Cause, text string, retry time.Time) bool {
		b.Helper()
		return must[bool](b)(b.db.SetConnectionStatus(b.ctx, project, b24, status, cause, text, retry))
	}
	b.same("ok is no change", set("ok", "", "", time.Time{}), false)
	b.clock.Move(time.Minute)
	b.same("a change", set("paused", model.CauseQuota, "wait", at(9)), true)
	b.clock.Move(time.Minute)
	b.same("the same", set("paused", model.CauseQuota, "wait longer", at(10)), false)
	want.Status, want.Cause, want.Error, want.RetryAt, want.Since = "paused", model.CauseQuota, "wait longer", at(10), at(1)
	b.same("paused", get(), want)

	b.ok(b.db.TouchConnection(b.ctx, project, b24, at(5), time.Time{}))
	b.ok(b.db.TouchConnection(b.ctx, project, b24, at(4), at(6)))
	want.LastEventAt, want.LastReadAt = at(5), at(6)
	b.same("touched", get(), want)
	b.ok(b.db.TouchConnection(b.ctx, "bakery", "amo", at(1), time.Time{}))
	b.same("of a project", must[[]store.ConnectionState](b)(b.db.ConnectionStates(b.ctx, project)), []store.ConnectionState{want})
	b.same("all", len(must[[]store.ConnectionState](b)(b.db.ConnectionStates(b.ctx, ""))), 2)
}

func memories(b *bench) {
	b.same("nothing", must[string](b)(b.db.Recall(b.ctx, project, b24, "token")), "")
	b.ok(b.db.Remember(b.ctx, project, b24, "token", "sealed"))
	b.ok(b.db.Remember(b.ctx, project, amo, "token", "other"))
	b.ok(b.db.Remember(b.ctx, project, b24, "token", "sealed again"))
	b.same("kept", must[string](b)(b.db.Recall(b.ctx, project, b24, "token")), "sealed again")
	b.same("of another project", must[string](b)(b.db.Recall(b.ctx, "bakery", b24, "token")), "")
}

func hookSecret(b *bench) {
	const askers = 6
	got := make([]string, askers)
	var wg sync.WaitGroup
	for i := range askers {
		wg.Go(func() {
			var err error
			if got[i], err = b.db.HookSecret(b.ctx, project, b24, func() string { return fmt.Sprint("secret ", i) }); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	for _, secret := range got {
		if secret == "" || secret != got[0] {
			b.Fatalf("secrets %q", got)
		}
	}
	b.same("later", must[string](b)(b.db.HookSecret(b.ctx, project, b24, func() string { return "new" })), got[0])
	b.same("state", must[store.ConnectionState](b)(b.db.ConnectionState(b.ctx, project, b24)).HookSecret, got[0])
}

func snapshots(b *bench) {
	get := func(name string) string {
		data, created, err := b.db.Snapshot(b.ctx, project, b24, name)
		if errors.Is(err, store.ErrNotFound) {
			return "none"
		}
		b.ok(err)
		return words(string(data), created.Sub(start))
	}
	b.same("none", get("export"), "none")
	b.ok(b.db.SaveSnapshot(b.ctx, project, b24, "export", []byte("\x00page"), at(10)))
	b.ok(b.db.SaveSnapshot(b.ctx, project, b24, "empty", nil, at(20)))
	b.same("kept", get("export"), "\x00page 0s")
	b.clock.Move(10 * time.Minute)
	b.same("expired", get("export"), "none")
	b.same("empty", get("empty"), " 0s")
	b.same("pruned", must[int](b)(b.db.PruneSnapshots(b.ctx, at(10))), 1)
	b.ok(b.db.SaveSnapshot(b.ctx, project, b24, "export", []byte("new"), at(30)))
	b.same("renewed", get("export"), "new 10m0s")
}

func (b *bench) promise(connection, dedup string, until int) string {
	b.Helper()
	id, fresh, err := b.db.Promise(b.ctx, project, connection, dedup, at(until))
	b.ok(err)
	return words(id, fresh)
}

func promises(b *bench) {
	b.same("first", b.promise("roistat", "a", 10), "h1 true")
	b.same("second", b.promise("roistat", "b", 10), "h2 true")
	b.same("again", b.promise("roistat", "a", 99), "h1 false")
	b.same("another connection", b.promise("other", "a", 10), "h3 true")
	k1, k2 := key(model.KindDeal, "7"), key(model.KindLead, "8")
	b.ok(b.db.LinkPromise(b.ctx, project, "roistat", "h1", k1))
	b.ok(b.db.LinkPromise(b.ctx, project, "roistat", "h2", k1)) // the CRM took both for one
	for _, id := range []string{"h9", "h3", "7", "h", "h01", "h-1", ""} {
		if err := b.db.LinkPromise(b.ctx, project, "roistat", id, k2); !errors.Is(err, store.ErrNotFound) {
			b.Errorf("link %q: %v", id, err)
		}
	}
	b.clock.Move(10 * time.Minute)
	b.same("expired", b.promise("roistat", "a", 20), "h4 true")
	b.same("again", b.promise("roistat", "a", 20), "h4 false")
	b.ok(b.db.LinkPromise(b.ctx, project, "roistat", "h4", k2))
	b.same("linked", must[map[model.Key]string](b)(b.db.Promises(b.ctx, project, "roistat")), map[model.Key]string{k1: "h1", k2: "h4"})
	b.same("of another", len(must[map[model.Key]string](b)(b.db.Promises(b.ctx, project, "other"))), 0)
}

func promisesAtOnce(b *bench) {
	const askers = 8
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for i := range askers {
		wg.Go(func() {
			id, _, err := b.db.Promise(b.ctx, project, "roistat", fmt.Sprint("order ", i/2), at(10))
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[id]++
		})
	}
	wg.Wait()
	b.same("ids", got, map[string]int{"h1": 2, "h2": 2, "h3": 2, "h4": 2})
}

func usage(b *bench) {
	b.same("nothing", must[int](b)(b.db.Usage(b.ctx, "metrica/uploads", "2025-03-01")), 0)
	b.same("first", must[int](b)(b.db.AddUsage(b.ctx, "metrica/uploads", "2025-03-01", 2)), 2)
	b.same("second", must[int](b)(b.db.AddUsage(b.ctx, "metrica/uploads", "2025-03-01", 3)), 5)
	b.same("another day", must[int](b)(b.db.AddUsage(b.ctx, "metrica/uploads", "2025-03-02", 1)), 1)
	b.same("kept", must[int](b)(b.db.Usage(b.ctx, "metrica/uploads", "2025-03-01")), 5)
}

func users(b *bench) {
	if _, err := b.db.UserHash(b.ctx, "operator"); !errors.Is(err, store.ErrNotFound) {
		b.Error(err)
	}
	b.ok(b.db.SaveUser(b.ctx, "operator", "hash 1"))
	b.ok(b.db.SaveUser(b.ctx, "operator", "hash 2"))
	b.ok(b.db.SaveUser(b.ctx, "admin", "hash"))
	b.same("hash", must[string](b)(b.db.UserHash(b.ctx, "operator")), "hash 2")
	b.same("names", must[[]string](b)(b.db.Users(b.ctx)), []string{"admin", "operator"})

	x := store.Session{IDHash: "id", User: "operator", ExpiresAt: at(5), CSRF: "token"}
	b.ok(b.db.SaveSession(b.ctx, x))
	b.same("session", must[store.Session](b)(b.db.Session(b.ctx, "id")), x)
	x.ExpiresAt = at(10)
	b.ok(b.db.SaveSession(b.ctx, x))
	b.ok(b.db.SaveSession(b.ctx, store.Session{IDHash: "other", ExpiresAt: at(99)}))
	b.clock.Move(10 * time.Minute)
	gone := func(id string) {
		b.Helper()
		if _, err := b.db.Session(b.ctx, id); !errors.Is(err, store.ErrNotFound) {
			b.Error(err)
		}
	}
	gone("id") // expired
	b.same("pruned", must[int](b)(b.db.PruneSessions(b.ctx, b.clock.Now())), 1)
	b.ok(b.db.DeleteSession(b.ctx, "other"))
	b.ok(b.db.DeleteSession(b.ctx, "other"))
	gone("other")
}

func audit(b *bench) {
	first := store.Audit{At: at(1), User: "operator", Action: "replay", Project: project, Subject: "b24", Remote: "192.0.2.1"}
	second := store.Audit{User: "ci", Action: "send"}
	b.ok(b.db.AppendAudit(b.ctx, first))
	b.ok(b.db.AppendAudit(b.ctx, second))
	second.At = start
	b.same("log", must[[]store.Audit](b)(b.db.AuditLog(b.ctx, 10)), []store.Audit{second, first})
	b.same("limit", len(must[[]store.Audit](b)(b.db.AuditLog(b.ctx, 1))), 1)
}
