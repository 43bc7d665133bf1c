package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/localpg"
)

const (
	adminToken = "faults-admin-token-0123456789abcdef"
	jwtSecret  = "faults-jwt-secret-0123456789abcdef0123"
	slotSecret = "faults-slot-secret-0123456789abcdef012"
	waitLimit  = 20 * time.Second

	// slowFor is how long function slow sleeps: long enough for a fault to find
	// attempts under way.
	slowFor = 150
)

// record is the statement by which functions write down that they ran.
const record = `INSERT INTO faults.ran (event) VALUES ($1::jsonb)`

// bed is one deployment on a Postgres cluster of its own.
type bed struct {
	programs *programs
	set      string // of programs that processes are started from
	dir      string
	server   *localpg.Server
	url      string        // of the database
	through  string        // what processes are given instead, when something stands between; ""
	pool     *pgxpool.Pool // ours, straight to the database
	clients  *pgxpool.Pool // as an application connects
	api      *program
	port     int
	workers  []*program
	load     *load
	all      []*program
	closers  []func()
	http     *http.Client
	notes    []string // what else was seen

	scale      scale
	unrecorded bool     // functions cannot write what they ran
	proxy      *proxy   // of rows that have one
	bouncer    *program // of the row that has one
	standby    *standby // of the row that has one
	small      string   // a small disk, of the row that has one
}

