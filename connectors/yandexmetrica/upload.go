package yandexmetrica

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

const (
	minGap = 5 * time.Second
	// A real upload of hundreds of megabytes takes minutes (yandex-metrica §14.3).
	uploadTimeout = 15 * time.Minute
	maxHeaderLine = 64 << 10
)

// sheetGap is longer, because each of those uploads is asked about for hours and
// its rows are reported hours later anyway (§6.3, §11).
const sheetGap = time.Minute

// Plan implements connectors.Uploader. The gap is small because the day's budget
// is kept by the limiter for the whole login (§14.7).
func (c *Connector) Plan(as string) connectors.UploadPlan {
	if as == asEvents {
		return connectors.UploadPlan{MaxRows: maxEvents, MaxBytes: maxEvents * maxEventBytes, MinGap: minGap}
	}
	if as == asUserParams {
		// A row is several lines, and the limit is one of lines.
		return connectors.UploadPlan{MaxRows: max(1, c.MaxRows/10), MaxBytes: c.MaxBytes, MinGap: sheetGap}
	}
	if _, ok := sheetOf(as); ok {
		return connectors.UploadPlan{MaxRows: c.MaxRows, MaxBytes: c.MaxBytes, MinGap: sheetGap}
	}
	return connectors.UploadPlan{MaxRows: c.MaxRows, MaxBytes: c.MaxBytes, MinGap: minGap}
}

var uploadPaths = map[string]string{
	asContacts:     "/data/contacts/csv",
	asOrders:       "/data/orders/csv",
	asSimpleOrders: "/data/simple_orders",
}

// uploading is what Metrica says of an upload (§5.8).
type uploading struct {
	ID       text   `json:"uploading_id"`
	Datetime text   `json:"datetime"`
	Status   string `json:"api_validation_status"`
	Elements *count `json:"elements_count"`
	Type     string `json:"entity_type"`
	Subtype  string `json:"entity_subtype"`
	Format   string `json:"uploading_format"`
	Source   string `json:"uploading_source"`
	Errors   texts  `json:"api_validation_errors"`
}

// Send implements connectors.Uploader.
func (c *Connector) Send(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	if s, ok := sheetOf(u.As); ok {
		return c.sendSheet(ctx, s, u, body)
	}
	if u.As == asEvents {
		return c.sendEvents(ctx, u, body)
	}
	path, ok := uploadPaths[u.As]
	if !ok {
		return connectors.Outcome{}, model.Errorf(model.ClassPermanent, model.CauseInternal, "Metrica takes no %q", u.As)
	}
	header, err := readHeader(body)
	if err != nil {
		return connectors.Outcome{}, fmt.Errorf("upload %s: %w", u.As, err)
	}
	warned, err := c.warnings(ctx, u.As, header, body)
	if err != nil {
		return connectors.Outcome{}, err
	}
	form := wrap(body)
	resp, err := c.do(ctx, request{
		what: "upload " + u.As, method: http.MethodPost, path: c.cdpPath(path), query: c.uploadQuery(u, header),
		contentType: form.contentType, body: form.reader, size: form.size, timeout: uploadTimeout,
	})
	if err != nil {
		return c.refusedUpload(resp, err, warned)
	}
	var got struct {
		Uploading *uploading `json:"uploading"`
	}
	if err := json.Unmarshal(resp.Body, &got); err != nil || got.Uploading == nil || got.Uploading.Status == "" {
		return connectors.Outcome{}, model.Errorf(model.ClassUnknown, model.CauseInDoubt,
			"upload %s: Metrica answered 200 with %d bytes that do not say what became of the file", u.As, len(resp.Body))
	}
	c.noteAnswered(ctx, u, string(got.Uploading.ID))
	return judge(*got.Uploading, u.Rows, warned), nil
}

func (c *Connector) uploadQuery(u connectors.Upload, header []string) url.Values {
	mode := u.Mode
	if mode == "" {
		mode = modeSave
	}
	q := url.Values{"merge_mode": {mode}, "delimiter_type": {"COMMA"}}
	if c.mapsColumns() && u.As != asSimpleOrders {
		pairs := make([]string, len(header))
		for i, name := range header {
			pairs[i] = `"` + name + `":"` + name + `"`
		}
		q.Set("columns_mapping", strings.Join(pairs, ","))
	}
	return q
}

// readHeader reads the names of the file's columns from the file itself, since
// only that knows which columns an UPDATE left out.
func readHeader(body connectors.Body) ([]string, error) {
	line, err := bufio.NewReaderSize(io.NewSectionReader(body, 0, min(body.Size(), maxHeaderLine)), maxHeaderLine).ReadSlice('\n')
	if err != nil {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "the encoded file has no header line")
	}
	return strings.Split(strings.TrimSuffix(string(line), "\n"), ","), nil
}

// judge reads the verdict. 200 is not success: the status must be PASSED and the
// number of elements that of the rows (§5.8).
func judge(got uploading, rows int, warned warnings) connectors.Outcome {
	out := connectors.Outcome{RemoteID: string(got.ID), Details: details(got, warned)}
	reasons := make([]string, 0, len(got.Errors))
	for _, e := range got.Errors {
		reasons = append(reasons, redact(e))
	}
	if got.Status != "PASSED" {
		out.State = connectors.UploadRejected
		out.Reasons = append([]string{"api_validation_status " + redact(got.Status)}, reasons...)
		return out
	}
	out.State, out.Accepted, out.Reasons = connectors.UploadAccepted, rows, reasons
	if got.Elements != nil && int(*got.Elements) < rows {
		out.State, out.Accepted = connectors.UploadRejected, int(*got.Elements)
		out.Reasons = append(out.Reasons, fmt.Sprintf("Metrica took %d of %d rows and does not say which", *got.Elements, rows))
	}
	return out
}

