package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// store applies a batch that was found right, and notes the upload either way.
func (s *Sandbox) store(c *counterState, b *batch, fault *Fault) *Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := &Upload{
		ID: s.nextID(), At: s.uploadTime(c), Kind: b.kind.name, Format: b.format, Mode: b.mode,
		Status: "PASSED", Rows: len(b.rows), Columns: b.columns,
	}
	if up.visible = s.Now().Add(s.rules.ListLag); fault != nil && fault.Name != FaultSlow {
		up.visible = up.visible.Add(fault.Delay)
	}
	c.uploads = append(c.uploads, up)
	if b.empty > 0 {
		s.violate("%d cells of an upload of %s are empty under %s, which is not defined", b.empty, b.kind.name, b.mode)
	}
	s.checkBatch(c, b)
	if len(b.errors) > 0 {
		up.Status, up.Errors = "FAILED", b.errors
		s.violate("an upload of %s failed: %s", b.kind.name, b.errors[0])
		return up
	}
	if c.poisoned(b) || fault != nil && fault.Name == FaultFailed {
		up.Status, up.Errors = "FAILED", []string{"the file holds a value that is not acceptable"}
		return up
	}
	s.apply(c, b)
	up.Elements = len(b.rows)
	if fault != nil && fault.Name == FaultFewer && up.Elements > 0 {
		up.Elements--
	}
	return up
}

func (s *Sandbox) nextID() string {
	s.issued++
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", s.rng.Uint32(), s.rng.Uint32()&0xffff, s.rng.Uint32()&0xfff, s.rng.Uint32()&0xfff, s.issued)
}

// uploadTime keeps the times of uploads apart: they are what pages are cut by.
func (s *Sandbox) uploadTime(c *counterState) time.Time {
	step := time.Millisecond
	if s.rules.ZonelessTimes {
		step = time.Second
	}
	at := s.Now().UTC().Truncate(step)
	if n := len(c.uploads); n > 0 && !at.After(c.uploads[n-1].At) {
		at = c.uploads[n-1].At.Add(step)
	}
	return at
}

// checkBatch makes the checks over the whole upload: repeated ids (§16.10),
// unknown clients (§16.8) and too many orders of a client (§16.11).
func (s *Sandbox) checkBatch(c *counterState, b *batch) {
	seen := make(map[string]struct{}, len(b.rows))
	t, clients := c.tables[b.kind.name], c.tables[contactsKind.name]
	repeated, unknown := 0, 0
	fresh := map[string]int{}
	for i := range b.rows {
		in := &b.rows[i]
		if in.id != "" {
			if _, again := seen[in.id]; again {
				repeated++
			}
			seen[in.id] = struct{}{}
		}
		if b.kind != ordersKind {
			continue
		}
		client := t.get(in.cells, "client_uniq_id")
		if _, ok := clients.byID[client]; !ok && t.get(in.cells, "client_type") == "CONTACT" {
			unknown++
			if s.rules.UnknownClient == "fail" {
				b.fault("line %d: the client is not known", i+1)
			}
		}
		if _, ok := t.byID[in.id]; !ok {
			fresh[client]++
			if c.perClient[client]+fresh[client] > s.rules.OrdersPerUser {
				b.fault("line %d: the client has too many orders", i+1)
			}
		}
	}
	if b.kind == simpleKind && slices.Contains(b.columns, "order_status") {
		for i := range b.rows {
			if b.mode == "SAVE" && t.get(b.rows[i].cells, "order_status") == "" {
				s.violate("a simple order has no status and counts as paid")
				break
			}
		}
	}
	if repeated > 0 {
		s.violate("%d rows of an upload of %s repeat an id; they are applied in any order", repeated, b.kind.name)
	}
	if unknown > 0 {
		s.violate("%d orders came before their contacts", unknown)
	}
}

func (c *counterState) poisoned(b *batch) bool {
	return len(c.poison) > 0 && slices.ContainsFunc(b.rows, func(in incoming) bool { return c.poison[in.id] })
}

// apply stores the rows in an order of its own (§16.10).
func (s *Sandbox) apply(c *counterState, b *batch) {
	t := c.tables[b.kind.name]
	s.rng.Shuffle(len(b.rows), func(i, j int) { b.rows[i], b.rows[j] = b.rows[j], b.rows[i] })
	for _, in := range b.rows {
		stored, existed := t.byID[in.id]
		if in.id == "" {
			stored, existed = nil, false
		}
		before := ""
		if b.kind == ordersKind && existed {
			before = t.get(stored, "client_uniq_id")
		}
		merged := t.merge(stored, in.cells, b.mode)
		if b.kind == simpleKind && t.get(merged, "order_status") == "" {
			merged = set(merged, t.index["order_status"], "PAID") // §16.9
		}
		if b.kind == ordersKind {
			if after := t.get(merged, "client_uniq_id"); after != before {
				c.perClient[after]++
				if before != "" {
					c.perClient[before]--
				}
			}
		}
		if in.id == "" {
			t.loose = append(t.loose, merged)
			continue
		}
		t.byID[in.id] = merged
	}
}

// shown is an upload as Metrica tells of it (§5.8). The caller holds s.mu.
func (s *Sandbox) shown(up *Upload, c *counterState) map[string]any {
	shown := map[string]any{
		"uploading_id": up.ID, "datetime": s.stamp(up.At, c), "api_validation_status": up.Status,
		"elements_count": up.Elements, "entity_type": "SYSTEM",
		"uploading_format": up.Format, "uploading_source": "API", "api_validation_errors": up.Errors, "uploading_title": "",
	}
	if up.Errors == nil {
		shown["api_validation_errors"] = []string{}
	}
	if !s.rules.HideKinds {
		k := map[string]string{contactsKind.name: contactsKind.subtype, ordersKind.name: ordersKind.subtype, simpleKind.name: simpleKind.subtype}
		shown["entity_subtype"] = k[up.Kind]
	}
	return shown
}

const isoMillis = "2006-01-02T15:04:05.000Z"

func (s *Sandbox) stamp(at time.Time, c *counterState) string {
	if s.rules.ZonelessTimes {
		return at.In(c.zone).Format(time.DateTime)
	}
	return at.UTC().Format(isoMillis)
}

// lastUploadings lists uploads, newest first (§16.13).
func (s *Sandbox) lastUploadings(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := whole(r, "limit", 10)
	if limit < 1 || limit > 1000 {
		refuse(w, http.StatusBadRequest, "invalid_parameter", "limit is outside 1 to 1000")
		return
	}
	before, err := s.offset(r.URL.Query().Get("datetime_offset"), c)
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_parameter", err.Error())
		return
	}
	now, list := s.Now(), []map[string]any{}
	if source := r.URL.Query().Get("source"); source == "" || strings.EqualFold(source, "API") {
		for i := len(c.uploads) - 1; i >= 0 && len(list) < limit; i-- {
			if c.uploads[i].visible.After(now) {
				continue
			}
			if before.IsZero() || c.uploads[i].At.Before(before) {
				list = append(list, s.shown(c.uploads[i], c))
			}
		}
	}
	s.reply(w, fault, map[string]any{"uploadings": list})
}

func (s *Sandbox) offset(text string, c *counterState) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(isoMillis, text); err == nil && !s.rules.OnlyOldOffsets {
		return at, nil
	}
	at, err := time.ParseInLocation(time.DateTime, text, c.zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("datetime_offset cannot be read")
	}
	return at, nil
}
