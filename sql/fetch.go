package sql

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

// Fetch asks for jobs to run.
type Fetch struct {
	Worker         string // River's client id
	Slots          int    // at most so many jobs
	MaxAttemptedBy int    // how many names a job keeps of those that attempted it
	After          string // the last Fetched.Next
	// Functions that have used the worker lately, and how much. Those that are not
	// named have not, and come first.
	Functions []string
	Used      []float64
}

// Fetched are jobs that run from now on.
type Fetched struct {
	Jobs         []*rivertype.JobRow
	DecodeErrors map[int64]error // by job, as River has them
	Next         string          // for the next Fetch
	// Again is after which time another Fetch would find more without being told;
	// negative: it is told.
	Again time.Duration
}

// Fetch takes jobs: the functions share the slots, paused functions and those at
// a limit are passed over. No limit is exceeded by any number of workers.
//
// After an error jobs may have been taken all the same. Strays finds them.
func (db *DB) Fetch(ctx context.Context, f Fetch) (got Fetched, err error) {
	got.Again = -1
	rows, err := db.pool.Query(ctx, fetchSQL, f.Worker, f.Slots, f.MaxAttemptedBy, f.After, append([]string{}, f.Functions...), append([]float64{}, f.Used...))
	if err != nil {
		return got, fault("fetch", err)
	}
	var row fetchedRow
	_, err = pgx.ForEachRow(rows, row.fields(), func() error {
		if row.id == nil {
			got.Next = deref(row.next)
			if row.again != nil {
				got.Again = time.Duration(*row.again * float64(time.Second))
			}
			return nil
		}
		job, err := row.job()
		if err != nil {
			if got.DecodeErrors == nil {
				got.DecodeErrors = map[int64]error{}
			}
			got.DecodeErrors[job.ID] = err
		}
		got.Jobs = append(got.Jobs, job)
		return nil
	})
	return got, fault("fetch", err)
}

// fetchedRow is a row of query/fetch.sql.
type fetchedRow struct {
	id                         *int64
	args, metadata             []byte
	attempt, maxAttempts, prio *int
	attemptedAt, created       *time.Time
	finalized, scheduled       *time.Time
	attemptedBy, tags          []string
	errors                     [][]byte
	kind, queue, state, next   *string
	again                      *float64
}

func (r *fetchedRow) fields() []any {
	return []any{&r.id, &r.args, &r.attempt, &r.attemptedAt, &r.attemptedBy, &r.created, &r.errors, &r.finalized, &r.kind,
		&r.maxAttempts, &r.metadata, &r.prio, &r.queue, &r.state, &r.scheduled, &r.tags, &r.next, &r.again}
}

// job is what River's driver makes of the row. Its unique key is left out: that
// matters when a job is inserted. On an error the job has no errors.
func (r *fetchedRow) job() (*rivertype.JobRow, error) {
	job := &rivertype.JobRow{
		ID: *r.id, Attempt: deref(r.attempt), AttemptedAt: utc(r.attemptedAt), AttemptedBy: r.attemptedBy, CreatedAt: deref(r.created).UTC(),
		EncodedArgs: r.args, FinalizedAt: utc(r.finalized), Kind: deref(r.kind), MaxAttempts: deref(r.maxAttempts), Metadata: r.metadata,
		Priority: deref(r.prio), Queue: deref(r.queue), ScheduledAt: deref(r.scheduled).UTC(), State: rivertype.JobState(deref(r.state)), Tags: r.tags,
	}
	errs := make([]rivertype.AttemptError, len(r.errors))
	for i, raw := range r.errors {
		if err := riverdriver.UnmarshalAttemptError(raw, &errs[i]); err != nil {
			return job, err
		}
	}
	job.Errors = errs
	return job, nil
}

func utc(t *time.Time) *time.Time {
	if t != nil {
		u := t.UTC()
		t = &u
	}
	return t
}
