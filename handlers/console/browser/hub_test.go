//go:build browser

package browser

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "renew the pictures in docs/images")

const root = "../../.."

// demo is the hub that all tests look at, and chromium the browser.
var (
	demo     hub
	chromium context.Context
)

type hub struct {
	base, password string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "svod-browser-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stop, err := startDemo(dir)
	if err != nil {
		return 1, err
	}
	defer stop()
	closeBrowser, err := startChromium()
	if err != nil {
		return 1, err
	}
	defer closeBrowser()
	return m.Run(), nil
}

// startDemo builds svod and starts its demo; the address and the password are
// what it prints for people.
func startDemo(dir string) (stop func(), err error) {
	binary := filepath.Join(dir, "svod")
	build := exec.Command("go", "build", "-o", binary, "./cmd/svod")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build svod: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, "demo", "--listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "demo"))
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = in.Close()
	}
	ready := make(chan string, 1)
	go func() {
		var printed strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line := lines.Text()
			printed.WriteString(line + "\n")
			if m := regexp.MustCompile(`password (\S+)`).FindStringSubmatch(line); m != nil {
				demo.password = m[1]
			}
			if m := regexp.MustCompile(`console\s+(http://\S+)/console/`).FindStringSubmatch(line); m != nil {
				demo.base = m[1]
				ready <- ""
			}
		}
		ready <- printed.String()
	}()
	select {
	case printed := <-ready:
		if demo.base != "" && demo.password != "" {
			return stop, nil
		}
		stop()
		return nil, fmt.Errorf("the demo printed neither its address nor its password:\n%s", printed)
	case <-time.After(time.Minute):
		stop()
		return nil, fmt.Errorf("the demo did not start within a minute")
	}
}

func startChromium() (stop func(), err error) {
	path := ""
	for _, name := range []string{os.Getenv("SVOD_TEST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("there is no Chromium; install it (Debian: apt-get install chromium) or name it in SVOD_TEST_CHROMIUM")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 900),
		chromedp.Flag("lang", "en"), chromedp.Flag("force-prefers-reduced-motion", true))
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
	browser, endBrowser := chromedp.NewContext(allocator)
	if err := chromedp.Run(browser); err != nil {
		endBrowser()
		endAllocator()
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	chromium = browser
	return func() { endBrowser(); endAllocator() }, nil
}
