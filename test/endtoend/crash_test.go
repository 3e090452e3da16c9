package endtoend

import (
	"testing"
	"time"
)

// restless is the load of tests in which something breaks meanwhile.
func restless() load { return load{deals: 150, contacts: 100, changes: 400, perSecond: 250} }

// rest wants that nothing that was answered with 200 is lost: polls are off, so
// that only what was delivered can have brought the counter to where the CRM is.
func (w *world) rest(e *editor) time.Duration {
	w.t.Helper()
	late, err := w.relay.redeliver(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	took := w.converges(60*time.Second, w.ofBitrix, e)
	taken, _, _ := w.relay.counts()
	if kept := len(w.journal(map[string][]string{"connection": {"b24"}})); kept < taken {
		w.t.Errorf("%d deliveries were answered with 200, the journal holds %d", taken, kept)
	}
	w.t.Logf("%d deliveries were answered with 200, %d came when the hub was away; equal %s after the last", taken, late, took.Round(time.Millisecond))
	return took
}

// TestKilled cuts the power in the middle of a bulk edit, twice, while an upload
// is on its way.
func TestKilled(t *testing.T) {
	for _, s := range storages() {
		t.Run(s.name, func(t *testing.T) {
			w, e := bitrixOnly(t, s)
			p := w.start("hub")
			w.imported("b24")
			w.relay.mischief = true
			if err := e.fillBitrix(t.Context(), w.portal); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.uploads.shut()
				w.during(e, func() {
					w.uploads.holds(t)
					p.kill()
				})
				w.uploads.open()
				p = w.start("hub")
			}
			if err := e.playBitrix(t.Context(), w.portal, e.load.changes); err != nil {
				t.Fatal(err)
			}
			w.rest(e)
			w.keepsProtocols()
		})
	}
}

// TestTerminated stops the hub in good order in the middle of a bulk edit, while
// an upload is on its way.
func TestTerminated(t *testing.T) {
	for _, s := range storages() {
		t.Run(s.name, func(t *testing.T) {
			w, e := bitrixOnly(t, s)
			p := w.start("hub")
			w.imported("b24")
			w.relay.mischief = true
			if err := e.fillBitrix(t.Context(), w.portal); err != nil {
				t.Fatal(err)
			}
			w.uploads.shut()
			w.during(e, func() {
				w.uploads.holds(t)
				timer := time.AfterFunc(2*time.Second, w.uploads.open) // a slow answer
				defer timer.Stop()
				t.Logf("ended %s after SIGTERM", p.terminate(30*time.Second).Round(time.Millisecond))
			})
			w.start("hub")
			w.rest(e)
			w.keepsProtocols()
		})
	}
}

// bitrixOnly is a world in which everything hangs on the deliveries of a portal.
func bitrixOnly(t *testing.T, s storage) (*world, *editor) {
	t.Helper()
	w := newWorld(t, s)
	w.withBitrix("0")
	bitrixFlows(w)
	return w, newEditor(restless())
}

// during plays changes for as long as something happens, and the editor's load
// at least.
func (w *world) during(e *editor, happens func()) {
	w.t.Helper()
	over, played := make(chan struct{}), make(chan error, 1)
	go func() {
		for done := 0; ; done += 50 {
			select {
			case <-over:
				if done >= e.load.changes {
					played <- nil
					return
				}
			default:
			}
			if err := e.playBitrix(w.t.Context(), w.portal, 50); err != nil {
				played <- err
				return
			}
		}
	}()
	happens()
	close(over)
	if err := <-played; err != nil {
		w.t.Fatal(err)
	}
}
