package jobs

import "github.com/riverqueue/river/rivertype"

// errSettled is what the worker returns to River for a job whose state it has
// already written in the settle statement. River's executor asks such an error
// for the jobs it concerns and, finding none, reports nothing to its completer:
// no second write, no error log.
//
// This leans on an interface that River does not document (river v0.51.1,
// internal/jobexecutor/job_executor.go, withJobsAndErrorsByID; River's own
// batching uses it). TestRiverLeavesSettledJobsAlone is the canary: if River
// changes, it fails, and returning nil is the fallback, which costs one
// redundant no-op write for each job but must then never settle a job into a
// state that can be fetched again within the completer's delay.
var errSettled error = settled{}

type settled struct{}

func (settled) Error() string { return "already settled" }

func (settled) Jobs() []*rivertype.JobRow { return nil }

func (settled) ErrorsByID() map[int64]error { return nil }
