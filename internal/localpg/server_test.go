package localpg

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestStart_Settings(t *testing.T) {
	s := start(t, Options{Fast: true})
	for setting, want := range map[string]string{
		"server_encoding":         "UTF8",
		"timezone":                "UTC",
		"max_connections":         "200",
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"fsync":                   "off",
		"full_page_writes":        "off",
		"synchronous_commit":      "off",
	} {
		if got := query(t, s.URL(database), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if got := query(t, s.URL(database), "SELECT datcollate || current_user FROM pg_database WHERE datname = current_database()"); got != "Cpostgres" {
		t.Errorf("collation and user = %q, want C and postgres", got)
	}
}

func TestStart_KeepsData(t *testing.T) {
	dir := filepath.Join(openDir(t), ".runnel", "postgres")
	s := start(t, Options{Dir: dir})
	if got := query(t, s.URL(database), "SHOW fsync"); got != "on" {
		t.Errorf("fsync = %q, want on: nobody asked for Fast", got)
	}
	query(t, s.URL(database), "CREATE TABLE kept AS SELECT 42 AS n")
	url := s.URL(database)
	stop(t, s)

	s = start(t, Options{Dir: dir})
	if got := query(t, s.URL(database), "SELECT n FROM kept"); got != "42" {
		t.Errorf("kept = %q, want 42", got)
	}
	if s.URL(database) != url {
		t.Errorf("the address changed from %s to %s", url, s.URL(database))
	}
}

func TestStart_KeepsDataWhenPostgresIsKilled(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir})
	query(t, s.URL(database), "CREATE TABLE kept AS SELECT 42 AS n")
	if err := syscall.Kill(s.process.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(waitLimit):
		t.Fatal("Done is not closed")
	}
	stop(t, s)

	s = start(t, Options{Dir: dir})
	if got := query(t, s.URL(database), "SELECT n FROM kept"); got != "42" {
		t.Errorf("kept = %q, want 42", got)
	}
}

func TestStart_KeepsDataWhenParentIsKilled(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	c := startChild(t, dir, nil)
	query(t, c.url, "CREATE TABLE kept AS SELECT 42 AS n")
	c.kill(t)
	c.postgresEnds(t)

	s := start(t, Options{Dir: dir})
	if got := query(t, s.URL(database), "SELECT n FROM kept"); got != "42" {
		t.Errorf("kept = %q, want 42", got)
	}
}

// The next Start does not wait for anybody to notice the death.
func TestStart_RightAfterParentIsKilled(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	c := startChild(t, dir, nil)
	c.kill(t)
	s := start(t, Options{Dir: dir})
	if got := query(t, s.URL(database), "SELECT 1"); got != "1" {
		t.Errorf("got %q", got)
	}
	c.postgresEnds(t)
}

func TestStart_AfterParentIsKilledWhileMakingData(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	cmd := childCommand(t, dir, nil)
	stdin, err := cmd.StdinPipe() // kept open: the child would end with it
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	defer c.kill(t)
	notYet := func() bool {
		made, _ := filepath.Glob(filepath.Join(dir, "new-*", "PG_VERSION"))
		return len(made) == 0
	}
	if !waitWhile(notYet, waitLimit) {
		t.Fatal("the child makes no data")
	}
	c.kill(t)
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
		t.Skip("the child was too fast to be killed half-way")
	}
	start(t, Options{Dir: dir})
	if left, _ := filepath.Glob(filepath.Join(dir, "new-*")); len(left) > 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStart_TemporaryIsRemoved(t *testing.T) {
	s := start(t, Options{Fast: true})
	stop(t, s)
	if _, err := os.Stat(s.home.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", s.home.dir, err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestStart_TemporaryOfKilledParentIsSwept(t *testing.T) {
	c := startChild(t, "-", nil)
	c.kill(t)
	c.postgresEnds(t)
	if _, err := os.Stat(c.home); err != nil {
		t.Fatalf("the killed child cleaned up? %v", err)
	}
	old := time.Now().Add(-2 * temporaryAge)
	if err := os.Chtimes(c.home, old, old); err != nil {
		t.Fatal(err)
	}
	live := start(t, Options{Fast: true})
	if err := os.Chtimes(live.home.dir, old, old); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Fast: true})
	if _, err := os.Stat(c.home); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", c.home, err)
	}
	if got := query(t, live.URL(database), "SELECT 1"); got != "1" {
		t.Errorf("the sweep hurt a live server: %q", got)
	}
}

