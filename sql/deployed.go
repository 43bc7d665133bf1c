package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Deployed is a module that some function's current version has.
type Deployed struct {
	Hash     string
	Revision string // as in Task
}

// Deployed returns the current modules of functions that were written after since,
// in database time, at most 100, and the time of the question. A commit may be
// later than the time it writes: ask again from some seconds before.
func (db *DB) Deployed(ctx context.Context, since time.Time) (modules []Deployed, now time.Time, err error) {
	rows, err := db.pool.Query(ctx, deployedSQL, since)
	if err != nil {
		return nil, now, fault("deployed", err)
	}
	var hash, revision *string
	_, err = pgx.ForEachRow(rows, []any{&now, &hash, &revision}, func() error {
		if hash != nil {
			modules = append(modules, Deployed{*hash, deref(revision)})
		}
		return nil
	})
	if err != nil {
		return nil, now, fault("deployed", err)
	}
	return modules, now, nil
}
