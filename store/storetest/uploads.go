package storetest

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

var uploadTests = []test{
	{"uploads come back as they were saved", uploadSaved},
	{"uploads are listed", uploadList},
	{"open uploads, and those to follow", uploadOpen},
	{"rows of an upload", uploadRows},
	{"rows are noted once", uploadNoted},
	{"an upload is sent by who holds the lease", uploadLease},
	{"an accepted upload", uploadAccepted},
	{"many refusals", uploadManyRefusals},
	{"a large upload is accepted in steps", uploadLarge},
	{"a returned upload", uploadReturned},
	{"a refused upload", uploadRefused},
	{"a divided upload", uploadSplit},
	{"closed uploads are pruned", uploadPruned},
	{"the rows of closed uploads are pruned", uploadRowsPruned},
}

// sending is row "id" of deal id as it was at the change.
func sending(id string, seq int64, hash string) store.Sending {
	return store.Sending{Connection: b24, ID: id, RowKey: id, Seq: seq, Hash: []byte(hash)}
}

// upload makes an open upload of the rows.
func (b *bench) upload(rows ...store.Sending) store.Upload {
	b.Helper()
	for i := range rows {
		rows[i].Position = i
	}
	return b.uploadOf(flow, rows...)
}

func (b *bench) uploadOf(flow string, rows ...store.Sending) store.Upload {
	b.Helper()
	u := store.Upload{Project: project, Flow: flow, Connection: "metrica", As: "orders", Mode: "SAVE", Group: "g", Rows: len(rows)}
	b.ok(b.db.CreateUpload(b.ctx, &u))
	b.ok(b.db.FillUpload(b.ctx, u.ID, rows))
	return u
}

func (b *bench) accept(u store.Upload) {
	b.Helper()
	u.Status = store.UploadAccepted
	b.ok(b.db.AcceptUpload(b.ctx, u, nil, nil))
}

func uploadSaved(b *bench) {
	u := store.Upload{Project: project, Flow: flow, Connection: "metrica", As: "orders", Mode: "SAVE", Group: "g", Parent: 3}
	b.ok(b.db.CreateUpload(b.ctx, &u))
	b.same("created", words(u.ID > 0, u.Status, u.CreatedAt.Equal(start), regexp.MustCompile("^[A-Za-z0-9]{20,40}$").MatchString(u.Token)), "true building true true")
	b.same("kept", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)), u)
	u.Status, u.RemoteID, u.Rows, u.Accepted, u.Refused, u.Bytes, u.Attempts = store.UploadProcessing, "r", 5, 4, 1, 1<<40, 2
	u.Cause, u.Error, u.Details = model.CauseQuota, "wait", []byte(`{"a":1}`)
	u.StartedAt, u.FinishedAt, u.FollowAt = at(1), at(2), at(3)
	b.ok(b.db.SaveUpload(b.ctx, u))
	b.same("saved", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)), u)
	if _, err := b.db.Upload(b.ctx, "bakery", u.ID); !errors.Is(err, store.ErrNotFound) {
		b.Errorf("of another project: %v", err)
	}
	u.ID++
	for what, err := range map[string]error{"save": b.db.SaveUpload(b.ctx, u), "fill": b.db.FillUpload(b.ctx, u.ID, []store.Sending{sending("1", 1, "")})} {
		if !errors.Is(err, store.ErrNotFound) {
			b.Errorf("%s one that is not there: %v", what, err)
		}
	}
}

func uploadIDs(list []store.Upload) (out []int64) {
	for _, u := range list {
		out = append(out, u.ID)
	}
	return out
}

func uploadList(b *bench) {
	var all []store.Upload
	for i := range 4 {
		u := store.Upload{Project: project, Flow: fmt.Sprint("f", i%2)}
		b.ok(b.db.CreateUpload(b.ctx, &u))
		all = append(all, u)
	}
	all[0].Status = store.UploadAccepted
	b.ok(b.db.SaveUpload(b.ctx, all[0]))
	for _, x := range []struct {
		name string
		f    store.UploadFilter
		want []int64
	}{
		{"all", store.UploadFilter{Project: project}, []int64{all[3].ID, all[2].ID, all[1].ID, all[0].ID}},
		{"everybody's", store.UploadFilter{Limit: 1}, []int64{all[3].ID}},
		{"flow", store.UploadFilter{Project: project, Flow: "f1"}, []int64{all[3].ID, all[1].ID}},
		{"status", store.UploadFilter{Project: project, Statuses: []store.UploadStatus{store.UploadAccepted, store.UploadFailed}}, []int64{all[0].ID}},
		{"page", store.UploadFilter{Project: project, BeforeID: all[3].ID, Limit: 2}, []int64{all[2].ID, all[1].ID}},
	} {
		b.same(x.name, uploadIDs(must[[]store.Upload](b)(b.db.Uploads(b.ctx, x.f))), x.want)
	}
}

