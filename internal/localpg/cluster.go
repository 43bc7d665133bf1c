package localpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// readyLimit bounds one start. A warm start takes well under a second; the
	// rest is for crash recovery of a large database on a slow disk.
	readyLimit = 2 * time.Minute
	// portAttempts is how often another free port is tried: a port is free when
	// it is chosen and may be taken before postgres binds it.
	portAttempts = 10
)

// hba is the only way in. Trust would let every user of the machine in, and a
// socket would need a short path.
const hba = "host all all 127.0.0.1/32 scram-sha-256\n"

// cluster is a home with the programs and the account to run it.
type cluster struct {
	home    *home
	bin     programs
	account *account
	fast    bool
	log     *slog.Logger
}

// prepare makes the home ready to launch and returns the superuser's password.
func (c *cluster) prepare(ctx context.Context) (string, error) {
	if err := c.home.stopOrphan(c.account, c.log); err != nil {
		return "", err
	}
	if err := c.home.root.WriteFile("pg_hba.conf", []byte(hba), 0o644); err != nil {
		return "", err
	}
	if err := c.home.root.Chmod("pg_hba.conf", 0o644); err != nil { // the umask may have hidden it from the account
		return "", err
	}
	if _, err := c.home.root.Lstat("data"); errors.Is(err, fs.ErrNotExist) {
		return c.create(ctx)
	}
	b, err := c.home.root.ReadFile("password")
	if errors.Is(err, fs.ErrNotExist) {
		return c.newPassword(ctx, "data")
	}
	return string(b), err
}

// create makes the data directory. It gets its name last, so that a start which
// was killed half-way leaves nothing that looks like data.
func (c *cluster) create(ctx context.Context) (string, error) {
	root := c.home.root
	if abandoned, err := fs.Glob(root.FS(), "new-*"); err == nil {
		for _, dir := range abandoned {
			_ = root.RemoveAll(dir) // a child of a killed initdb may still write to it
		}
	}
	fresh := "new-" + rand.Text()
	if err := root.Mkdir(fresh, 0o700); err != nil {
		return "", err
	}
	if a := c.account; a != nil {
		if err := root.Lchown(fresh, int(a.uid), int(a.gid)); err != nil {
			return "", err
		}
	}
	args := []string{"-D", c.home.path(fresh), "-U", superuser, "--encoding=UTF8", "--locale=C", "--auth=reject"}
	if c.fast {
		args = append(args, "--no-sync")
	}
	if _, err := run(ctx, c.command("initdb", args...), c.account); err != nil {
		return "", err
	}
	password, err := c.newPassword(ctx, fresh, "CREATE DATABASE "+database)
	if err != nil {
		return "", err
	}
	return password, root.Rename(fresh, "data")
}

// newPassword sets a random password, and runs other statements in the same go.
func (c *cluster) newPassword(ctx context.Context, data string, others ...string) (string, error) {
	password := rand.Text()
	if err := c.sql(ctx, data, append(others, "ALTER ROLE "+superuser+" PASSWORD '"+password+"'")...); err != nil {
		return "", err
	}
	return password, c.home.root.WriteFile("password", []byte(password), 0o600)
}

// sql runs statements without a server, by postgres's single-user mode. They come
// by standard input, a line each, so a password in them is in no process list.
func (c *cluster) sql(ctx context.Context, data string, statements ...string) error {
	args := append([]string{"--single", "-D", c.home.path(data), "-c", "exit_on_error=on"}, c.settings()...)
	cmd := c.command("postgres", append(args, "postgres")...)
	cmd.Stdin = strings.NewReader(strings.Join(statements, "\n") + "\n")
	_, err := run(ctx, cmd, c.account)
	return err
}

// launch starts the server and returns when it accepts connections.
func (c *cluster) launch(ctx context.Context) (*process, int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("postgres was not ready within %v; its messages are in %s", readyLimit, c.home.path("log")))
	defer cancel()
	port := c.lastPort()
	for attempt := 1; ; attempt++ {
		if port == 0 {
			var err error
			if port, err = freePort(); err != nil {
				return nil, 0, err
			}
		}
		process, err := c.try(ctx, port)
		if err == nil {
			err := c.home.root.WriteFile("port", []byte(strconv.Itoa(port)), 0o600)
			if err != nil {
				process.end(stopLimit, syscall.SIGQUIT, syscall.SIGKILL)
			}
			return process, port, err
		}
		switch {
		case ctx.Err() != nil:
			return nil, 0, context.Cause(ctx)
		case strings.Contains(err.Error(), "could not bind") && attempt < portAttempts:
			port = 0
		case strings.Contains(err.Error(), "pre-existing shared memory block"):
			// The children of a postgres that was killed are on their way out.
			select {
			case <-time.After(pollEvery):
			case <-ctx.Done():
			}
		default:
			return nil, 0, err
		}
	}
}

// try starts the server on a port. The error holds what postgres said.
func (c *cluster) try(ctx context.Context, port int) (*process, error) {
	log, err := c.home.root.OpenFile("log", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // postgres has its own
	args := append([]string{"-D", c.home.path("data"), "-p", strconv.Itoa(port)}, c.settings()...)
	cmd := c.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := spawn(cmd, c.account, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-process.done:
			said, _ := c.home.root.ReadFile("log")
			return nil, fmt.Errorf("postgres ended at once: %w\n%s", process.err, tail(strings.TrimSpace(string(said))))
		case <-ctx.Done():
			process.end(stopLimit, syscall.SIGQUIT, syscall.SIGKILL)
			return nil, context.Cause(ctx)
		case <-tick.C:
			if p, ok := c.home.postmaster(); ok && p.ready && p.pid == process.pid() {
				return process, nil
			}
		}
	}
}

// settings are given at every start and win over the files in data.
func (c *cluster) settings() []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"hba_file=" + c.home.path("pg_hba.conf"),
		"password_encryption=scram-sha-256", // version 13 still says md5
		"max_connections=200",
		"shared_buffers=64MB",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_destination=stderr",
		"logging_collector=off",
		"lc_messages=C", // launch reads messages
		// A failed statement may hold somebody's secret.
		"log_min_error_statement=panic",
		"log_error_verbosity=terse",
	}
	if c.fast {
		settings = append(settings, "fsync=off", "full_page_writes=off", "synchronous_commit=off")
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// command prepares a program to work in the home.
func (c *cluster) command(program string, args ...string) *exec.Cmd {
	cmd := c.bin.command(program, args...)
	cmd.Dir = c.home.dir
	return cmd
}

// lastPort returns the port of the last start, 0 when there is none. Keeping it
// keeps the addresses that were given to other programs.
func (c *cluster) lastPort() int {
	b, err := c.home.root.ReadFile("port")
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(string(b))
	if err != nil || port < 1024 || port > 65535 {
		return 0
	}
	return port
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
