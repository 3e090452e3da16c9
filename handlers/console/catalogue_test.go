package console_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "renew the golden files")

func catalogue(t *testing.T, code string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("catalogue", code+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var messages map[string]string
	if err := json.Unmarshal(data, &messages); err != nil {
		t.Fatal(err)
	}
	return messages
}

func keys(messages map[string]string) []string {
	list := make([]string, 0, len(messages))
	for key := range messages {
		list = append(list, key)
	}
	sort.Strings(list)
	return list
}

func TestBothCataloguesHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	en, ru := catalogue(t, "en"), catalogue(t, "ru")
	got := strings.Join(keys(en), "\n") + "\n"
	if other := strings.Join(keys(ru), "\n") + "\n"; other != got {
		for _, key := range keys(en) {
			if _, ok := ru[key]; !ok {
				t.Errorf("%s is missing in Russian", key)
			}
		}
		for _, key := range keys(ru) {
			if _, ok := en[key]; !ok {
				t.Errorf("%s is missing in English", key)
			}
		}
	}
	path := filepath.Join("testdata", "keys.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the catalogues have; renew it with -update", path)
	}
}

var placeholder = regexp.MustCompile(`\{\d\}`)

func TestMessagesAgree(t *testing.T) {
	t.Parallel()
	en, ru := catalogue(t, "en"), catalogue(t, "ru")
	cyrillic := regexp.MustCompile(`[А-Яа-яЁё]`)
	for _, key := range keys(en) {
		a, b := placeholder.FindAllString(en[key], -1), placeholder.FindAllString(ru[key], -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s has the placeholders %v in English and %v in Russian", key, a, b)
		}
		if strings.TrimSpace(en[key]) == "" || strings.TrimSpace(ru[key]) == "" {
			t.Errorf("%s is empty", key)
		}
		if cyrillic.MatchString(en[key]) {
			t.Errorf("%s is not English: %s", key, en[key])
		}
		if letters := regexp.MustCompile(`[a-z]{3,}`); !cyrillic.MatchString(ru[key]) && letters.MatchString(ru[key]) {
			t.Errorf("%s is not Russian: %s", key, ru[key])
		}
	}
}

func TestEveryCauseAndKindHasWords(t *testing.T) {
	t.Parallel()
	en := catalogue(t, "en")
	for _, cause := range model.Causes() {
		for _, key := range []string{"cause." + string(cause), "cause." + string(cause) + ".do"} {
			if en[key] == "" {
				t.Errorf("%s is missing", key)
			}
		}
	}
	for _, kind := range model.Kinds() {
		if en["kind."+string(kind)] == "" {
			t.Errorf("kind.%s is missing", kind)
		}
	}
}

// TestKeysOfTemplatesExist finds keys in templates and code, and messages that
// nobody uses.
func TestKeysOfTemplatesExist(t *testing.T) {
	t.Parallel()
	en := catalogue(t, "en")
	whole := regexp.MustCompile(`\.T "([a-z_.]+)"`)
	begun := regexp.MustCompile(`\.T \(print "([a-z_.]+\.)"`)
	quoted := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)*)"`)
	used, prefixes := map[string]bool{}, []string{"done.", "audit.action.", "attention.", "pace.", "time.", "size."}
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	err := filepath.WalkDir("templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text := read(path)
		for _, m := range whole.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if en[m[1]] == "" {
				t.Errorf("%s uses %s, which the catalogue does not have", path, m[1])
			}
		}
		for _, m := range begun.FindAllStringSubmatch(text, -1) {
			prefixes = append(prefixes, m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		for _, m := range quoted.FindAllStringSubmatch(read(path), -1) {
			used[m[1]] = true
		}
	}
	for _, key := range keys(en) {
		if !used[key] && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) }) {
			t.Errorf("nobody uses %s", key)
		}
	}
}

// TestContrast holds every pair of text and ground in the style sheet to the
// ratio of 4.5 that WCAG asks for, in light and in dark.
func TestContrast(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("static", "console.css"))
	if err != nil {
		t.Fatal(err)
	}
	light, rest, _ := strings.Cut(string(data), "@media (prefers-color-scheme: dark)")
	dark, _, _ := strings.Cut(rest, "* {")
	colour := regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)
	for name, part := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range colour.FindAllStringSubmatch(part, -1) {
			colours[m[1]] = m[2]
		}
		pairs := [][2]string{
			{"ink", "ground"}, {"ink", "paper"}, {"quiet", "ground"}, {"quiet", "paper"}, {"link", "ground"}, {"link", "paper"},
			{"button-ink", "button"}, {"good", "good-ground"}, {"busy", "busy-ground"}, {"calm", "calm-ground"},
			{"warn", "warn-ground"}, {"bad", "bad-ground"}, {"bad", "paper"},
		}
		for _, pair := range pairs {
			if ratio := contrast(t, colours[pair[0]], colours[pair[1]]); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f", name, pair[0], pair[1], ratio)
			}
		}
		// Borders of inputs are not text: 3 is enough.
		if ratio := contrast(t, colours["edge"], colours["paper"]); ratio < 3 {
			t.Errorf("%s: the edges of inputs have a contrast of %.2f", name, ratio)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) != 6 {
		t.Fatalf("%q is no colour", hex)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