func uploadOpen(b *bench) {
	var open, follow []int64
	for i, status := range []store.UploadStatus{store.UploadBuilding, store.UploadSending, store.UploadInDoubt, store.UploadProcessing,
		store.UploadAccepted, store.UploadRejected, store.UploadSplit, store.UploadFailed} {
		u := store.Upload{Project: project, Flow: flow}
		b.ok(b.db.CreateUpload(b.ctx, &u))
		u.Status = status
		if i >= 2 {
			u.FollowAt = at(i)
		}
		b.ok(b.db.SaveUpload(b.ctx, u))
		if status.Open() {
			open = append(open, u.ID)
		}
		if status.Open() && i == 2 {
			follow = append(follow, u.ID)
		}
	}
	b.same("open", uploadIDs(must[[]store.Upload](b)(b.db.OpenUploads(b.ctx))), open)
	b.same("to follow", uploadIDs(must[[]store.Upload](b)(b.db.UploadsToFollow(b.ctx, at(2)))), follow)
}

func uploadRows(b *bench) {
	b.deals(5)
	u := b.upload(sending("3", 4, "h3"), sending("1", 2, "h1"), sending("0", 1, "h0"))
	first := must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, u.ID, -1, 2))
	b.same("first", dueText(first), "3@4 1@2")
	b.same("pending", words(first[1].Position, first[1].PendingSeq, string(first[1].PendingHash), first[1].State), "1 2 h1 2")
	rest := must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, u.ID, first[1].Position, 2))
	b.same("rest", dueText(rest), "0@1")
	b.same("record", rest[0].Record.(*model.Deal).Title, "first")
	b.same("of another project", len(must[[]store.Due](b)(b.db.UploadRows(b.ctx, "bakery", u.ID, -1, 2))), 0)
	b.same("counted", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)).Rows, 3)
}

func uploadNoted(b *bench) {
	b.deals(2)
	u := b.upload(sending("0", 1, "h"))
	if err := b.db.FillUpload(b.ctx, u.ID, []store.Sending{sending("404", 2, "h")}); err == nil {
		b.Error("a row that is not there was put into an upload")
	}
	b.ok(b.db.FillUpload(b.ctx, u.ID, []store.Sending{sending("0", 1, "other")}))
	b.ok(b.db.FillUpload(b.ctx, u.ID, nil))
	got := must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, u.ID, -1, 9))
	b.same("filled again", words(len(got), string(got[0].PendingHash), got[0].PendingSeq), "1 other 1")
	b.accept(u)
	if err := b.db.FillUpload(b.ctx, u.ID, []store.Sending{sending("1", 2, "h")}); !errors.Is(err, store.ErrNotFound) {
		b.Errorf("fill a closed upload: %v", err)
	}
}

// A worker that lost its lease, or whose upload another one has settled, must not
// send it.
func uploadLease(b *bench) {
	b.deals(1)
	u := b.upload(sending("0", 1, "h"))
	take := func(holder string) store.Lease {
		lease, ok, err := b.db.TakeLease(b.ctx, "flow", holder, time.Minute)
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		return lease
	}
	old := take("one")
	b.clock.Move(2 * time.Minute)
	lease := take("two")
	u.Status = store.UploadSending
	if err := b.db.BeginSending(b.ctx, u, old); !errors.Is(err, store.ErrNotOurs) {
		b.Errorf("without the lease: %v", err)
	}
	b.same("not begun", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)).Status, store.UploadBuilding)
	b.ok(b.db.BeginSending(b.ctx, u, lease))
	if err := b.db.BeginSending(b.ctx, u, lease); !errors.Is(err, store.ErrNotOurs) {
		b.Errorf("twice: %v", err)
	}
	u.Status = store.UploadFailed
	b.ok(b.db.ReturnUpload(b.ctx, u))
	if err := b.db.BeginSending(b.ctx, u, lease); !errors.Is(err, store.ErrNotOurs) {
		b.Errorf("a closed one: %v", err)
	}
}

