package sql

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
	// lockLimit is how long a statement waits for a lock, in parts of statementLimit.
	// It is the server's (lock_timeout), and a little less, so that a statement that
	// waits for one that is given up ends there too and does not pile up.
	lockLimit = 14.0 / 15
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
func hurry(config *pgxpool.Config, limit time.Duration) {
	config.ConnConfig.Tracer = impatient{limit}
	if config.ConnConfig.ConnectTimeout == 0 { // connect_timeout in the url wins
		config.ConnConfig.ConnectTimeout = loginLimit
	}
	config.PingTimeout = min(pingLimit, limit)
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		watchCancels(c)
		return nil
	}
}

// cancels dials for one connection: itself first, then, when a statement ran into its
// limit, to have the server cancel it. pgx gives no other way to leave that out.
type cancels struct {
	dial      pgconn.DialFunc
	connected atomic.Bool
	spared    atomic.Bool // its statements are not cancelled
}

var errSpared = errors.New("sql: a statement that commits is not cancelled")

func watchCancels(c *pgx.ConnConfig) {
	w := &cancels{dial: c.DialFunc}
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if w.connected.Load() && w.spared.Load() {
			return nil, errSpared
		}
		return w.dial(ctx, network, address)
	}
	c.Config.AfterConnect = func(_ context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[cancelsName] = w
		w.connected.Store(true)
		return nil
	}
}

const cancelsName = "runnel.cancels"

// spare runs f with a connection on which no statement is cancelled when it runs into
// its limit: it is only given up. A COMMIT that waits for a standby and is cancelled can
// be seen on the primary from then on, by the caller who waits for its answer, and is
// gone when the standby takes over; one that is given up is seen once it is safe. So it
// has to be bounded otherwise, which lockLimit does.
//
// Behind a pooler statements are cancelled all the same: its sessions are others' too,
// and keep no lock_timeout.
func (db *DB) spare(ctx context.Context, f func(*pgxpool.Conn) error) error {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	w, _ := conn.Conn().PgConn().CustomData()[cancelsName].(*cancels)
	if w == nil || db.pooled {
		return f(conn)
	}
	w.spared.Store(true)
	err = f(conn)
	if !conn.Conn().IsClosed() { // pgx cancels later, and in a goroutine of its own
		w.spared.Store(false)
	}
	return err
}
