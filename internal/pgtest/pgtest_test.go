package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// childTest in the environment makes TestChild print its database and wait.
const childTest = "PGTEST_TEST_CHILD"

func TestMain(m *testing.M) { Main(m) }

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func get[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func name(t *testing.T, url string) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

func TestDatabase_IsMigrated(t *testing.T) {
	t.Parallel()
	if !get[bool](t, connect(t, Database(t)), "SELECT to_regclass('runnel.functions') IS NOT NULL") {
		t.Error("the schema is missing")
	}
}

func TestEmpty_IsNotMigrated(t *testing.T) {
	t.Parallel()
	if get[bool](t, connect(t, Empty(t)), "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'runnel')") {
		t.Error("the schema is there")
	}
}

func TestDatabase_IsOnesOwn(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, Database(t))
			if _, err := conn.Exec(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
				t.Errorf("somebody was here before: %v", err)
			}
		})
	}
}

func TestDatabase_IsDroppedWithItsConnections(t *testing.T) {
	t.Parallel()
	watcher := connect(t, Empty(t))
	var database string
	t.Run("uses it", func(t *testing.T) {
		url := Database(t)
		database = name(t, url)
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		// Closed by the server when the database is dropped.
		t.Cleanup(func() { _ = conn.PgConn().Conn().Close() })
		if !get[bool](t, watcher, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database) {
			t.Errorf("there is no database %s", database)
		}
	})
	if get[bool](t, watcher, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database) {
		t.Errorf("database %s is still there", database)
	}
}

// TestServer_Given covers RUNNEL_TEST_DATABASE_URL: the server is used, and left
// as it was.
func TestServer_Given(t *testing.T) {
	url := Empty(t)
	t.Setenv("RUNNEL_TEST_DATABASE_URL", url)
	var s server
	var template, database string
	t.Run("uses it", func(t *testing.T) {
		database = name(t, s.database(t, true))
		template = s.template
	})
	if s.local != nil {
		t.Error("a second server was started")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	left := get[int](t, connect(t, url), "SELECT count(*)::int FROM pg_database WHERE datname IN ($1, $2)", template, database)
	if left != 0 {
		t.Errorf("%d databases are left", left)
	}
}

func TestServer_GivenNoURL(t *testing.T) {
	t.Setenv("RUNNEL_TEST_DATABASE_URL", "host=/tmp dbname=postgres")
	var s server
	if err := s.start.do(s.open); err == nil || !strings.Contains(err.Error(), "must look like postgres://") {
		t.Errorf("got %v", err)
	}
}

// TestChild is not a test of its own; see TestKilledProcess_LeavesNoServer.
func TestChild(t *testing.T) {
	if os.Getenv(childTest) == "" {
		t.Skip("runs as a child of another test")
	}
	conn := connect(t, Database(t))
	pid := get[string](t, conn, "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)")
	fmt.Printf("postgres %s %s\n", pid, get[string](t, conn, "SHOW data_directory"))
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until killed
}

func TestKilledProcess_LeavesNoServer(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("only Linux ends a child with its parent")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childTest+"=1", "RUNNEL_TEST_DATABASE_URL=")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var data string
	for lines := bufio.NewScanner(stdout); pid == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "postgres %d %s", &pid, &data)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child was not killed")
	}
	if pid == 0 {
		t.Fatal("the child did not say its postgres's pid")
	}
	defer os.RemoveAll(filepath.Dir(data)) // a later start would, in a minute
	// A dead postgres has no command line, also while nobody has waited for it.
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(command), "postgres") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("postgres %d still runs", pid)
		}
	}
}

func BenchmarkDatabase(b *testing.B) {
	Database(b) // starts the server and makes the template
	for b.Loop() {
		if err := shared.create(b.Context(), "runnel_bench", shared.template); err != nil {
			b.Fatal(err)
		}
		if err := shared.drop(b.Context(), "runnel_bench"); err != nil {
			b.Fatal(err)
		}
	}
}
