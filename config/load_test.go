package config_test

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/model"
)

var update = flag.Bool("update", false, "write golden files")

// kinds are the systems of the tests.
type kinds struct{}

func (kinds) Kinds() []string        { return []string{"amocrm", "bitrix24", "roistat", "yandex-metrica"} }
func (kinds) Known(kind string) bool { return len(kinds{}.Settings(kind)) > 0 }
func (kinds) Settings(kind string) []string {
	return map[string][]string{
		"amocrm":         {"url", "token", "oauth"},
		"bitrix24":       {"url", "application_token", "oauth"},
		"roistat":        {"user", "password"},
		"yandex-metrica": {"url", "counter", "token"},
	}[kind]
}

func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"SVOD_SECRET_KEY":        base64.StdEncoding.EncodeToString([]byte("an example of thirty-two letters")),
		"SVOD_OPERATOR_PASSWORD": "hush-operator",
		"SVOD_API_TOKEN":         "hush-api-token-of-ci",
		"B24_APPLICATION_TOKEN":  "hush-application",
		"B24_HOOK_SECRET":        "hush-hook-secret-1",
	}[name]
	return value, ok
}

func TestGood(t *testing.T) {
	t.Parallel()
	for _, path := range cases(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c, problems := config.Load(path, environment, kinds{})
			if c == nil {
				t.Fatalf("problems:\n%s", lines(problems))
			}
			dump := c.Redacted()
			for _, secret := range []string{"hush", "p4ssw0rd", "abc123", "secret of the platform", "an example", "short"} {
				if strings.Contains(dump, secret) {
					t.Errorf("the dump shows the secret %q", secret)
				}
			}
			golden(t, path, dump+lines(problems))
		})
	}
}

func TestBad(t *testing.T) {
	t.Parallel()
	for _, path := range cases(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c, problems := config.Load(path, environment, kinds{})
			if c != nil || !problems.Failed() {
				t.Error("no configuration comes back from a file with mistakes")
			}
			golden(t, path, lines(problems))
		})
	}
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	_, problems := config.Load(filepath.Join(t.TempDir(), "svod.yaml"), environment, kinds{})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "is not there") {
		t.Errorf("problems %v", problems)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	c, _ := config.Load("testdata/good/full.yaml", environment, kinds{})
	if c == nil {
		t.Fatal("no configuration")
	}
	shop := c.Projects[0]
	if shop.Zone == nil || shop.Zone.String() != "Asia/Yekaterinburg" || shop.Line != 18 {
		t.Errorf("project %+v", shop)
	}
	if got := c.Retention.Journal; got != 14*24*time.Hour {
		t.Errorf("journal is kept for %s", got)
	}
	if got := c.Retention.Uploads; got != 36*time.Hour {
		t.Errorf("uploads are kept for %s", got)
	}
	if c.Server.Limits.Body != 2<<20 || c.Server.Limits.Journal != 50_000 {
		t.Errorf("limits %+v", c.Server.Limits)
	}
	if got := c.Outbound.Allow[1].String(); got != "192.168.1.7/32" {
		t.Errorf("one address is the network %s", got)
	}
	if *shop.Connections[1].Poll != 0 || *shop.Connections[2].Poll != 10*time.Minute {
		t.Error("poll: 0 switches polling off, no poll means every ten minutes")
	}
	if got := shop.Connections[0].HookSecret.Reveal(); got != "hush-hook-secret-1" {
		t.Errorf("hook secret %q", got)
	}
	orders := shop.Flows[1]
	if orders.ID != "orders" || orders.Statuses[0].ID != "001" || orders.From[0] != "b24" || orders.Schedule.Every != time.Minute {
		t.Errorf("flow %+v", orders.FlowSpec)
	}
	for key, line := range map[string]int{"map.margin": 70, "statuses[1].metrica": 73, "statuses[1]": 73, "as": 58, "schedule.max_rows": 76} {
		if orders.Lines[key] != line {
			t.Errorf("%s is said to be in line %d, and is in %d", key, orders.Lines[key], line)
		}
	}
	if orders.Record != model.KindDeal || shop.Flows[3].Paused != true || shop.Flows[2].Schedule.Daily != "03:00" {
		t.Error("flows were read wrongly")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c, _ := config.Load("testdata/good/full.yaml", environment, kinds{})
	if c == nil {
		t.Fatal("no configuration")
	}
	var metrica struct {
		Counter string       `yaml:"counter"`
		Token   model.Secret `yaml:"token"`
	}
	if err := c.Projects[0].Connections[2].Settings.Decode(&metrica); err != nil || metrica.Counter != "12345678" || metrica.Token.Reveal() != "hush-application" {
		t.Errorf("settings %+v, %v", metrica, err)
	}
	var bitrix struct {
		URL   string `yaml:"url"`
		OAuth *struct {
			ID     string       `yaml:"client_id"`
			Secret model.Secret `yaml:"client_secret"`
		} `yaml:"oauth"`
		Token    model.Secret   `yaml:"application_token"`
		Tracking map[string]any `yaml:"tracking"`
	}
	if err := c.Projects[0].Connections[0].Settings.Decode(&bitrix); err != nil || bitrix.OAuth.Secret.Reveal() != "a secret of the platform" {
		t.Errorf("settings %+v, %v", bitrix, err)
	}
	var wrong struct {
		URL   int `yaml:"url"`
		OAuth struct {
			ClientID string `yaml:"clientid"`
			Secret   bool   `yaml:"client_secret"`
		} `yaml:"oauth"`
	}
	err := c.Projects[0].Connections[0].Settings.Decode(&wrong)
	if err == nil {
		t.Fatal("no error")
	}
	golden(t, "testdata/settings.yaml", err.Error()+"\n")
	var placed interface{ Problem() config.Problem }
	if !errors.As(err, &placed) || placed.Problem().Line == 0 {
		t.Error("an error of settings has its place")
	}
	if strings.Contains(err.Error(), "platform") {
		t.Error("an error shows a secret")
	}
	if err := c.Projects[0].Connections[0].Settings.Decode(wrong); err == nil {
		t.Error("settings cannot be decoded into a value")
	}
}

func TestJSONSchema(t *testing.T) {
	t.Parallel()
	path := "../docs/svod.schema.json"
	if *update {
		if err := os.WriteFile(path, config.JSONSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(config.JSONSchema()) {
		t.Errorf("%s is not up to date; run go test ./config -update", path)
	}
	if strings.Count(string(want), `"description"`) < 60 {
		t.Error("keys without a description")
	}
}

// Whatever stands in the file, Parse answers with a configuration or with
// problems.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		paths, _ := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Add([]byte("projects: [{id: x, connections: [{<<: {id: b}, kind: !!binary x}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems := config.Parse("svod.yaml", data, environment, kinds{})
		if (c == nil) != problems.Failed() {
			t.Fatalf("configuration %v, problems %v", c != nil, problems)
		}
		if c == nil {
			return
		}
		for _, p := range c.Projects {
			for _, connection := range p.Connections {
				var settings map[string]any
				_ = connection.Settings.Decode(&settings)
			}
		}
		if strings.Contains(c.Redacted(), "hush") {
			t.Error("the dump shows a secret")
		}
	})
}

func cases(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return paths
}

func lines(problems config.Problems) string {
	var text strings.Builder
	for _, problem := range problems {
		text.WriteString(problem.String() + "\n")
	}
	return text.String()
}

// golden compares with the file beside the case, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	path = strings.TrimSuffix(path, ".yaml") + ".golden"
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
		t.Errorf("%s differs:\n%s", path, got)
	}
}
