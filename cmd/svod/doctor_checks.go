package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/broker"
	"github.com/svod-hub/svod/config"
	"github.com/svod-hub/svod/jobs"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
	"github.com/svod-hub/svod/store"
)

const (
	slowCommit  = 100 * time.Millisecond // webhooks are answered after one
	littleSpace = 1 << 30
	longSilence = 7 * 24 * time.Hour
	clockOff    = 30 * time.Second // signatures allow five minutes (webhook-security §3.2)
)

// commits measures what the sender of a webhook waits for.
func (d *doctor) commits(ctx context.Context, db *store.DB) {
	const check, rounds = "database commit", 5
	var took []time.Duration
	for range rounds {
		started := time.Now()
		if err := db.Remember(ctx, "", "", "doctor.seen_at", started.UTC().Format(time.RFC3339Nano)); err != nil {
			d.fail(check, "look whether the disk is full and the database takes writes", "%v", err)
			return
		}
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	median := took[rounds/2].Round(10 * time.Microsecond)
	if median > slowCommit {
		d.warn(check, "every webhook waits for a commit: put the database on a faster disk, or nearer", "takes %s", median)
		return
	}
	d.ok(check, "takes %s", median)
}

// files checks the disk, and who may read secrets.
func (d *doctor) files(cfg *config.Config) {
	folders := map[string]string{os.TempDir(): "uploads are prepared there"}
	if path, ok := strings.CutPrefix(cfg.Database, "sqlite:"); ok {
		folders[filepath.Dir(path)] = "the database is there"
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		free, known := freeSpace(folder)
		switch {
		case !known:
		case free < littleSpace:
			d.fail("disk", "make room, or shorten retention: with a full disk webhooks are refused", "%s has %d MiB left; %s", folder, free>>20, folders[folder])
		default:
			d.ok("disk", "%s has %.1f GiB left; %s", folder, float64(free)/(1<<30), folders[folder])
		}
	}
	if cfg.SecretKey == "" {
		d.keyFiles(cfg)
	} else {
		d.ok("secret key", "is in the configuration")
	}
	if info, err := os.Stat(cfg.File); err == nil && info.Mode().Perm()&0o004 != 0 {
		d.warn("configuration file", "keep secrets in ${NAME} or ${file:PATH}, or run: chmod o-r "+cfg.File, "everybody on this machine may read %s", cfg.File)
	}
}

func (d *doctor) keyFiles(cfg *config.Config) {
	const check = "secret key"
	path := keyFile(cfg)
	for _, ending := range []string{"", nextKey, formerKey} {
		info, err := os.Stat(path + ending)
		switch {
		case errors.Is(err, fs.ErrNotExist) && ending == "":
			d.warn(check, "it is made at the first start; keep a copy apart from the database's backups", "%s is not there yet", path)
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			d.fail(check, "check who may read the folder", "%s cannot be read", path+ending)
		case info.Mode().Perm()&0o077 != 0:
			d.fail(check, "run: chmod 600 "+path+ending, "other users may read %s", path+ending)
		case ending == nextKey:
			d.warn(check, "run svod rotate again to finish it", "a change of the key was broken off")
		case ending == "":
			d.ok(check, "%s is readable by its owner only", path)
		}
	}
}

func (d *doctor) publicURL(cfg *config.Config) {
	const check = "public address"
	advice := "set server.public_url to the address that other systems reach the hub at, such as https://hub.example.ru"
	u, err := url.Parse(cfg.Server.PublicURL)
	if cfg.Server.PublicURL == "" || err != nil {
		d.warn(check, advice, "server.public_url is not set: the addresses that svod urls prints work on this machine only")
		return
	}
	host := u.Hostname()
	addr, isIP := netip.ParseAddr(host)
	switch {
	case host == "localhost" || isIP == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()):
		d.warn(check, advice, "other systems cannot reach %s", host)
	case u.Scheme != "https":
		d.fail(check, "put a web server with a certificate before the hub, and write https:// to server.public_url",
			"webhooks and sign-ins travel unencrypted to %s", host)
	default:
		d.ok(check, "%s", cfg.Server.PublicURL)
	}
}

