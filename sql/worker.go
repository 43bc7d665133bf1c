package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnelhq/runnel"
)

// Heartbeat says that a worker is alive, and answers the database's time. The name
// must be its River client's id: that is what jobs are attempted by. Call it before
// the worker takes its first job, then several times within the silence that Lost
// is called with.
func (db *DB) Heartbeat(ctx context.Context, worker string) (now time.Time, err error) {
	err = db.pool.QueryRow(ctx, heartbeatSQL, worker).Scan(&now)
	return now, fault("heartbeat", err)
}

// Taken is a running job as its worker took it. Each fetch has a time of its own,
// so it also tells two fetches of the same attempt apart.
type Taken struct {
	Job        int64
	Attempt    int
	At         time.Time // by the database's clock
	Invocation string
}

// Strays are the running jobs that a worker took before a time, by the database's
// clock. One that the worker does not know of is a stray: the fetch was committed
// and its answer was lost. HandBack gives it back.
func (db *DB) Strays(ctx context.Context, worker string, before time.Time) ([]Taken, error) {
	rows, err := db.pool.Query(ctx, straysSQL, worker, before)
	if err != nil {
		return nil, fault("look for strays", err)
	}
	taken, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Taken])
	return taken, fault("look for strays", err)
}

// Retire says that a worker has stopped and has no job left.
func (db *DB) Retire(ctx context.Context, worker string) error {
	_, err := db.pool.Exec(ctx, `DELETE FROM runnel.workers WHERE id = $1`, worker)
	return fault("retire", err)
}

// Relayed is what a worker last wrote of its metrics.
type Relayed struct {
	Worker  string
	Metrics []byte
}

// RelayMetrics stores what a worker's metrics are, for RelayedMetrics. A worker that
// has retired, or was swept away, stores nothing.
func (db *DB) RelayMetrics(ctx context.Context, worker string, metrics []byte) error {
	_, err := db.pool.Exec(ctx, `UPDATE runnel.workers SET metrics = $2 WHERE id = $1`, worker, metrics)
	return fault("relay metrics", err)
}

// RelayedMetrics are those of the workers that were heard of within a time, but one.
func (db *DB) RelayedMetrics(ctx context.Context, within time.Duration, except string) ([]Relayed, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, metrics FROM runnel.workers WHERE metrics IS NOT NULL AND seen_at >= now() - $1::interval AND id <> $2 ORDER BY id`, within, except)
	if err != nil {
		return nil, fault("read relayed metrics", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Relayed])
	return list, fault("read relayed metrics", err)
}

// LiveWorkers counts the workers that were heard of within a time.
func (db *DB) LiveWorkers(ctx context.Context, within time.Duration) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM runnel.workers WHERE seen_at >= now() - $1::interval`, within).Scan(&n)
	return n, fault("count workers", err)
}

// LostAttempt is an attempt that ended with its worker.
type LostAttempt struct {
	Function string
	Trigger  runnel.Trigger
	Status   runnel.Status // lost, or cancelled where that was asked for
}

// Lost ends the running attempts of workers that have been silent for that long,
// with a log row of status lost, and answers them. Where an attempt is left the job
// is retried. Any process may call it; a worker that was only slow finds its attempt
// settled.
func (db *DB) Lost(ctx context.Context, silent time.Duration) ([]LostAttempt, error) {
	rows, err := db.pool.Query(ctx, lostSQL, silent)
	if err != nil {
		return nil, fault("find lost attempts", err)
	}
	lost, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LostAttempt])
	return lost, fault("find lost attempts", err)
}
