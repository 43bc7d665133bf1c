package sql

import "context"

// Control tells what an operator has asked for: whether the queue is paused, and
// which of these jobs, which run, are to be cancelled.
func (db *DB) Control(ctx context.Context, running []int64) (paused bool, cancelled []int64, err error) {
	err = db.pool.QueryRow(ctx, controlSQL, running).Scan(&paused, &cancelled)
	return paused, cancelled, fault("look for commands", err)
}
