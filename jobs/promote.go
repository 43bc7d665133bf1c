package jobs

import (
	"time"
)

const (
	// promoteInterval is how often a worker looks for jobs that have become due. It
	// learns in advance when the next is, so a retry or a run_at is late only when it
	// was written within this time of being due, by another process.
	promoteInterval = time.Second
	// promoteBatch bounds each state and priority of one statement. One that moved as
	// many is followed by the next at once.
	promoteBatch = 1000
)

// promote makes retries and what was enqueued for later available when it is due.
// River's scheduler, which looks every five seconds, stays as the second net.
func (w *Worker) promote() {
	timer := time.NewTimer(promoteInterval)
	defer timer.Stop()
	for {
		select {
		case <-w.sweeping.Done():
			return
		case <-timer.C:
		case <-w.retries:
		}
		n, next, err := w.db.Promote(w.sweeping, promoteBatch)
		wait := promoteInterval
		switch {
		case w.sweeping.Err() != nil:
			return
		case err != nil:
			w.log.Warn("looking for jobs that have become due failed; trying again", "error", err)
		case n >= promoteBatch:
			wait = 0
		case next > 0:
			wait = min(wait, next)
		}
		timer.Reset(wait)
	}
}
