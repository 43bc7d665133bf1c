// Package process puts the two kinds of process together: web, which answers
// HTTP, and worker, which runs functions. cmd/api and cmd/worker run one each,
// runnel dev runs both.
package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/api"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/settings"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sql"
)

// stopTimeout is how long a worker may take to stop. Platforms kill a process
// 30 s after they asked it to stop.
const stopTimeout = 25 * time.Second

const (
	// startPatience is how long a process waits for a migrated database before
	// it gives up and leaves starting again to the platform.
	startPatience = 30 * time.Second
	readyInterval = 250 * time.Millisecond
)

// Process is what web and worker share in one operating system process.
type Process struct {
	settings settings.Settings
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  *jobs.Metrics
	worker   string                     // this process's id as a worker
	relay    atomic.Pointer[jobs.Relay] // of workers that cannot be scraped; nil: this is not web
	patience time.Duration              // startPatience, less in tests
	compiler []string                   // starts a child that compiles; nil: modules are compiled in this process
}

// New returns a Process with its own metrics registry.
func New(s settings.Settings, log *slog.Logger) *Process {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Process{settings: s, log: log, registry: reg, metrics: jobs.NewMetrics(reg), worker: workerID(), patience: startPatience}
}

// CompileInChildren has modules compiled in children of this process, which are
// this program again. Its main must begin with compile.IsChild.
func (p *Process) CompileInChildren() error {
	self, err := compile.Self()
	p.compiler = self
	return err
}

// newCompiler opens the store of compiled modules, without CompileInChildren none.
// A directory that was asked for must do; otherwise one that goes with the process
// is better than not to start.
func (p *Process) newCompiler(ctx context.Context) (*compile.Compiler, error) {
	if p.compiler == nil {
		return nil, nil
	}
	o := compile.Options{Dir: p.settings.CacheDir, Command: p.compiler, Report: p.compiled}
	if o.Dir != "" {
		return compile.New(ctx, o)
	}
	o.Dir = compile.DefaultDir()
	c, err := compile.New(ctx, o)
	if err != nil && o.Dir != "" {
		p.log.Warn("compiled modules are kept until this process ends only", "error", err)
		o.Dir = ""
		c, err = compile.New(ctx, o)
	}
	return c, err
}

// compiled logs and counts children that did not bring code.
func (p *Process) compiled(r compile.Report) {
	if r.Err != nil {
		p.metrics.NotCompiled()
		p.log.Warn("a module could not be compiled", "wall", r.Wall, "cpu", r.CPU, "max_memory", r.MaxMemory, "error", r.Err, "cause", errors.Unwrap(r.Err))
	}
}

// Listen opens a TCP port on every interface, or says what to do about it.
func Listen(ctx context.Context, setting string, port int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w: set %s to a free port", port, err, setting)
	}
	return l, nil
}

// Web answers HTTP on l until ctx ends, then finishes what it has begun.
func (p *Process) Web(ctx context.Context, l net.Listener) error {
	defer l.Close()
	db, err := p.open(ctx, "runnel web")
	if err != nil {
		return err
	}
	defer db.Close()
	forget, err := jobs.Watch(p.registry, db, "web")
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	defer forget()
	lists, err := p.connect(ctx, sql.Options{ApplicationName: "runnel web, River UI", MaxConns: 2, CustomPlans: true})
	if err != nil {
		return err
	}
	defer lists.Close()
	river, err := jobs.NewRiverClient(lists, p.log)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	compiler, err := p.newCompiler(ctx)
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	deployer := jobs.NewDeployer(db)
	if compiler != nil {
		defer compiler.Close()
		deployer.Precompile(compiler)
	}
	defer deployer.Close()
	self, err := compile.Self()
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	deployer.Apart(self)
	invoker := jobs.NewInvoker(db, p.log, p.metrics)
	keys, err := p.keys()
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	tracer, flush := p.trace(ctx, "runnel-web")
	defer flush()
	cfg := api.Config{
		AdminToken: p.settings.AdminToken, Keys: keys, Tracer: tracer,
		JWTSecret: []byte(p.settings.JWTSecret), JWTIssuer: p.settings.JWTIssuer, JWTAudience: p.settings.JWTAudience,
		WaitLimit: p.settings.WaitLimit, LogRetention: p.settings.LogRetention,
	}
	if cfg.TrustedProxies, err = p.settings.Proxies(); err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if p.settings.JWKSURL != "" {
		if cfg.KeySet, err = api.KeySet(ctx, p.settings.JWKSURL, p.log); err != nil {
			return fmt.Errorf("web: %w", err)
		}
	}
	server, err := api.NewServer(cfg, api.Deps{
		DB: db, Invoker: invoker, Deployer: deployer, River: river, Logger: p.log,
		Registry: prometheus.GathererFunc(p.gather),
	})
	if err != nil {
		return fmt.Errorf("web: %w", err)
	}
	if p.settings.AdminToken == "" {
		p.log.Warn("RUNNEL_ADMIN_TOKEN is not set: functions can be managed with a service_role token only")
	}
	if p.settings.SecretKeys == "" {
		p.log.Warn("RUNNEL_SECRET_KEYS is not set: secrets cannot be set, and functions' environments are stored in the clear")
	}
	if p.settings.JWTSecret == "" && p.settings.JWKSURL == "" {
		p.log.Warn("neither RUNNEL_JWT_SECRET nor RUNNEL_JWKS_URL is set: only functions with verify_jwt false can be called")
	}
	p.relay.Store(jobs.NewRelay(db, p.worker, p.log))
	invoker.Start(ctx)
	defer invoker.Stop()
	p.log.Info("web started", "address", l.Addr().String(), "settings", p.settings)
	return server.Serve(ctx, l)
}

