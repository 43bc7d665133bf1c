package sql

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Key is what makes a call the same as another: the idempotency key that a caller
// chose, who the caller is, and what was asked.
type Key struct {
	Text    string // 1 to 255 bytes
	Scope   []byte // a hash of the caller
	Request []byte // a hash of the request
}

// EnqueueOnce enqueues the first call under a key, and answers the invocation's id:
// e.ID, or that of an earlier call of the last 24 hours, in which case nothing was
// enqueued. Key and job are one commit; of concurrent calls one is the first, and the
// others wait for its commit. A key whose invocation was lost, or never ran, counts
// as new.
//
// The error has CodeIdempotencyKeyReused when the key was used for another request,
// and is otherwise as Enqueue's.
func (db *DB) EnqueueOnce(ctx context.Context, e Enqueue, key Key) (id string, err error) {
	err = pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		var first bool
		var request []byte
		err := tx.QueryRow(ctx, onceSQL, e.Function, key.Scope, key.Text, key.Request, e.ID).Scan(&id, &request, &first)
		switch {
		case missing(err):
			return runnel.Errorf(runnel.CodeFunctionNotFound, "function %.80q does not exist: deploy it", e.Function)
		case err != nil:
			return err
		case first:
			refused, err := enqueue(ctx, tx, []Enqueue{e})
			if err != nil {
				return err
			}
			return refused[0]
		case string(request) != string(key.Request):
			return runnel.Errorf(runnel.CodeIdempotencyKeyReused, "this Idempotency-Key was used for another request (method, path, query, content type or body differ): use a new key for a new request")
		}
		return nil
	})
	return id, coded("enqueue once", err)
}

// ForgetKeys removes idempotency keys that are older than a day.
func (db *DB) ForgetKeys(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `SELECT runnel.forget_keys()`)
	return fault("forget keys", err)
}