func TestStart_LiveHomeIsRefusedByPid(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	c := startChild(t, dir, nil)
	_, err := Start(t.Context(), Options{Dir: dir})
	if err == nil {
		t.Fatal("two servers on one directory")
	}
	for _, want := range []string{
		"process " + strconv.Itoa(c.cmd.Process.Pid),
		"postgres is process " + strconv.Itoa(c.postgres),
		"DATABASE_URL",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if got := query(t, c.url, "SELECT 1"); got != "1" {
		t.Errorf("the refused start hurt the live server: %q", got)
	}
}

func TestStart_Concurrently(t *testing.T) {
	const n = 3
	t.Run("apart", func(t *testing.T) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				s, err := Start(t.Context(), Options{Fast: true})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := tryQuery(t, s.URL(database), "SELECT 1"); err != nil {
					t.Error(err)
				}
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("same directory", func(t *testing.T) {
		dir := filepath.Join(openDir(t), "postgres")
		var wg sync.WaitGroup
		servers := make(chan *Server, n)
		for range n {
			wg.Go(func() {
				s, err := Start(t.Context(), Options{Dir: dir, Fast: true})
				if err == nil {
					servers <- s
				} else if !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) &&
					!strings.Contains(err.Error(), "in use by another process") { // which has not yet written which
					t.Errorf("unexpected: %v", err)
				}
			})
		}
		wg.Wait()
		close(servers)
		if len(servers) != 1 {
			t.Errorf("%d servers on one directory, want 1", len(servers))
		}
		for s := range servers {
			stop(t, s)
		}
	})
}

func TestStart_PortIsTaken(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir, Fast: true})
	taken := s.port
	stop(t, s)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(taken)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s = start(t, Options{Dir: dir, Fast: true})
	if s.port == taken {
		t.Errorf("port %d twice", taken)
	}
	query(t, s.URL(database), "SELECT 1")
}

func TestStart_PidOfAnotherProcess(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir, Fast: true})
	stop(t, s)
	stale := strconv.Itoa(os.Getpid()) + "\n" + s.home.path("data") + "\n1\n5432\n\n127.0.0.1\n1 1\nready   \n"
	if err := os.WriteFile(s.home.path("data/postmaster.pid"), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, Options{Dir: dir, Fast: true})
}

// Without a signal at the parent's death (macOS), postgres lives on.
func TestStart_StopsOrphan(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	orphan := start(t, Options{Dir: dir})
	query(t, orphan.URL(database), "CREATE TABLE kept AS SELECT 42 AS n")
	if err := orphan.home.lock.Close(); err != nil { // as the death of its owner would
		t.Fatal(err)
	}
	orphan.home.lock = nil

	s := start(t, Options{Dir: dir})
	select {
	case <-orphan.Done():
	case <-time.After(waitLimit):
		t.Fatal("the orphan lives on")
	}
	if got := query(t, s.URL(database), "SELECT n FROM kept"); got != "42" {
		t.Errorf("kept = %q, want 42", got)
	}
}

func TestStart_PasswordIsNeeded(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir, Fast: true})
	for _, password := range []string{"", "postgres"} {
		url := strings.Replace(s.URL(database), s.password, password, 1)
		_, err := tryQuery(t, url, "SELECT 1")
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "28P01" {
			t.Errorf("password %q: got %v, want invalid_password", password, err)
		}
	}
	if got := query(t, s.URL(database), "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'postgres'"); got != "SCRAM-SHA-256" {
		t.Errorf("the password is kept as %q", got)
	}
	info, err := os.Stat(s.home.path("password"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("password file has mode %v", info.Mode())
	}

	t.Run("and replaced when lost", func(t *testing.T) {
		stop(t, s)
		if err := os.Remove(s.home.path("password")); err != nil {
			t.Fatal(err)
		}
		again := start(t, Options{Dir: dir, Fast: true})
		if again.password == s.password {
			t.Error("the password did not change")
		}
		query(t, again.URL(database), "SELECT 1")
	})
}

func TestStop_WithConnections(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	s := start(t, Options{Dir: dir})
	busy := make(chan error, 1)
	go func() {
		_, err := tryQuery(t, s.URL(database), "SET application_name = 'busy'", "SELECT pg_sleep(3600)")
		busy <- err
	}()
	idle := func() bool {
		return query(t, s.URL(database), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'") == "0"
	}
	if !waitWhile(idle, waitLimit) {
		t.Fatal("no query runs")
	}
	begin := time.Now()
	stop(t, s)
	if took := time.Since(begin); took > stopLimit {
		t.Errorf("Stop took %v", took)
	}
	if err := <-busy; err == nil {
		t.Error("the query ended well")
	}
}

func TestStart_ContextEnds(t *testing.T) {
	dir := filepath.Join(openDir(t), "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{Dir: dir}); !errors.Is(err, ctx.Err()) {
		t.Errorf("got %v, want %v", err, ctx.Err())
	}
	start(t, Options{Dir: dir, Fast: true}) // and the home is free again
}
