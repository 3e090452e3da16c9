// Package broker connects to the Redis that hands out work: a server of any
// shape, or one inside this process.
package broker

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Embedded is the address of a Redis inside this process.
const Embedded = "embedded"

// Broker is a connection to Redis.
type Broker struct {
	Client   redis.UniversalClient
	Embedded bool

	close func()
}

// Open connects. Addresses are embedded, redis://, rediss://,
// redis-sentinel://[:PASSWORD@]HOST,HOST/MASTER and redis-cluster://HOST,HOST.
// That Redis answers is not waited for: the hub takes webhooks without it.
func Open(address string) (*Broker, error) {
	if address == "" || address == Embedded {
		return openEmbedded()
	}
	opts, err := parse(address)
	if err != nil {
		return nil, err
	}
	var client redis.UniversalClient
	if strings.HasPrefix(address, "redis-cluster:") {
		client = redis.NewClusterClient(opts.Cluster())
	} else {
		client = redis.NewUniversalClient(opts)
	}
	return &Broker{Client: client, close: func() { _ = client.Close() }}, nil
}

// Close ends the connection, and the embedded server.
func (b *Broker) Close() { b.close() }

// Ping tells whether Redis answers.
func (b *Broker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := b.Client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	return nil
}

// parse never repeats the address in an error: it may hold a password.
func parse(address string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("redis: the address can't be read; it looks like redis://:PASSWORD@HOST:6379/0")
	}
	opts := &redis.UniversalOptions{Addrs: strings.Split(u.Host, ",")}
	for i, addr := range opts.Addrs {
		if !strings.Contains(addr, ":") {
			opts.Addrs[i] = addr + ":6379"
		}
	}
	if u.User != nil {
		opts.Username = u.User.Username()
		opts.Password, _ = u.User.Password()
	}
	path := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		if u.Scheme == "rediss" {
			opts.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		}
		if path != "" {
			if opts.DB, err = strconv.Atoi(path); err != nil {
				return nil, fmt.Errorf("redis: %q is not the number of a database", path)
			}
		}
	case "redis-sentinel":
		if path == "" {
			return nil, fmt.Errorf("redis: a sentinel address ends with the name of the master: redis-sentinel://HOST,HOST/MASTER")
		}
		opts.MasterName = path
		opts.SentinelPassword = u.Query().Get("sentinel_password")
	case "redis-cluster":
	default:
		return nil, fmt.Errorf("redis: %q is not a known scheme; use embedded, redis, rediss, redis-sentinel or redis-cluster", u.Scheme)
	}
	return opts, nil
}

// tick is how often the embedded server's clock is moved: it stands still by
// itself, and then no lock and no lease in it would ever run out.
const tick = 100 * time.Millisecond

func openEmbedded() (*Broker, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-stop:
				return
			case now := <-ticker.C:
				server.FastForward(now.Sub(last))
				last = now
			}
		}
	}()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	return &Broker{Client: client, Embedded: true, close: func() {
		close(stop)
		<-stopped
		_ = client.Close()
		server.Close()
	}}, nil
}
