package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/keyring"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// house is all of Runnel on a database of its own: a server and a worker.
type house struct {
	t      *testing.T
	db     *sql.DB
	server *Server
	dsn    string // of the database
	url    string
	keys   *keyring.Ring
	hands  int    // workers
	log    *lines // what the server logged
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newHouse starts a server; start a worker with work.
func newHouse(t *testing.T, cfg Config) *house {
	t.Helper()
	t.Parallel()
	h := &house{t: t, log: new(lines), dsn: pgtest.Database(t), keys: cfg.Keys}
	o := sql.Options{MaxConns: 8, ApplicationName: "runnel-test"}
	if cfg.Keys != nil {
		o.Keys = cfg.Keys
	}
	db, err := sql.Open(t.Context(), h.dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	h.db = db
	log := slog.New(slog.NewTextHandler(h.log, nil))
	river, err := jobs.NewRiverClient(db, quietLog)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	invoker := jobs.NewInvoker(db, quietLog, jobs.NewMetrics(reg))
	invoker.Start(t.Context())
	t.Cleanup(invoker.Stop)
	if cfg.AdminToken == "" {
		cfg.AdminToken = testAdminToken
	}
	if cfg.JWTSecret == nil {
		cfg.JWTSecret = []byte(testJWTSecret)
	}
	h.server, err = NewServer(cfg, Deps{DB: db, Invoker: invoker, Deployer: jobs.NewDeployer(db), River: river, Registry: reg, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h.server.Handler())
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// work starts a worker, with the server's keys.
func (h *house) work() *house {
	h.t.Helper()
	h.hands++
	rt, err := sandbox.New(h.t.Context(), sandbox.Config{Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		h.t.Fatal(err)
	}
	w, err := jobs.NewWorker(h.db, rt, jobs.WorkerConfig{
		ID: fmt.Sprint("worker-", h.hands), Concurrency: 4, Keys: h.keys, Logger: quietLog, Metrics: jobs.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := w.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			h.t.Errorf("stop worker: %v", err)
		}
		if err := rt.Close(ctx); err != nil {
			h.t.Errorf("close sandbox: %v", err)
		}
	})
	return h
}

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body string
}

// code is the error code of the body, "" when it is no error.
func (r reply) code() runnel.Code {
	var e errorBody
	_ = json.Unmarshal([]byte(r.body), &e)
	return e.Code
}

func (r reply) String() string { return fmt.Sprintf("%d %v %s", r.StatusCode, r.Header, r.body) }

// do sends a request; headers are name and value in turn.
func (h *house) do(method, path, body string, headers ...string) reply {
	h.t.Helper()
	r, err := h.try(h.t.Context(), method, path, body, headers...)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) try(ctx context.Context, method, path, body string, headers ...string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	client := &http.Client{
		Transport:     http.DefaultTransport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res, string(b)}, err
}

// admin sends a management request.
func (h *house) admin(method, path, body string, headers ...string) reply {
	h.t.Helper()
	return h.do(method, path, body, append(headers, "Authorization", "Bearer "+testAdminToken)...)
}

// call calls a function as a signed-in user.
func (h *house) call(path, body string, headers ...string) reply {
	h.t.Helper()
	token := mint(h.t, jwt.MapClaims{"role": runnel.RoleAuthenticated, "sub": "user-1"})
	return h.do(http.MethodPost, path, body, append(headers, "Authorization", "Bearer "+token)...)
}

// deploy sends a deploy and returns its answer.
func (h *house) deploy(metadata string, wasm []byte, headers ...string) reply {
	h.t.Helper()
	body, contentType := form(h.t, part{"metadata", "", metadata}, part{"file", "f.wasm", string(wasm)})
	return h.admin(http.MethodPost, "/admin/v1/functions", body.String(), append(headers, "Content-Type", contentType)...)
}

// function deploys a function that has to be accepted.
func (h *house) function(metadata string, wasm []byte) {
	h.t.Helper()
	if r := h.deploy(metadata, wasm); r.StatusCode != http.StatusCreated {
		h.t.Fatalf("deploy %s: %v", metadata, r)
	}
}

// until asks again until ok: the signal of asynchronous work is its committed
// row.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s did not happen", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ended returns an invocation's log once it is there.
func (h *house) ended(id string) invocation {
	h.t.Helper()
	var got invocation
	h.until("the end of invocation "+id, func() bool {
		r := h.admin(http.MethodGet, "/admin/v1/invocations/"+id, "")
		got = invocation{}
		return r.StatusCode == http.StatusOK && json.Unmarshal([]byte(r.body), &got) == nil &&
			got.Status != statusQueued && got.Status != statusRunning && got.Status != statusRetrying
	})
	return got
}

// decode reads an answer's JSON.
func decode(t *testing.T, r reply, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
}