func uploadAccepted(b *bench) {
	b.deals(3)
	u := b.upload(sending("0", 1, "h0"), sending("1", 2, "h1"), sending("2", 3, "h2"))
	b.apply(deal("2", 2, 2, "meanwhile"))
	b.fanOut(4)
	b.clock.Move(time.Minute)
	u.Status, u.Accepted, u.Refused = store.UploadAccepted, 2, 1
	refused := []store.RowRefusal{{RowKey: "1", Cause: model.CauseRefusedByRemote, Error: "bad phone"}, {RowKey: "unknown"}}
	for range 2 { // also when it is told twice
		b.ok(b.db.AcceptUpload(b.ctx, u, refused, map[string]string{"0": "remote-0", "unknown": "x"}))
		sent := b.delivery("0")
		b.same("sent", words(sent.State, string(sent.Hash), sent.DoneSeq, sent.RemoteID, sent.UploadID == u.ID, sent.SentAt.Equal(at(1)), sent.Attempts),
			"1 h0 1 remote-0 true true 0")
		bad := b.delivery("1")
		b.same("refused", words(bad.State, len(bad.Hash), bad.DoneSeq, bad.Cause, bad.Error, bad.SentAt.IsZero()), "4 0 2 refused_by_remote bad phone true")
		b.same("due", dueText(b.due()), "2@4")
		b.same("upload", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)).Status, store.UploadAccepted)
		b.same("rows", len(must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, u.ID, -1, 9))), 0)
	}
	b.apply(deal("1", 2, 2, "mended"))
	b.fanOut(5)
	b.same("a refused row goes again when it changes", dueText(b.due()), "2@4 1@5")
}

func uploadManyRefusals(b *bench) {
	const n = 300
	b.deals(n)
	var rows []store.Sending
	var refused []store.RowRefusal
	created := map[string]string{}
	for i := range n {
		id := words(i)
		rows = append(rows, sending(id, int64(i+1), "h"))
		if i%2 == 0 {
			refused = append(refused, store.RowRefusal{RowKey: id, Cause: model.CauseRefusedByRemote})
		} else {
			created[id] = "remote " + id
		}
	}
	u := b.upload(rows...)
	u.Status = store.UploadAccepted
	b.ok(b.db.AcceptUpload(b.ctx, u, refused, created))
	b.same("counts", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)), store.FlowCounts{Sent: n / 2, Refused: n / 2})
	b.same("remote id", b.delivery("299").RemoteID, "remote 299")
}

func uploadLarge(b *bench) {
	const n = 10_001
	b.deals(n)
	rows := make([]store.Sending, n)
	for i := range rows {
		rows[i] = sending(words(i), int64(i+1), "h")
	}
	u := b.upload(rows...)
	u.Status = store.UploadAccepted
	refused := []store.RowRefusal{{RowKey: "0", Cause: model.CauseRefusedByRemote}, {RowKey: words(n - 1), Cause: model.CauseRefusedByRemote}}
	b.ok(b.db.AcceptUpload(b.ctx, u, refused, nil))
	b.same("counts", must[store.FlowCounts](b)(b.db.FlowCounts(b.ctx, project, flow)), store.FlowCounts{Sent: n - 2, Refused: 2})
	b.same("upload", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)).Status, store.UploadAccepted)
}

func uploadReturned(b *bench) {
	b.deals(2)
	b.accept(b.upload(sending("0", 1, "old")))
	b.apply(deal("0", 2, 2, "second"))
	b.fanOut(3)
	u := b.upload(sending("0", 3, "new"), sending("1", 2, "new"))
	u.Status, u.Cause, u.Attempts = store.UploadFailed, model.CauseNetwork, 1
	b.ok(b.db.ReturnUpload(b.ctx, u))
	b.same("due", dueText(b.due()), "1@2 0@3")
	b.same("sent before", words(b.delivery("0").State, string(b.delivery("0").Hash)), "1 old")
	b.same("never sent", words(b.delivery("1").State, b.delivery("1").Attempts), "0 1")
	b.same("upload", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)), u)
}

