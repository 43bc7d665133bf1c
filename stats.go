package runnel

import "time"

// Stats are a function's attempts, counted when they ended. They do not depend on
// the log: what retention or sampling leaves out of it is counted.
type Stats struct {
	Function string           `json:"function"`
	Since    *time.Time       `json:"since"` // the hour's begin; null: from the first one on
	Attempts int64            `json:"attempts"`
	ByStatus map[Status]int64 `json:"by_status"` // every status
	// ErrorRate is the part of error, timeout, out_of_memory and lost in what ran.
	ErrorRate float64 `json:"error_rate"`
	// Durations of what ran. Percentiles are right within 9 %.
	Duration DurationStats `json:"duration_ms"`
	LastAt   *time.Time    `json:"last_at"` // when the last attempt ended; null: there was none
}

// DurationStats are in milliseconds.
type DurationStats struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}
