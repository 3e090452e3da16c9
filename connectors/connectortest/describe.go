package connectortest

import (
	"regexp"
	"strings"
	"testing"

	"github.com/svod-hub/svod/connectors"
)

// secretName is what settings are called whose values are credentials.
var secretName = regexp.MustCompile(`(^|_)(token|password|secret|key|ms)$`)

var keyName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// describe demands that people find out about a kind what they must know.
func describe(t *testing.T, c Case) {
	kind := c.Type
	if !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(kind.Kind) {
		t.Errorf("kind %q is not fit for svod.yaml", kind.Kind)
	}
	bothLanguages(t, "the kind's title", kind.Title)
	if kind.New == nil || kind.Sandbox == nil {
		t.Error("New and Sandbox must be there")
	}
	for _, k := range kind.Records {
		if !k.Valid() {
			t.Errorf("records of unknown kind %q", k)
		}
	}
	describeSettings(t, "", kind.Settings, map[string]bool{"id": true, "kind": true, "hook_secret": true, "poll": true})
	for _, schema := range kind.Schemas {
		if _, ok := schema.Parameter(schema.Key); !ok {
			t.Errorf("%s: the key %q is no parameter", schema.As, schema.Key)
		}
		for _, p := range schema.Parameters {
			if p.Name == "" || p.Type == "" || p.Doc == "" {
				t.Errorf("%s: parameter %q needs name, type and a sentence", schema.As, p.Name)
			}
		}
		for record, defaults := range schema.Defaults {
			for name := range defaults {
				if _, ok := schema.Parameter(name); !ok {
					t.Errorf("%s: the default map of a %s fills %q, which is no parameter", schema.As, record, name)
				}
			}
		}
	}
}

func describeSettings(t *testing.T, above string, described []connectors.Setting, taken map[string]bool) {
	t.Helper()
	for _, s := range described {
		name := above + s.Key
		switch {
		case !keyName.MatchString(s.Key):
			t.Errorf("setting %q is not fit for svod.yaml", name)
		case taken[s.Key]:
			t.Errorf("setting %s is described twice, or is one of the common ones", name)
		}
		taken[s.Key] = true
		if bothLanguages(t, "title of "+name, s.Title); s.Help != (connectors.Text{}) || above == "" {
			bothLanguages(t, "help of "+name, s.Help)
		}
		if secretName.MatchString(s.Key) && len(s.Keys) == 0 && !s.Secret {
			t.Errorf("setting %s is not marked secret", name)
		}
		if s.Secret && s.Default != "" {
			t.Errorf("secret setting %s has a default", name)
		}
		describeSettings(t, name+".", s.Keys, map[string]bool{})
	}
}

func bothLanguages(t *testing.T, what string, text connectors.Text) {
	t.Helper()
	if strings.TrimSpace(text.EN) == "" || strings.TrimSpace(text.RU) == "" {
		t.Errorf("%s is not given in both languages", what)
	}
}

// settings demands that New tells all mistakes at once, by key, and calls nobody.
func settings(t *testing.T, c Case) {
	r := newRig(t, c)
	given := r.given()
	first := r.connect(t, given)

	t.Run("unknown keys are refused", func(t *testing.T) {
		wrong := withMistakes(given, map[string]any{"no_such_setting": 1})
		if _, err := c.Type.New(Settings(t, wrong), connectors.Deps{}); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("every mistake is told", func(t *testing.T) {
		_, err := c.Type.New(Settings(t, withMistakes(given, c.Mistakes)), connectors.Deps{})
		if err == nil {
			t.Fatal("wrong settings are taken")
		}
		lines := strings.Split(err.Error(), "\n")
		for key := range c.Mistakes {
			if !tells(lines, key) {
				t.Errorf("nothing is said of %s:\n%v", key, err)
			}
		}
		for _, secret := range first.secrets(c.Type.Settings) {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a secret is shown:\n%v", err)
			}
		}
	})
	t.Run("a connection without settings is told what it needs", func(t *testing.T) {
		_, err := c.Type.New(YAML("{}"), connectors.Deps{})
		for _, s := range c.Type.Settings {
			if s.Required && (err == nil || !tells(strings.Split(err.Error(), "\n"), s.Key)) {
				t.Errorf("nothing is said of %s: %v", s.Key, err)
			}
		}
	})
	if seen, _ := r.progress(); seen != 0 {
		t.Errorf("New made %d calls", seen)
	}
}

// tells reports whether a line begins with the key or a member of it.
func tells(lines []string, key string) bool {
	for _, line := range lines {
		rest, ok := strings.CutPrefix(line, key)
		if ok && rest != "" && strings.ContainsAny(rest[:1], ":.[ ") {
			return true
		}
	}
	return false
}

func withMistakes(given, mistakes map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range given {
		out[key] = value
	}
	for key, value := range mistakes {
		out[key] = value
	}
	return out
}
