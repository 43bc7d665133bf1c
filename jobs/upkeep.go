package jobs

import (
	"context"
	"time"
)

const (
	heartbeatInterval = 5 * time.Second
	// silentAfter is how long a worker may miss heartbeats before its running
	// jobs are settled as lost. With one interval of sweep delay a killed
	// worker's rows appear within 25 s.
	silentAfter = 15 * time.Second
	// partitionsAhead is how many days of log partitions exist in advance.
	partitionsAhead   = 3
	partitionInterval = time.Hour
	// compactInterval is how long counts are kept as they were inserted.
	compactInterval = 10 * time.Second
)

// beat renews this worker's lease and settles the jobs of workers that do not.
//
// After a database outage every worker looks silent at once. So a worker sweeps
// only when its own heartbeats have been steady for as long as the others are
// given: by then they have had their chance.
func (w *Worker) beat() {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	steadySince := time.Now()
	last := steadySince
	for {
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		case <-w.lease.wanted:
		}
		ctx, cancel := context.WithTimeout(w.life, heartbeatInterval)
		seen, err := w.heartbeat(ctx)
		now := time.Now()
		switch {
		case w.life.Err() != nil:
		case err != nil:
			w.log.Warn("heartbeat failed", "error", err)
		default:
			if now.Sub(last) > 2*heartbeatInterval {
				steadySince = now
			}
			last = now
			w.giveBackStrays(ctx, seen.Add(-strayAfter))
			if now.Sub(steadySince) >= silentAfter {
				w.sweepLost(ctx)
			}
		}
		cancel()
	}
}

// heartbeat renews the lease and learns how wrong this machine's clock is.
func (w *Worker) heartbeat(ctx context.Context) (seen time.Time, err error) {
	asked := time.Now()
	seen, err = w.db.Heartbeat(ctx, w.cfg.ID)
	if err == nil {
		w.lease.renew(asked)
		w.clock.set(seen, asked, time.Now())
	}
	return seen, err
}

func (w *Worker) sweepLost(ctx context.Context) {
	lost, err := w.db.Lost(ctx, silentAfter)
	if err != nil {
		w.log.Warn("sweep of silent workers failed", "error", err)
		return
	}
	w.met.lost(lost)
	if len(lost) > 0 {
		w.log.Warn("settled attempts of silent workers as lost", "attempts", len(lost))
	}
}

// keepCounts adds up what settling has counted, so that statistics are quick to read.
func (w *Worker) keepCounts() {
	ticker := time.NewTicker(compactInterval)
	defer ticker.Stop()
	for {
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		}
		if _, err := w.db.CompactCounts(w.life); err != nil && w.life.Err() == nil {
			w.log.Warn("adding up counts failed; statistics stay right, and become slower to read", "error", err)
		}
	}
}

// shrinkLog drops the oldest days until the log is inside its size.
func (w *Worker) shrinkLog() {
	for w.life.Err() == nil {
		day, size, err := w.db.ShrinkLog(w.life, w.cfg.LogMaxSize)
		switch {
		case err != nil:
			if w.life.Err() == nil {
				w.log.Warn("keeping the log inside RUNNEL_LOG_MAX_SIZE failed; trying again in an hour", "error", err)
			}
			return
		case day.IsZero():
			w.met.logBytes.Set(float64(size))
			if size > w.cfg.LogMaxSize {
				w.log.Error("the log is over RUNNEL_LOG_MAX_SIZE and nothing of it may go: today and yesterday stay, and events of unfinished and failed jobs",
					"bytes", size, "limit", w.cfg.LogMaxSize)
			}
			return
		}
		w.met.partitionsDropped.WithLabelValues("size").Inc()
		w.log.Warn("the log was over RUNNEL_LOG_MAX_SIZE: its oldest day is dropped", "day", day.Format(time.DateOnly), "bytes_left", size, "limit", w.cfg.LogMaxSize)
	}
}

// keepPartitions makes tomorrow's log partitions and drops those past retention.
func (w *Worker) keepPartitions() {
	ticker := time.NewTicker(partitionInterval)
	defer ticker.Stop()
	for {
		if err := w.db.ForgetKeys(w.life); err != nil && w.life.Err() == nil {
			w.log.Warn("removing old idempotency keys failed; trying again in an hour", "error", err)
		}
		if w.cfg.LogRetention > 0 {
			n, err := w.db.DropPartitions(w.life, w.cfg.LogRetention)
			if err != nil && w.life.Err() == nil {
				w.log.Warn("dropping old log partitions failed; trying again in an hour", "error", err)
			}
			if n > 0 {
				w.log.Info("dropped old log partitions", "partitions", n)
				w.met.partitionsDropped.WithLabelValues("retention").Add(float64(n))
			}
		}
		if w.cfg.LogMaxSize > 0 {
			w.shrinkLog()
		}
		select {
		case <-w.life.Done():
			return
		case <-ticker.C:
		}
		if err := w.db.EnsurePartitions(w.life, partitionsAhead); err != nil && w.life.Err() == nil {
			w.log.Warn("making log partitions failed; rows go to the default partition until it works", "error", err)
		}
	}
}
