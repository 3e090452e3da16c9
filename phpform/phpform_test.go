package phpform_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/phpform"
)

var update = flag.Bool("update", false, "renew the golden files")

// tree writes a form as one line per value.
func tree(n phpform.Node) string {
	var b strings.Builder
	var walk func(path string, n phpform.Node)
	walk = func(path string, n phpform.Node) {
		children := n.Children()
		if len(children) == 0 && path != "" {
			fmt.Fprintf(&b, "%s = %s\n", path, n.Text())
		}
		for _, p := range children {
			walk(strings.TrimPrefix(path+" "+p.Key, " "), p.Node)
		}
	}
	walk("", n)
	return b.String()
}

func TestRealForms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.form")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			body = bytes.TrimSpace(body)
			form, err := phpform.Parse(body, phpform.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".form") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(tree(form)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(form); got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			// What PHP wrote, we write in the same way.
			if again := phpform.Encode(form); !bytes.Equal(again, body) {
				t.Errorf("encoded again:\n%s\nfrom\n%s", again, body)
			}
			plain := strings.NewReplacer("%5B", "[", "%5D", "]").Replace(string(body))
			form, err = phpform.Parse([]byte(plain), phpform.Limits{})
			if err != nil || tree(form) != string(want) {
				t.Errorf("with plain brackets it is another form, %v", err)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		form string
		want string // leaves, "; " between them
	}{
		{"empty", "", ""},
		{"plain", "a=1&b=2", "a = 1; b = 2"},
		{"nested", "a[b][0][c]=1", "a b 0 c = 1"},
		{"encoded and mixed brackets", "a%5Bb]%5b0%5D=1", "a b 0 = 1"},
		{"appended", "a[]=x&a[]=y", "a 0 = x; a 1 = y"},
		{"appended after the largest", "a[7]=x&a[]=y&a[3]=z&a[]=w", "a 3 = z; a 7 = x; a 8 = y; a 9 = w"},
		{"appended maps", "a[][id]=1&a[][id]=2", "a 0 id = 1; a 1 id = 2"},
		{"sparse list is sorted by number", "l[9982719][ID]=1&l[10][ID]=2&l[9][ID]=3", "l 9 ID = 3; l 10 ID = 2; l 9982719 ID = 1"},
		{"names keep their order", "a[z]=1&a[2]=2&a[1]=3", "a z = 1; a 2 = 2; a 1 = 3"},
		{"the last value wins", "a=1&a=2", "a = 2"},
		{"the last value wins below", "a[b]=1&a[b]=2", "a b = 2"},
		{"a value after a map", "a[b]=1&a=2", "a = 2"},
		{"a map after a value", "a=2&a[b]=1", "a b = 1"},
		{"without a value", "a&b=&c[d]", "a = ; b = ; c d = "},
		{"without a name", "=1&&b=2&[x]=3", "b = 2; [x] = 3"},
		{"equals in the value", "a=b=c", "a = b=c"},
		{"plus and percent", "a+b=c+d%2B%26%3D", "a b = c d+&="},
		{"UTF-8", "%D0%B8%D0%BC%D1%8F[%D1%84]=%D0%98", "имя ф = И"},
		{"spaces before a name", "++a=1", "a = 1"},
		{"dots stay", "utm.source=x", "utm.source = x"},
		{"never closed", "a[b=1&c[d][e=2", "a[b = 1; c d = 2"},
		{"closed before it is opened", "a]b[c]=1", "a]b c = 1"},
		{"text behind a bracket", "a[b]x[c]y=1", "a b c = 1"},
		{"bracket in a key", "a[b[c]=1", "a b[c = 1"},
		{"NUL", "a=%00", "a = \x00"},
		{"a huge index", "a[99999999999999999999]=1&a[]=2", "a 99999999999999999999 = 1; a 0 = 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			form, err := phpform.Parse([]byte(test.form), phpform.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(strings.TrimSuffix(tree(form), "\n"), "\n", "; "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	deep := "a" + strings.Repeat("[x]", 12) + "=1"
	for _, test := range []struct {
		name   string
		form   string
		limits phpform.Limits
		cause  model.Cause
	}{
		{"percent at the end", "a=%", phpform.Limits{}, model.CauseBadEncoding},
		{"half a percent", "a=%4", phpform.Limits{}, model.CauseBadEncoding},
		{"no hexadecimal", "a=%zz", phpform.Limits{}, model.CauseBadEncoding},
		{"broken name", "a%5=1", phpform.Limits{}, model.CauseBadEncoding},
		{"windows-1251", "a=%C8%EC%FF", phpform.Limits{}, model.CauseBadEncoding},
		{"broken windows-1251", "a=%C8%EC%F", phpform.Limits{Windows1251: true}, model.CauseBadEncoding},
		{"a character across two fields", "a=%D0&b=%98", phpform.Limits{}, model.CauseBadEncoding},
		{"too many bytes", strings.Repeat("a=1&", 300_000), phpform.Limits{}, model.CauseTooLarge},
		{"too many fields", strings.Repeat("a=1&", 20_001), phpform.Limits{}, model.CauseTooLarge},
		{"too deep", deep, phpform.Limits{}, model.CauseTooLarge},
		{"own limit of bytes", "a=1", phpform.Limits{MaxBytes: 2}, model.CauseTooLarge},
		{"own limit of fields", "a=1&b=1", phpform.Limits{MaxKeys: 1}, model.CauseTooLarge},
		{"own limit of depth", "a[b]=1", phpform.Limits{MaxDepth: 1}, model.CauseTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			form, err := phpform.Parse([]byte(test.form), test.limits)
			if model.ClassOf(err) != model.ClassPermanent || model.CauseOf(err) != test.cause || form.Exists() {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := phpform.Parse([]byte("a"+strings.Repeat("[x]", 11)+"=1"), phpform.Limits{}); err != nil {
		t.Errorf("just deep enough: %v", err)
	}
	if _, err := phpform.Parse([]byte(strings.Repeat("a=1&", 20_000)), phpform.Limits{}); err != nil {
		t.Errorf("just few enough: %v", err)
	}
}

func TestWindows1251(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, form, want string }{
		{"all of it", "%E8%EC%FF[0]=%C8%E2%E0%ED&b=x", "имя 0 = Иван\nb = x\n"},
		{"UTF-8 stays", "a=%D0%98", "a = И\n"},
	} {
		form, err := phpform.Parse([]byte(test.form), phpform.Limits{Windows1251: true})
		if err != nil || tree(form) != test.want {
			t.Errorf("%s: %q, %v", test.name, tree(form), err)
		}
	}
}

func TestNode(t *testing.T) {
	t.Parallel()
	form, err := phpform.Parse([]byte("leads[add][0][id]=7&leads[add][0][name]=&leads[add][0][tags][0][id]=1&event=X"), phpform.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	lead := form.Get("leads", "add", "0")
	if lead.Get("id").Text() != "7" || !lead.Get("name").Exists() || lead.Get("price").Exists() || lead.Text() != "" {
		t.Errorf("lead is\n%s", tree(lead))
	}
	if got := fmt.Sprint(lead.Map()); got != "map[id:7 name:]" {
		t.Errorf("map %s", got)
	}
	var nothing phpform.Node
	for _, n := range []phpform.Node{nothing, form.Get("no", "such", "thing"), form.Get("event", "below")} {
		if n.Exists() || n.Text() != "" || n.Children() != nil || n.Map() != nil || n.Get("x").Exists() || len(phpform.Encode(n)) != 0 {
			t.Errorf("what is not there is %v", n)
		}
	}
	empty, err := phpform.Parse(nil, phpform.Limits{})
	if err != nil || !empty.Exists() || len(empty.Children()) != 0 {
		t.Errorf("an empty form: %v", err)
	}
}

// Many names at one place: they are found again, and a value that replaces them
// leaves nothing behind.
func TestManyChildren(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&body, "a[k%d][x]=%d&", i, i)
	}
	many := body.String()
	for name, test := range map[string]struct {
		form  string
		count int
		k500  string
	}{
		"many":            {many + "a[k500][x]=again", 1000, "again"},
		"replaced":        {many + "a=1", 0, ""},
		"and made anew":   {many + "a=1&a[k500][x]=new", 1, "new"},
		"many made twice": {many + "a=1&" + many, 1000, "500"},
	} {
		form, err := phpform.Parse([]byte(test.form), phpform.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if a := form.Get("a"); len(a.Children()) != test.count || a.Get("k500", "x").Text() != test.k500 {
			t.Errorf("%s: %d children, k500 is %q", name, len(a.Children()), a.Get("k500", "x").Text())
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		form any
		want string
	}{
		{"nothing", nil, ""},
		{"maps by key, numbers first", map[string]any{"b": 1, "a": map[string]string{"x": "1", "10": "2", "9": "3"}}, "a[9]=3&a[10]=2&a[x]=1&b=1"},
		{"fields in their order", []phpform.Field{{"b", "1"}, {"a", []phpform.Field{{"y", 2}, {"x", 3}}}}, "b=1&a[y]=2&a[x]=3"},
		{"lists", map[string]any{"l": []string{"x", "y"}, "m": []map[string]any{{"id": 1}, {"id": 2}}, "n": []any{true, false, nil, 1.5}},
			"l[0]=x&l[1]=y&m[0][id]=1&m[1][id]=2&n[0]=1&n[1]=0&n[3]=1.5"},
		{"escapes", map[string]any{"a b": map[string]any{"[c]": "d&e=+ Я"}}, "a+b[%5Bc%5D]=d%26e%3D%2B+%D0%AF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := strings.NewReplacer("[", "%5B", "]", "%5D").Replace(test.want)
			if got := string(phpform.Encode(test.form)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.form")
	for _, file := range files {
		if body, err := os.ReadFile(file); err == nil {
			f.Add(body, false)
		}
	}
	f.Add([]byte("a[]=1&a[7]=2&a[]=3&a=4&a[b=5&%5B=%D0"), true)
	f.Fuzz(func(t *testing.T, body []byte, windows1251 bool) {
		form, err := phpform.Parse(body, phpform.Limits{Windows1251: windows1251})
		if err != nil {
			if model.ClassOf(err) != model.ClassPermanent {
				t.Errorf("%v", err)
			}
			return
		}
		for _, p := range form.Children() {
			if !form.Get(p.Key).Exists() {
				t.Errorf("%q is listed and not found", p.Key)
			}
		}
		// Names with brackets in their keys cannot be written back.
		if text := tree(form); !strings.ContainsAny(text, "[]") {
			again, err := phpform.Parse(phpform.Encode(form), phpform.Limits{MaxBytes: 16 << 20})
			if err != nil || tree(again) != text {
				t.Errorf("%q is %q, and %q again, %v", body, text, tree(again), err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"webhook-leads-add-2025.form", "webhook-contacts-update-2025.form", "event-contact-add-app-raw-2024.form"} {
		body, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(file, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := phpform.Parse(body, phpform.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseLargest(b *testing.B) {
	body := bytes.TrimSuffix(bytes.Repeat([]byte("leads[add][0][custom_fields][][v]=1&"), 20_000), []byte("&"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := phpform.Parse(body, phpform.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