func uploadRefused(b *bench) {
	b.deals(1)
	u := b.upload(sending("0", 1, "h"))
	u.Status = store.UploadRejected
	b.ok(b.db.RefuseUpload(b.ctx, u, model.CauseUploadRejected, "bad row"))
	got := b.delivery("0")
	b.same("row", words(got.State, got.Cause, got.Error, got.DoneSeq, len(got.Hash)), "4 upload_rejected bad row 1 0")
	b.same("due", len(b.due()), 0)
	b.same("upload", must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID)), u)
}

func uploadSplit(b *bench) {
	b.deals(5)
	var rows []store.Sending
	for i := range 5 {
		rows = append(rows, sending(words(i), int64(i+1), "h"))
	}
	u := b.upload(rows...)
	u.FollowAt, u.Cause = at(9), model.CauseUploadRejected
	children := must[[2]store.Upload](b)(b.db.SplitUpload(b.ctx, u))
	for i, want := range []string{"0@1 1@2 2@3", "3@4 4@5"} {
		child := must[store.Upload](b)(b.db.Upload(b.ctx, project, children[i].ID))
		b.same("child", child, children[i])
		b.same("child", words(child.Status, child.Parent == u.ID, child.Rows, child.Group, child.As, child.Connection),
			words("building true", []int{3, 2}[i], "g orders metrica"))
		got := must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, child.ID, -1, 9))
		b.same("rows", dueText(got), want)
		b.same("positions", words(got[0].Position, got[1].Position, string(got[0].PendingHash)), "0 1 h")
	}
	parent := must[store.Upload](b)(b.db.Upload(b.ctx, project, u.ID))
	b.same("parent", words(parent.Status, parent.FinishedAt.Equal(start), parent.FollowAt.IsZero(), parent.Cause), "split true true upload_rejected")
	grandchildren := must[[2]store.Upload](b)(b.db.SplitUpload(b.ctx, children[1]))
	b.same("grandchild", dueText(must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, grandchildren[1].ID, -1, 9))), "4@5")
	if _, err := b.db.SplitUpload(b.ctx, grandchildren[0]); err == nil {
		b.Error("an upload of one row was divided")
	}
}

func uploadPruned(b *bench) {
	var all []store.Upload
	for range 4 {
		u := store.Upload{Project: project, Flow: flow}
		b.ok(b.db.CreateUpload(b.ctx, &u))
		all = append(all, u)
		b.clock.Move(time.Minute)
	}
	for _, i := range []int{0, 2, 3} {
		all[i].Status = store.UploadAccepted
		b.ok(b.db.SaveUpload(b.ctx, all[i]))
	}
	b.same("first", must[int](b)(b.db.PruneUploads(b.ctx, at(3), 1)), 1)
	b.same("rest", must[int](b)(b.db.PruneUploads(b.ctx, at(3), 9)), 1)
	b.same("left", uploadIDs(must[[]store.Upload](b)(b.db.Uploads(b.ctx, store.UploadFilter{Project: project}))), []int64{all[3].ID, all[1].ID})
}

// Which rows were in an upload is forgotten before the upload is, in steps.
func uploadRowsPruned(b *bench) {
	b.deals(4)
	open := b.upload(sending("3", 4, "h"))
	b.accept(b.upload(sending("0", 1, "h"), sending("1", 2, "h"), sending("2", 3, "h")))
	b.clock.Move(5 * time.Minute)
	b.accept(b.upload(sending("0", 1, "h")))
	b.same("kept with its rows", must[int](b)(b.db.PruneUploads(b.ctx, at(5), 9)), 0)
	b.same("step", must[int](b)(b.db.PruneUploadRows(b.ctx, at(5), 2)), 2)
	b.same("rest", must[int](b)(b.db.PruneUploadRows(b.ctx, at(5), 2)), 1)
	b.same("done", must[int](b)(b.db.PruneUploadRows(b.ctx, at(5), 2)), 0)
	b.same("pruned", must[int](b)(b.db.PruneUploads(b.ctx, at(5), 9)), 1)
	b.same("of the open one", len(must[[]store.Due](b)(b.db.UploadRows(b.ctx, project, open.ID, -1, 9))), 1)
}
