package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the result of a run.
type report struct {
	At      time.Time `json:"at"`
	Machine string    `json:"machine"`
	Commit  string    `json:"commit"`
	Lines   []line    `json:"figures"`
}

// line is one figure.
type line struct {
	Figure  string  `json:"figure"`
	Storage string  `json:"storage"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Floor   float64 `json:"floor,omitempty"` // the same of the tiny program
	// Target is what Value, or Ratio where OfFloor is set, must reach, or with Most
	// must not exceed; 0: none.
	Target  float64 `json:"target,omitempty"`
	OfFloor bool    `json:"of_floor,omitempty"`
	Most    bool    `json:"most,omitempty"`
	Note    string  `json:"note,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func (l line) ratio() float64 {
	if l.Floor == 0 {
		return 0
	}
	return l.Value / l.Floor
}

// reached tells whether the target was met.
func (l line) reached() bool {
	if l.Error != "" {
		return false
	}
	if l.Target == 0 {
		return true
	}
	is := l.Value
	if l.OfFloor {
		is = l.ratio()
	}
	if l.Most {
		return is <= l.Target
	}
	return is >= l.Target
}

// cells are the columns of the table.
func (l line) cells() []string {
	if l.Error != "" {
		return []string{l.Figure, l.Storage, "", "", "", "", "no", "not measured: " + l.Error}
	}
	cells := []string{l.Figure, l.Storage, number(l.Value) + " " + l.Unit, "", "", "", ""}
	if l.Floor > 0 {
		cells[3], cells[4] = number(l.Floor), fmt.Sprintf("%.2f", l.ratio())
	}
	if l.Target > 0 {
		sign, of := "≥ ", ""
		if l.Most {
			sign = "≤ "
		}
		if l.OfFloor {
			of = " × floor"
		}
		cells[5], cells[6] = sign+number(l.Target)+of, "no"
		if l.reached() {
			cells[6] = "yes"
		}
	}
	return append(cells, l.Note)
}

var columns = []string{"figure", "storage", "value", "floor", "ratio", "target", "reached", "note"}

func (r *report) table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, l := range r.Lines {
		fmt.Fprintln(w, strings.Join(l.cells(), "\t"))
	}
	_ = w.Flush() // a Builder takes everything
	return out.String()
}

// markdown is an entry for the history.
func (r *report) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n### %s, %s\n\n%s\n\n| %s |\n|%s\n", r.At.Format("2006-01-02 15:04"), r.Commit, r.Machine,
		strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, l := range r.Lines {
		cells := l.cells()
		for len(cells) < len(columns) {
			cells = append(cells, "")
		}
		fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | "))
	}
	return out.String()
}

func (r *report) missed() []string {
	var out []string
	for _, l := range r.Lines {
		if !l.reached() {
			out = append(out, l.Figure+" on "+l.Storage)
		}
	}
	return out
}

// number writes a figure with about three digits that matter.
func number(v float64) string {
	switch {
	case v >= 1000:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// median of values; 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// describeMachine names what the figures depend on.
func describeMachine() string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(data)) {
			if name, ok := strings.CutPrefix(l, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, " \t:"))
				break
			}
		}
	}
	memory := ""
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GiB", (kib+1<<19)>>20)
		}
	}
	load := ""
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load " + strings.Fields(string(data))[0] + " before the run"
	}
	return fmt.Sprintf("%s, %d cores%s, %s/%s, %s%s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH, runtime.Version(), load)
}

// commit names the state of the sources.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown version"
	}
	return strings.TrimSpace(string(out))
}
