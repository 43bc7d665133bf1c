package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/runnelhq/runnel"
)

// The headers of every answer to a call.
const (
	headerInvocationID = "X-Runnel-Invocation-Id"
	headerRequestID    = "X-Request-Id"
	// headerRelayError is what Supabase clients look for to tell "the function
	// was not run" from "the function failed".
	headerRelayError = "X-Relay-Error"
)

// failure is how a code looks over HTTP.
type failure struct {
	status int
	unrun  bool // the function certainly did not run: calls answer with x-relay-error
}

// failures is the one place that gives codes their HTTP status. It is also the
// documentation; docs copy it.
var failures = map[runnel.Code]failure{
	// The request is at fault. The function did not run.
	runnel.CodeInvalidRequest:   {http.StatusBadRequest, true},
	runnel.CodeInvalidModule:    {http.StatusBadRequest, true},
	runnel.CodeInvalidCron:      {http.StatusBadRequest, true},
	runnel.CodeUnauthorized:     {http.StatusUnauthorized, true},
	runnel.CodeForbidden:        {http.StatusForbidden, true},
	runnel.CodeFunctionNotFound: {http.StatusNotFound, true}, // unknown or disabled
	runnel.CodeNotFound:         {http.StatusNotFound, true},
	runnel.CodeAlreadyExists:    {http.StatusConflict, true},
	runnel.CodeTooLarge:         {http.StatusRequestEntityTooLarge, true},
	runnel.CodeTooManyRequests:  {http.StatusTooManyRequests, true}, // with Retry-After
	runnel.CodeConflict:         {http.StatusConflict, true},

	runnel.CodeIdempotencyKeyReused: {http.StatusUnprocessableEntity, true},

	// The function ran, or may have.
	runnel.CodeFunctionError:     {http.StatusInternalServerError, false},
	runnel.CodeHostFunctionError: {http.StatusInternalServerError, false},
	runnel.CodeStackOverflow:     {http.StatusInternalServerError, false},
	runnel.CodeWorkerLost:        {http.StatusBadGateway, false},
	runnel.CodeCancelled:         {http.StatusServiceUnavailable, false},
	runnel.CodeWaitTimeout:       {http.StatusGatewayTimeout, false}, // the run goes on
	runnel.CodeTimeout:           {http.StatusGatewayTimeout, false},
	runnel.CodeOutOfMemory:       {http.StatusInsufficientStorage, false},

	// We are at fault.
	runnel.CodeHashMismatch: {http.StatusInternalServerError, true},
	runnel.CodeUnavailable:  {http.StatusServiceUnavailable, false}, // with Retry-After
	runnel.CodeInternal:     {http.StatusInternalServerError, false},
}

// failureOf looks a code up. A code that is not in the table is ours.
func failureOf(code runnel.Code) failure {
	if f, ok := failures[code]; ok {
		return f
	}
	return failures[runnel.CodeInternal]
}

// errorBody is the body of every answer that is not a result. Supabase clients
// read "error", ours "code"; they are the same. InvocationID is null where the
// request was no call. A call that was refused has one, under which nothing ran.
type errorBody struct {
	Error        runnel.Code `json:"error"`
	Code         runnel.Code `json:"code"`
	Message      string      `json:"message"`
	InvocationID *string     `json:"invocation_id"`
	// Logs are what the function logged, where it was evaluated for a deploy.
	Logs []runnel.LogLine `json:"logs,omitempty"`
}

// writeError answers with err. An error that is not a *runnel.Error is logged
// and shown as internal: its text was not written for the caller. When the
// caller has hung up, there is nobody to answer and nothing has failed.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error, logs ...runnel.LogLine) {
	switch cause := context.Cause(r.Context()); {
	case errors.Is(cause, errStopping):
		var ours *runnel.Error
		if !errors.As(err, &ours) || errors.Is(err, context.Canceled) {
			err = runnel.Errorf(runnel.CodeUnavailable, "this server is restarting: send the request again")
		}
	case cause != nil && errors.Is(err, context.Canceled):
		return
	}
	e := explain(err, w.Header().Get(headerRequestID))
	status := failureOf(e.Code).status
	if cause := errors.Unwrap(e); status >= 500 && cause != nil {
		log.ErrorContext(r.Context(), "request failed", "code", e.Code, "error", cause, "request_id", w.Header().Get(headerRequestID))
	}
	writeFailure(w, status, e, logs...)
}

// explain makes err fit to show.
func explain(err error, requestID string) *runnel.Error {
	var e *runnel.Error
	if errors.As(err, &e) {
		return e
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return runnel.Errorf(runnel.CodeTooLarge, "the request body is over the limit of %d bytes: send less", tooLarge.Limit)
	}
	return runnel.Errorf(runnel.CodeInternal, "something failed on our side: try again, and if it persists look for request id %s in the log of the web process", requestID).Because(err)
}

// writeFailure answers with e under a status that may differ from its code's.
func writeFailure(w http.ResponseWriter, status int, e *runnel.Error, logs ...runnel.LogLine) {
	h := w.Header()
	if h.Get("Retry-After") == "" && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		// In whole seconds, rounded up: asking a moment too early is refused again.
		h.Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(e.RetryAfter.Seconds())))))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="runnel"`)
	}
	if rec, ok := w.(*recorder); ok {
		rec.code = e.Code
	}
	var id *string
	if given := h.Get(headerInvocationID); given != "" {
		id = &given
	}
	writeJSON(w, status, errorBody{e.Code, e.Code, e.Message, id, logs})
}

// writeJSON answers with v. A value that cannot be written as JSON is a bug.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a reader that went away is not our failure
}
