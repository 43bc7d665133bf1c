package sql

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/runnelhq/runnel"
)

// States that a Settlement may ask for. They are River's.
const (
	StateCompleted = "completed"
	StateDiscarded = "discarded"
	StateRetryable = "retryable"
	StateCancelled = "cancelled"
)

// Settlement is the end of one attempt.
type Settlement struct {
	JobID    int64
	Attempt  int
	State    string            // one of the states above
	RetryIn  time.Duration     // with StateRetryable
	Row      runnel.Invocation // redacted. JobID, Attempt and CreatedAt are the job's, whatever they say
	Respond  bool              // a waiter wants Response
	Response []byte            // the raw result
	Unlogged bool              // counted, without a log row
}

// Settle ends attempts: job states, log rows, responses and one notification, in
// one statement and so in one commit.
//
// settled[i] is false where the attempt was no longer running under its number
// (settled before, lost, rescued or cancelled): then nothing of it was written,
// because whoever ended it wrote its row. After an error nothing of the batch was
// written; where Refused(err), one of its rows is to blame.
//
// Texts lose what Postgres cannot store: NUL and broken UTF-8 become U+FFFD. A job
// written by hand may have no UUID for an id; its row gets a new one. A result over runnel.MaxKeptResult, or one that jsonb cannot hold, is not kept in
// the log row; the waiter's Response is never touched.
func (db *DB) Settle(ctx context.Context, batch []Settlement) (settled []bool, err error) {
	if len(batch) == 0 {
		return nil, nil
	}
	var (
		n            = len(batch)
		jobs         = make([]int64, n)
		attempts     = make([]int32, n)
		states       = make([]string, n)
		retries      = make([]float64, n)
		ids          = make([]string, n)
		functions    = make([]*string, n)
		names        = make([]string, n)
		versions     = make([]*int, n)
		hashes       = make([]*string, n)
		triggers     = make([]string, n)
		statuses     = make([]string, n)
		users        = make([]*string, n)
		roles        = make([]string, n)
		durations    = make([]float64, n)
		queues       = make([]float64, n)
		memory       = make([]int64, n)
		fuel         = make([]int64, n)
		codes        = make([]*string, n)
		messages     = make([]*string, n)
		environments = make([]string, n)
		logs         = make([]string, n)
		results      = make([]*string, n)
		requests     = make([]*string, n)
		traceparents = make([]*string, n)
		started      = make([]*time.Time, n)
		finished     = make([]time.Time, n)
		respond      = make([]bool, n)
		responses    = make([][]byte, n)
		replays      = make([]*string, n)
		unlogged     = make([]bool, n)
	)
	for i, s := range batch {
		r := s.Row
		jobs[i], attempts[i], states[i], retries[i] = s.JobID, int32(s.Attempt), s.State, s.RetryIn.Seconds()
		if ids[i] = r.ID; !uuid.MatchString(r.ID) {
			ids[i] = NewID()
		}
		functions[i], names[i] = text(r.FunctionID), clean(r.FunctionName)
		if r.Version != 0 {
			versions[i] = &r.Version
		}
		hashes[i], triggers[i], statuses[i] = text(r.WasmHash), string(r.Trigger), string(r.Status)
		users[i], roles[i] = text(r.UserID), r.Role
		durations[i], queues[i], memory[i], fuel[i] = r.DurationMS, r.QueueMS, r.MemoryPeak, r.Fuel
		if r.ErrorCode != "" {
			message := clean(r.ErrorMessage) // an error's text may be empty, not null
			codes[i], messages[i] = text(string(r.ErrorCode)), &message
		}
		if environments[i], err = storable(cleanMap(r.Environment)); err != nil {
			return nil, err
		}
		if logs[i], err = storable(cleanLines(r.Logs)); err != nil {
			return nil, err
		}
		if len(r.Result) <= runnel.MaxKeptResult && jsonbHolds(r.Result) {
			results[i] = text(string(r.Result))
		}
		requests[i], traceparents[i] = text(r.RequestID), text(r.Traceparent)
		started[i], finished[i] = r.StartedAt, r.FinishedAt
		if finished[i].IsZero() {
			finished[i] = time.Now()
		}
		respond[i], responses[i], replays[i], unlogged[i] = s.Respond, s.Response, text(r.ReplayOf), s.Unlogged
	}
	var places []int64
	err = db.spare(ctx, func(c *pgxpool.Conn) error {
		return c.QueryRow(ctx, settleSQL, jobs, attempts, states, retries, ids, functions, names, versions, hashes,
			triggers, statuses, users, roles, durations, queues, memory, fuel, codes, messages, environments, logs, results,
			requests, traceparents, started, finished, respond, responses, replays, unlogged).Scan(&places, nil)
	})
	if err != nil {
		return nil, fault("settle", err)
	}
	settled = make([]bool, n)
	for _, place := range places {
		settled[place-1] = true
	}
	return settled, nil
}

// HandBack gives a running job back for another worker to run, as if the attempt
// had never begun: it is not counted and leaves no row. It does nothing where the
// attempt is no longer running.
func (db *DB) HandBack(ctx context.Context, jobID int64, attempt int) error {
	_, err := db.pool.Exec(ctx, handBackSQL, jobID, attempt)
	return fault("hand back", err)
}

func storable(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", runnel.Errorf(runnel.CodeInternal, "a log row cannot be written as JSON").Because(err)
	}
	return string(b), nil
}
