package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/riverqueue/river"
	"riverqueue.com/riverui"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

const (
	// DefaultWaitLimit is how long a caller waits for a result at most.
	DefaultWaitLimit = 60 * time.Second

	// readTimeout is for a whole request: 6 MB in that time is 100 KB/s.
	readTimeout    = 60 * time.Second
	writeTimeout   = 60 * time.Second // beyond reading and waiting
	idleTimeout    = 120 * time.Second
	maxHeaderBytes = 64 << 10

	// A platform kills a process 30 s after it asked it to stop. Callers that
	// still wait after drainTimeout get their answer then, WaitTimeout, and the
	// server is done before stopTimeout.
	drainTimeout = 20 * time.Second
	stopTimeout  = 25 * time.Second
)

// Config is how a Server behaves.
type Config struct {
	AdminToken string // "": management only with a service_role token
	JWTSecret  []byte // HS256 key of callers' tokens; empty: none
	// KeySet finds the public key of a token, as the function of that name makes
	// it. nil: none. With neither it nor JWTSecret no token is valid.
	KeySet         func(context.Context) jwt.Keyfunc
	JWTIssuer      string          // what iss has to be; "": anything
	JWTAudience    string          // what aud has to contain; "": anything
	TrustedProxies []netip.Prefix  // whose X-Forwarded-For says who failed to log in
	Keys           *keyring.Ring   // seals secrets, opens environments to show them; nil: no secret can be set
	WaitLimit      time.Duration   // 0: DefaultWaitLimit
	LogRetention   time.Duration   // how long schedules' ledgers are kept; 0: for ever
	Tracer         *tracing.Tracer // nil: no traces
}

// Deps are what a Server works with. All are needed and none is owned: the
// caller starts and stops them.
type Deps struct {
	DB       *sql.DB
	Invoker  *jobs.Invoker
	Deployer *jobs.Deployer
	River    *river.Client[pgx.Tx] // for River UI
	Registry prometheus.Gatherer
	Logger   *slog.Logger
}

// Server answers HTTP. Its zero value is not usable; use NewServer.
type Server struct {
	cfg      Config
	db       *sql.DB
	invoker  *jobs.Invoker
	deployer *jobs.Deployer
	registry prometheus.Gatherer
	log      *slog.Logger

	auth     *authenticator
	guesses  *guesses
	sessions *sessions
	origin   *http.CrossOriginProtection
	riverUI  *riverui.Handler
	handler  http.Handler

	drain, stop time.Duration // drainTimeout and stopTimeout; shorter in tests
}

// NewServer returns a Server. It starts nothing: Handler can be used at once,
// and Serve listens.
func NewServer(cfg Config, deps Deps) (*Server, error) {
	if cfg.WaitLimit == 0 {
		cfg.WaitLimit = DefaultWaitLimit
	}
	s := &Server{
		cfg: cfg, db: deps.DB, invoker: deps.Invoker, deployer: deps.Deployer,
		registry: deps.Registry, log: deps.Logger,
		auth:     newAuthenticator(cfg),
		guesses:  newGuesses(cfg.TrustedProxies),
		sessions: newSessions(cfg.AdminToken, cfg.JWTSecret),
		origin:   http.NewCrossOriginProtection(),
		drain:    drainTimeout,
		stop:     stopTimeout,
	}
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(deps.River, nil),
		Logger:    deps.Logger,
		Prefix:    pathRiverUI,
	})
	if err != nil {
		return nil, fmt.Errorf("river ui: %w", err)
	}
	s.riverUI = ui
	s.handler = s.routes()
	return s, nil
}

