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
	UserID       string            `json:"user_id,omitempty"`
	Role         string            `json:"role"`
	DurationMS   float64           `json:"duration_ms"`
	QueueMS      float64           `json:"queue_ms"`
	MemoryPeak   int64             `json:"memory_peak"` // bytes
	Fuel         int64             `json:"fuel"`        // metered instructions, the CPU figure
	ErrorCode    Code              `json:"error_code,omitempty"`
	ErrorMessage string            `json:"error_message,omitempty"`
	Environment  map[string]string `json:"environment"`
	Logs         []LogLine         `json:"logs"`
	Result       json.RawMessage   `json:"result"`
	RequestID    string            `json:"request_id,omitempty"`
	Traceparent  string            `json:"traceparent,omitempty"`
	ReplayOf     string            `json:"replay_of,omitempty"` // the invocation that this one runs again
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at"`
	FinishedAt   time.Time         `json:"finished_at"`
}
