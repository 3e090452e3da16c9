package yandexmetrica

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// tokenOf is the comment of an upload: digits and Latin letters, all that a
// comment may surely hold (yandex-metrica §6.1). Without a token of the hub's it
// is made from what names the upload.
func (c *Connector) tokenOf(u connectors.Upload) string {
	if u.Token != "" {
		return u.Token
	}
	sum := sha256.Sum256([]byte(c.project + "\x00" + c.connection + "\x00" + u.As + "\x00" + strconv.FormatInt(u.ID, 10)))
	return "svod" + hex.EncodeToString(sum[:12])
}

// sendSheet uploads a file. Whatever leaves it open whether Metrica has the file
// is an unknown outcome, also a gateway's page: sent twice, conversions and calls
// might count twice (§3.3 would repeat).
func (c *Connector) sendSheet(ctx context.Context, s sheet, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	options, errs := readOptions(u.As, u.Options)
	if len(errs) > 0 {
		return connectors.Outcome{}, model.Errorf(model.ClassPermanent, model.CauseBadValue, "flow: %w", errs[0])
	}
	header, err := readHeader(body)
	if err != nil {
		return connectors.Outcome{}, err
	}
	f := c.readFacts(header, body)
	c.noteFacts(ctx, u, f)
	if u.As == asExpenses && options.replace != replaceNo {
		if err := c.removeExpenses(ctx, u, options, header, body); err != nil {
			return connectors.Outcome{}, err
		}
	}
	form := wrap(body)
	resp, err := c.do(ctx, request{
		what: "upload " + u.As, method: http.MethodPost, path: c.managementPath(s.path), query: c.sheetQuery(s, u, options, header),
		contentType: form.contentType, body: form.reader, size: form.size, timeout: uploadTimeout,
	})
	if err != nil {
		return refusedSheet(u, resp, err, f)
	}
	got, raw, ok := readFate(resp.Body)
	if !ok {
		return connectors.Outcome{}, model.Errorf(model.ClassUnknown, model.CauseInDoubt,
			"upload %s: Metrica answered %d with %d bytes that do not say what became of the file", u.As, resp.Status, len(resp.Body))
	}
	if u.As == asUserParams {
		if got, err = c.confirm(ctx, s, got, raw); err != nil {
			return connectors.Outcome{}, inDoubt("confirm the upload of user_params", err)
		}
	}
	return taken(judgeFate(u.As, got, u.Rows, f)), nil
}

func (c *Connector) sheetQuery(s sheet, u connectors.Upload, o flowOptions, header []string) url.Values {
	q := url.Values{"comment": {c.tokenOf(u)}}
	for k, v := range s.query {
		q.Set(k, v)
	}
	switch u.As {
	case asCalls:
		if o.newGoalName != "" {
			q.Set("new_goal_name", o.newGoalName)
		}
	case asUserParams:
		q.Set("action", o.action)
		q.Set("content_id_type", map[string]string{"ClientId": "client_id", "UserId": "user_id"}[header[0]])
	case asExpenses:
		q.Set("provider", o.provider)
	}
	return q
}

// refusedSheet turns a refusal of the content into an outcome and keeps apart
// what surely did not arrive from what may have.
func refusedSheet(u connectors.Upload, resp outbound.Response, err error, f facts) (connectors.Outcome, error) {
	a := readAnswer(resp.Body)
	switch {
	case resp.Status == http.StatusBadRequest && a.has("invalid_uploading"), resp.Status == http.StatusRequestEntityTooLarge:
		reasons := a.texts()
		if len(reasons) == 0 {
			reasons = []string{"HTTP " + strconv.Itoa(resp.Status)}
		}
		q := quality{Source: u.Rows}
		return connectors.Outcome{State: connectors.UploadRejected, Reasons: reasons, Details: fateDetails(fate{}, q, []string{adviceRowsDropped}, reasons)}, nil
	case resp.Status >= 500 || resp.Status == http.StatusRequestTimeout || a.has("timeout", "backend_error"):
		return connectors.Outcome{}, inDoubt("upload "+u.As, err)
	}
	return connectors.Outcome{}, err
}

