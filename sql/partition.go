package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

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
	// A day in a transaction: locks are held for a moment, and writers get in between.
	rows, err := db.pool.Query(ctx, daysSQL, retention)
	if err != nil {
		return 0, fault("drop partitions", err)
	}
	ends, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return 0, fault("drop partitions", err)
	}
	for _, end := range ends {
		n := 0
		if err = db.pool.QueryRow(ctx, `SELECT runnel.drop_partitions($1)`, end).Scan(&n); err != nil {
			break
		}
		dropped += n
	}
	return dropped, fault("drop partitions", err)
}

// ShrinkLog drops the oldest day of log and events if they are larger than most
// bytes together, and answers which; the zero time when there was nothing to do, or
// nothing that may go. Call it again until then. size is what is left.
func (db *DB) ShrinkLog(ctx context.Context, most int64) (day time.Time, size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	var dropped *time.Time
	err = db.pool.QueryRow(ctx, `SELECT runnel.shrink_log($1)`, most).Scan(&dropped)
	if err == nil {
		err = db.pool.QueryRow(ctx, `SELECT runnel.log_size()`).Scan(&size)
	}
	return deref(dropped), size, fault("shrink the log", err)
}

// CompactCounts adds up what was counted since the last time, and answers how many
// rows that were; any process may call it.
func (db *DB) CompactCounts(ctx context.Context) (rows int, err error) {
	ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
	defer cancel()
	err = db.pool.QueryRow(ctx, `SELECT runnel.compact_counts()`).Scan(&rows)
	return rows, fault("add up counts", err)
}
