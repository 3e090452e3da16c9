package hooks

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKeptHeader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header http.Header
		want   string
	}{
		"none":        {http.Header{}, `{}`},
		"sorted":      {http.Header{"B": {"2"}, "A": {"1", "one"}}, `{"A":["1","one"],"B":["2"]}`},
		"credentials": {http.Header{"Authorization": {"Bearer x"}, "Cookie": {"x"}, "User-Agent": {"amoCRM-Webhooks/3.0"}}, `{"User-Agent":["amoCRM-Webhooks/3.0"]}`},
		"escapes":     {http.Header{"X": {`a "quoted" \ text`, "строка"}}, `{"X":["a \"quoted\" \\ text","строка"]}`},
		"no values":   {http.Header{"X": {}}, `{"X":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(keptHeader(c.header)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// FuzzKeptHeader reads what was written.
func FuzzKeptHeader(f *testing.F) {
	f.Add("User-Agent", "amoCRM-Webhooks/3.0", "x")
	f.Add("X-\"", "\x00\\", "<&>")
	f.Fuzz(func(t *testing.T, name, one, two string) {
		if dropped[name] || !utf8.ValidString(name+one+two) || strings.ContainsRune(name+one+two, utf8.RuneError) {
			return
		}
		header, got := http.Header{name: {one, two}}, http.Header{}
		if err := json.Unmarshal(keptHeader(header), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, header) {
			t.Errorf("got %q, want %q", got, header)
		}
	})
}

func BenchmarkKeptHeader(b *testing.B) {
	header := http.Header{"User-Agent": {"amoCRM-Webhooks/3.0"}, "Accept": {"*/*"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Content-Length": {"735"}}
	b.ReportAllocs()
	for b.Loop() {
		keptHeader(header)
	}
}
