package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/svod-hub/svod/model"
)

// hashSize is enough to tell the versions of one row apart.
const hashSize = 16

// Hash is the same for rows that are the same at the destination. It covers the
// key and the values in their order: times as UTC, decimals without trailing
// zeros.
func Hash(row model.Row) []byte {
	buf := make([]byte, 0, 512)
	buf = appendText(buf, row.Key)
	for _, value := range row.Values {
		buf = appendValue(buf, value)
	}
	sum := sha256.Sum256(buf)
	return sum[:hashSize:hashSize]
}

// appendText writes a text behind its length, so that no two lists of texts look
// the same.
func appendText(buf []byte, text string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(text)))
	return append(buf, text...)
}

func appendValue(buf []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(buf, 0)
	case string:
		return appendText(append(buf, 's'), v)
	case model.Date:
		return appendText(append(buf, 'd'), string(v))
	case time.Time:
		buf = binary.BigEndian.AppendUint64(append(buf, 't'), uint64(v.Unix()))
		return binary.BigEndian.AppendUint32(buf, uint32(v.Nanosecond()))
	case model.Decimal:
		return appendText(append(buf, 'n'), v.String())
	case int64:
		return appendText(append(buf, 'i'), strconv.FormatInt(v, 10))
	case bool:
		return strconv.AppendBool(append(buf, 'b'), v)
	case []string:
		buf = binary.AppendUvarint(append(buf, 'l'), uint64(len(v)))
		for _, text := range v {
			buf = appendText(buf, text)
		}
		return buf
	case []model.Product:
		buf = binary.AppendUvarint(append(buf, 'p'), uint64(len(v)))
		for _, p := range v {
			for _, text := range []string{p.ID, p.Name, p.Quantity.String(), p.Price.String()} {
				buf = appendText(buf, text)
			}
		}
		return buf
	case []model.GoalHit:
		buf = binary.AppendUvarint(append(buf, 'g'), uint64(len(v)))
		for _, hit := range v {
			buf = appendText(appendText(buf, hit.ID), hit.Price.String())
		}
		return buf
	}
	return appendText(append(buf, '?'), fmt.Sprintf("%T %v", value, value))
}

// NeedsSending decides whether a row is sent.
func NeedsSending(prev PreviousRow, row model.Row, forced bool) Reason {
	switch {
	case len(prev.Hash) == 0:
		return ReasonNew
	case forced:
		return ReasonAsked
	case !bytes.Equal(prev.Hash, Hash(row)):
		return ReasonChanged
	}
	return ReasonUnchanged
}

// Fingerprint changes whenever anything changes that changes rows. Schedule,
// names for people and the types of statuses change none.
func (f *Flow) Fingerprint() string { return f.fingerprint }

func (f *Flow) computeFingerprint(project Project) string {
	type source struct {
		model.Column
		Sources  []string
		Constant any
		Prefix   bool
		Required bool
		HashOf   model.ValueType
	}
	state := struct {
		From       []string
		Record     model.Kind
		To, As     string
		Mode       string
		ClientType string
		When       string
		Columns    []source
		Statuses   [][2]string
		AnyOf      [][]int
		Key, Needs int
		Zone       string
		Project    string
		Currency   string
		Region     string
		Options    map[string]string
	}{
		From: f.spec.From, Record: f.spec.Record, To: f.spec.To, As: f.schema.As, Mode: f.mode, ClientType: f.clientType,
		AnyOf: f.anyOf, Key: f.key, Needs: f.needs, Zone: project.Zone.String(), Project: project.ID, Currency: project.Currency,
		Region: project.Region, Options: f.spec.Options,
	}
	if f.when != nil {
		state.When = f.when.source
	}
	for _, c := range f.columns {
		s := source{Column: c.Column, Constant: c.constant, Prefix: c.prefix, Required: c.required, HashOf: c.hashOf}
		for _, e := range c.sources {
			s.Sources = append(s.Sources, e.source)
		}
		state.Columns = append(state.Columns, s)
	}
	for _, pair := range f.spec.Statuses {
		state.Statuses = append(state.Statuses, [2]string{pair.CRM, carried(pair, &f.schema)})
	}
	data, err := json.Marshal(state)
	if err != nil { // texts, numbers and lists of them always marshal
		return "unknown"
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:hashSize])
}
