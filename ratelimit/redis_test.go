//go:build redis

package ratelimit_test

import (
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestOnRedis needs the address of a real Redis: SVOD_TEST_REDIS=redis://…
func TestOnRedis(t *testing.T) {
	t.Parallel()
	address := os.Getenv("SVOD_TEST_REDIS")
	if address == "" {
		t.Fatal("SVOD_TEST_REDIS is not set; give it the address of a Redis: redis://127.0.0.1:6379/15")
	}
	opts, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	suite(t, func(t *testing.T) redis.UniversalClient {
		client := redis.NewClient(opts)
		t.Cleanup(func() { client.Close() })
		return client
	})
}
