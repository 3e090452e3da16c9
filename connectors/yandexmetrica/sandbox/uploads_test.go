package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
)

func TestLastUploadings(t *testing.T) {
	t.Parallel()
	c := newCaller(t, nil)
	for i := range 12 {
		c.mustPass("contacts", "SAVE", fmt.Sprintf("uniq_id\n%d\n", i))
	}
	list := func(query string) []any {
		_, got := c.do("GET", cdp+"/last_uploadings?"+query, "", nil)
		return got["uploadings"].([]any)
	}
	if n := len(list("")); n != 10 {
		t.Errorf("by default %d", n)
	}
	if n := len(list("source=INTERFACE")); n != 0 {
		t.Errorf("of another source %d", n)
	}
	page := list("limit=5")
	oldest := page[4].(map[string]any)["datetime"].(string)
	next := list("limit=100&datetime_offset=" + url.QueryEscape(oldest))
	if len(next) != 7 || next[0].(map[string]any)["datetime"].(string) >= oldest {
		t.Errorf("behind %s: %v", oldest, next)
	}
	c.SetRules(func(r *Rules) { r.ZonelessTimes = true })
	if at := list("limit=1")[0].(map[string]any)["datetime"].(string); !strings.HasPrefix(at, "2026-11-21 12:00:") {
		t.Errorf("in the counter's zone %s", at)
	}
}

// Nobody brings the sandbox down with a file.
func FuzzCSV(f *testing.F) {
	for _, name := range []string{"simple_orders.csv", "contacts_upload.csv"} {
		f.Add(sample(f, name), "SAVE", "")
	}
	f.Add("id,client_uniq_id,client_type,create_date_time,order_status\n1,c,CONTACT,2026-01-01,PAID\n", "UPDATE", `"id":"id"`)
	f.Fuzz(func(t *testing.T, file, mode, mapping string) {
		c := newCaller(t, nil)
		for _, kind := range []string{"contacts/csv", "orders/csv", "simple_orders"} {
			q := url.Values{"merge_mode": {mode}}
			if mapping != "" {
				q.Set("columns_mapping", mapping)
			}
			contentType, body := multipartOf("file", "data.csv", "text/csv", file)
			if status, got := c.do("POST", cdp+"/data/"+kind+"?"+q.Encode(), contentType, body); status != 200 && status != 400 {
				t.Fatalf("%d %v", status, got)
			}
		}
		c.Entities(DefaultCounter, "contacts", 0)
	})
}

// A million rows pass through in a stream; run it with -benchtime=1x.
func BenchmarkMillionRows(b *testing.B) {
	for _, keep := range []string{"all", "keys"} {
		b.Run(keep, func(b *testing.B) { millionRows(b, keep) })
	}
}

func millionRows(b *testing.B, keep string) {
	for b.Loop() {
		c := newCaller(b, map[string]string{"keep": keep})
		body, finish := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.WriteString(finish, "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.csv\"\r\nContent-Type: text/csv\r\n\r\nuniq_id,name,create_date_time,emails,phones\n")
			var rows bytes.Buffer
			for i := range 1_000_000 {
				fmt.Fprintf(&rows, "%d,Иванов Иван,2026-01-01 10:00:00,client%d@example.com,7999%07d\n", i, i, i)
				if rows.Len() > 1<<16 {
					_, _ = rows.WriteTo(finish)
				}
			}
			_, _ = rows.WriteTo(finish)
			_, _ = io.WriteString(finish, "\r\n--b--\r\n")
			_ = finish.Close()
		}()
		_, got := c.do("POST", cdp+"/data/contacts/csv?merge_mode=SAVE", "multipart/form-data; boundary=b", body)
		<-done
		if up := got["uploading"].(map[string]any); up["elements_count"] != 1e6 {
			b.Fatalf("%v", up)
		}
		b.ReportMetric(liveMegabytes(), "live-MB")
		if c.Count(DefaultCounter, "contacts") != 1_000_000 {
			b.Fatal("rows are missing")
		}
	}
}

// Too many rows and too many bytes are refused for every kind of upload (§16.4).
func TestLimitsOfEveryUpload(t *testing.T) {
	t.Parallel()
	for _, kind := range uploadKinds() {
		for name, limit := range map[string]func(*Rules){
			"rows":  func(r *Rules) { r.MaxRows = 1 },
			"bytes": func(r *Rules) { r.MaxBytes = 64 },
		} {
			c := withTargets(t, nil, "order")
			c.SetRules(limit)
			contentType, body := multipartOf("file", "data.csv", "text/csv", kind.file)
			if status, got := c.do("POST", kind.path, contentType, body); status != 400 || errorType(got) != "limit_exceeded" || kind.arrived(c.Sandbox) != 0 {
				t.Errorf("%s, %s: %d %v", kind.name, name, status, got)
			}
		}
	}
}
