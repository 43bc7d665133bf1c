package jobs

import (
	"bytes"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sql"
)

// Metrics are the figures of one process. NewMetrics registers them; every
// method is safe for concurrent use.
type Metrics struct {
	invocations  *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	queue        prometheus.Histogram
	memory       *prometheus.HistogramVec
	inFlight     prometheus.Gauge
	cacheHits    prometheus.Counter
	cacheMisses  prometheus.Counter
	evictions    prometheus.Counter
	compile      prometheus.Histogram
	notCompiled  prometheus.Counter
	settleBatch  prometheus.Histogram
	scheduleLag  prometheus.Histogram
	ticks        *prometheus.CounterVec
	waiters      prometheus.Gauge
	listenerDown prometheus.Gauge
	hostCalls    *prometheus.CounterVec

	unsettled         prometheus.Gauge
	settleErrors      prometheus.Counter
	reduced           prometheus.Counter
	logBytes          prometheus.Gauge
	partitionsDropped *prometheus.CounterVec

	own *prometheus.Registry // what a worker relays: the figures of its work

	mu        sync.Mutex
	functions map[string]bool // guarded by mu; names that have series
}

// maxFunctions bounds the values of the label "function": each has some 30 series.
// Names beyond it are counted as "other". Names come from deploys.
const maxFunctions = 1000

// NewMetrics makes the metrics and registers them with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		functions: map[string]bool{},
		hostCalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_host_calls_total",
			Help: "Calls of functions to db_query and http_fetch, by outcome: ok, or the code of the error that the function reads.",
		}, []string{"call", "outcome"}),
		invocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_invocations_total",
			Help: "Attempts that this process settled, by function, trigger and status.",
		}, []string{"function", "trigger", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "runnel_invocation_duration_seconds",
			Help:    "Run time of attempts in the sandbox.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 11), // 100 us to 105 s
		}, []string{"function"}),
		queue: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_invocation_queue_seconds",
			Help:    "Time between an invocation being due and its start.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}),
		memory: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "runnel_invocation_memory_peak_bytes",
			Help:    "Peak linear memory of attempts.",
			Buckets: prometheus.ExponentialBuckets(64<<10, 4, 8), // 64 KB to 1 GB
		}, []string{"function"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_invocations_in_flight",
			Help: "Attempts this process is running now.",
		}),
		cacheHits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_module_cache_hits_total",
			Help: "Invocations that found their module compiled.",
		}),
		cacheMisses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_module_cache_misses_total",
			Help: "Invocations whose module had to be loaded and compiled.",
		}),
		evictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_module_cache_evictions_total",
			Help: "Compiled modules dropped to stay inside the cache's memory bound.",
		}),
		compile: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_compile_seconds",
			Help:    "Time to validate, rewrite and compile a module.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		notCompiled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_compile_failures_total",
			Help: "Modules that could not be compiled, at deploy or in a worker. The log says why.",
		}),
		settleBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_settle_batch_size",
			Help:    "Attempts settled by one statement.",
			Buckets: []float64{1, 2, 5, 10, 25, 50, 100, 250, 500},
		}),
		scheduleLag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "runnel_schedule_lag_seconds",
			Help:    "Time between a cron match and its job being enqueued, in database time.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300},
		}),
		ticks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_schedule_ticks_total",
			Help: "Cron matches that this process decided, by outcome.",
		}, []string{"outcome"}),
		unsettled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_unsettled_attempts",
			Help: "Attempts that have ended and whose log row could not be written yet. Above 0 for long: look at the worker's log.",
		}),
		settleErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_settle_errors_total",
			Help: "Failed tries to write the outcome of an attempt.",
		}),
		reduced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "runnel_reduced_rows_total",
			Help: "Log rows stored without their content because the database refused it.",
		}),
		logBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_log_bytes",
			Help: "Size of log, events and responses when they were last compared with RUNNEL_LOG_MAX_SIZE.",
		}),
		partitionsDropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "runnel_log_partitions_dropped_total",
			Help: "Partitions of the log that were dropped, by reason: retention counts tables, size counts days.",
		}, []string{"reason"}),
		waiters: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_http_waiters",
			Help: "HTTP callers of this process that wait for a result.",
		}),
		listenerDown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "runnel_listener_down",
			Help: "1 while this process has no working LISTEN connection and waiters poll instead.",
		}),
	}
	work := []prometheus.Collector{m.invocations, m.duration, m.queue, m.memory, m.inFlight, m.cacheHits, m.cacheMisses,
		m.evictions, m.compile, m.notCompiled, m.settleBatch, m.scheduleLag, m.ticks, m.hostCalls,
		m.unsettled, m.settleErrors, m.reduced, m.partitionsDropped}
	reg.MustRegister(work...)
	reg.MustRegister(m.waiters, m.listenerDown, m.logBytes)
	m.own = prometheus.NewRegistry()
	m.own.MustRegister(work...)
	// Series of which all values are known are there from the start, at 0, so that a
	// first event is an increase.
	for _, outcome := range []string{sql.TickFired, sql.TickCaughtUp, sql.TickSkipped} {
		m.ticks.WithLabelValues(outcome)
	}
	for _, call := range []string{"db_query", "http_fetch"} {
		m.hostCalls.WithLabelValues(call, "ok")
	}
	return m
}