func newBed(ctx context.Context, p *programs) (_ *bed, err error) {
	b := &bed{programs: p, set: released, http: &http.Client{Timeout: callLimit, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	b.later(b.http.CloseIdleConnections)
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.dir, err = os.MkdirTemp("", "runnel-faults-"); err != nil {
		return nil, err
	}
	b.later(func() { os.RemoveAll(b.dir) })
	if err := os.Chmod(b.dir, 0o755); err != nil { // Postgres does not run as root
		return nil, err
	}
	if err := b.startPostgres(ctx); err != nil {
		return nil, err
	}
	b.later(func() { _ = b.server.Stop() })
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	if b.pool, err = b.connect(ctx, b.url, 8); err != nil {
		return nil, err
	}
	b.later(b.pool.Close)
	b.load = &load{client: b.http, base: func() string { return fmt.Sprintf("http://127.0.0.1:%d", b.port) }, functions: []string{"quick", "slow"}}
	return b, nil
}

func (b *bed) later(f func()) { b.closers = append(b.closers, f) }

func (b *bed) close() {
	if b.load != nil && b.load.stop != nil {
		b.load.stop()
	}
	for _, p := range b.all {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.done
	}
	if b.load != nil {
		b.load.halt()
	}
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

func (b *bed) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// startPostgres starts the server, durable, or starts it again.
func (b *bed) startPostgres(ctx context.Context) (err error) {
	b.server, err = localpg.Start(ctx, localpg.Options{Dir: filepath.Join(b.dir, "postgres"), Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		b.url = b.server.URL("runnel")
	}
	return err
}

func (b *bed) connect(ctx context.Context, address string, n int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = n
	if b.bouncer != nil {
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = "faults"
	return pgxpool.NewWithConfig(ctx, cfg)
}

// address is what processes and applications are given.
func (b *bed) address() string {
	if b.through != "" {
		return b.through
	}
	return b.url
}

// via has processes and applications connect to another host and port.
func (b *bed) via(hostPort string) error {
	u, err := url.Parse(b.url)
	if err != nil {
		return err
	}
	u.Host = hostPort
	b.through = u.String()
	return nil
}

// deploy migrates, starts the api and so many workers, deploys the functions and
// whatever invokes them.
func (b *bed) deploy(ctx context.Context, workers int) error {
	if err := b.migrate(ctx, b.set); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, ledgerSQL); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	var err error
	if b.clients, err = b.connect(ctx, b.address(), 6); err != nil {
		return err
	}
	b.later(b.clients.Close)
	b.load.db = b.clients
	if err := b.startAPI(ctx); err != nil {
		return err
	}
	for range workers {
		if _, err := b.startWorker(ctx); err != nil {
			return err
		}
	}
	if err := b.eventually(ctx, time.Minute, "ready", func() bool {
		status, _ := b.admin(ctx, "GET", "/readyz", nil)
		return status == http.StatusOK
	}); err != nil {
		return err
	}
	if err := b.deployRecorders(ctx); err != nil {
		return err
	}
	_, err = b.pool.Exec(ctx, `SELECT runnel.create_trigger('faults.orders', 'quick', '{INSERT}')`)
	return err
}

// deployRecorders deploys the two functions that the load calls.
func (b *bed) deployRecorders(ctx context.Context) error {
	statement := record
	if b.unrecorded {
		statement = ""
	}
	for name, wasm := range map[string][]byte{"quick": guests.Record(statement, 0), "slow": guests.Record(statement, slowFor)} {
		if err := b.upload(ctx, name, wasm, nil); err != nil {
			return err
		}
	}
	return nil
}

func emptyAnswer() []byte { return guests.Answer("") }

// outputs is what the programs wrote last.
func (b *bed) outputs() string {
	const lines, programs = 8, 4
	var s strings.Builder
	last := b.all[max(0, len(b.all)-programs):]
	if b.bouncer != nil {
		last = append(last, b.bouncer)
	}
	for _, p := range last {
		all := strings.Split(strings.TrimSpace(p.output()), "\n")
		fmt.Fprintf(&s, "--- %s (%d)\n%s\n", p.name, p.cmd.Process.Pid, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return s.String()
}

// schedules has a schedule for each policy that matches every second.
func (b *bed) schedules(ctx context.Context, overlap string) error {
	_, err := b.pool.Exec(ctx, `SELECT runnel.schedule('every second, ' || p, '* * * * * *', 'quick', catch_up => p, overlap => $1)
		FROM unnest('{all,latest,none}'::text[]) p`, overlap)
	return err
}

func (b *bed) migrate(ctx context.Context, set string) error {
	dir, err := b.programs.folder(ctx, set)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "runnel"), "migrate")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+b.url)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("runnel migrate: %w\n%s", err, out)
	}
	return nil
}

func (b *bed) start(ctx context.Context, set, name string, env ...string) (*program, error) {
	dir, err := b.programs.folder(ctx, set)
	if err != nil {
		return nil, err
	}
	p, err := start(filepath.Join(dir, name), append([]string{
		"DATABASE_URL=" + b.address(), "RUNNEL_ADMIN_TOKEN=" + adminToken, "RUNNEL_JWT_SECRET=" + jwtSecret, "RUNNEL_SLOT_SECRET=" + slotSecret,
		"RUNNEL_WORKERS=12", "RUNNEL_SLOTS=12", "RUNNEL_WAIT_LIMIT=" + waitLimit.String(), "RUNNEL_CACHE_DIR=" + filepath.Join(b.dir, "modules"),
	}, env...))
	if err == nil {
		b.all = append(b.all, p)
	}
	return p, err
}

func (b *bed) startAPI(ctx context.Context) (err error) {
	b.api, err = b.start(ctx, b.set, "api", fmt.Sprintf("PORT=%d", b.port))
	if err != nil {
		return err
	}
	return b.eventually(ctx, time.Minute, "the api answers", func() bool {
		status, _ := b.admin(ctx, "GET", "/healthz", nil)
		return status == http.StatusOK
	})
}

// startWorker starts a worker; it does not wait for it.
func (b *bed) startWorker(ctx context.Context, env ...string) (*program, error) {
	p, err := b.start(ctx, b.set, "worker", env...)
	if err == nil {
		b.workers = append(b.workers, p)
	}
	return p, err
}

func (b *bed) eventually(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", limit, what)
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// admin calls the management API.
func (b *bed) admin(ctx context.Context, method, path string, body any) (status int, answer []byte) {
	var reader io.Reader
	contentType := "application/json"
	switch body := body.(type) {
	case nil:
	case multipartBody:
		reader, contentType = bytes.NewReader(body.content), body.contentType
	default:
		encoded, _ := json.Marshal(body)
		reader = bytes.NewReader(encoded)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.load.base()+path, reader)
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	res, err := b.http.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	answer, _ = io.ReadAll(res.Body)
	return res.StatusCode, answer
}

type multipartBody struct {
	contentType string
	content     []byte
}

// upload deploys a function that needs no token.
func (b *bed) upload(ctx context.Context, name string, wasm []byte, config map[string]any) error {
	meta := map[string]any{"name": name, "verify_jwt": false}
	maps.Copy(meta, config)
	encoded, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	var content bytes.Buffer
	w := multipart.NewWriter(&content)
	_ = w.WriteField("metadata", string(encoded))
	f, err := w.CreateFormFile("file", name+".wasm")
	if err != nil {
		return err
	}
	_, _ = f.Write(wasm)
	w.Close()
	status, answer := b.admin(ctx, "POST", "/admin/v1/functions", multipartBody{w.FormDataContentType(), content.Bytes()})
	if status != http.StatusCreated && status != http.StatusOK {
		return fmt.Errorf("deploy %s: %d %s", name, status, answer)
	}
	return nil
}

// ask reads one value; while the server is away it asks again.
func ask[T any](ctx context.Context, b *bed, query string, args ...any) (v T, err error) {
	for deadline := time.Now().Add(time.Minute); ; {
		var rows pgx.Rows
		if rows, err = b.pool.Query(ctx, query, args...); err == nil {
			v, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
		}
		var pg *pgconn.PgError
		if err == nil || ctx.Err() != nil || errors.As(err, &pg) && !strings.HasPrefix(pg.Code, "57") || time.Now().After(deadline) {
			return v, err
		}
		_ = pause(ctx, 50*time.Millisecond)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
