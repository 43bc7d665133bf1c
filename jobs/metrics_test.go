package jobs

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/sql"
)

// every makes a registry in which every metric has a value.
func every(t *testing.T) (*prometheus.Registry, *Metrics, *sql.DB) {
	t.Helper()
	db, err := sql.Open(t.Context(), pgtest.Database(t), sql.Options{MaxConns: 3, CustomPlans: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg)
	forget, err := Watch(reg, db, "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forget)
	now := time.Now()
	m.settled(&runnel.Invocation{FunctionName: "f", Trigger: runnel.TriggerHTTP, Status: runnel.StatusSuccess, StartedAt: &now})
	m.hostCall("db_query", []byte(`{"columns":[]}`))
	m.ticks.WithLabelValues("fired").Inc()
	return reg, m, db
}

// The contract's metrics are there, and Prometheus's linter has nothing to say.
func TestMetricsOfTheContract(t *testing.T) {
	t.Parallel()
	reg, _, _ := every(t)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if f.GetType() == dto.MetricType_HISTOGRAM {
			names = append(names, f.GetName()+"_bucket", f.GetName()+"_count", f.GetName()+"_sum")
		}
	}
	for _, name := range strings.Fields(`runnel_invocations_total runnel_invocation_duration_seconds runnel_invocation_queue_seconds
		runnel_invocation_memory_peak_bytes runnel_invocations_in_flight runnel_queue_depth runnel_module_cache_hits_total
		runnel_module_cache_misses_total runnel_module_cache_evictions_total runnel_compile_seconds runnel_compile_failures_total runnel_settle_batch_size
		runnel_schedule_lag_seconds runnel_schedule_ticks_total runnel_host_calls_total runnel_pgx_pool_connections_acquired`) {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing", name)
		}
	}
	// What the alerts ask for exists.
	rules, err := os.ReadFile("../docs/alerts/runnel.yml")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`runnel_[a-z_]+`).FindAllString(strings.ReplaceAll(string(rules), "runnel_test.yml", ""), -1)
	if len(asked) < 10 {
		t.Errorf("the alerts ask for %v", asked)
	}
	for _, name := range asked {
		if !slices.Contains(names, name) {
			t.Errorf("the alerts ask for %s, which does not exist", name)
		}
	}
}

// Labels have bounded values, whatever functions are called and answer.
func TestMetricsLabelsAreBounded(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	for i := range maxFunctions + 50 {
		m.settled(&runnel.Invocation{FunctionName: fmt.Sprintf("f%d", i), Trigger: runnel.TriggerSQL, Status: runnel.StatusSuccess})
		m.hostCall("http_fetch", fmt.Appendf(nil, `{"error":{"code":"X%d","message":""}}`, i))
	}
	if n := testutil.CollectAndCount(m.invocations); n != maxFunctions+1 {
		t.Errorf("%d series", n)
	}
	if v := testutil.ToFloat64(m.invocations.WithLabelValues("other", "sql", "success")); v != 50 {
		t.Errorf("%v attempts of other functions", v)
	}
	if n := testutil.CollectAndCount(m.hostCalls); n != 3 { // one "error", and two "ok" that are there from the start
		t.Errorf("%d series of host calls", n)
	}
	for response, outcome := range map[string]string{
		`{"columns":[],"rows":[],"row_count":0}`: "ok", `{"error":{"code":"QueryError","message":"x"}}`: "QueryError",
		`{"error":{"code":"HostNotAllowed","message":"x"}}`: "HostNotAllowed", `{"error":{"code":"QueryErrorX"}}`: "error", `{"error":`: "error",
	} {
		m.hostCall("test", []byte(response))
		if v := testutil.ToFloat64(m.hostCalls.WithLabelValues("test", outcome)); v < 1 {
			t.Errorf("%s is not counted as %s", response, outcome)
		}
	}
}

// The queue's figures are right, and end at a limit, so that a backlog of any
// length costs as much as one of that limit.
func TestMetricsOfTheQueue(t *testing.T) {
	t.Parallel()
	reg, _, db := every(t)
	exec := func(text string) {
		t.Helper()
		if _, err := db.Pool().Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO runnel.river_job (kind, queue, state, max_attempts, args, scheduled_at)
		SELECT 'invoke', 'functions', 'available', 1, '{}', now() - interval '90 s' FROM generate_series(1, 10500);
		INSERT INTO runnel.river_job (kind, queue, state, max_attempts, args, scheduled_at)
		SELECT 'invoke', 'functions', 'scheduled', 1, '{}', now() + interval '1 h' FROM generate_series(1, 3);
		INSERT INTO runnel.workers (id, seen_at) VALUES ('a', now()), ('b', now()), ('c', now() - interval '1 h');
		ANALYZE runnel.river_job`)
	d, err := db.Depth(t.Context(), silentAfter)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"available": sql.DepthLimit, "scheduled": 3, "running": 0, "retryable": 0}
	if fmt.Sprint(d.Jobs) != fmt.Sprint(want) || d.Oldest < 90*time.Second || d.Oldest > time.Hour || d.Workers != 2 || d.Paused {
		t.Errorf("%+v, want %v", d, want)
	}
	if n, err := testutil.GatherAndCount(reg, "runnel_queue_depth"); err != nil || n != 4 {
		t.Errorf("%d series of the queue's depth, %v", n, err)
	}
	// A second part of the process has a pool of its own and the same queue.
	forget, err := Watch(reg, db, "web")
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := testutil.GatherAndCount(reg, "runnel_pgx_pool_connections", "runnel_workers_alive"); n != 3 {
		t.Errorf("%d series, want two pools and one queue", n)
	}
	forget()
	if n, _ := testutil.GatherAndCount(reg, "runnel_pgx_pool_connections"); n != 1 {
		t.Errorf("%d pools after one has gone", n)
	}
}

// An attempt that ended with its worker is counted by whoever found it.
func TestFUNC_E1_LostAttemptsAreCounted(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	m.lost([]sql.LostAttempt{{Function: "f", Trigger: runnel.TriggerSQL, Status: runnel.StatusLost}, {Function: "f", Trigger: runnel.TriggerSQL, Status: runnel.StatusLost}})
	if v := testutil.ToFloat64(m.invocations.WithLabelValues("f", "sql", "lost")); v != 2 {
		t.Errorf("%v lost attempts, want 2", v)
	}
}
