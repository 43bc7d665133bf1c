package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/runnelhq/runnel"
)

// Ref names an event: an invocation's id and its River job's created_at, which
// together are the event's key.
type Ref struct {
	ID        string
	CreatedAt time.Time
}

// Task is what a worker needs to run an attempt.
type Task struct {
	ID          string
	Function    runnel.Function   // as it is now. ID "": deleted, and only Name is set
	Revision    string            // changes whenever the stored module's row is written
	Secrets     map[string][]byte // sealed, by key
	Event       []byte
	Trigger     runnel.Trigger
	Caller      runnel.Caller
	RequestID   string
	Traceparent string // for the log
	Span        string // the traceparent of what the attempt's spans belong to
	ReplayOf    string // the invocation that this one runs again
	Respond     bool   // hand Settle the raw result
}

// Load reads tasks by their invocations' ids, in one statement. An id that is
// not in the answer has no event any more.
func (db *DB) Load(ctx context.Context, refs []Ref) (map[string]Task, error) {
	ids := make([]string, 0, len(refs))
	times := make([]time.Time, 0, len(refs))
	for _, r := range refs {
		if uuid.MatchString(r.ID) { // anyone can write a job by hand
			ids, times = append(ids, r.ID), append(times, r.CreatedAt)
		}
	}
	rows, err := db.pool.Query(ctx, loadSQL, ids, times)
	if err != nil {
		return nil, fault("load", err)
	}
	tasks := make(map[string]Task, len(refs))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var (
			t        Task
			f        functionRow
			claims   *string
			revision *string
		)
		err := row.Scan(append([]any{&t.ID, &t.Event, &t.Trigger, &t.Caller.Role, &t.Caller.UserID, &claims,
			&t.RequestID, &t.Traceparent, &t.Respond, &t.Caller.Depth, &t.ReplayOf, &revision, &t.Secrets}, f.fields()...)...)
		if claims != nil {
			t.Caller.Claims = []byte(*claims)
		}
		t.Function, t.Revision = f.function(), deref(revision)
		t.Traceparent, t.Span = splitTrace(t.Traceparent)
		tasks[t.ID] = t
		return struct{}{}, err
	})
	if err != nil {
		return nil, fault("load", err)
	}
	return tasks, nil
}