// Work runs functions until ctx ends, then finishes or hands back what it has
// taken, within 25 s.
func (p *Process) Work(ctx context.Context) error {
	db, err := p.open(ctx, "runnel worker")
	if err != nil {
		return err
	}
	defer db.Close()
	forget, err := jobs.Watch(p.registry, db, "worker")
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer forget()
	compiler, err := p.newCompiler(ctx)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if compiler != nil {
		defer compiler.Close()
	}
	rt, err := sandbox.New(ctx, sandbox.Config{Observer: p.metrics, Compiler: compiler, Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer rt.Close(context.WithoutCancel(ctx))
	keys, err := p.keys()
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	tracer, flush := p.trace(ctx, "runnel-worker")
	defer flush()
	worker, err := jobs.NewWorker(db, rt, jobs.WorkerConfig{
		ID: p.worker, Relay: p.settings.MetricsPort == 0, Concurrency: p.settings.Workers, LogRetention: p.settings.LogRetention, LogMaxSize: int64(p.settings.LogMaxSize), Keys: keys,
		Tracer: tracer, Logger: p.log, Metrics: p.metrics,
	})
	if err != nil {
		return err
	}
	if err := p.await(ctx, worker.Start); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it had begun
		}
		return err
	}
	p.log.Info("worker started", "id", p.worker, "settings", p.settings)
	for level, err := range db.CheckSlots(ctx) {
		if err != nil {
			p.log.Warn("functions' SQL is refused for a role", "role", level, "error", err)
		}
	}
	<-ctx.Done()
	p.log.Info("worker stops: no new invocations, running ones finish")
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return worker.Stop(deadline)
}

// Metrics answers /metrics, and /healthz, on METRICS_PORT until ctx ends, asking
// for no token. Without a METRICS_PORT it returns when ctx ends.
func (p *Process) Metrics(ctx context.Context) error {
	if p.settings.MetricsPort == 0 {
		<-ctx.Done()
		return nil
	}
	l, err := Listen(ctx, "METRICS_PORT", p.settings.MetricsPort)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(p.gather), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// gather collects this process's metrics and, in web, those that workers relay.
func (p *Process) gather() ([]*dto.MetricFamily, error) {
	from := prometheus.Gatherers{p.registry}
	if relay := p.relay.Load(); relay != nil {
		from = append(from, relay)
	}
	return from.Gather()
}

// keys is the ring of RUNNEL_SECRET_KEYS; nil when there are none.
func (p *Process) keys() (*keyring.Ring, error) {
	if p.settings.SecretKeys == "" {
		return nil, nil
	}
	return keyring.Parse(p.settings.SecretKeys)
}

func (p *Process) open(ctx context.Context, name string) (*sql.DB, error) {
	o := sql.Options{ApplicationName: name, SlotSecret: p.settings.SlotSecret, Slots: p.settings.Slots}
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	if keys != nil {
		o.Keys = keys
	}
	db, err := p.connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if db.Pooled() {
		p.log.Warn("DATABASE_URL leads through a connection pooler: functions' SQL is refused (RlsUnavailable), and where it pools by the transaction answers and jobs are found by looking again, up to half a second later; give a direct connection, or a session's, where that matters")
	}
	if err := p.await(ctx, db.Ready); err != nil {
		db.Close()
		return nil, fmt.Errorf("the database was not ready after %s (was runnel migrate run?): %w", p.patience, err)
	}
	return db, nil
}

// connect is sql.Open once the database can be reached.
func (p *Process) connect(ctx context.Context, o sql.Options) (db *sql.DB, err error) {
	err = p.await(ctx, func(ctx context.Context) error {
		db, err = sql.Open(ctx, p.settings.DatabaseURL, o)
		return err
	})
	return db, err
}

// await tries again while the database cannot be reached or is not migrated: a
// process runner starts release, web and worker at once, a machine that boots may
// have its database up last, and a connection may break while a process starts.
func (p *Process) await(ctx context.Context, try func(context.Context) error) error {
	err := try(ctx)
	if err == nil || runnel.CodeOf(err) != runnel.CodeUnavailable {
		return err
	}
	p.log.Info("waiting for the database", "at_most", p.patience, "reason", err)
	end := time.NewTimer(p.patience)
	defer end.Stop()
	again := time.NewTicker(readyInterval)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return err
		case <-again.C:
		}
		if err = try(ctx); err == nil || runnel.CodeOf(err) != runnel.CodeUnavailable {
			return err
		}
	}
}

// workerID is unique among live workers: two containers may have the same host
// name and process id.
func workerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.60s-%d-%s", host, os.Getpid(), rand.Text()[:8])
}
