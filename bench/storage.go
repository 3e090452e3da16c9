package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// schema is made in the PostgreSQL under measurement.
const schema = "svod_bench"

// storage is where the hub under measurement keeps its data.
type storage struct {
	name     string
	postgres string // "" for SQLite
	redis    string
	made     int
}

func (b *bench) storages() []*storage {
	all := []*storage{{name: embedded}}
	if b.postgres != "" {
		all = append(all, &storage{name: "PostgreSQL", postgres: b.postgres, redis: b.redis})
	}
	return all
}

// fresh makes an empty schema and gives the address of a database that sees it
// alone; the schema before it is dropped. Redis is emptied as well: it must have
// been empty at first.
func (s *storage) fresh() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.emptyRedis(ctx); err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	s.made++
	if _, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE; CREATE SCHEMA "+schema); err != nil {
		return "", err
	}
	u, err := url.Parse(s.postgres)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// clear drops what the measurements left behind.
func (s *storage) clear() error {
	if s.made == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.postgres)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
	return errors.Join(err, s.emptyRedis(ctx))
}

func (s *storage) emptyRedis(ctx context.Context) error {
	if s.redis == "" {
		return errors.New("with -postgres a -redis is needed")
	}
	opts, err := redis.ParseURL(s.redis)
	if err != nil {
		return err
	}
	client := redis.NewClient(opts)
	defer client.Close()
	if s.made == 0 {
		n, err := client.DBSize(ctx).Result()
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("the Redis database holds %d keys; name an empty one", n)
		}
	}
	return client.FlushDB(ctx).Err()
}

// redisCommands is how many commands the Redis server has run; 0 when it is not
// known.
func (s *storage) redisCommands(ctx context.Context) float64 {
	if s.redis == "" {
		return 0
	}
	opts, err := redis.ParseURL(s.redis)
	if err != nil {
		return 0
	}
	client := redis.NewClient(opts)
	defer client.Close()
	info, err := client.Info(ctx, "stats").Result()
	if err != nil {
		return 0
	}
	return processed(info)
}