func (d *doctor) redis(ctx context.Context, cfg *config.Config) {
	const check = "redis"
	b, err := broker.Open(cfg.Redis)
	if err != nil {
		d.fail(check, "", "%v", err)
		return
	}
	defer b.Close()
	if b.Embedded {
		d.ok(check, "embedded: enough for one process")
		return
	}
	if err := b.Ping(ctx); err != nil {
		d.fail(check, "check redis in the configuration; webhooks are kept meanwhile, nothing else is done", "%v", err)
		return
	}
	info := redisInfo(ctx, b)
	version := info["redis_version"]
	if major, _, _ := strings.Cut(version, "."); len(major) == 1 && major < "5" {
		d.fail(check, "use Redis 6.2 or newer", "version %s is too old", version)
	} else {
		d.ok(check, "answers, version %s", version)
	}
	switch policy := info["maxmemory_policy"]; policy {
	case "noeviction", "":
	default:
		d.fail("redis memory", "set maxmemory-policy noeviction: otherwise Redis throws work away when it is full; it is found again, but late",
			"maxmemory-policy is %s", policy)
	}
	if info["aof_enabled"] == "0" && info["rdb_last_save_time"] == "" {
		d.warn("redis persistence", "switch appendonly on; without it only time is lost: the database knows all work", "nothing is written to disk")
	}
}

// redisInfo reads INFO; a member that a provider hides is missing.
func redisInfo(ctx context.Context, b *broker.Broker) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info := map[string]string{}
	text, err := b.Client.Info(ctx).Result()
	if err != nil {
		return info
	}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}

func (d *doctor) running(ctx context.Context, h *hub) {
	switch running, err := jobs.WorkersSeen(ctx, h.store, h.now()); {
	case err != nil:
		d.fail("hub", "", "%v", err)
	case running:
		d.ok("hub", "works on this database")
	default:
		d.warn("hub", "start it: svod serve", "no hub works on this database")
	}
}

func (d *doctor) hooks(ctx context.Context, h *hub) {
	for _, p := range h.setup.Projects {
		for _, c := range p.Connections {
			if !c.Receives {
				continue
			}
			check := "webhooks of " + p.ID + "/" + c.ID
			st, err := h.store.ConnectionState(ctx, p.ID, c.ID)
			switch {
			case err != nil:
				d.fail(check, "", "%v", err)
			case st.LastEventAt.IsZero():
				d.warn(check, "paste the address of svod urls into the other system, and change something there", "none came yet")
			case h.now().Sub(st.LastEventAt) > longSilence:
				d.warn(check, "look in the other system whether it still sends to the address of svod urls", "the last one came %s", ago(st.LastEventAt, h.now()))
			default:
				d.ok(check, "the last one came %s", ago(st.LastEventAt, h.now()))
			}
		}
	}
}

func (d *doctor) connections(ctx context.Context, h *hub) {
	for _, p := range h.setup.Projects {
		for _, c := range p.Connections {
			check := "credentials of " + p.ID + "/" + c.ID
			try, cancel := context.WithTimeout(ctx, 30*time.Second)
			says, err := c.Connector.Check(try)
			cancel()
			switch {
			case err == nil:
				d.ok(check, "%s", says)
			case model.ClassOf(err) == model.ClassReauth:
				d.fail(check, "give it a new credential in the configuration, or authorise it with the address of svod urls", "%v", err)
			default:
				d.fail(check, "", "%v", err)
			}
		}
	}
}

// clock compares with the first system that tells the time.
func (d *doctor) clock(ctx context.Context, h *hub) {
	client := h.client()
	defer client.CloseIdle()
	for _, p := range h.cfg.Projects {
		for _, c := range p.Connections {
			site := siteOf(c.Settings)
			if site == "" {
				continue
			}
			sent := h.now()
			answer, err := client.Do(ctx, outbound.Request{Method: http.MethodHead, URL: site, Timeout: 10 * time.Second})
			if err != nil {
				continue
			}
			theirs, err := http.ParseTime(answer.Header.Get("Date"))
			if err != nil {
				continue
			}
			// Half of the way, and half of the second that Date leaves out.
			off := theirs.Add(time.Second / 2).Sub(sent.Add(h.now().Sub(sent) / 2)).Round(time.Second)
			if off.Abs() > clockOff {
				d.fail("clock", "let the machine set its clock by NTP: signatures and times of changes depend on it", "differs from that of %s/%s by %s", p.ID, c.ID, off)
			} else {
				d.ok("clock", "agrees with that of %s/%s", p.ID, c.ID)
			}
			return
		}
	}
}

// siteOf gives scheme and host of a connection's address: its path may be a
// secret.
func siteOf(s *config.Settings) string {
	if s == nil {
		return ""
	}
	var all map[string]any
	if s.Decode(&all) != nil {
		return ""
	}
	text, _ := all["url"].(string)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return fmt.Sprintf("%s://%s/", u.Scheme, u.Host)
}
