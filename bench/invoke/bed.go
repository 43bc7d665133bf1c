package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/api"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/localpg"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sql"
)

const (
	// maxCallers sizes queues so that none of the subjects waits for one.
	maxCallers = 256
	// poolSize is the connections of each peer. Four subjects share a server of
	// 200; Runnel itself gets 32.
	poolSize = 48
)

// bed is one durable Postgres and everything that is measured on it.
type bed struct {
	subjects []subject
	closers  []func()
}

func (b *bed) later(f func()) { b.closers = append(b.closers, f) }

func (b *bed) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

func newBed(ctx context.Context) (_ *bed, err error) {
	b := &bed{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		dir, err := os.MkdirTemp("", "runnel-bench-")
		if err != nil {
			return nil, err
		}
		b.later(func() { os.RemoveAll(dir) })
		pg, err := localpg.Start(ctx, localpg.Options{Logger: quiet()})
		if err != nil {
			return nil, err
		}
		b.later(func() { pg.Stop() })
		url = pg.URL("runnel")
	}
	for _, add := range []func(context.Context, string) error{b.addPostgres, b.addRiver, b.addRiverTx, b.addRunnel} {
		if err := add(ctx, url); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// pool opens n connections whose unqualified names are in schema.
func (b *bed) pool(ctx context.Context, url, schema string, n int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = n
	cfg.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	b.later(pool.Close)
	return pool, nil
}

func (b *bed) addPostgres(ctx context.Context, url string) error {
	pool, err := b.pool(ctx, url, "bench_postgres", poolSize)
	if err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, `
		DROP SCHEMA IF EXISTS bench_postgres CASCADE;
		CREATE SCHEMA bench_postgres;
		CREATE TABLE bench_postgres.job (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'available', args jsonb NOT NULL);
		CREATE INDEX ON bench_postgres.job (id) WHERE state = 'available';
		CREATE TABLE bench_postgres.log (job_id bigint PRIMARY KEY, result jsonb, at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	b.subjects = append(b.subjects, subject{"postgres", func(ctx context.Context) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, `INSERT INTO job (args) VALUES ('{"name":"bench"}')`); err != nil {
			return err
		}
		// Another caller may have taken this one's job; its own is still to come.
		var id int64
		for err := pgx.ErrNoRows; errors.Is(err, pgx.ErrNoRows); {
			if err = conn.QueryRow(ctx, `UPDATE job SET state = 'running' WHERE id = (
				SELECT id FROM job WHERE state = 'available' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id`).Scan(&id); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
		}
		_, err = conn.Exec(ctx, `WITH l AS (INSERT INTO log (job_id, result) VALUES ($1, '"hello"'))
			UPDATE job SET state = 'completed' WHERE id = $1`, id)
		return err
	}})
	return nil
}

type benchArgs struct {
	Key int64 `json:"key"`
}

func (benchArgs) Kind() string { return "bench" }

// callers hands out keys and wakes whoever waits for one.
type callers struct {
	next    atomic.Int64
	waiting sync.Map // int64 -> chan struct{}
}

func (c *callers) wait(ctx context.Context, enqueue func(key int64) error) error {
	key := c.next.Add(1)
	ch := make(chan struct{})
	c.waiting.Store(key, ch)
	if err := enqueue(key); err != nil {
		return err
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *callers) wake(key int64) {
	if ch, ok := c.waiting.LoadAndDelete(key); ok {
		close(ch.(chan struct{}))
	}
}

func (b *bed) river(ctx context.Context, url, schema string, cfg *river.Config, work func(context.Context, *pgxpool.Pool, *river.Job[benchArgs]) error) (*river.Client[pgx.Tx], *pgxpool.Pool, error) {
	pool, err := b.pool(ctx, url, schema, poolSize)
	if err != nil {
		return nil, nil, err
	}
	if _, err := pool.Exec(ctx, `DROP SCHEMA IF EXISTS `+schema+` CASCADE; CREATE SCHEMA `+schema); err != nil {
		return nil, nil, err
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema, Logger: quiet()})
	if err != nil {
		return nil, nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, nil, err
	}
	cfg.Schema, cfg.Logger, cfg.Workers = schema, quiet(), river.NewWorkers()
	river.AddWorker(cfg.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[benchArgs]) error { return work(ctx, pool, job) }))
	client, err := river.NewClient(driver, cfg)
	if err != nil {
		return nil, nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, nil, err
	}
	b.later(func() { client.Stop(context.WithoutCancel(ctx)) })
	return client, pool, nil
}

func (b *bed) addRiver(ctx context.Context, url string) error {
	var c callers
	client, _, err := b.river(ctx, url, "bench_river", &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxCallers}},
	}, func(context.Context, *pgxpool.Pool, *river.Job[benchArgs]) error { return nil })
	if err != nil {
		return err
	}
	events, cancel := client.Subscribe(river.EventKindJobCompleted)
	b.later(cancel)
	go func() {
		for e := range events {
			key, err := keyOf(e.Job.EncodedArgs)
			if err == nil {
				c.wake(key)
			}
		}
	}()
	b.subjects = append(b.subjects, subject{"river", func(ctx context.Context) error {
		return c.wait(ctx, func(key int64) error {
			_, err := client.Insert(ctx, benchArgs{key}, nil)
			return err
		})
	}})
	return nil
}

func (b *bed) addRiverTx(ctx context.Context, url string) error {
	var c callers
	client, pool, err := b.river(ctx, url, "bench_river_tx", &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxCallers, FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond}},
	}, func(ctx context.Context, pool *pgxpool.Pool, job *river.Job[benchArgs]) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx)
		if _, err := tx.Exec(ctx, `INSERT INTO log (job_id, result) VALUES ($1, '"hello"')`, job.ID); err != nil {
			return err
		}
		if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT pg_notify('bench_done', $1)`, strconv.FormatInt(job.Args.Key, 10)); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	if err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE log (job_id bigint PRIMARY KEY, result jsonb, at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	listener, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	b.later(func() { listener.Close(context.WithoutCancel(ctx)) })
	if _, err := listener.Exec(ctx, `LISTEN bench_done`); err != nil {
		return err
	}
	listening, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			n, err := listener.WaitForNotification(listening)
			if err != nil {
				return
			}
			if key, err := strconv.ParseInt(n.Payload, 10, 64); err == nil {
				c.wake(key)
			}
		}
	}()
	b.later(func() { stop(); <-ended })
	b.subjects = append(b.subjects, subject{"river-tx", func(ctx context.Context) error {
		return c.wait(ctx, func(key int64) error {
			_, err := client.Insert(ctx, benchArgs{key}, nil)
			return err
		})
	}})
	return nil
}

// addRunnel starts an api and a worker as the Procfile would, in one process but
// with pools of their own, and calls over HTTP.
func (b *bed) addRunnel(ctx context.Context, url string) error {
	if err := sql.Migrate(ctx, url, quiet()); err != nil {
		return err
	}
	rt, err := sandbox.New(ctx, sandbox.Config{})
	if err != nil {
		return err
	}
	b.later(func() { rt.Close(context.WithoutCancel(ctx)) })
	db := make([]*sql.DB, 2)
	for i, name := range []string{"bench-api", "bench-worker"} {
		if db[i], err = sql.Open(ctx, url, sql.Options{MaxConns: 16, ApplicationName: name}); err != nil {
			return err
		}
		b.later(db[i].Close)
	}
	worker, err := jobs.NewWorker(db[1], rt, jobs.WorkerConfig{
		ID: sql.NewID(), Concurrency: maxCallers, Logger: quiet(), Metrics: jobs.NewMetrics(prometheus.NewRegistry()),
	})
	if err != nil {
		return err
	}
	if err := worker.Start(ctx); err != nil {
		return err
	}
	b.later(func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		worker.Stop(stop)
	})

	registry := prometheus.NewRegistry()
	invoker := jobs.NewInvoker(db[0], quiet(), jobs.NewMetrics(registry))
	invoker.Start(ctx)
	b.later(invoker.Stop)
	client, err := jobs.NewRiverClient(db[0], quiet())
	if err != nil {
		return err
	}
	deployer := jobs.NewDeployer(db[0])
	open := false
	if _, err := deployer.Deploy(ctx, sql.Deploy{Name: "hello", Wasm: guests.Answer(`"hello"`), Config: runnel.Config{VerifyJWT: &open}}); err != nil {
		return err
	}
	server, err := api.NewServer(api.Config{}, api.Deps{DB: db[0], Invoker: invoker, Deployer: deployer, River: client, Registry: registry, Logger: quiet()})
	if err != nil {
		return err
	}
	l, err := listen()
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(serving, l) }()
	b.later(func() { stop(); <-ended })
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxCallers}}
	b.later(hc.CloseIdleConnections)
	call := httpCall(hc, fmt.Sprintf("http://%s/functions/v1/hello", l.Addr()), "hello")
	b.subjects = append(b.subjects, subject{"runnel", call})
	return call(ctx) // compiles the module, and shows that all of it works
}
