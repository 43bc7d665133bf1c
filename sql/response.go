package sql

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
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
// is listening, so that the caller can look for what ended before, then
// done(ids) for each notification, one call at a time.
//
// It returns when ctx ends (with its error) or the connection breaks. A
// notification carries no authority and may be lost or forged: look up the
// response, and look again from time to time. It takes a connection of its own,
// outside the pool; through a transaction pooler it hears nothing.
func (db *DB) ListenDone(ctx context.Context, done func(ids []string)) error {
	conn, err := pgx.ConnectConfig(ctx, db.pool.Config().ConnConfig)
	if err != nil {
		return fault("listen", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN runnel_done`); err != nil {
		return fault("listen", err)
	}
	done(nil)
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fault("listen", err)
		}
		if ids := strings.FieldsFunc(n.Payload, func(r rune) bool { return r == ',' }); len(ids) > 0 {
			done(ids)
		}
	}
}
