package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/batch"
	"github.com/runnelhq/runnel/sql"
)

// maxEnqueueBatch bounds one enqueue statement. Events are up to 6 MB each, so
// enqueueBytes bounds the batch by size as well.
const maxEnqueueBatch = 500

// Invoker enqueues invocations and waits for their results. It is the HTTP
// trigger's half of Runnel; the worker may be another process, or many.
type Invoker struct {
	db      *sql.DB
	waiter  *waiter
	enqueue *batch.Group[sql.Enqueue, error]
}

// NewInvoker returns an Invoker. Start it before the first Invoke.
func NewInvoker(db *sql.DB, log *slog.Logger, met *Metrics) *Invoker {
	return &Invoker{
		db:      db,
		waiter:  newWaiter(db, log, met),
		enqueue: batch.New(maxEnqueueBatch, db.Enqueue),
	}
}

// Start begins to listen for finished invocations; it returns at once. The
// values of ctx are kept, its cancellation is not: Stop ends the Invoker.
func (i *Invoker) Start(ctx context.Context) { i.waiter.start(ctx) }

// Stop ends listening. Callers that still wait see their wait run out; stop the
// HTTP server first.
func (i *Invoker) Stop() { i.waiter.close() }

// Lookup finds an enabled function by name, or fails with CodeFunctionNotFound.
func (i *Invoker) Lookup(ctx context.Context, name string) (runnel.Function, error) {
	fn, err := i.db.Function(ctx, name)
	if err != nil {
		return runnel.Function{}, err
	}
	if !fn.Enabled {
		return runnel.Function{}, runnel.Errorf(runnel.CodeFunctionNotFound, "function %s is disabled: enable it with PATCH /admin/v1/functions/%s", name, name)
	}
	return fn, nil
}

// Enqueue commits an invocation. If ctx ends first, or the connection breaks, the
// invocation may or may not have been enqueued; the error says so.
func (i *Invoker) Enqueue(ctx context.Context, e sql.Enqueue) error {
	refused, err := i.enqueue.Do(ctx, e)
	if err == nil {
		return refused
	}
	if runnel.CodeOf(err) == runnel.CodeUnavailable && !pgconn.SafeToRetry(err) {
		return runnel.Errorf(runnel.CodeUnavailable, "the connection to the database broke, and the invocation may or may not have been enqueued: look at /admin/v1/invocations/%s before you send it again, or send it with an Idempotency-Key", e.ID).Because(err)
	}
	return err
}

// Invoke commits an invocation and waits for its last attempt to be settled.
// When it is not within wait, the error has CodeWaitTimeout and the run goes on;
// so it does when ctx ends, whose cause is then returned.
//
// A function that failed is a Response with a Code, not an error: an error means
// that nobody knows how the invocation ends.
func (i *Invoker) Invoke(ctx context.Context, e sql.Enqueue, wait time.Duration) (sql.Response, error) {
	e.Respond = true
	// Subscribe first: the worker may be faster than the enqueue call returns.
	got, unsubscribe := i.waiter.subscribe(e.ID)
	defer unsubscribe()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	if err := i.Enqueue(ctx, e); err != nil {
		return sql.Response{}, err
	}
	return await(ctx, e.ID, got, deadline, wait)
}

// EnqueueOnce is Enqueue for a call with a key: it answers the id of the first
// invocation under it, which is e.ID when this is the first call.
func (i *Invoker) EnqueueOnce(ctx context.Context, e sql.Enqueue, key sql.Key) (id string, err error) {
	e.Respond = true // somebody may ask again
	return i.db.EnqueueOnce(ctx, e, key)
}

// Wait waits for an invocation that was enqueued with EnqueueOnce, as Invoke does.
func (i *Invoker) Wait(ctx context.Context, id string, wait time.Duration) (sql.Response, error) {
	got, unsubscribe := i.waiter.subscribe(id)
	defer unsubscribe()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	i.waiter.wake([]string{id}) // it may have ended before
	return await(ctx, id, got, deadline, wait)
}

func await(ctx context.Context, id string, got <-chan sql.Response, deadline *time.Timer, wait time.Duration) (sql.Response, error) {
	select {
	case r := <-got:
		return r, nil
	case <-deadline.C:
		return sql.Response{}, runnel.Errorf(runnel.CodeWaitTimeout, "no result within %s; the run goes on: read it at /admin/v1/invocations/%s", wait, id)
	case <-ctx.Done():
		return sql.Response{}, context.Cause(ctx)
	}
}
