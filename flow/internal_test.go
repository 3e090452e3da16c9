package flow

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/conf"
)

// What is suggested to authors is what they may call, and nothing else is
// registered but what the compiler puts in itself.
func TestHelperNames(t *testing.T) {
	t.Parallel()
	config := conf.CreateNew()
	for _, option := range (helpers{zone: time.UTC, region: "RU"}).options() {
		option(config)
	}
	var names []string
	for name := range config.Functions {
		if !strings.HasPrefix(name, "__") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, helperNames) {
		t.Errorf("functions %q, suggested %q", names, helperNames)
	}
	for _, name := range without {
		if !config.Disabled[name] {
			t.Errorf("%s is not switched off", name)
		}
	}
}

func TestShortCutsRunes(t *testing.T) {
	t.Parallel()
	if got := short(strings.Repeat("ы", 100)); got != strings.Repeat("ы", 60)+"…" {
		t.Errorf("short = %q", got)
	}
}
