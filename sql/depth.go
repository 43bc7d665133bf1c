package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// DepthLimit is how far jobs of a state are counted.
const DepthLimit = 10_000

// Depth is what waits, and for whom.
type Depth struct {
	Jobs    map[string]int // by River's state: available, running, retryable, scheduled; DepthLimit stands for that many or more
	Oldest  time.Duration  // how long the first available job has been due
	Paused  bool           // the queue
	Workers int            // heard of within silence
}

// Depth counts jobs, in a time that does not depend on how many there are.
func (db *DB) Depth(ctx context.Context, silence time.Duration) (d Depth, err error) {
	rows, err := db.pool.Query(ctx, depthSQL, DepthLimit, silence)
	if err != nil {
		return d, fault("count jobs", err)
	}
	d.Jobs = map[string]int{}
	var state string
	var jobs int
	var oldest float64
	_, err = pgx.ForEachRow(rows, []any{&state, &jobs, &oldest, &d.Paused, &d.Workers}, func() error {
		d.Jobs[state] = jobs
		d.Oldest = max(d.Oldest, time.Duration(oldest*float64(time.Second)))
		return nil
	})
	return d, fault("count jobs", err)
}
