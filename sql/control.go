package sql

import (
	"context"
	"time"
)

// Running names an attempt that runs.
type Running struct {
	Job     int64
	Attempt int
}

// Control tells what an operator has asked for: whether the queue is paused, and
// which of these attempts are to be cancelled. lost are those that no longer run as
// far as the database knows.
func (db *DB) Control(ctx context.Context, running []Running) (paused bool, cancelled, lost []Running, err error) {
	jobs, attempts := make([]int64, len(running)), make([]int32, len(running))
	for i, r := range running {
		jobs[i], attempts[i] = r.Job, int32(r.Attempt)
	}
	var asked, gone []int64 // places
	err = db.pool.QueryRow(ctx, controlSQL, jobs, attempts).Scan(&paused, &asked, &gone)
	if err != nil {
		return false, nil, nil, fault("look for commands", err)
	}
	return paused, pick(running, asked), pick(running, gone), nil
}

func pick(running []Running, places []int64) []Running {
	picked := make([]Running, len(places))
	for i, place := range places {
		picked[i] = running[place-1]
	}
	return picked
}

// Promote makes available jobs that have become due, up to limit of each state and
// priority, and answers how many there were and how long it is until the next is; 0:
// none is known.
func (db *DB) Promote(ctx context.Context, limit int) (n int, next time.Duration, err error) {
	var seconds *float64
	err = db.pool.QueryRow(ctx, promoteSQL, limit).Scan(nil, &n, &seconds)
	if seconds != nil {
		next = max(time.Duration(*seconds*float64(time.Second)), time.Millisecond)
	}
	return n, next, fault("look for what is due", err)
}
