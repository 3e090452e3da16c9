package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"amount", "cost", "created_at", "closed_at", "id", "currency", "updated_at"}
	for _, tt := range []struct{ name, word, want string }{
		{"one letter missing", "amout", "amount"},
		{"two letters swapped", "csot", "cost"},
		{"other case", "Currency", "currency"},
		{"beginning only", "create", "created_at"},
		{"end only", "at", ""},
		{"too far", "telephone", ""},
		{"short words do not match everything", "xy", ""},
		{"endless word", strings.Repeat("a", 1000), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(Nearest(tt.word, known), ","); got != tt.want {
				t.Errorf("Nearest(%.20q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
	if got := Hint("amout", known); got != "; did you mean amount?" {
		t.Errorf("Hint = %q", got)
	}
	if got := Hint("zzzzz", known); got != "" {
		t.Errorf("Hint = %q, want none", got)
	}
}
