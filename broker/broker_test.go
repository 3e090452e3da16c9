package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Keys in the embedded Redis run out by themselves, or a killed worker's locks
// would stay for ever.
func TestEmbeddedExpires(t *testing.T) {
	t.Parallel()
	b, err := broker.Open(broker.Embedded)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx := t.Context()
	if err := b.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.Client.Set(ctx, "lock", "1", 300*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for b.Client.Get(ctx, "lock").Err() != redis.Nil {
		if time.Now().After(deadline) {
			t.Fatal("the key is still there")
		}
		time.Sleep(20 * time.Millisecond) // the clock under test is the real one
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"http://localhost":                     "not a known scheme",
		"redis://:geheim@localhost/abc":        "not the number of a database",
		"redis-sentinel://:geheim@a:26379,b:1": "name of the master",
		"redis://:geheim@local host":           "can't be read",
	} {
		_, err := broker.Open(address)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error tells the password", address)
		}
	}
}
