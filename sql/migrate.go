package sql

import (
	"context"
	"log/slog"
)

// Migrate brings the database at url to the newest schema.
func Migrate(ctx context.Context, url string, log *slog.Logger) error { return errLater }
