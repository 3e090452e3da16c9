package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/connectors/registry"
)

// An address that the operator wrote down may be called; a name that might lead
// anywhere may not.
func TestWrittenAddresses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "svod.yaml")
	const text = `
projects:
  - id: shop
    connections:
      - {id: box, kind: bitrix24, url: "http://192.168.1.5:8080/rest/1/abc/"}
      - {id: cloud, kind: bitrix24, url: "https://portal.bitrix24.ru/rest/1/abc/"}
      - {id: here, kind: amocrm, url: "http://localhost:8090", token: t}
      - {id: app, kind: bitrix24, oauth: {client_id: a, client_secret: b, portal: "https://10.1.2.3", oauth_server: "https://[::1]:443"}}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(path, os.LookupEnv, registry.New())
	if cfg == nil {
		t.Fatal(problems)
	}
	want := map[string]int{"box": 1, "cloud": 0, "here": 2, "app": 2}
	for i := range cfg.Projects[0].Connections {
		c := &cfg.Projects[0].Connections[i]
		got := writtenAddresses(c)
		if len(got) != want[c.ID] {
			t.Errorf("%s: %v, want %d", c.ID, got, want[c.ID])
		}
		if c.ID == "box" && fmt.Sprint(got) != "[192.168.1.5/32]" {
			t.Errorf("box: %v", got)
		}
	}
}
