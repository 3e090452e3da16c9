package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// get reads an address; a token goes as a bearer's.
func get(ctx context.Context, address, token string) (int, []byte, error) {
	return ask(ctx, http.MethodGet, address, token, "", nil)
}

func ask(ctx context.Context, method, address, token, contentType string, body []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Close = true // no connection outlives a hub that is killed
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// admin reads from /api/v1.
func (w *world) admin(path string, query url.Values, into any) {
	w.t.Helper()
	address := "http://" + w.hub().listen + "/api/v1" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	status, text, err := get(w.t.Context(), address, apiToken)
	if err != nil {
		w.t.Fatal(err)
	}
	if status != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		w.t.Fatalf("GET %s: %v: %s", path, err, text)
	}
}

// list reads all pages of a list.
func list[T any](w *world, path string, query url.Values) []T {
	w.t.Helper()
	var all []T
	query = maps.Clone(query)
	query.Set("limit", "1000")
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		w.admin("/projects/"+project+path, query, &page)
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		query.Set("cursor", page.Next)
	}
}

// entry is a delivery in the journal.
type entry struct {
	ID         int64  `json:"id"`
	Connection string `json:"connection"`
	State      string `json:"state"`
	Cause      string `json:"cause"`
	Error      string `json:"error"`
}

func (w *world) journal(query url.Values) []entry {
	w.t.Helper()
	return list[entry](w, "/journal", query)
}

// row is the hub's memory of one row.
type row struct {
	Flow  string `json:"flow"`
	ID    string `json:"id"`
	State string `json:"state"`
	Cause string `json:"cause"`
	Error string `json:"error"`
}

func (w *world) rows(query url.Values) []row {
	w.t.Helper()
	return list[row](w, "/deliveries", query)
}

// status is how the hub says that it stands.
type status struct {
	Healthy  bool `json:"healthy"`
	Projects []struct {
		Connections []struct {
			ID          string              `json:"id"`
			Status      string              `json:"status"`
			Error       string              `json:"error"`
			Waiting     struct{ Count int } `json:"waiting"`
			WaitingRefs struct{ Count int } `json:"waiting_refs"`
			Polls       []struct {
				Stream    string    `json:"stream"`
				Importing bool      `json:"importing"`
				LastRun   time.Time `json:"last_run"`
			} `json:"polls"`
		} `json:"connections"`
		Flows []struct {
			ID      string `json:"id"`
			Lag     int    `json:"lag"`
			Due     int    `json:"due"`
			Sending int    `json:"sending"`
			Sent    int    `json:"sent"`
			Waiting int    `json:"waiting"`
			Refused int    `json:"refused"`
			Error   string `json:"error"`
		} `json:"flows"`
	} `json:"projects"`
}

func (w *world) status() status {
	w.t.Helper()
	var s status
	w.admin("/status", nil, &s)
	return s
}

// busy says what there is still to do, or "".
func (w *world) busy() string {
	w.t.Helper()
	for _, p := range w.status().Projects {
		for _, c := range p.Connections {
			if c.Waiting.Count+c.WaitingRefs.Count > 0 {
				return fmt.Sprintf("%s: %d deliveries wait, %d records to re-read", c.ID, c.Waiting.Count, c.WaitingRefs.Count)
			}
		}
		for _, f := range p.Flows {
			if f.Lag+f.Due+f.Sending > 0 {
				return fmt.Sprintf("%s: %d changes behind, %d rows due, %d on their way %s", f.ID, f.Lag, f.Due, f.Sending, f.Error)
			}
		}
	}
	return ""
}

// imported waits until the connection's lists were read to their ends.
func (w *world) imported(connection string) {
	w.t.Helper()
	eventually(w.t, 60*time.Second, "the import of "+connection, func() string {
		for _, p := range w.status().Projects {
			for _, c := range p.Connections {
				if c.ID != connection {
					continue
				}
				if len(c.Polls) < 2 {
					return "has not begun: " + c.Error
				}
				for _, poll := range c.Polls {
					if poll.Importing || poll.LastRun.IsZero() {
						return poll.Stream + " is not read yet: " + c.Error
					}
				}
			}
		}
		return ""
	})
}
