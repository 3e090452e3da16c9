package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// build makes the release binary.
func (b *bench) build(ctx context.Context) error {
	b.report.Commit = commit()
	if b.binary != "" {
		return nil
	}
	b.binary = filepath.Join(b.dir, "svod")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, "./cmd/svod")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the hub (run this in the folder of go.mod): %w\n%s", err, out)
	}
	return nil
}

// process is a program that is being measured.
type process struct {
	cmd     *exec.Cmd
	pid     int
	address string
	log     string
	ended   chan struct{}
}

// spawn starts a program that ends with this one.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// stop ends the program, by force if it takes long.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// startFloor starts this program as a floor's server.
func startFloor(what string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{"-floor", what}, args...)...)
	cmd.Stderr = os.Stderr
	// Not StdoutPipe: Wait would close it under the reader.
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd.Stdout = out
	p, err := spawn(cmd)
	_ = out.Close()
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if _, _, err := net.SplitHostPort(lines.Text()); err == nil {
			p.address = lines.Text()
			return p, nil
		}
	}
	p.stop()
	return nil, errors.New("the floor's server did not start")
}

// startHub starts `svod serve` and waits until it takes webhooks.
func (b *bench) startHub(ctx context.Context, config *config, args ...string) (*process, error) {
	path, err := config.write()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(config.dir, "svod.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(b.binary, append([]string{"serve", "-c", path, "--log-level", "warn"}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = config.dir, log, log
	p, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	p.address, p.log = config.listen, log.Name()
	if err := p.wait(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// wait returns when the hub answers.
func (p *process) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		select {
		case <-p.ended:
			text, _ := os.ReadFile(p.log)
			return fmt.Errorf("the hub ended: %s", text)
		case <-ctx.Done():
			return errors.New("the hub does not answer")
		case <-time.After(2 * time.Millisecond):
		}
		if conn, err := net.Dial("tcp", p.address); err == nil {
			return conn.Close()
		}
	}
}

// usage is what a process has cost so far.
type usage struct {
	cpu       time.Duration
	rss, peak float64 // MiB
	private   float64 // MiB of rss that are no pages of files
}

func (p *process) usage() usage {
	var u usage
	pid := strconv.Itoa(p.pid)
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
		for l := range strings.Lines(string(status)) {
			name, rest, _ := strings.Cut(l, ":")
			switch name {
			case "VmHWM":
				u.peak = mebibytes(rest)
			case "RssAnon":
				u.private = mebibytes(rest)
			case "VmRSS":
				u.rss = mebibytes(rest)
			}
		}
	}
	if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil {
		// utime and stime are the 12th and 13th behind the name, in ticks of 10 ms.
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			u.cpu = time.Duration(user+system) * 10 * time.Millisecond
		}
	}
	return u
}

func mebibytes(text string) float64 {
	kib, _ := strconv.ParseFloat(strings.Fields(text)[0], 64)
	return kib / 1024
}

// get reads an address of the hub with the token of the configuration.
func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+apiToken)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %.200s", path, answer.StatusCode, body)
	}
	return body, err
}
