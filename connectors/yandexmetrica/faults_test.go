package yandexmetrica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

const scripts = 500

// Whatever goes wrong on the way, in the end every row is there, and none came
// twice. Each script is made from its seed; the hub's part (send, settle, split,
// follow, die and resume) is played as package jobs does it.
func TestFaultScripts(t *testing.T) {
	t.Parallel()
	kinds := []string{asConversions, asCalls, asChats, asUserParams, asExpenses}
	for seed := range uint64(scripts) {
		as := kinds[seed%uint64(len(kinds))]
		t.Run(fmt.Sprintf("%s/%d", as, seed), func(t *testing.T) {
			t.Parallel()
			play(t, as, seed)
		})
	}
}

func faultPaths(as string) []string {
	paths := []string{"", "/upload", "/upload", "/upload", "uploadings"}
	switch as {
	case asConversions:
		return append(paths, "/goals")
	case asUserParams:
		return append(paths, "/confirm", "/confirm")
	}
	return paths
}

func scriptFaults() []string {
	return []string{
		sandbox.Fault503, sandbox.Fault504, sandbox.Fault504Stored, sandbox.FaultHTML502, sandbox.FaultHTMLStored, sandbox.FaultInvalid,
		sandbox.FaultNonsense, sandbox.FaultResetAfter, sandbox.FaultResetAnswer, sandbox.FaultResetBefore, sandbox.FaultResetDuring,
		sandbox.FaultResetStored, sandbox.FaultTruncated, sandbox.FaultUnauthorized, sandbox.FaultForbidden,
		sandbox.FaultQuota + "quota_parallel_requests", sandbox.FaultQuota + "quota_requests_by_ip", sandbox.FaultQuota + "quota_requests_by_uid",
	}
}

// parcel is an upload as the hub remembers it.
type parcel struct {
	u    connectors.Upload
	rows []int
}

// hub is the part of package jobs that matters here.
type hub struct {
	t        *testing.T
	b        *bench
	rng      *rand.Rand
	as       string
	columns  []model.Column
	row      func(i int) []any
	due      []int
	doubtful []parcel
	followed []parcel
	refused  map[int]bool
	next     int64
	splits   int
}

func play(t *testing.T, as string, seed uint64) {
	b := newBench(t, "")
	if err := b.sandbox.AddTargets(counterID, "order"); err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, b: b, rng: rand.New(rand.NewPCG(seed, 77)), as: as, refused: map[int]bool{}}
	h.columns, h.row = rowsOf(t, as)
	b.sandbox.SetRules(func(r *sandbox.Rules) {
		r.ListOrder = []string{"newest", "oldest"}[seed%2]
		r.QuotaStatus = []int{420, 429}[h.rng.IntN(2)]
		r.ListLag = time.Duration(h.rng.IntN(60)) * time.Second
		r.PerSecond = 1000
	})
	n := 1 + h.rng.IntN(8)
	for i := range n {
		h.due = append(h.due, i)
	}
	for round := 0; len(h.due)+len(h.doubtful)+len(h.followed) > 0; round++ {
		if round > 300 {
			t.Fatalf("no end: %d due, %d in doubt, %d followed", len(h.due), len(h.doubtful), len(h.followed))
		}
		if round < 12 && h.rng.IntN(3) > 0 {
			h.injectOne()
		}
		h.run()
		b.clock.advance(time.Duration(10+h.rng.IntN(300)) * time.Second)
	}
	h.check(n)
}

func (h *hub) injectOne() {
	names, paths := scriptFaults(), faultPaths(h.as)
	h.b.sandbox.Inject(sandbox.Fault{
		Name: names[h.rng.IntN(len(names))], Path: paths[h.rng.IntN(len(paths))], Times: 1 + h.rng.IntN(2),
		Delay: time.Duration(h.rng.IntN(120)) * time.Second,
	})
}

// run is one run of a flow: settle what is open, send what is due, follow.
func (h *hub) run() {
	if h.rng.IntN(6) == 0 {
		h.restart()
	}
	open := h.doubtful
	h.doubtful = nil
	for i, p := range open {
		if !h.settle(p) {
			h.doubtful = append(h.doubtful, open[i+1:]...)
			break
		}
	}
	if len(h.doubtful) == 0 && len(h.due) > 0 {
		rows := h.due
		h.due = nil
		h.send(rows)
	}
	var still []parcel
	for _, p := range h.followed {
		out, err := h.b.Follow(h.t.Context(), p.u)
		if err != nil || out.State == connectors.UploadProcessing {
			still = append(still, p)
			h.wait(err)
		}
	}
	h.followed = still
}

// restart is another process with the same database.
func (h *hub) restart() {
	made, err := Type().New(yamlSettings("counter: 12345678\nurl: "+h.b.base+"\ntoken: "+testToken), h.b.deps())
	if err != nil {
		h.t.Fatal(err)
	}
	h.b.Connector = made.(*Connector)
}

