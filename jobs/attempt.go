package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/redact"
	"github.com/runnelhq/runnel/sandbox"
	"github.com/runnelhq/runnel/sql"
)

// errStopped is the cause of an attempt that ended because its worker stops.
var errStopped = errors.New("the worker was stopped")

// errNotStarted is returned by attempt when the guest has not begun to run and
// the worker stops: the job can go back as if it had not been taken.
var errNotStarted = errors.New("the attempt has not started")

// attempt runs one attempt of an invocation and says how to settle it. The only
// error is errNotStarted.
func (w *Worker) attempt(ctx context.Context, job *river.Job[Args]) (*sql.Settlement, error) {
	began := time.Now()
	task, found, err := w.load(ctx, job)
	if err != nil {
		return nil, errNotStarted
	}
	span := w.cfg.Tracer.Attempt(task.Span, job.Args.ID, job.Args.Function, w.clock.here(job.ScheduledAt), began)
	row := runnel.Invocation{
		ID:           job.Args.ID,
		FunctionID:   task.Function.ID,
		FunctionName: job.Args.Function,
		Version:      task.Function.Version,
		WasmHash:     task.Function.WasmHash,
		Trigger:      task.Trigger,
		Attempt:      job.Attempt,
		JobID:        job.ID,
		UserID:       task.Caller.UserID,
		Role:         task.Caller.Role,
		RequestID:    task.RequestID,
		Traceparent:  task.Traceparent,
		ReplayOf:     task.ReplayOf,
		CreatedAt:    job.CreatedAt,
	}
	if row.Traceparent == "" {
		row.Traceparent = span.Traceparent() // where to look for it
	}
	env, envErr := newEnvironment(w.cfg.Keys, task)
	row.Environment = env.shown
	var out sandbox.Outcome
	switch {
	case !found:
		err = runnel.Errorf(runnel.CodeInternal, "the event of this invocation is gone: it was enqueued longer ago than logs are kept")
	case task.Function.ID == "":
		err = runnel.Errorf(runnel.CodeFunctionNotFound, "function %s was deleted before this invocation ran", job.Args.Function)
	case !task.Function.Enabled:
		err = runnel.Errorf(runnel.CodeFunctionNotFound, "function %s was disabled before this invocation ran", job.Args.Function)
	case envErr != nil:
		err = envErr
	default:
		out, err = w.run(ctx, task, env, &row, job, span)
		if errors.Is(err, errNotStarted) {
			span.EndNotStarted()
			return nil, err
		}
	}
	s := w.outcome(job, task, row, out, err, env.hide)
	span.EndAttempt(s.Row)
	return s, nil
}

// run executes the module and fills in the row's figures. Loading and compiling
// are part of the queue time, not of the run.
func (w *Worker) run(ctx context.Context, task sql.Task, env environment, row *runnel.Invocation, job *river.Job[Args], span tracing.Span) (sandbox.Outcome, error) {
	w.met.inFlight.Inc()
	defer w.met.inFlight.Dec()
	network := w.egress.Session(task.Function.AllowedHosts)
	defer network.Close()
	guest := w.db.Guest(task.Caller, task.Function.CanBypassRLS)
	defer guest.Close()
	out, err := w.sandbox.Run(ctx, sandbox.Call{
		Hash:     task.Function.WasmHash,
		Revision: task.Revision,
		Load:     func(ctx context.Context) ([]byte, error) { return w.db.Module(ctx, task.Function.WasmHash) },
		Event:    attemptEvent(task, job.Attempt, job.MaxAttempts),
		Env:      env.values,
		Timeout:  task.Function.Timeout,
		Memory:   task.Function.MaxMemory,
		Query: func(ctx context.Context, text string, params []byte) []byte {
			call := span.Query(text, env.hide)
			response := guest.Query(ctx, text, params)
			call.EndHost(w.met.hostCall("db_query", response), 0)
			return response
		},
		Fetch: func(ctx context.Context, request []byte) []byte {
			call := span.Fetch()
			response := network.Fetch(ctx, request, continued(span, call, env.hide))
			call.EndHost(w.met.hostCall("http_fetch", response), fetchedStatus(response))
			return response
		},
		About: sandbox.About{
			InvocationID: row.ID, Attempt: row.Attempt, MaxAttempts: job.MaxAttempts,
			Function: row.FunctionName, Version: row.Version, Trigger: string(row.Trigger),
		},
	})
	if errors.Is(context.Cause(ctx), errStopped) && err != nil {
		if out.Duration == 0 {
			return out, errNotStarted
		}
		err = runnel.Errorf(runnel.CodeWorkerLost, "the worker was stopped before the function finished")
	}
	row.MemoryPeak, row.Fuel = out.MemoryPeak, out.Fuel
	if out.Duration == 0 {
		return out, err // refused before the guest began
	}
	started := w.clock.now().Add(-out.Duration)
	row.StartedAt = &started
	row.DurationMS = float64(out.Duration) / float64(time.Millisecond)
	row.QueueMS = max(0, float64(started.Sub(job.ScheduledAt))/float64(time.Millisecond))
	return out, err
}