// inDoubt makes a failure one whose outcome is to be asked for. What a person or
// the clock must settle first stays as it is.
func inDoubt(what string, err error) error {
	switch model.ClassOf(err) {
	case model.ClassReauth, model.ClassQuota:
		return err
	}
	return &model.Error{Class: model.ClassUnknown, Cause: model.CauseInDoubt, Message: what + ": whether Metrica took it is not known", Err: err}
}

// confirm applies uploaded user parameters (§9). Doing so again is harmless, but
// the status tells whether it is needed.
func (c *Connector) confirm(ctx context.Context, s sheet, got fate, raw json.RawMessage) (fate, error) {
	if got.phase(asUserParams) != phaseUnconfirmed {
		return got, nil
	}
	body, err := json.Marshal(map[string]json.RawMessage{"uploading": raw})
	if err != nil {
		return got, err
	}
	resp, err := c.do(ctx, request{
		what: "confirm an upload of user_params", method: http.MethodPost,
		path:        c.managementPath(s.one + url.PathEscape(string(got.ID)) + "/confirm"),
		contentType: "application/json", body: func() io.Reader { return bytes.NewReader(body) }, size: int64(len(body)), timeout: answerTimeout,
	})
	if err != nil {
		return got, err
	}
	if after, _, ok := readFate(resp.Body); ok && after.ID == got.ID {
		got = after
	}
	if got.phase(asUserParams) == phaseUnconfirmed {
		got.Status = "is_processed" // the answer's form is not documented; 200 is what counts
	}
	return got, nil
}

// Follow implements connectors.Follower. One list serves all open uploads of a
// kind, or the day's budget would go into asking (§11).
func (c *Connector) Follow(ctx context.Context, u connectors.Upload) (connectors.Outcome, error) {
	s, ok := sheetOf(u.As)
	if !ok {
		return connectors.Outcome{State: connectors.UploadAccepted, RemoteID: u.RemoteID, Accepted: u.Rows}, nil
	}
	got, raw, err := c.lookUp(ctx, s, u)
	if err != nil {
		return connectors.Outcome{}, err
	}
	if u.As == asUserParams {
		if got, err = c.confirm(ctx, s, got, raw); err != nil {
			return connectors.Outcome{}, repeatable(err)
		}
	}
	out := judgeFate(u.As, got, u.Rows, c.recallFacts(ctx, u))
	return out, nil
}

// repeatable makes a lost answer to a call that may be made again temporary.
func repeatable(err error) error {
	if model.ClassOf(err) != model.ClassUnknown {
		return err
	}
	return model.Errorf(model.ClassTemporary, model.CauseNetwork, "%w", err)
}

// lookUp finds an upload in a recent list or by its id.
func (c *Connector) lookUp(ctx context.Context, s sheet, u connectors.Upload) (fate, json.RawMessage, error) {
	list, err := c.recentUploads(ctx, s)
	if err != nil {
		return fate{}, nil, err
	}
	for _, l := range list {
		if u.RemoteID != "" && string(l.got.ID) == u.RemoteID || u.RemoteID == "" && c.isOurs(l.got, u) {
			return l.got, l.raw, nil
		}
	}
	if u.RemoteID == "" {
		return fate{}, nil, model.Errorf(model.ClassTemporary, model.CauseInDoubt, "follow upload %d: it has no number at Metrica and is not among its latest", u.ID)
	}
	var body json.RawMessage
	what := "read upload " + u.RemoteID
	if err := c.get(ctx, what, c.managementPath(s.one+url.PathEscape(u.RemoteID)), nil, &body); err != nil {
		return fate{}, nil, err
	}
	got, raw, ok := readFate(body)
	if !ok {
		return fate{}, nil, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "%s: Metrica's answer does not describe an upload", what)
	}
	return got, raw, nil
}

