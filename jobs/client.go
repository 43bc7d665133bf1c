package jobs

import (
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/runnelhq/runnel/sql"
)

const (
	// fetchCooldown is the least time between two fetches. River's default of
	// 100 ms would be most of an invocation's latency; at 1 ms a worker takes
	// up to Concurrency jobs a millisecond (measured: 19,000 no-op jobs/s).
	fetchCooldown = time.Millisecond
	// fetchPollInterval bounds the delay of a job whose notification was lost.
	fetchPollInterval = 500 * time.Millisecond
	// rescueAfter is when River's own rescuer takes a job for stuck. It is the
	// second net, far behind our sweep of silent workers: longer than the
	// longest timeout, compilation included.
	rescueAfter = 15 * time.Minute
)

// NewRiverClient returns a client that works no jobs: River UI reads and cancels
// through it.
func NewRiverClient(db *sql.DB, log *slog.Logger) (*river.Client[pgx.Tx], error) {
	return river.NewClient(riverpgxv5.New(db.Pool()), &river.Config{Schema: sql.Schema, Logger: log})
}

func newWorkingClient(db *sql.DB, cfg WorkerConfig, workers *river.Workers, driver *driver) (*river.Client[pgx.Tx], error) {
	// Dead letters are kept as long as the log is. River takes -1 for ever.
	deadLetters := cfg.LogRetention
	if deadLetters <= 0 {
		deadLetters = -1
	}
	return river.NewClient(driver, &river.Config{
		ID:     cfg.ID,
		Schema: sql.Schema,
		Logger: cfg.Logger,
		Queues: map[string]river.QueueConfig{sql.Queue: {
			MaxWorkers:        cfg.Concurrency,
			FetchCooldown:     fetchCooldown,
			FetchPollInterval: fetchPollInterval,
		}},
		Workers:              workers,
		FetchOnlyKnownKinds:  true,
		JobTimeout:           -1, // the sandbox enforces each function's own
		RescueStuckJobsAfter: rescueAfter,

		DiscardedJobRetentionPeriod: deadLetters,
	})
}
