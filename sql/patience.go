package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// statementLimit is how long a statement may take whose caller set no limit. It
	// is for connections that carry nothing any more and stay open: the answer never
	// comes, and without a limit whoever waits for it (the settler, River's fetch)
	// waits until the kernel gives up, a quarter of an hour by default. Our own
	// statements take milliseconds; those that may take longer set a limit of their
	// own (upkeepLimit).
	statementLimit = 15 * time.Second
	// loginLimit and pingLimit bound what comes before a statement: a new
	// connection, and the question whether one that was idle still works.
	loginLimit = 5 * time.Second
	pingLimit  = 3 * time.Second
	// upkeepLimit is for statements that may move or remove a day of rows.
	upkeepLimit = 10 * time.Minute
)

// impatient gives every statement of a pool a limit, River's included. When it is
// over, pgx closes the connection and asks the server to cancel; the statement may
// have been done, as with any connection that breaks.
//
// It is a tracer because a tracer sees each statement begin and end, and what it
// makes of the context is what the statement runs under.
type impatient struct{ limit time.Duration }

type limitKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (t impatient) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if _, limited := ctx.Deadline(); limited {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	return context.WithValue(ctx, limitKey{}, cancel)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (impatient) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if cancel, ok := ctx.Value(limitKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// hurry sets the limits on a pool that is to be made.
func hurry(limit time.Duration) func(*pgxpool.Config) {
	return func(config *pgxpool.Config) {
		config.ConnConfig.Tracer = impatient{limit}
		if config.ConnConfig.ConnectTimeout == 0 { // connect_timeout in the url wins
			config.ConnConfig.ConnectTimeout = loginLimit
		}
		config.PingTimeout = min(pingLimit, limit)
	}
}
