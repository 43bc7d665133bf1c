package runnel

import (
	"errors"
	"fmt"
	"time"
)

// Code is a machine-readable error name. The contract lists them; they are
// stable, and so is the HTTP status that package api gives each.
type Code string

// Codes of requests that did not run a function.
const (
	CodeInvalidRequest       Code = "InvalidRequest"
	CodeInvalidModule        Code = "InvalidModule"
	CodeInvalidCron          Code = "InvalidCron"
	CodeFunctionNotFound     Code = "FunctionNotFound"
	CodeNotFound             Code = "NotFound"
	CodeUnauthorized         Code = "Unauthorized"
	CodeForbidden            Code = "Forbidden"
	CodeAlreadyExists        Code = "AlreadyExists"
	CodeTooLarge             Code = "TooLarge"
	CodeTooManyRequests      Code = "TooManyRequests"
	CodeConflict             Code = "Conflict" // it has ended, or is not what the request takes it for
	CodeIdempotencyKeyReused Code = "IdempotencyKeyReused"
	CodeWaitTimeout          Code = "WaitTimeout"
	CodeUnavailable          Code = "Unavailable" // the database or the workers cannot be reached
	CodeInternal             Code = "Internal"
)

// Codes of attempts.
const (
	CodeFunctionError     Code = "FunctionError" // threw, trapped, exited non-zero, or answered with no JSON
	CodeHostFunctionError Code = "HostFunctionError"
	CodeHashMismatch      Code = "HashMismatch"
	CodeTimeout           Code = "Timeout"
	CodeOutOfMemory       Code = "OutOfMemory"
	CodeStackOverflow     Code = "StackOverflow"
	CodeCancelled         Code = "Cancelled"
	CodeWorkerLost        Code = "WorkerLost"
)

// Error is an error with a code and a message that is safe to show to the
// caller: it says what went wrong and what to do next. The cause, if any, is for
// the process log only.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // when to try again, where that is known
	Final      bool          // with an attempt's: another one would end the same
	cause      error
}

// Errorf makes an Error. A %w verb keeps the cause for errors.Is and errors.As;
// its text becomes part of the message, so wrap only what a caller may read.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Because adds a cause that is not shown to the caller.
func (e *Error) Because(cause error) *Error {
	because := *e
	because.cause = cause
	return &because
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the first Error in err's tree, or CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// Status is the log status of an attempt that ended with this code.
func (c Code) Status() Status {
	switch c {
	case "":
		return StatusSuccess
	case CodeTimeout:
		return StatusTimeout
	case CodeOutOfMemory:
		return StatusOutOfMemory
	case CodeCancelled:
		return StatusCancelled
	case CodeWorkerLost:
		return StatusLost
	case CodeFunctionNotFound:
		return StatusSkipped
	default:
		return StatusError
	}
}

// Retryable tells whether another attempt of the same invocation may end
// differently. Memory limits, broken modules and removed functions do not heal.
func (c Code) Retryable() bool {
	switch c {
	case CodeFunctionError, CodeHostFunctionError, CodeTimeout, CodeStackOverflow, CodeWorkerLost, CodeInternal, CodeUnavailable:
		return true
	}
	return false
}
