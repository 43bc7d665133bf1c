// Package cmd_test drives the real binaries against a real Postgres: what a
// user deploys, and what a user's machines do to it.
package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnelhq/runnel/internal/pgtest"
)

const (
	adminToken = "test-admin-token-0123456789abcdef"
	jwtSecret  = "test-jwt-secret-0123456789abcdef0123456789"
)

// bin is the folder of the binaries under test, built once.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "runnel-bin-")
	if err != nil {
		log.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", dir+"/", "./api", "./worker", "./runnel")
	if out, err := build.CombinedOutput(); err != nil {
		log.Fatalf("build: %v\n%s", err, out)
	}
	bin = dir
	pgtest.Main(cleaner{m, dir})
}

// cleaner removes the binaries before pgtest.Main exits the process.
type cleaner struct {
	m   *testing.M
	dir string
}

func (c cleaner) Run() int {
	defer os.RemoveAll(c.dir)
	return c.m.Run()
}

// system is a deployment: a migrated database, processes, a client.
type system struct {
	t    *testing.T
	url  string // of the database
	pool *pgxpool.Pool
	base string // of the api, "" until it is started
}

func newSystem(t *testing.T) *system {
	t.Helper()
	s := &system{t: t, url: pgtest.Database(t)}
	pool, err := pgxpool.New(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool
	return s
}

// process is one running binary. Its output goes to the test's log when the
// test fails.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has exited
	mu   sync.Mutex
	out  bytes.Buffer // guarded by mu
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start runs bin/api or bin/worker as the Procfile does.
func (s *system) start(name string, env ...string) *process {
	s.t.Helper()
	return s.run(exec.Command(filepath.Join(bin, name)), append([]string{
		"DATABASE_URL=" + s.url, "RUNNEL_ADMIN_TOKEN=" + adminToken, "RUNNEL_JWT_SECRET=" + jwtSecret, "RUNNEL_WORKERS=16",
	}, env...))
}

// spawn runs bin/runnel with args in a folder.
func (s *system) spawn(dir string, args []string, env ...string) *process {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "runnel"), args...)
	cmd.Dir = dir
	return s.run(cmd, env)
}

func (s *system) run(cmd *exec.Cmd, env []string) *process {
	s.t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.done
		if s.t.Failed() {
			s.t.Logf("output of %s:\n%s", filepath.Base(cmd.Path), p.output())
		}
	})
	return p
}

// signal sends sig and waits for the process to exit, at most limit.
func (p *process) signal(t *testing.T, sig syscall.Signal, limit time.Duration) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(limit):
		t.Fatalf("still running %s after %v", limit, sig)
	}
}

// freePort finds a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// api starts the api on a free port and waits until it answers.
func (s *system) api() *process {
	s.t.Helper()
	port := freePort(s.t)
	s.base = fmt.Sprintf("http://127.0.0.1:%d", port)
	p := s.start("api", fmt.Sprintf("PORT=%d", port))
	s.eventually("the api answers", func() bool {
		r, err := http.Get(s.base + "/healthz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	return p
}

// worker starts a worker and waits until it has registered.
func (s *system) worker(env ...string) *process {
	s.t.Helper()
	before := one[int](s, `SELECT count(*)::int FROM runnel.workers`)
	p := s.start("worker", env...)
	s.eventually("the worker has registered", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.workers`) > before
	})
	return p
}

func (s *system) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(45 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not in 45 s: %s", what)
		}
	}
}

func one[T any](s *system, query string, args ...any) T {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), query, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return v
}

func (s *system) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// reply is an HTTP answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *system) do(method, path, contentType string, body io.Reader, header ...string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, s.base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{body: err.Error()}
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// admin calls the management API.
func (s *system) admin(method, path, body string) reply {
	s.t.Helper()
	return s.do(method, path, "application/json", strings.NewReader(body), "Authorization", "Bearer "+adminToken)
}

// upload deploys wasm as a function that needs no token.
func (s *system) upload(name string, wasm []byte, config ...map[string]any) reply {
	s.t.Helper()
	meta := map[string]any{"name": name, "verify_jwt": false}
	for _, c := range config {
		maps.Copy(meta, c)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	m, err := json.Marshal(meta)
	if err != nil {
		s.t.Fatal(err)
	}
	w.WriteField("metadata", string(m))
	f, _ := w.CreateFormFile("file", name+".wasm")
	f.Write(wasm)
	w.Close()
	return s.do("POST", "/admin/v1/functions", w.FormDataContentType(), &body, "Authorization", "Bearer "+adminToken)
}

// deploy is an upload that must succeed.
func (s *system) deploy(name string, wasm []byte, config map[string]any) {
	s.t.Helper()
	if r := s.upload(name, wasm, config); r.status != http.StatusCreated && r.status != http.StatusOK {
		s.t.Fatalf("deploy %s: %d %s", name, r.status, r.body)
	}
}

// call invokes a function over HTTP.
func (s *system) call(name, body string) reply {
	s.t.Helper()
	return s.do("POST", "/functions/v1/"+name, "application/json", strings.NewReader(body))
}

// audit compares what was enqueued, what River says and what the log says.
func (s *system) audit(enqueued int) {
	s.t.Helper()
	s.eventually("every job is finished", func() bool {
		return one[int](s, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NULL`) == 0
	})
	jobs := one[int](s, `SELECT count(*)::int FROM runnel.river_job`)
	lost := one[int](s, `SELECT count(*)::int FROM runnel.river_job j
		WHERE NOT EXISTS (SELECT FROM runnel.function_invocations i WHERE i.job_id = j.id)`)
	doubled := one[int](s, `SELECT count(*)::int FROM (SELECT FROM runnel.function_invocations GROUP BY job_id, attempt HAVING count(*) > 1) d`)
	disagree := one[int](s, `SELECT count(*)::int FROM runnel.river_job j JOIN runnel.function_invocations i ON i.job_id = j.id AND i.attempt = j.attempt
		WHERE (j.state = 'completed') <> (i.status = 'success')`)
	summary := fmt.Sprintf("enqueued %d, jobs %d: lost %d, doubled %d, disagreeing %d; rows: %s", enqueued, jobs, lost, doubled, disagree,
		one[string](s, `SELECT coalesce(string_agg(n::text || ' ' || status, ', ' ORDER BY status), '') FROM (SELECT status, count(*) n FROM runnel.function_invocations GROUP BY status) x`))
	s.t.Log(summary)
	if jobs != enqueued || lost != 0 || doubled != 0 || disagree != 0 {
		s.t.Error("audit failed: " + summary)
	}
}
