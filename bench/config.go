package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

const (
	project    = "shop"
	apiToken   = "bench-api-token-4f1c77"
	hookSecret = "bench-hook-secret-of-a-connection"
	embedded   = "SQLite"
)

// config is a svod.yaml.
type config struct {
	dir         string
	listen      string
	database    string
	redis       string
	connections []map[string]any
	flows       []map[string]any
}

// newConfig makes one with a database of its own.
func (b *bench) newConfig(s *storage) (*config, error) {
	dir, err := os.MkdirTemp(b.dir, "hub-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c := &config{dir: dir, listen: l.Addr().String(), redis: "embedded", database: "sqlite:" + filepath.Join(dir, "svod.db")}
	if s.postgres == "" {
		return c, nil
	}
	c.redis = s.redis
	c.database, err = s.fresh()
	return c, err
}

func (c *config) connect(id, kind string, settings ...map[string]any) {
	all := map[string]any{"id": id, "kind": kind, "hook_secret": hookSecret}
	for _, s := range settings {
		maps.Copy(all, s)
	}
	c.connections = append(c.connections, all)
}

func (c *config) flow(id, from, record, as string, more map[string]any) {
	all := map[string]any{"id": id, "from": []string{from}, "record": record, "to": "metrica", "as": as}
	maps.Copy(all, more)
	c.flows = append(c.flows, all)
}

func (c *config) hook(connection string) string {
	return fmt.Sprintf("/hooks/%s/%s/%s", project, connection, hookSecret)
}

func (c *config) write() (string, error) {
	text, err := yaml.MarshalWithOptions(map[string]any{
		"server":     map[string]any{"listen": c.listen},
		"database":   c.database,
		"redis":      c.redis,
		"secret_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
		"outbound":   map[string]any{"allow": []string{"127.0.0.0/8"}},
		"console": map[string]any{
			"users":  []any{map[string]any{"name": "operator", "password": "bench-operator-password"}},
			"tokens": []any{map[string]any{"name": "bench", "token": apiToken}},
		},
		"projects": []any{map[string]any{
			"id": project, "timezone": "Europe/Moscow", "currency": "RUB", "connections": c.connections, "flows": c.flows,
		}},
	}, yaml.Indent(2), yaml.UseSingleQuote(true))
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.dir, "svod.yaml")
	return path, os.WriteFile(path, text, 0o600)
}
