package sql

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
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
	Traceparent string // of the request, kept for the log
	Span        string // the traceparent of what the attempts' spans belong to; "": Traceparent
	Priority    int    // 1 (first) to 4; 0: the function's, else 1
	MaxAttempts int    // 0: the function's, else the trigger's
	Respond     bool   // a waiter wants the raw result: Settle keeps it for Responses
	Now         bool   // the caller cannot wait for its turn: refused where the function is paused or at a limit
}

// check finds what would make the database refuse the statement, and with it the
// other items.
func (e Enqueue) check() error {
	switch {
	case !uuid.MatchString(e.ID):
		return runnel.Errorf(runnel.CodeInvalidRequest, "invocation id %.80q is not a UUID: make one with NewID", e.ID)
	case e.Caller.Role != runnel.RoleAnon && e.Caller.Role != runnel.RoleAuthenticated && e.Caller.Role != runnel.RoleService:
		return runnel.Errorf(runnel.CodeInvalidRequest, "role %.80q cannot run a function: use anon, authenticated or service_role", e.Caller.Role)
	case e.Caller.Claims != nil && !jsonHolds(e.Caller.Claims):
		return runnel.Errorf(runnel.CodeInvalidRequest, "the claims are not JSON that can be stored: use an object of less than %d levels", maxDepth)
	case e.Trigger != runnel.TriggerHTTP && e.Trigger != runnel.TriggerSQL && e.Trigger != runnel.TriggerDatabase && e.Trigger != runnel.TriggerSchedule:
		return runnel.Errorf(runnel.CodeInvalidRequest, "trigger %.80q is not known: use http, sql, database or schedule", e.Trigger)
	case e.Priority < 0 || e.Priority > 4:
		return runnel.Errorf(runnel.CodeInvalidRequest, "priority %d is out of range: use 1 (first) to 4", e.Priority)
	case e.MaxAttempts < 0 || e.MaxAttempts > runnel.MaxAttempts:
		return runnel.Errorf(runnel.CodeInvalidRequest, "max_attempts %d is out of range: use 1 to %d", e.MaxAttempts, runnel.MaxAttempts)
	}
	return nil
}

// Enqueue makes an event and a River job for each item, all in one statement.
// The first result has an error for each item, nil where it was enqueued:
// CodeFunctionNotFound where the function does not exist or is disabled,
// CodeTooManyRequests, with the time to ask again, where Now and there is no room;
// CodeInvalidRequest where the item itself is wrong; none harms the others.
// The second is set when the statement failed and nothing was enqueued.
func (db *DB) Enqueue(ctx context.Context, items []Enqueue) ([]error, error) {
	return enqueue(ctx, db.pool, items)
}

func enqueue(ctx context.Context, q rowQuerier, items []Enqueue) ([]error, error) {
	if len(items) == 0 {
		return nil, nil
	}
	var (
		errs         = make([]error, len(items))
		asked        []int // the items that are sent, by their place in the arrays
		ids          []string
		functions    []string
		triggers     []string
		events       [][]byte
		roles        []string
		users        []string
		claims       []*string
		requests     []string
		traceparents []string
		priorities   []int32
		attempts     []int32
		respond      []bool
		now          []bool
	)
	for i, e := range items {
		if errs[i] = e.check(); errs[i] != nil {
			continue
		}
		var c *string
		if e.Caller.Claims != nil {
			c = new(string(e.Caller.Claims))
		}
		asked = append(asked, i)
		ids = append(ids, e.ID)
		functions = append(functions, clean(e.Function))
		triggers = append(triggers, string(e.Trigger))
		events = append(events, append([]byte{}, e.Event...)) // nil would be null
		roles = append(roles, e.Caller.Role)
		users = append(users, clean(e.Caller.UserID))
		claims = append(claims, c)
		requests = append(requests, clean(e.RequestID))
		traceparents = append(traceparents, clean(joinTrace(e.Traceparent, e.Span)))
		priorities = append(priorities, int32(e.Priority))
		attempts = append(attempts, int32(e.MaxAttempts))
		respond = append(respond, e.Respond)
		now = append(now, e.Now)
		errs[i] = runnel.Errorf(runnel.CodeFunctionNotFound, "function %.80q does not exist or is disabled: deploy or enable it", e.Function)
	}
	if len(asked) == 0 {
		return errs, nil
	}
	var places, refused []int64
	var waits []float64
	err := q.QueryRow(ctx, enqueueSQL, ids, functions, triggers, events, roles, users, claims, requests, traceparents,
		priorities, attempts, respond, now).Scan(&places, &refused, &waits, nil)
	if err != nil {
		return nil, fault("enqueue", err)
	}
	for _, place := range places {
		errs[asked[place-1]] = nil
	}
	for i, place := range refused {
		item := asked[place-1]
		e := runnel.Errorf(runnel.CodeTooManyRequests, "function %s is paused, or at its limit of concurrency or rate: send the request again later, or with Prefer: respond-async to have it wait its turn", items[item].Function)
		e.RetryAfter = time.Duration(waits[i] * float64(time.Second))
		errs[item] = e
	}
	return errs, nil
}

// joinTrace and splitTrace are how an event's row has both: the one that is for the
// log first.
func joinTrace(traceparent, span string) string {
	switch {
	case span == "" || span == traceparent:
		return traceparent
	case traceparent == "":
		return span
	}
	return traceparent + "," + span
}

func splitTrace(stored string) (traceparent, span string) {
	traceparent, span, ok := strings.Cut(stored, ",")
	if !ok {
		return traceparent, traceparent
	}
	return traceparent, span
}

// rowQuerier is a pool or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
