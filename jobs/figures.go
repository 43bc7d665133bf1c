package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnelhq/runnel/sql"
)

const (
	// depthLife is how old the figures of the queue may be: whoever asks for
	// metrics without end costs the database no more than this.
	depthLife = 5 * time.Second
	// depthLimit bounds asking. Without an answer the figures are left out, which
	// alerts on absence see.
	depthLimit = 2 * time.Second
)

// Watch adds the figures of a database to a registry: the connections of db,
// labelled with the pool's name, and the queue's. The latter are of the whole
// installation, so they are the same in every process: take the maximum. Call the
// result before db is closed.
func Watch(reg prometheus.Registerer, db *sql.DB, pool string) (forget func(), err error) {
	var added []prometheus.Collector
	forget = func() {
		for _, c := range added {
			reg.Unregister(c)
		}
	}
	for _, c := range []prometheus.Collector{newPoolFigures(db.Pool(), pool), newQueueFigures(db)} {
		var already prometheus.AlreadyRegisteredError
		switch err := reg.Register(c); {
		case errors.As(err, &already): // another part of this process watches the queue
		case err != nil:
			forget()
			return nil, fmt.Errorf("metrics: %w", err)
		default:
			added = append(added, c)
		}
	}
	return forget, nil
}

// queueFigures asks the database when it is asked.
type queueFigures struct {
	db                             *sql.DB
	depth, oldest, paused, workers *prometheus.Desc

	mu   sync.Mutex
	last sql.Depth // guarded by mu
	at   time.Time // guarded by mu; of last
}

func newQueueFigures(db *sql.DB) *queueFigures {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &queueFigures{
		db:      db,
		depth:   desc("runnel_queue_depth", fmt.Sprintf("Jobs in River's table by state, counted to %d. The same in every process.", sql.DepthLimit), "state"),
		oldest:  desc("runnel_queue_oldest_seconds", "How long the job that comes next has been due. The same in every process."),
		paused:  desc("runnel_queue_paused", "1 while the queue is paused. The same in every process."),
		workers: desc("runnel_workers_alive", "Workers with a recent heartbeat. The same in every process."),
	}
}

// Describe implements prometheus.Collector.
func (q *queueFigures) Describe(ch chan<- *prometheus.Desc) {
	ch <- q.depth
	ch <- q.oldest
	ch <- q.paused
	ch <- q.workers
}

// Collect implements prometheus.Collector.
func (q *queueFigures) Collect(ch chan<- prometheus.Metric) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.at) > depthLife {
		ctx, cancel := context.WithTimeout(context.Background(), depthLimit)
		defer cancel()
		d, err := q.db.Depth(ctx, silentAfter)
		if err != nil {
			return
		}
		q.last, q.at = d, time.Now()
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state, n := range q.last.Jobs {
		gauge(q.depth, float64(n), state)
	}
	gauge(q.oldest, q.last.Oldest.Seconds())
	gauge(q.workers, float64(q.last.Workers))
	paused := 0.0
	if q.last.Paused {
		paused = 1
	}
	gauge(q.paused, paused)
}

// poolFigures are those of pgx's pool, read when they are asked for.
type poolFigures struct {
	pool *pgxpool.Pool
	all  []poolFigure
}

type poolFigure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*pgxpool.Stat) float64
}

func newPoolFigures(pool *pgxpool.Pool, name string) *poolFigures {
	p := &poolFigures{pool: pool}
	add := func(kind prometheus.ValueType, suffix, help string, of func(*pgxpool.Stat) float64) {
		p.all = append(p.all, poolFigure{prometheus.NewDesc("runnel_pgx_pool_"+suffix, help, nil, prometheus.Labels{"pool": name}), kind, of})
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "connections_max", "Connections that the pool may have.", func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) })
	add(gauge, "connections", "Connections that the pool has.", func(s *pgxpool.Stat) float64 { return float64(s.TotalConns()) })
	add(gauge, "connections_acquired", "Connections in use.", func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) })
	add(counter, "acquires_total", "Connections handed out.", func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) })
	add(counter, "acquires_waited_total", "Connections that had to be waited for.", func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) })
	add(counter, "acquires_canceled_total", "Waits for a connection that were given up.", func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) })
	add(counter, "acquire_seconds_total", "Time spent waiting for connections.", func(s *pgxpool.Stat) float64 { return s.AcquireDuration().Seconds() })
	add(counter, "connections_opened_total", "Connections opened.", func(s *pgxpool.Stat) float64 { return float64(s.NewConnsCount()) })
	return p
}

// Describe implements prometheus.Collector.
func (p *poolFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range p.all {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (p *poolFigures) Collect(ch chan<- prometheus.Metric) {
	s := p.pool.Stat()
	for _, f := range p.all {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(s))
	}
}
