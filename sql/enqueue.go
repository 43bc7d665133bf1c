package sql

import (
	"context"

	"github.com/runnelhq/runnel"
)

// Enqueue is an invocation to be run.
type Enqueue struct {
	ID          string // made by NewID
	Function    string // its name
	Trigger     runnel.Trigger
	Event       []byte // JSON, handed to the function byte for byte
	Caller      runnel.Caller
	RequestID   string
	Traceparent string
	Priority    int  // 1 (first) to 4; 0: 1
	MaxAttempts int  // 0: the function's, else the trigger's
	Respond     bool // a waiter wants the raw result: Settle keeps it for Responses
}

// Enqueue makes an event and a River job for each item, all in one statement.
// The first result has an error for each item, nil where it was enqueued:
// CodeFunctionNotFound where the function does not exist or is disabled. The
// second is set when nothing was enqueued because the statement failed.
func (db *DB) Enqueue(ctx context.Context, items []Enqueue) ([]error, error) {
	if len(items) == 0 {
		return nil, nil
	}
	var (
		n            = len(items)
		ids          = make([]string, n)
		functions    = make([]string, n)
		triggers     = make([]string, n)
		events       = make([][]byte, n)
		roles        = make([]string, n)
		users        = make([]string, n)
		claims       = make([]*string, n)
		requests     = make([]string, n)
		traceparents = make([]string, n)
		priorities   = make([]int32, n)
		attempts     = make([]int32, n)
		respond      = make([]bool, n)
	)
	for i, e := range items {
		ids[i], functions[i], triggers[i] = e.ID, clean(e.Function), string(e.Trigger)
		events[i] = append([]byte{}, e.Event...)
		roles[i], users[i] = e.Caller.Role, clean(e.Caller.UserID)
		if e.Caller.Claims != nil {
			text := string(e.Caller.Claims)
			claims[i] = &text
		}
		requests[i], traceparents[i] = clean(e.RequestID), clean(e.Traceparent)
		priorities[i], attempts[i] = int32(max(e.Priority, 1)), int32(e.MaxAttempts)
		respond[i] = e.Respond
	}
	var places []int64
	err := db.pool.QueryRow(ctx, enqueueSQL, ids, functions, triggers, events, roles, users, claims, requests, traceparents,
		priorities, attempts, respond).Scan(&places, nil)
	if err != nil && !missing(err) {
		return nil, fault("enqueue", err)
	}
	errs := make([]error, n)
	for i, e := range items {
		errs[i] = runnel.Errorf(runnel.CodeFunctionNotFound, "function %.80q does not exist or is disabled: deploy or enable it", e.Function)
	}
	for _, place := range places {
		errs[place-1] = nil
	}
	return errs, nil
}