// continued has an http_fetch pass the trace on. Whoever gets it is on allowed_hosts,
// and learns two random numbers. A function that sends a traceparent of its own is
// left alone. nil: no tracing.
func continued(attempt, call tracing.Span, hide *redact.Redactor) func(string, *url.URL, http.Header) {
	above := attempt.Traceparent()
	if above == "" {
		return nil
	}
	return func(method string, to *url.URL, h http.Header) {
		call.Request(method, to, hide)
		if h.Get("Traceparent") == "" {
			h.Set("Traceparent", cmp.Or(call.Traceparent(), above))
		}
	}
}

// fetchedStatus is the HTTP status at the head of a response to http_fetch; 0: none.
func fetchedStatus(response []byte) int {
	rest, ok := bytes.CutPrefix(response, []byte(`{"status":`))
	if !ok || len(rest) < 4 || rest[3] != ',' {
		return 0
	}
	status, _ := strconv.Atoi(string(rest[:3]))
	return status
}

// outcome turns what happened into the settlement: what is kept is redacted
// here, and nowhere later.
func (w *Worker) outcome(job *river.Job[Args], task sql.Task, row runnel.Invocation, out sandbox.Outcome, err error, hide *redact.Redactor) *sql.Settlement {
	row.FinishedAt = w.clock.now()
	row.Logs = redactLogs(hide, out.Logs)
	for i := range row.Logs {
		row.Logs[i].T = w.clock.at(row.Logs[i].T)
	}
	s := &sql.Settlement{JobID: job.ID, Attempt: job.Attempt, Respond: task.Respond, State: sql.StateCompleted}
	if err == nil {
		if task.Trigger != runnel.TriggerHTTP {
			err = refusal(out.Output)
		}
		s.Response = out.Output
		if len(out.Output) > 0 && len(out.Output) <= runnel.MaxKeptResult {
			if kept := hide.JSON(out.Output); json.Valid(kept) {
				row.Result = kept
			}
		}
	}
	if err == nil {
		row.Status = runnel.StatusSuccess
		s.Row = row
		// Decided once, because settling is tried again. A success after failures
		// has its row: without it the invocation would look failed.
		s.Unlogged = job.Attempt == 1 && rand.Float64() >= float64(task.Function.LogSuccess)
		return s
	}
	var known *runnel.Error
	if !errors.As(err, &known) {
		w.log.Error("an attempt failed inside the worker", "invocation", row.ID, "attempt", row.Attempt, "error", err)
		known = runnel.Errorf(runnel.CodeInternal, "the worker could not run the function: its log says why")
	}
	row.Status, row.ErrorCode = known.Code.Status(), known.Code
	row.ErrorMessage = hide.String(known.Message)
	s.Row = row
	switch {
	case row.Status == runnel.StatusCancelled || row.Status == runnel.StatusSkipped:
		s.State = sql.StateCancelled
	case known.Code.Retryable() && !known.Final && job.Attempt < job.MaxAttempts:
		s.State, s.RetryIn = sql.StateRetryable, task.Function.Backoff.Pause(job.Attempt)
		if known.RetryAfter > 0 {
			s.RetryIn = known.RetryAfter + rand.N(known.RetryAfter/10+1) // not before, and not all at once
		}
	default:
		s.State = sql.StateDiscarded
	}
	return s
}

// redactLogs hides secrets in the lines, also those split over several.
func redactLogs(hide *redact.Redactor, lines []runnel.LogLine) []runnel.LogLine {
	if len(lines) == 0 {
		return nil
	}
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.Message
	}
	kept := make([]runnel.LogLine, len(lines))
	for i, text := range hide.Lines(texts) {
		kept[i] = runnel.LogLine{T: lines[i].T, Level: lines[i].Level, Message: text}
	}
	return kept
}

// load reads what the attempt needs, trying again while the database is away.
func (w *Worker) load(ctx context.Context, job *river.Job[Args]) (sql.Task, bool, error) {
	pause := 20 * time.Millisecond
	for {
		l, err := w.loads.Do(ctx, sql.Ref{ID: job.Args.ID, CreatedAt: job.CreatedAt})
		if err == nil {
			return l.task, l.found, nil
		}
		if ctx.Err() != nil {
			return sql.Task{}, false, fmt.Errorf("load: %w", context.Cause(ctx))
		}
		w.log.Warn("loading an invocation again shortly", "invocation", job.Args.ID, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}