// refusedUpload turns a refusal of the content into an outcome; other failures
// stay errors.
func (c *Connector) refusedUpload(resp outbound.Response, err error, warned warnings) (connectors.Outcome, error) {
	a := readAnswer(resp.Body)
	if resp.Status == http.StatusBadRequest && a.has("invalid_uploading") || resp.Status == http.StatusRequestEntityTooLarge {
		reasons := a.texts()
		if len(reasons) == 0 {
			reasons = []string{"HTTP " + strconv.Itoa(resp.Status)}
		}
		return connectors.Outcome{State: connectors.UploadRejected, Reasons: reasons, Details: details(uploading{}, warned)}, nil
	}
	// After a 504 the file may have been taken (§3.1).
	var e *model.Error
	if errors.As(err, &e) && (resp.Status == http.StatusGatewayTimeout || a.has("timeout")) {
		return connectors.Outcome{}, &model.Error{Class: model.ClassUnknown, Cause: model.CauseInDoubt, Message: e.Message, Err: e.Err}
	}
	return connectors.Outcome{}, err
}

func details(got uploading, warned warnings) []byte {
	type shown struct {
		ID       string   `json:"uploading_id,omitempty"`
		Datetime string   `json:"datetime,omitempty"`
		Status   string   `json:"api_validation_status,omitempty"`
		Elements *count   `json:"elements_count,omitempty"`
		Type     string   `json:"entity_type,omitempty"`
		Subtype  string   `json:"entity_subtype,omitempty"`
		Errors   []string `json:"api_validation_errors,omitempty"`
	}
	out := struct {
		Uploading shown    `json:"uploading"`
		Warnings  warnings `json:"warnings"`
	}{Warnings: warned}
	out.Uploading = shown{
		ID: redactID(string(got.ID)), Datetime: string(got.Datetime), Status: redact(got.Status),
		Elements: got.Elements, Type: redact(got.Type), Subtype: redact(got.Subtype),
	}
	for _, e := range got.Errors {
		out.Uploading.Errors = append(out.Uploading.Errors, redact(e))
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return data
}

// redactID keeps ids as they are: they may well be long numbers.
func redactID(id string) string {
	if len(id) > 100 {
		return id[:100]
	}
	return id
}

// form is the multipart request of §15.1 around a file.
type form struct {
	contentType string
	size        int64
	reader      func() io.Reader
}

func wrap(body connectors.Body) form {
	// The boundary is derived from the file, so that it is not found in it and the
	// same upload gives the same bytes.
	sum := sha256.New()
	size := body.Size()
	_, _ = io.Copy(sum, io.NewSectionReader(body, 0, min(size, 1<<16)))
	_, _ = io.Copy(sum, io.NewSectionReader(body, max(0, size-1<<16), min(size, 1<<16)))
	boundary := "----svod" + hex.EncodeToString(sum.Sum(nil))[:40]
	head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.csv\"\r\nContent-Type: text/csv\r\n\r\n"
	tail := "\r\n--" + boundary + "--\r\n"
	return form{
		contentType: "multipart/form-data; boundary=" + boundary,
		size:        int64(len(head)) + size + int64(len(tail)),
		reader: func() io.Reader {
			return io.MultiReader(strings.NewReader(head), io.NewSectionReader(body, 0, size), strings.NewReader(tail))
		},
	}
}

// warnings count rows that Metrica takes without linking them (§5.10).
type warnings struct {
	ExpiredLinkWindow   int `json:"expired_link_window,omitempty"`   // orders older than 21 days
	ExpiredChangeWindow int `json:"expired_change_window,omitempty"` // orders older than 111 days
}

const (
	linkWindow   = 21 * 24 * time.Hour
	changeWindow = 111 * 24 * time.Hour
)

// warnings reads the orders' ages off the file: rows are lines, and times are in
// an order that texts have too.
func (c *Connector) warnings(ctx context.Context, as string, header []string, body connectors.Body) (warnings, error) {
	if as == asContacts {
		return warnings{}, nil
	}
	at := -1
	for i, name := range header {
		if name == "create_date_time" {
			at = i
		}
	}
	if at < 0 {
		return warnings{}, nil
	}
	zone, err := c.location(ctx)
	if err != nil {
		return warnings{}, fmt.Errorf("upload %s: %w", as, err)
	}
	now := c.now().In(zone)
	linkable := []byte(now.Add(-linkWindow).Format(time.DateTime))
	changeable := []byte(now.Add(-changeWindow).Format(time.DateTime))
	var w warnings
	lines := bufio.NewReaderSize(io.NewSectionReader(body, 0, body.Size()), 2*maxRowBytes)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return w, nil
		}
		if err != nil {
			c.log.Warn("the ages of the orders of an upload are not known", zap.Error(err))
			return w, nil
		}
		if first {
			continue
		}
		created := field(line, at)
		switch {
		case len(created) == 0 || bytes.Compare(created, linkable) >= 0:
		case bytes.Compare(created, changeable) < 0:
			w.ExpiredChangeWindow++
			w.ExpiredLinkWindow++
		default:
			w.ExpiredLinkWindow++
		}
	}
}

// field gives cell n of a line of ours.
func field(line []byte, n int) []byte {
	quoted := false
	start := 0
	for i, b := range line {
		switch {
		case b == '"':
			quoted = !quoted
		case (b == ',' || b == '\n') && !quoted:
			if n == 0 {
				return line[start:i]
			}
			n--
			start = i + 1
		}
	}
	return nil
}