// CacheHit implements sandbox.Observer.
func (m *Metrics) CacheHit() { m.cacheHits.Inc() }

// CacheMiss implements sandbox.Observer.
func (m *Metrics) CacheMiss() { m.cacheMisses.Inc() }

// CacheEvicted implements sandbox.Observer.
func (m *Metrics) CacheEvicted() { m.evictions.Inc() }

// Compiled implements sandbox.Observer.
func (m *Metrics) Compiled(d time.Duration) { m.compile.Observe(d.Seconds()) }

// NotCompiled counts a module that could not be compiled.
func (m *Metrics) NotCompiled() { m.notCompiled.Inc() }

// function is the label value for a function's name.
func (m *Metrics) function(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.functions[name] {
		if len(m.functions) >= maxFunctions {
			return "other"
		}
		m.functions[name] = true
	}
	return name
}

// outcomes are the codes that a function can read in a response. Whatever else is
// there is counted as "error", so that the label has no more values than these.
var outcomes = []string{"PermissionDenied", "RlsUnavailable", "QueryError", "HostNotAllowed", "FetchError", "TooLarge", "Timeout", "Unavailable", "InvalidRequest"}

// hostCall counts a call by the head of its response, and answers how it went.
func (m *Metrics) hostCall(call string, response []byte) (outcome string) {
	outcome = "ok"
	if rest, failed := bytes.CutPrefix(response, []byte(`{"error":`)); failed {
		outcome = "error"
		for _, code := range outcomes {
			if bytes.HasPrefix(rest, []byte(`{"code":"`+code+`"`)) {
				outcome = code
			}
		}
	}
	m.hostCalls.WithLabelValues(call, outcome).Inc()
	return outcome
}

// settled counts an attempt whose row has committed.
func (m *Metrics) settled(row *runnel.Invocation) {
	function := m.function(row.FunctionName)
	m.invocations.WithLabelValues(function, string(row.Trigger), string(row.Status)).Inc()
	if row.StartedAt == nil {
		return
	}
	m.queue.Observe(row.QueueMS / 1000)
	m.duration.WithLabelValues(function).Observe(row.DurationMS / 1000)
	m.memory.WithLabelValues(function).Observe(float64(row.MemoryPeak))
}

// lost counts attempts that this process ended in the place of their worker. How long
// they ran and what they took is not known.
func (m *Metrics) lost(attempts []sql.LostAttempt) {
	for _, a := range attempts {
		m.invocations.WithLabelValues(m.function(a.Function), string(a.Trigger), string(a.Status)).Inc()
	}
}