// Handler returns everything the server answers, for tests and for embedding.
// River UI's job counts are refreshed only under Serve.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.getHealth)
	mux.HandleFunc("GET /readyz", s.getReady)
	mux.Handle("GET "+pathMetrics, s.page(s.MetricsHandler()))

	mux.HandleFunc("GET "+pathLogin, s.getLogin)
	mux.HandleFunc("POST "+pathLogin, s.postLogin)
	mux.HandleFunc("POST /logout", s.postLogout)
	mux.Handle(pathRiverUI, s.page(s.riverUI))

	mux.Handle("GET "+pathConsole, s.console())

	admin := func(pattern string, h http.HandlerFunc) { s.manage(mux, pattern, h) }
	admin("GET /admin/v1/functions", s.listFunctions)
	admin("POST /admin/v1/functions", s.postFunction)
	admin("GET /admin/v1/functions/{name}", s.getFunction)
	admin("PATCH /admin/v1/functions/{name}", s.patchFunction)
	admin("DELETE /admin/v1/functions/{name}", s.deleteFunction)
	admin("GET /admin/v1/functions/{name}/versions", s.listVersions)
	admin("POST /admin/v1/functions/{name}/rollback", s.postRollback)
	admin("GET /admin/v1/functions/{name}/invocations", s.listInvocations)
	admin("GET /admin/v1/functions/{name}/stats", s.getStats)
	admin("GET /admin/v1/functions/{name}/secrets", s.listSecrets)
	admin("GET /admin/v1/functions/{name}/secrets/{key}", s.getSecret)
	admin("PUT /admin/v1/functions/{name}/secrets/{key}", s.putSecret)
	admin("DELETE /admin/v1/functions/{name}/secrets/{key}", s.deleteSecret)
	admin("POST /admin/v1/secrets/rotate", s.rotateSecrets)
	admin("GET /admin/v1/functions/{name}/schedules", s.listSchedules)
	admin("POST /admin/v1/functions/{name}/schedules", s.postSchedule)
	admin("GET /admin/v1/functions/{name}/schedules/{id}", s.getSchedule)
	admin("PATCH /admin/v1/functions/{name}/schedules/{id}", s.patchSchedule)
	admin("DELETE /admin/v1/functions/{name}/schedules/{id}", s.deleteSchedule)
	admin("GET /admin/v1/schedules", s.listSchedules)
	admin("GET /admin/v1/schedules/audit", s.getAudit)
	admin("GET /admin/v1/schedules/{id}", s.getSchedule)
	admin("PATCH /admin/v1/schedules/{id}", s.patchSchedule)
	admin("DELETE /admin/v1/schedules/{id}", s.deleteSchedule)
	admin("GET /admin/v1/schedules/{id}/ticks", s.listTicks)
	admin("GET /admin/v1/functions/{name}/triggers", s.listTriggers)
	admin("POST /admin/v1/functions/{name}/triggers", s.postTrigger)
	admin("GET /admin/v1/functions/{name}/triggers/{id}", s.getTrigger)
	admin("DELETE /admin/v1/functions/{name}/triggers/{id}", s.deleteTrigger)
	admin("GET /admin/v1/triggers", s.listTriggers)
	admin("GET /admin/v1/invocations/{id}", s.getInvocation)
	admin("POST /admin/v1/invocations/{id}/cancel", s.cancelInvocation)
	admin("POST /admin/v1/invocations/{id}/replay", s.replayInvocation)
	admin("GET /admin/v1/dead-letters", s.listDeadLetters)
	admin("DELETE /admin/v1/dead-letters", s.purgeDeadLetters)
	admin("POST /admin/v1/dead-letters/redrive", s.redriveDeadLetters)
	admin("GET /admin/v1/dead-letters/{id}", s.getDeadLetter)
	admin("DELETE /admin/v1/dead-letters/{id}", s.purgeDeadLetter)
	admin("POST /admin/v1/dead-letters/{id}/redrive", s.redriveDeadLetter)

	rest := routed(mux)
	return s.observe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Functions see their path as it was sent; a ServeMux would clean it
		// and redirect.
		if strings.HasPrefix(r.URL.EscapedPath(), pathFunctions) {
			s.invoke(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	}))
}

// admin lets the admin pass.
func (s *Server) admin(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.refused(r, s.auth.authorizeAdmin(r)); err != nil {
			writeError(w, r, s.log, err)
			return
		}
		s.named(next).ServeHTTP(w, r)
	})
}

// named lets pass what has no {name}, or one that can be a function's.
func (s *Server) named(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.PathValue("name"); name != "" {
			if err := runnel.CheckName(name); err != nil {
				writeError(w, r, s.log, err)
				return
			}
		}
		next(w, r)
	})
}

// MetricsHandler answers with the metrics. It asks for no token: its route does.
func (s *Server) MetricsHandler() http.Handler {
	// Workers of two releases may differ in what they say of a series: show the rest.
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// httpServer has a limit for everything that a slow or endless client can do.
func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + s.cfg.WaitLimit + writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Serve answers on l until ctx ends, then lets requests finish. Callers that
// still wait for a result after 20 s are told that the run goes on. It returns
// nil after at most 25 s, or the error that ended it before ctx did.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.riverUI.Start(ctx); err != nil {
		return fmt.Errorf("river ui: %w", err)
	}
	// Requests outlive ctx: they have the drain to finish in.
	base, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	srv := s.httpServer()
	srv.BaseContext = func(net.Listener) context.Context { return base }
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	s.log.Info("stopping: no new connections, open requests finish")
	drained := make(chan struct{})
	var timer sync.WaitGroup
	timer.Go(func() {
		select {
		case <-drained:
		case <-time.After(s.drain):
			stop(errStopping)
		}
	})
	// Not derived from base: stopping the requests must not end the waiting.
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stop)
	defer cancel()
	err := srv.Shutdown(deadline)
	close(drained)
	timer.Wait()
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("some requests did not finish in time")
		err = srv.Close()
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		return serveErr
	}
	return err
}
