package sql

import (
	"context"
	"io/fs"
	"log/slog"
	"time"
)

// MigrateTo is Migrate with the files of another release.
func MigrateTo(ctx context.Context, url string, files fs.FS) error {
	wanted, err := readSchema(files)
	if err != nil {
		return err
	}
	pool, _, err := connect(ctx, url, Options{MaxConns: 3}, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	return coded("migrate", migrate(ctx, pool, wanted, slog.New(slog.DiscardHandler)))
}

// SchemaFiles are the files of this release.
var SchemaFiles fs.FS = schemaFiles

// OpenHurried is Open with another limit of statements, and of silence.
func OpenHurried(ctx context.Context, url string, limit time.Duration) (*DB, error) {
	pool, _, err := connect(ctx, url, Options{MaxConns: 2}, limit)
	if err != nil {
		return nil, err
	}
	db := &DB{pool: pool, quiet: limit}
	db.slots = newSlots(db, "", 0)
	return db, nil
}
