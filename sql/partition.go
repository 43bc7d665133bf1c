package sql

import (
	"context"
	"time"

	"github.com/runnelhq/runnel"
)

// EnsurePartitions makes the daily partitions of the next days. Migrate makes a
// week's; call it every hour or so. Rows of a day without one are kept in the
// default partition and move when it is made.
func (db *DB) EnsurePartitions(ctx context.Context, days int) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	_, err := db.pool.Exec(ctx, `SELECT runnel.ensure_partitions($1)`, days)
	return fault("make partitions", err)
}

// DropPartitions drops the days of log and events that ended longer ago than
// retention, and answers how many partitions there were. A day of events that an
// unfinished job needs is kept.
func (db *DB) DropPartitions(ctx context.Context, retention time.Duration) (dropped int, err error) {
	if retention <= 0 {
		return 0, runnel.Errorf(runnel.CodeInvalidRequest, "log retention %s is not positive: use for example 720h", retention)
	}
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	err = db.pool.QueryRow(ctx, `SELECT runnel.drop_partitions(now() - $1::interval)`, retention).Scan(&dropped)
	return dropped, fault("drop partitions", err)
}
