package runnel

import (
	"encoding/json"
	"time"
)

// Status is how one attempt of an invocation ended.
type Status string

// The statuses of the log. There is no "running": a row is written once, in the
// transaction that settles the attempt's River job.
const (
	StatusSuccess     Status = "success"
	StatusError       Status = "error"
	StatusTimeout     Status = "timeout"
	StatusOutOfMemory Status = "out_of_memory"
	StatusCancelled   Status = "cancelled"
	StatusLost        Status = "lost"    // the worker died
	StatusSkipped     Status = "skipped" // not run, with a reason in error_message
)

// LogLine is one line a function logged.
type LogLine struct {
	T       time.Time `json:"t"`
	Level   string    `json:"level"` // debug, info, warn or error
	Message string    `json:"message"`
}

// Invocation is one row of runnel.function_invocations: one attempt. Everything
// in it has been redacted. ID and Attempt together are the row's key.
type Invocation struct {
	ID           string            `json:"id"`
	FunctionID   string            `json:"function_id"`
	FunctionName string            `json:"function_name"`
	Version      int               `json:"version"`
	WasmHash     string            `json:"wasm_hash"`
	Trigger      Trigger           `json:"trigger"`
	Status       Status            `json:"status"`
	Attempt      int               `json:"attempt"`
	JobID        int64             `json:"job_id"`
	UserID       string            `json:"user_id"`
	Role         string            `json:"role"`
	DurationMS   float64           `json:"duration_ms"`
	QueueMS      float64           `json:"queue_ms"`
	MemoryPeak   int64             `json:"memory_peak"` // bytes
	Fuel         int64             `json:"fuel"`        // metered instructions, the CPU figure
	ErrorCode    Code              `json:"error_code"`
	ErrorMessage string            `json:"error_message"`
	Environment  map[string]string `json:"environment"`
	Logs         []LogLine         `json:"logs"`
	Result       json.RawMessage   `json:"result"`
	RequestID    string            `json:"request_id"`
	Traceparent  string            `json:"traceparent"`
	ReplayOf     string            `json:"replay_of"` // the invocation that this one runs again
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at"`
	FinishedAt   time.Time         `json:"finished_at"`
}

// MarshalJSON writes null for what is not there, or not yet, so that every row has
// every field.
func (i Invocation) MarshalJSON() ([]byte, error) {
	if i.Environment == nil {
		i.Environment = map[string]string{}
	}
	if i.Logs == nil {
		i.Logs = []LogLine{}
	}
	type plain Invocation
	return json.Marshal(struct {
		plain
		FunctionID   *string    `json:"function_id"`
		Version      *int       `json:"version"`
		WasmHash     *string    `json:"wasm_hash"`
		UserID       *string    `json:"user_id"`
		Role         *string    `json:"role"`
		ErrorCode    *Code      `json:"error_code"`
		ErrorMessage *string    `json:"error_message"`
		RequestID    *string    `json:"request_id"`
		Traceparent  *string    `json:"traceparent"`
		ReplayOf     *string    `json:"replay_of"`
		FinishedAt   *time.Time `json:"finished_at"`
	}{
		plain(i), given(i.FunctionID), given(i.Version), given(i.WasmHash), given(i.UserID), given(i.Role),
		given(i.ErrorCode), given(i.ErrorMessage), given(i.RequestID), given(i.Traceparent), given(i.ReplayOf), given(i.FinishedAt),
	})
}
