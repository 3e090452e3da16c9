package admin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	maxBody      = 64 << 10
)

// page is one piece of a list. Next, given back as the cursor, continues it.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// cursor is where a list continues. Callers do not look into it.
type cursor struct {
	ID   int64     `json:"i,omitempty"`
	Flow string    `json:"f,omitempty"`
	Key  model.Key `json:"k,omitzero"`
}

func (c cursor) String() string {
	data, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// query reads parameters and remembers the first that is wrong.
type query struct {
	r   *request
	err error
}

func (q *query) wrong(name, detail string) {
	if q.err == nil {
		q.err = badParameter(name, detail)
	}
}

func (q *query) text(name string) string { return q.r.QueryParam(name) }

func (q *query) list(name string) []string { return q.r.QueryParams()[name] }

func (q *query) number(name string) int64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		q.wrong(name, "Write a whole number.")
	}
	return n
}

func (q *query) limit() int {
	n := q.number("limit")
	if n == 0 {
		return defaultLimit
	}
	if n > maxLimit {
		q.wrong("limit", "Ask for at most 1000.")
	}
	return int(min(n, maxLimit))
}

func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.wrong(name, "Write a time as 2026-01-31T12:00:00+03:00.")
	}
	return t.UTC()
}

func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	}
	q.wrong(name, "Write true or false.")
	return false
}

func (q *query) cursor() cursor {
	var c cursor
	text := q.text("cursor")
	if text == "" {
		return c
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, &c) != nil {
		q.wrong("cursor", "Give back the cursor as it was in next.")
	}
	return c
}

func entryStates(names []string) ([]store.EntryState, error) {
	var states []store.EntryState
	for _, name := range names {
		state, ok := view.ParseEntryState(name)
		if !ok {
			return nil, badParameter("state", "Write new, done, partly or refused.")
		}
		states = append(states, state)
	}
	return states, nil
}

func deliveryStates(names []string) ([]store.DeliveryState, error) {
	var states []store.DeliveryState
	for _, name := range names {
		state, ok := view.ParseDeliveryState(name)
		if !ok {
			return nil, badParameter("state", "Write new, sent, sending, skipped, refused or waiting.")
		}
		states = append(states, state)
	}
	return states, nil
}

// body reads a JSON object; members that we do not know are mistakes, because
// a misspelt filter would match more than was meant. No body at all is {}.
func (r *request) body(into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(r.Response(), r.Request().Body, maxBody))
	decoder.DisallowUnknownFields()
	var tooLarge *http.MaxBytesError
	switch err := decoder.Decode(into); {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: "The body is larger than 64 KiB."}
	case err != nil:
		return badParameter("body", "The body is not the JSON object that /api/openapi.yaml describes: "+err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badParameter("body", "There is something behind the JSON object.")
	}
	return nil
}