// readFacts reads off the file what its rows are like.
func (c *Connector) readFacts(header []string, body connectors.Body) facts {
	client, when, static := -1, -1, -1
	for i, name := range header {
		switch name {
		case "ClientId", "ClientID":
			client = i
		case "DateTime":
			when = i
		case "StaticCall":
			static = i
		}
	}
	var f facts
	limit := c.now().Add(-linkWindow).Unix()
	lines := bufio.NewReaderSize(io.NewSectionReader(body, 0, body.Size()), 2*maxRowBytes)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.log.Warn("the rows of an upload could not be looked through", zap.Error(err))
			}
			return f
		}
		if first {
			continue
		}
		f.Rows++
		if static >= 0 && string(field(line, static)) == "1" {
			f.Static++
			continue
		}
		if client >= 0 && len(field(line, client)) == 0 || client < 0 && when >= 0 {
			f.NoClient++
		}
		if when < 0 {
			continue
		}
		if at, err := strconv.ParseInt(string(field(line, when)), 10, 64); err == nil && at < limit {
			f.Old++
		}
	}
}

// factsKept is how many uploads' facts are remembered for Follow.
const factsKept = 256

type keptFacts struct {
	ID    int64 `json:"id"`
	Facts facts `json:"facts"`
}

func factsKey(as string) string { return "facts:" + as }

func (c *Connector) readKept(ctx context.Context, as string) []keptFacts {
	if c.memory == nil {
		return nil
	}
	var kept []keptFacts
	data, err := c.memory.Recall(ctx, factsKey(as))
	if err == nil && data != "" {
		err = json.Unmarshal([]byte(data), &kept)
	}
	if err != nil {
		c.log.Warn("what is known of earlier uploads cannot be read", zap.Error(err))
	}
	return kept
}

func (c *Connector) noteFacts(ctx context.Context, u connectors.Upload, f facts) {
	if c.memory == nil {
		return
	}
	kept := append(c.readKept(ctx, u.As), keptFacts{u.ID, f})
	data, err := json.Marshal(kept[max(0, len(kept)-factsKept):])
	if err == nil {
		err = c.memory.Remember(ctx, factsKey(u.As), string(data))
	}
	if err != nil {
		c.log.Warn("what is known of an upload is not remembered", zap.Error(err))
	}
}

func (c *Connector) recallFacts(ctx context.Context, u connectors.Upload) facts {
	kept := c.readKept(ctx, u.As)
	for i := len(kept) - 1; i >= 0; i-- {
		if kept[i].ID == u.ID {
			return kept[i].Facts
		}
	}
	return facts{Rows: u.Rows}
}

// listed is an upload of a list.
type listed struct {
	got fate
	raw json.RawMessage
}

// recentFor is how long a list serves further questions.
const recentFor = 30 * time.Second

type recentList struct {
	readAt time.Time
	list   []listed
}

// recentUploads gives the latest uploads of a kind.
func (c *Connector) recentUploads(ctx context.Context, s sheet) ([]listed, error) {
	c.recentMu.Lock()
	defer c.recentMu.Unlock()
	if known, ok := c.recent[s.list]; ok && c.now().Sub(known.readAt) < recentFor {
		return known.list, nil
	}
	list, err := c.uploadsPage(ctx, s, 0)
	if err != nil {
		return nil, err
	}
	if c.recent == nil {
		c.recent = map[string]recentList{}
	}
	c.recent[s.list] = recentList{c.now(), list}
	return list, nil
}

// uploadsPage reads one page of a list; offsets begin at 0 (§6.3).
func (c *Connector) uploadsPage(ctx context.Context, s sheet, offset int) ([]listed, error) {
	var got struct {
		Uploadings []json.RawMessage `json:"uploadings"`
	}
	q := url.Values{"limit": {strconv.Itoa(listPage)}, "offset": {strconv.Itoa(offset)}}
	if err := c.get(ctx, "list uploads of "+s.as, c.managementPath(s.list), q, &got); err != nil {
		return nil, err
	}
	out := make([]listed, 0, len(got.Uploadings))
	for _, raw := range got.Uploadings {
		var one fate
		if json.Unmarshal(raw, &one) != nil {
			one = fate{} // keeps the page's length true
		}
		out = append(out, listed{one, raw})
	}
	return out, nil
}
