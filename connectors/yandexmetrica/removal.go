package yandexmetrica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const (
	removalMemory = "expenses_removed"
	removalPause  = time.Minute
)

// removeExpenses makes room for expenses that may be there already: whether an
// upload adds to them or replaces them is not documented (yandex-metrica §10,
// §19.11). It removes the rows of the file by day and tags, or whole days of the
// provider, and lets the upload wait until Metrica has done so: both are worked
// off in the background, in an order that nobody promises.
func (c *Connector) removeExpenses(ctx context.Context, u connectors.Upload, o flowOptions, header []string, body connectors.Body) error {
	file, err := removalFile(header, body, o.replace == replaceDays)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append([]byte(o.provider+"\x00"), file...))
	digest := hex.EncodeToString(sum[:12])
	s, _ := sheetOf(asExpenses)
	if before, id := c.recallRemoval(ctx); before == digest {
		var raw struct {
			Uploading fate `json:"uploading"`
		}
		if err := c.get(ctx, "read the removal of expenses", c.managementPath(s.one+url.PathEscape(id)), nil, &raw); err != nil {
			return err
		}
		return c.afterRemoval(ctx, digest, raw.Uploading)
	}
	form := wrap(bytes.NewReader(file))
	resp, err := c.do(ctx, request{
		what: "remove expenses", method: http.MethodPost, path: c.managementPath("/expense/delete"),
		query:       url.Values{"provider": {o.provider}, "comment": {c.tokenOf(u) + "r"}},
		contentType: form.contentType, body: form.reader, size: form.size, timeout: uploadTimeout,
	})
	if err != nil {
		return repeatable(err) // nothing is uploaded yet, and removing twice removes once
	}
	got, _, ok := readFate(resp.Body)
	if !ok {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "remove expenses: Metrica's answer of %d bytes does not name the removal", len(resp.Body))
	}
	return c.afterRemoval(ctx, digest, got)
}

// afterRemoval lets the upload go when the removal is done. Its end is forgotten
// with that, so that the same rows sent once more are removed once more.
func (c *Connector) afterRemoval(ctx context.Context, digest string, got fate) error {
	done := got.phase(asExpenses) == phaseDone
	kept := digest + " " + string(got.ID)
	if done {
		kept = ""
	}
	if c.memory != nil {
		if err := c.memory.Remember(ctx, removalMemory, kept); err != nil {
			return err
		}
	}
	if done {
		return nil
	}
	return &model.Error{Class: model.ClassTemporary, Cause: model.CauseInDoubt, RetryAt: c.now().Add(removalPause),
		Message: "upload expenses: waits until Metrica has removed the earlier rows of the same days; the work goes on by itself"}
}

func (c *Connector) recallRemoval(ctx context.Context) (digest, id string) {
	if c.memory == nil {
		return "", ""
	}
	kept, err := c.memory.Recall(ctx, removalMemory)
	if err != nil {
		c.log.Warn("an earlier removal of expenses is not known", zap.Error(err))
	}
	digest, id, _ = strings.Cut(kept, " ")
	return digest, id
}

// removalFile keeps of an upload what names its rows: the day, and unless whole
// days go the tags.
func removalFile(header []string, body connectors.Body, days bool) ([]byte, error) {
	keep := []int{}
	for i, name := range header {
		if name == "Date" || !days && strings.HasPrefix(name, "UTM") {
			keep = append(keep, i)
		}
	}
	lines := map[string][]string{}
	reader := csv.NewReader(io.NewSectionReader(body, 0, body.Size()))
	reader.ReuseRecord = true
	for first := true; ; first = false {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "the encoded expenses cannot be read again")
		}
		if first {
			continue
		}
		row := make([]string, len(keep))
		for i, at := range keep {
			row[i] = strings.Clone(record[at])
		}
		lines[strings.Join(row, "\x00")] = row
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	names := make([]string, len(keep))
	for i, at := range keep {
		names[i] = header[at]
	}
	_ = w.Write(names)
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		_ = w.Write(lines[key])
	}
	w.Flush()
	return out.Bytes(), w.Error()
}
