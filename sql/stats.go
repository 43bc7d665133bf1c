package sql

import (
	"context"
	"time"

	"github.com/runnelhq/runnel"
)

// Stats counts a function's attempts that ended in the hour of since or later; the
// zero time is all of them. They agree with the log rows that were ever written.
func (db *DB) Stats(ctx context.Context, name string, since time.Time) (runnel.Stats, error) {
	fn, err := db.Function(ctx, name)
	if err != nil {
		return runnel.Stats{}, err
	}
	s := runnel.Stats{Function: fn.Name}
	from := "-infinity"
	if !since.IsZero() {
		hour := since.UTC().Truncate(time.Hour)
		s.Since, from = &hour, hour.Format(time.RFC3339)
	}
	var success, failed, timeout, memory, cancelled, lost, skipped int64
	err = db.pool.QueryRow(ctx, statsSQL, fn.ID, from).Scan(nil, &s.Attempts, &success, &failed, &timeout, &memory, &cancelled, &lost, &skipped,
		&s.ErrorRate, &s.Duration.Mean, &s.Duration.P50, &s.Duration.P95, &s.Duration.P99, &s.LastAt)
	if err != nil && !missing(err) {
		return runnel.Stats{}, fault("count", err)
	}
	s.ByStatus = map[runnel.Status]int64{
		runnel.StatusSuccess: success, runnel.StatusError: failed, runnel.StatusTimeout: timeout, runnel.StatusOutOfMemory: memory,
		runnel.StatusCancelled: cancelled, runnel.StatusLost: lost, runnel.StatusSkipped: skipped,
	}
	return s, nil
}
