package sql

import (
	"context"
	"time"
)

// Heartbeat says that a worker is alive. The name must be its River client's id:
// that is what jobs are attempted by. Call it before the worker takes its first
// job, then several times within the silence that Lost is called with.
func (db *DB) Heartbeat(ctx context.Context, worker string) error {
	_, err := db.pool.Exec(ctx, heartbeatSQL, worker)
	return fault("heartbeat", err)
}

// Retire says that a worker has stopped and has no job left.
func (db *DB) Retire(ctx context.Context, worker string) error {
	_, err := db.pool.Exec(ctx, `DELETE FROM runnel.workers WHERE id = $1`, worker)
	return fault("retire", err)
}

// LiveWorkers counts the workers that were heard of within a time.
func (db *DB) LiveWorkers(ctx context.Context, within time.Duration) (n int, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM runnel.workers WHERE seen_at >= now() - $1::interval`, within).Scan(&n)
	return n, fault("count workers", err)
}

// Lost ends the running attempts of workers that have been silent for that long,
// with a log row of status lost, and answers how many there were. Where an
// attempt is left the job is retried. Any process may call it; a worker that was
// only slow finds its attempt settled.
func (db *DB) Lost(ctx context.Context, silent time.Duration) (int, error) {
	tag, err := db.pool.Exec(ctx, lostSQL, silent)
	return int(tag.RowsAffected()), fault("find lost attempts", err)
}