func (h *hub) send(rows []int) {
	h.next++
	u := connectors.Upload{ID: h.next, Token: fmt.Sprintf("script%d", h.next), As: h.as, Columns: h.columns, Rows: len(rows)}
	if h.as == asUserParams {
		u.Group = "ClientId"
	}
	var file bytes.Buffer
	w, err := h.b.Encode(h.t.Context(), u, &file)
	for i := 0; err == nil && i < len(rows); i++ {
		err = w.Write(&model.Row{Key: fmt.Sprint(rows[i]), Values: h.row(rows[i])})
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		if model.ClassOf(err) == model.ClassPermanent && model.CauseOf(err) != model.CauseRequestRejected {
			h.t.Fatalf("a good row is refused: %v", err)
		}
		h.giveBack(rows, err)
		return
	}
	u.StartedAt = h.b.clock.now()
	p := parcel{u, rows}
	out, err := h.b.Send(h.t.Context(), u, bytes.NewReader(file.Bytes()))
	switch {
	case h.rng.IntN(10) == 0:
		h.doubtful = append(h.doubtful, p) // the worker died before it wrote down what it learned
	case err == nil:
		h.conclude(p, out)
	case model.ClassOf(err) == model.ClassUnknown:
		h.settle(p)
	default:
		h.giveBack(rows, err)
	}
}

// settle reports whether the parcel is settled; otherwise it stays in doubt.
func (h *hub) settle(p parcel) bool {
	out, found, err := h.b.Settle(h.t.Context(), p.u)
	switch {
	case err != nil:
		h.doubtful = append(h.doubtful, p)
		h.wait(err)
		return false
	case found:
		h.conclude(p, out)
	default:
		h.due = append(h.due, p.rows...)
	}
	return true
}

func (h *hub) conclude(p parcel, out connectors.Outcome) {
	switch {
	case out.State == connectors.UploadRejected && len(p.rows) == 1:
		h.refused[p.rows[0]] = true
	case out.State == connectors.UploadRejected:
		half := len(p.rows) / 2
		h.send(p.rows[:half:half])
		h.send(p.rows[half:])
	case out.State == connectors.UploadProcessing:
		p.u.RemoteID = out.RemoteID
		h.followed = append(h.followed, p)
	}
}

func (h *hub) giveBack(rows []int, err error) {
	h.due = append(h.due, rows...)
	h.wait(err)
}

// wait lets the time pass that an error asks for.
func (h *hub) wait(err error) {
	var e *model.Error
	if !errors.As(err, &e) || e.RetryAt.IsZero() {
		return
	}
	if d := e.RetryAt.Sub(h.b.clock.now()); d > 0 {
		h.b.clock.advance(d)
	}
}

func rowsOf(t *testing.T, as string) ([]model.Column, func(int) []any) {
	at := testStart.Add(-time.Hour)
	minute := func(i int) time.Time { return at.Add(-time.Duration(i) * time.Minute) }
	price := money(t, "10")
	switch as {
	case asConversions:
		return columnsNamed(as, "id", "ClientId", "Target", "DateTime", "Price"), func(i int) []any {
			return []any{fmt.Sprint(i), []string{visitor}, "order", minute(i), price}
		}
	case asCalls:
		return columnsNamed(as, "id", "ClientId", "DateTime", "StaticCall", "PhoneNumber"), func(i int) []any {
			return []any{fmt.Sprint(i), []string{visitor}, minute(i), false, "79995551111"}
		}
	case asChats:
		return columnsNamed(as, "id", "ClientID", "DateTime", "ChatPlatform", "ChatUsername"), func(i int) []any {
			return []any{fmt.Sprint(i), []string{visitor}, minute(i), "telegram", "ivan"}
		}
	case asUserParams:
		return columnsNamed(as, "id", "ClientId", "crm_id"), func(i int) []any {
			return []any{fmt.Sprint(i), []string{fmt.Sprintf("10000000000%d", i)}, fmt.Sprint(i)}
		}
	}
	return columnsNamed(as, "id", "Date", "UTMSource", "Expenses"), func(i int) []any {
		return []any{fmt.Sprint(i), model.Date("2026-11-20"), fmt.Sprintf("vk%d", i), price}
	}
}

// check compares the final state with the rows that were to be sent.
func (h *hub) check(n int) {
	if h.as == asUserParams {
		got := h.b.sandbox.UserParams(counterID)
		for i := range n {
			if id := fmt.Sprintf("ClientId=10000000000%d", i); !h.refused[i] && got[id]["crm_id"] != fmt.Sprint(i) {
				h.t.Errorf("row %d is lost: %v", i, got)
			}
		}
	} else if got := h.b.sandbox.RowCount(counterID, h.as); got != n-len(h.refused) {
		h.t.Errorf("%d rows of %d arrived, %d were refused", got, n, len(h.refused))
	}
	if again := h.b.sandbox.SentAgain(counterID, h.as); len(again) > 0 {
		h.t.Errorf("sent again: %q", again)
	}
	for _, v := range h.b.sandbox.Violations() {
		if !strings.Contains(v, "in flight") { // a reset connection's handler may still be at its end
			h.t.Errorf("against the protocol: %s", v)
		}
	}
}
