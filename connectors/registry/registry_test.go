package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/registry"
)

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := registry.New()
	if !slices.IsSorted(r.Kinds()) {
		t.Errorf("kinds are not in alphabetical order: %v", r.Kinds())
	}
	if len(slices.Compact(r.Kinds())) != len(r.Types()) {
		t.Errorf("a kind stands twice: %v", r.Kinds())
	}
	for _, kind := range r.Kinds() {
		if found, ok := r.Type(kind); !ok || found.Kind != kind || !r.Known(kind) || len(r.Settings(kind)) != len(found.Settings) {
			t.Errorf("%s is listed and not found", kind)
		}
	}
	if _, ok := r.Type("no-such-kind"); ok || r.Known("no-such-kind") || len(r.Settings("no-such-kind")) != 0 {
		t.Error("a kind that there is not is known")
	}
}

// Ensure that every connector goes through the common suite.
func TestEveryKindIsInTheSuite(t *testing.T) {
	t.Parallel()
	for _, kind := range registry.New().Kinds() {
		folder := filepath.Join("..", strings.ReplaceAll(kind, "-", ""))
		if test := read(t, filepath.Join(folder, "conformance_test.go")); !strings.Contains(test, "connectortest.Run(") {
			t.Errorf("%s does not call connectortest.Run", folder)
		}
	}
}

// Ensure that every kind has its pages, and that they name all of its settings.
func TestPagesOfKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range registry.New().Types() {
		for _, language := range []string{"en", "ru"} {
			path := filepath.Join("..", "..", "docs", language, "connectors", kind.Kind+".md")
			page := read(t, path)
			for _, name := range names("", kind.Settings) {
				if !named(page, name) {
					t.Errorf("%s does not name the setting `%s`", path, name)
				}
			}
			for _, schema := range kind.Schemas {
				if !named(page, schema.As) {
					t.Errorf("%s does not name the upload `%s`", path, schema.As)
				}
			}
		}
	}
}

// Ensure that the lists of kinds are complete.
func TestListsOfKinds(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	for _, kind := range registry.New().Kinds() {
		for _, list := range []struct{ file, link string }{
			{"README.md", "docs/en/connectors/%s.md"},
			{"README.ru.md", "docs/ru/connectors/%s.md"},
			{"docs/en/configuration.md", "connectors/%s.md"},
			{"docs/ru/configuration.md", "connectors/%s.md"},
			{"docs/en/configuration.md", "`%s`"},
			{"docs/ru/configuration.md", "`%s`"},
		} {
			if want := fmt.Sprintf(list.link, kind); !strings.Contains(read(t, filepath.Join(root, list.file)), want) {
				t.Errorf("%s does not name %s", list.file, want)
			}
		}
	}
}

// names lists settings and their members: "oauth.client_id".
func names(above string, settings []connectors.Setting) []string {
	var out []string
	for _, s := range settings {
		if len(s.Keys) == 0 {
			out = append(out, above+s.Key)
		}
		out = append(out, names(above+s.Key+".", s.Keys)...)
	}
	return out
}

var (
	fence = regexp.MustCompile("(?s)```.*?```")
	span  = regexp.MustCompile("`[^`\n]+`")
)

// named looks for a setting in code: each part of oauth.client_id must stand
// there.
func named(page, name string) bool {
	code := strings.Join(fence.FindAllString(page, -1), "\n")
	code += strings.Join(span.FindAllString(fence.ReplaceAllString(page, ""), -1), "\n")
	for _, part := range strings.Split(name, ".") {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(part) + `\b`).MatchString(code) {
			return false
		}
	}
	return true
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
