// Package spelling finds what somebody probably meant by a mistyped name. Both
// the configuration and the expressions in it answer unknown names with it.
package spelling

import (
	"slices"
	"strings"
)

// maxWord bounds the work: nobody mistypes longer names by one letter.
const maxWord = 64

// Nearest gives at most three of the known names that are close to the word,
// nearest first and then in alphabetical order.
func Nearest(word string, known []string) []string {
	if len(word) > maxWord {
		return nil
	}
	type match struct {
		name string
		far  int
	}
	var matches []match
	bound := max(1, min(3, len(word)/3))
	for _, name := range known {
		far := distance(strings.ToLower(word), strings.ToLower(name))
		if len(word) >= 3 && far > bound && (strings.HasPrefix(name, word) || strings.HasSuffix(name, "_"+word)) {
			far = bound
		}
		if far <= bound {
			matches = append(matches, match{name, far})
		}
	}
	slices.SortFunc(matches, func(a, b match) int {
		if a.far != b.far {
			return a.far - b.far
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, m := range matches {
		if !slices.Contains(names, m.name) && len(names) < 3 {
			names = append(names, m.name)
		}
	}
	return names
}

// Hint renders Nearest for the end of a message: "; did you mean amount?", or ""
// when nothing is near.
func Hint(word string, known []string) string {
	names := Nearest(word, known)
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, now := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		now[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(t)]
}
