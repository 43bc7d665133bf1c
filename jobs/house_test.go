package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sandbox/js"
	"github.com/runnelhq/runnel/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// house is everything of Runnel below HTTP, on a database of its own.
type house struct {
	t       *testing.T
	url     string
	db      *sql.DB
	owner   *pgxpool.Pool // the application's, with the search_path that it has by default
	invoker *jobs.Invoker
	deploy  *jobs.Deployer
	relay   bool // of its workers
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, url: pgtest.Database(t)}
	h.db = h.open()
	var err error
	if h.owner, err = pgxpool.New(t.Context(), h.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.owner.Close)
	h.invoker = jobs.NewInvoker(h.db, quiet(t), jobs.NewMetrics(prometheus.NewRegistry()))
	h.invoker.Start(t.Context())
	t.Cleanup(h.invoker.Stop)
	h.deploy = jobs.NewDeployer(h.db)
	t.Cleanup(func() {
		if err := h.deploy.Close(); err != nil {
			t.Errorf("close deployer: %v", err)
		}
	})
	return h
}

func (h *house) open() *sql.DB {
	h.t.Helper()
	db, err := sql.Open(h.t.Context(), h.url, sql.Options{MaxConns: 8, ApplicationName: "runnel-test", SlotSecret: "a secret of the tests", Slots: 4})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(db.Close)
	return db
}

// quiet sends log lines to the test's own log.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// worker starts a worker that is stopped at the end of the test, unless the
// test stops it first.
func (h *house) worker(id string, concurrency int) *jobs.Worker {
	h.t.Helper()
	rt, err := sandbox.New(h.t.Context(), sandbox.Config{Ask: js.Ask, Trace: js.Trace})
	if err != nil {
		h.t.Fatal(err)
	}
	w, err := jobs.NewWorker(h.open(), rt, jobs.WorkerConfig{
		ID: id, Concurrency: concurrency, Relay: h.relay, Logger: quiet(h.t), Metrics: jobs.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := w.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.Stop(ctx); err != nil {
			h.t.Errorf("stop %s: %v", id, err)
		}
		if err := rt.Close(ctx); err != nil {
			h.t.Errorf("close sandbox: %v", err)
		}
	})
	return w
}

// function deploys wasm; cfg is JSON.
func (h *house) function(name string, wasm []byte, cfg string) runnel.Function {
	h.t.Helper()
	var c runnel.Config
	if cfg != "" {
		if err := json.Unmarshal([]byte(cfg), &c); err != nil {
			h.t.Fatal(err)
		}
	}
	made, err := h.deploy.Deploy(h.t.Context(), sql.Deploy{Name: name, Wasm: wasm, Config: c})
	if err != nil {
		h.t.Fatal(err)
	}
	return made.Function
}

// script deploys source.
func (h *house) script(name, file, source string) runnel.Function {
	h.t.Helper()
	made, err := h.deploy.DeployScript(h.t.Context(), sql.Deploy{Name: name}, file, []byte(source))
	if err != nil {
		h.t.Fatal(err)
	}
	return made.Function
}

// http invokes as the HTTP trigger does, and waits.
func (h *house) http(name, event string) (sql.Response, error) {
	return h.invoker.Invoke(h.t.Context(), sql.Enqueue{
		ID: sql.NewID(), Function: name, Trigger: runnel.TriggerHTTP, Event: []byte(event),
		Caller: runnel.Caller{Role: runnel.RoleAnon},
	}, 30*time.Second)
}

// mustHTTP fails the test when nobody knows how the invocation ended.
func (h *house) mustHTTP(name, event string) sql.Response {
	h.t.Helper()
	r, err := h.http(name, event)
	if err != nil {
		h.t.Fatalf("invoke %s: %v", name, err)
	}
	return r
}

// exec runs a statement as the owner.
func (h *house) exec(statement string, args ...any) {
	h.t.Helper()
	if _, err := h.owner.Exec(h.t.Context(), statement, args...); err != nil {
		h.t.Fatalf("%s: %v", statement, err)
	}
}

// one reads a single value.
func one[T any](h *house, query string, args ...any) T {
	h.t.Helper()
	rows, err := h.owner.Query(h.t.Context(), query, args...)
	if err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
	return v
}

// until polls query until it gives want: the signal of asynchronous work is its
// committed row.
func until[T comparable](h *house, want T, query string, args ...any) {
	h.t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for {
		got := one[T](h, query, args...)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: still %v, want %v", query, got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// rows reads the attempts of one invocation.
func (h *house) rows(id string) []runnel.Invocation {
	h.t.Helper()
	rows, err := h.db.Invocation(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return rows
}

// settledOnce checks that every enqueued invocation is finished in River and
// has exactly one final row, and that no attempt has two.
func (h *house) settledOnce(want int) {
	h.t.Helper()
	until(h, want, `SELECT count(*)::int FROM runnel.river_job WHERE finalized_at IS NOT NULL`)
	problems := one[string](h, `
		SELECT format('unfinished=%s without_row=%s doubled=%s',
		  (SELECT count(*) FROM runnel.river_job WHERE finalized_at IS NULL),
		  (SELECT count(*) FROM runnel.river_job j WHERE NOT EXISTS
		     (SELECT FROM runnel.function_invocations i WHERE i.job_id = j.id AND i.attempt = j.attempt)),
		  (SELECT count(*) FROM (SELECT FROM runnel.function_invocations GROUP BY id, attempt HAVING count(*) > 1) d))`)
	if problems != "unfinished=0 without_row=0 doubled=0" {
		h.t.Error(problems)
	}
	if n := one[int](h, `SELECT count(*)::int FROM runnel.river_job`); n != want {
		h.t.Errorf("%d jobs, want %d", n, want)
	}
}

func (h *house) String() string { return fmt.Sprintf("house at %s", h.url) }
