package sql

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/runnelhq/runnel"
)

const (
	// listenQuiet is how long nothing may be heard before it is tried whether
	// something can be.
	listenQuiet = 10 * time.Second
	// echoLimit is how long a notification may be under way.
	echoLimit = 2 * time.Second
)

// Response is how an invocation that somebody waits for ended.
type Response struct {
	ID      string
	Status  runnel.Status
	Code    runnel.Code // "" on success
	Message string
	Result  []byte // raw result JSON; nil: nothing
}

// Responses returns those of the given invocations that have ended for good and
// were enqueued with Respond, not more than two days ago.
func (db *DB) Responses(ctx context.Context, ids []string) (map[string]Response, error) {
	known := make([]string, 0, len(ids))
	for _, id := range ids {
		if uuid.MatchString(id) {
			known = append(known, id)
		}
	}
	rows, err := db.pool.Query(ctx, responsesSQL, known)
	if err != nil {
		return nil, fault("read responses", err)
	}
	responses := make(map[string]Response, len(ids))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var r Response
		err := row.Scan(&r.ID, &r.Status, &r.Code, &r.Message, &r.Result)
		responses[r.ID] = r
		return struct{}{}, err
	})
	if err != nil {
		return nil, fault("read responses", err)
	}
	return responses, nil
}

// ListenDone tells which invocations have a response. It calls done(nil) once it
// hears notifications, so that the caller can look for what ended before, then
// done(ids) for each of them, one call at a time.
//
// That notifications arrive is tried and not believed, at first and whenever it has
// been quiet for a while: behind a transaction pooler LISTEN succeeds and nothing
// ever comes, and a connection may die without telling.
//
// It returns when ctx ends (with its error), the connection breaks or nothing is
// heard. A notification carries no authority and may be lost or forged: look up the
// response, and look again from time to time. It takes a connection of its own,
// outside the pool.
func (db *DB) ListenDone(ctx context.Context, done func(ids []string)) error {
	conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return fault("listen", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN runnel_done`); err != nil {
		return fault("listen", err)
	}
	first, err := db.echo(ctx, conn)
	if err != nil {
		return err
	}
	done(nil)
	for n := first; ; {
		if ids := strings.FieldsFunc(n.Payload, func(r rune) bool { return r == ',' }); len(ids) > 0 {
			done(ids)
		}
		if n, err = waitFor(ctx, conn, db.quiet); err == nil && n == nil {
			n, err = db.echo(ctx, conn)
		}
		if err != nil {
			return fault("listen", err)
		}
	}
}

// echo sends an empty notification over the pool and waits for it, or for any other.
func (db *DB) echo(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	if _, err := db.pool.Exec(ctx, `SELECT pg_notify('runnel_done', '')`); err != nil {
		return nil, fault("listen", err)
	}
	n, err := waitFor(ctx, conn, echoLimit)
	if err == nil && n == nil {
		err = runnel.Errorf(runnel.CodeUnavailable, "listen: notifications do not arrive: give DATABASE_URL a session, not a transaction pooler's connection, for answers without delay")
	}
	return n, err
}

// waitFor waits for a notification; nil when there was none within limit.
func waitFor(ctx context.Context, conn *pgx.Conn, limit time.Duration) (*pgconn.Notification, error) {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	n, err := conn.WaitForNotification(wait)
	if err != nil && ctx.Err() == nil && wait.Err() != nil && !conn.IsClosed() {
		return nil, nil
	}
	return n, err
}
