package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/internal/process"
	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// load makes settings as the commands do.
func load(t *testing.T, environ ...string) settings.Settings {
	t.Helper()
	s, err := settings.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// get asks until the server answers with status.
func get(t *testing.T, url string, status int) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		res, err := http.Get(url)
		if err == nil {
			b, readErr := io.ReadAll(res.Body)
			res.Body.Close()
			if readErr == nil && res.StatusCode == status {
				return string(b)
			}
			err = fmt.Errorf("%d %s", res.StatusCode, b)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", url, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWebAndWorkerStartAndStop(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	metrics := listen(t)
	port := metrics.Addr().(*net.TCPAddr).Port
	metrics.Close()
	s := load(t, "DATABASE_URL="+pgtest.Database(t), fmt.Sprintf("METRICS_PORT=%d", port), "RUNNEL_WORKERS=2",
		"RUNNEL_ADMIN_TOKEN=0123456789abcdef", "RUNNEL_JWT_SECRET=0123456789abcdef0123456789abcdef")
	l := listen(t)
	p := process.New(s, quiet(t))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- process.Run(ctx, p.Metrics, p.Work, func(ctx context.Context) error { return p.Web(ctx, l) })
	}()
	get(t, "http://"+l.Addr().String()+"/readyz", 200)
	if body := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), 200); !strings.Contains(body, "runnel_invocations_in_flight") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %.300s", body)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// Both processes with DATABASE_URL through a transaction pooler, and nothing else set.
func TestThroughPgBouncer(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	url := pgtest.Pooler(t, pgtest.Database(t))
	const token = "0123456789abcdef"
	s := load(t, "DATABASE_URL="+url, "RUNNEL_WORKERS=2", "RUNNEL_ADMIN_TOKEN="+token, "RUNNEL_JWT_SECRET=0123456789abcdef0123456789abcdef", "RUNNEL_SLOT_SECRET=0123456789abcdef0123456789abcdef")
	l := listen(t)
	said := new(text)
	p := process.New(s, slog.New(slog.NewTextHandler(said, nil)))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- process.Run(ctx, p.Work, func(ctx context.Context) error { return p.Web(ctx, l) })
	}()
	base := "http://" + l.Addr().String()
	if body := get(t, base+"/readyz", 200); !strings.Contains(body, "connection pooler") {
		t.Errorf("ready: %s", body)
	}
	if !strings.Contains(said.String(), "DATABASE_URL leads through a connection pooler") {
		t.Errorf("logged %s", said)
	}
	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	no := false
	if _, err := jobs.NewDeployer(db).Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: guests.Answer(`"hello"`), Config: runnel.Config{VerifyJWT: &no}}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if body := get(t, base+"/functions/v1/hello", 200); body != "hello" {
			t.Errorf("answer %q", body)
		}
	}
	if _, err := db.Pool().Exec(t.Context(), `SELECT runnel.schedule('s', '* * * * * *', 'hello'), runnel.invoke('hello')`); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 3; {
		if err := db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM runnel.function_invocations WHERE trigger <> 'http' AND status = 'success'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// text is a log that can be read while it is written.
type text struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (t *text) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(b)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func TestADatabaseThatIsNotMigratedIsRefused(t *testing.T) {
	t.Parallel()
	p := process.New(load(t, "DATABASE_URL="+pgtest.Empty(t)), quiet(t))
	p.SetPatience(time.Millisecond)
	for name, start := range map[string]func(context.Context) error{
		"worker": p.Work,
		"web":    func(ctx context.Context) error { return p.Web(ctx, listen(t)) },
	} {
		if err := start(t.Context()); err == nil || !strings.Contains(err.Error(), "runnel migrate") {
			t.Errorf("%s: error %v, want one that says to run runnel migrate", name, err)
		}
	}
}

// A process runner starts release, web and worker at once.
func TestADatabaseThatIsBeingMigratedIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	waiting := make(chan struct{})
	p := process.New(load(t, "DATABASE_URL="+url, "RUNNEL_WORKERS=2"), slog.New(signal{quiet(t).Handler(), "waiting for the database", waiting}))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Work(ctx) }()
	<-waiting
	if err := sql.Migrate(t.Context(), url, quiet(t)); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := 0; n == 0; {
		if n, err = db.LiveWorkers(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// A machine that boots has its database up last, or a connection breaks while a
// process starts.
func TestADatabaseThatIsNotThereYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	server := address.Host
	l := listen(t)
	address.Host = l.Addr().String()
	l.Close()
	waiting := make(chan struct{})
	p := process.New(load(t, "DATABASE_URL="+address.String(), "RUNNEL_WORKERS=2"), slog.New(signal{quiet(t).Handler(), "waiting for the database", waiting}))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Work(ctx) }()
	<-waiting
	if l, err = net.Listen("tcp", address.Host); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { forward(&wg, l, server) })
	db, err := sql.Open(t.Context(), "postgres://"+address.User.String()+"@"+server+address.Path, sql.Options{MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := 0; n == 0; {
		if n, err = db.LiveWorkers(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	l.Close()
	wg.Wait()
}

// forward carries connections to a server until l is closed.
func forward(wg *sync.WaitGroup, l net.Listener, server string) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		upstream, err := net.Dial("tcp", server)
		if err != nil {
			client.Close()
			continue
		}
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			to.Close()
		}
		wg.Go(func() { pass(upstream, client) })
		wg.Go(func() { pass(client, upstream) })
	}
}

// signal closes seen at the first record with that message.
type signal struct {
	slog.Handler
	message string
	seen    chan struct{}
}

func (s signal) Enabled(context.Context, slog.Level) bool { return true }

func (s signal) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == s.message {
		close(s.seen)
	}
	if !s.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

func TestFUNC_S1_ADatabaseThatIsNotThereIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	p := process.New(load(t, "DATABASE_URL=postgres://someone:hunter2-hunter2@127.0.0.1:1/db"), quiet(t))
	p.SetPatience(time.Millisecond)
	err := p.Work(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v, want one without the password", err)
	}
}

func TestListenSaysWhichSettingToChange(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again, err := process.Listen(t.Context(), "PORT", l.Addr().(*net.TCPAddr).Port)
	if err == nil {
		again.Close()
		t.Fatal("two listeners on one port")
	}
	if !strings.Contains(err.Error(), "set PORT") {
		t.Errorf("error %v", err)
	}
}

func TestRunEndsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ended := make(chan struct{})
	err := process.Run(t.Context(),
		func(context.Context) error { return broken },
		func(ctx context.Context) error { <-ctx.Done(); close(ended); return nil })
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	<-ended
}

func TestStoppingDuringTheStartIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	err := process.Run(ctx, func(ctx context.Context) error {
		stop()
		<-ctx.Done()
		return fmt.Errorf("start: %w", ctx.Err())
	})
	if err != nil {
		t.Errorf("error %v, want none", err)
	}
	// What goes wrong at the end is one.
	broken := errors.New("broken")
	if err := process.Run(ctx, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}
