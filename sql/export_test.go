package sql

import (
	"context"
	"time"
)

// OpenHurried is Open with another limit of statements, and of silence.
func OpenHurried(ctx context.Context, url string, limit time.Duration) (*DB, error) {
	pool, _, err := connect(ctx, url, Options{MaxConns: 2}, hurry(limit))
	if err != nil {
		return nil, err
	}
	db := &DB{pool: pool, quiet: limit}
	db.slots = newSlots(db, "", 0)
	return db, nil
}
