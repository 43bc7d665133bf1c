package localpg

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// waitLimit fails a test that would hang.
const waitLimit = 30 * time.Second

// openDir is t.TempDir, but other accounts can enter it.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// query runs statements and returns the last one's single value as text.
func query(t *testing.T, url string, statements ...string) string {
	t.Helper()
	value, err := tryQuery(t, url, statements...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func tryQuery(t *testing.T, url string, statements ...string) (value string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		results, err := conn.PgConn().Exec(ctx, statement).ReadAll()
		if err != nil {
			return "", fmt.Errorf("%s: %w", statement, err)
		}
		if rows := results[0].Rows; len(rows) == 1 {
			value = string(rows[0][0])
		}
	}
	return value, nil
}

// child is this test binary running a server of its own.
type child struct {
	cmd      *exec.Cmd
	stdin    io.Closer
	postgres int
	home     string
	url      string
}

// startChild runs a server in another process, as another account if one is given.
func startChild(t *testing.T, dir string, a *account) *child {
	t.Helper()
	cmd := childCommand(t, dir, a)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { c.kill(t) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("child said nothing: %v", err)
	}
	if _, err := fmt.Sscan(line, &c.postgres, &c.home, &c.url); err != nil {
		t.Fatalf("child said %q: %v", line, err)
	}
	return c
}

func childCommand(t *testing.T, dir string, a *account) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$")
	if a != nil {
		// The go command builds tests where other accounts cannot look.
		self = copyFile(t, self, filepath.Join(openDir(t), "child"))
		cmd = exec.Command(self, "-test.run=^$")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	}
	cmd.Dir = "/"
	cmd.Env = []string{childDir + "=" + dir, "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	cmd.Stderr = os.Stderr
	return cmd
}

// kill ends the child as kill -9 does, and waits for it.
func (c *child) kill(t *testing.T) {
	if c.cmd.ProcessState != nil {
		return
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("child ended with %v, want killed", err)
	}
}

// postgresEnds waits until the child's postgres is gone.
func (c *child) postgresEnds(t *testing.T) {
	t.Helper()
	if !waitWhile(func() bool { return runsIn(c.postgres, filepath.Join(c.home, "data"), nil) }, waitLimit) {
		t.Fatalf("postgres %d still runs", c.postgres)
	}
}

func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it is about what root may not do")
	}
}
