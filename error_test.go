package runnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/runnelhq/runnel"
)

func TestErrorKeepsItsCause(t *testing.T) {
	err := runnel.Errorf(runnel.CodeInvalidRequest, "body of %d bytes: %w", 7, io.ErrUnexpectedEOF)
	if got, want := err.Error(), "InvalidRequest: body of 7 bytes: unexpected EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the wrapped error is not found by errors.Is")
	}
	if errors.Unwrap(runnel.Errorf(runnel.CodeInternal, "plain")) != nil {
		t.Error("an error without %w has a cause")
	}
}

func TestErrorBecauseHidesTheCauseFromTheMessage(t *testing.T) {
	plain := runnel.Errorf(runnel.CodeUnavailable, "the database cannot be reached: try again")
	err := plain.Because(fmt.Errorf("dial 10.0.0.7: %w", context.DeadlineExceeded))
	if err.Error() != plain.Error() || err.Message != plain.Message {
		t.Errorf("the message became %q", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error("the cause is not found by errors.Is")
	}
	if plain.Unwrap() != nil {
		t.Error("Because changed its receiver")
	}
}

func TestCodeOf(t *testing.T) {
	inner := runnel.Errorf(runnel.CodeTimeout, "slow")
	for _, c := range []struct {
		err  error
		want runnel.Code
	}{
		{inner, runnel.CodeTimeout},
		{fmt.Errorf("run: %w", inner), runnel.CodeTimeout},
		{errors.Join(io.EOF, inner), runnel.CodeTimeout},
		{runnel.Errorf(runnel.CodeNotFound, "no: %w", inner), runnel.CodeNotFound},
		{io.EOF, runnel.CodeInternal},
		{nil, runnel.CodeInternal},
	} {
		if got := runnel.CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %s, want %s", c.err, got, c.want)
		}
	}
}

func TestCodeStatusAndRetry(t *testing.T) {
	for code, want := range map[runnel.Code]struct {
		status runnel.Status
		retry  bool
	}{
		"":                           {runnel.StatusSuccess, false},
		runnel.CodeTimeout:           {runnel.StatusTimeout, true},
		runnel.CodeOutOfMemory:       {runnel.StatusOutOfMemory, false},
		runnel.CodeStackOverflow:     {runnel.StatusError, true},
		runnel.CodeFunctionError:     {runnel.StatusError, true},
		runnel.CodeHostFunctionError: {runnel.StatusError, true},
		runnel.CodeHashMismatch:      {runnel.StatusError, false},
		runnel.CodeInvalidModule:     {runnel.StatusError, false},
		runnel.CodeCancelled:         {runnel.StatusCancelled, false},
		runnel.CodeWorkerLost:        {runnel.StatusLost, true},
		runnel.CodeFunctionNotFound:  {runnel.StatusSkipped, false},
		runnel.CodeInternal:          {runnel.StatusError, true},
		runnel.CodeUnavailable:       {runnel.StatusError, true},
		"Unheard":                    {runnel.StatusError, false},
	} {
		if got := code.Status(); got != want.status {
			t.Errorf("%q.Status() = %s, want %s", code, got, want.status)
		}
		if got := code.Retryable(); got != want.retry {
			t.Errorf("%q.Retryable() = %v, want %v", code, got, want.retry)
		}
	}
}

func TestTriggerAttempts(t *testing.T) {
	for trigger, want := range map[runnel.Trigger]int{
		runnel.TriggerHTTP: 1, runnel.TriggerSchedule: 1, runnel.TriggerDatabase: 3, runnel.TriggerSQL: 3,
	} {
		if got := trigger.MaxAttempts(); got != want {
			t.Errorf("%s: %d attempts, want %d", trigger, got, want)
		}
	}
}
