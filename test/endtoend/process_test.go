package endtoend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// process is one `svod serve`.
type process struct {
	t      *testing.T
	name   string
	listen string
	log    string // the file that its stderr goes to
	cmd    *exec.Cmd
	done   chan struct{}
	ended  atomic.Bool
}

// serve starts `svod serve` with a configuration file.
func serve(t *testing.T, name, config, listen, log string, args ...string) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, listen: listen, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"serve", "-c", config}, args...)...)
	p.cmd.Dir = filepath.Dir(config)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A test that is killed takes its hubs with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		_ = out.Close()
		p.ended.Store(true)
		close(p.done)
	}()
	t.Cleanup(func() {
		if !p.ended.Load() {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", p.name, tail(log, 40))
		}
	})
	return p
}

// tail gives the last lines of a log that are more than information.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(data)), "\n"), func(line string) bool {
		return strings.HasPrefix(line, `{"level":"info"`)
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ready waits until the process says that it can work.
func (p *process) ready() {
	p.t.Helper()
	eventually(p.t, 30*time.Second, p.name+" is ready", func() string {
		if p.ended.Load() {
			p.t.Fatalf("%s ended before it was ready:\n%s", p.name, tail(p.log, 20))
		}
		status, body, err := get(p.t.Context(), "http://"+p.listen+"/readyz", "")
		if err != nil {
			return err.Error()
		}
		if status != http.StatusOK {
			return fmt.Sprint(status, " ", string(body))
		}
		return ""
	})
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	<-p.done
}

// terminate asks the process to end, and wants it to do so in good time and
// order.
func (p *process) terminate(within time.Duration) time.Duration {
	p.t.Helper()
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s is not there to be stopped: %v", p.name, err)
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.t.Fatalf("%s did not end within %s of SIGTERM", p.name, within)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with %d after SIGTERM:\n%s", p.name, code, tail(p.log, 20))
	}
	return time.Since(start)
}

// alive fails when the process has ended.
func (p *process) alive() {
	p.t.Helper()
	if p.ended.Load() {
		p.t.Fatalf("%s is not alive any more:\n%s", p.name, tail(p.log, 40))
	}
}

// usage is what a running process has cost so far.
type usage struct {
	cpu time.Duration
	rss int // the peak, in MiB
}

func (p *process) usage() usage {
	var u usage
	pid := strconv.Itoa(p.cmd.Process.Pid)
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, _ := strconv.Atoi(strings.Fields(rest)[0])
				u.rss = kib >> 10
			}
		}
	}
	if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil {
		// The name in brackets may hold spaces; utime and stime are the 12th and 13th
		// behind it, in ticks of 10 ms.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			u.cpu = time.Duration(user+system) * 10 * time.Millisecond
		}
	}
	return u
}

// freeAddress finds a port that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// result is what a command did.
type result struct {
	code           int
	stdout, stderr string
}

// command runs the program to its end.
func command(t testing.TB, dir string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("svod %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wants fails unless the command ended with the code.
func (r result) wants(t testing.TB, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("the command ended with %d, not %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	return r
}
