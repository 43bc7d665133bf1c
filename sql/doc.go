// Package sql holds Runnel's truth in Postgres: the schema and its migrations,
// the functions that SQL users call, and the statements behind each step of an
// invocation. Statements are the files of query/, tables those of migration/,
// functions, views and triggers those of routine/: plain SQL that psql runs.
//
// # An invocation's rows
//
// One transaction writes an event (runnel.invocation_events) and a River job that
// carries its id: Enqueue for HTTP, runnel.invoke for SQL, the trigger functions
// for changed rows, SweepSchedules for cron. Nothing is visible before it commits,
// and nothing is left when it rolls back (FUNC-T1).
//
// River's client fetches the job (available -> running, attempt + 1). Load reads
// the event, the function and its version of that moment. Settle ends the attempt:
//
//	running -> completed   success
//	        -> discarded   failed, no attempt left or none useful
//	        -> retryable   failed, another attempt follows
//	        -> cancelled
//
// and writes the attempt's log row, the response if somebody waits, and one
// notification, in the same statement. The key of an attempt everywhere is
// (invocation id, attempt number); created_at, in every table, is the job's.
//
// # Who ends an attempt
//
// Exactly one of these does, because each of them moves a job that is running
// under that attempt number, and nobody else's:
//
//   - Settle, by the worker that ran it;
//   - HandBack, by a worker that stops: the attempt never was, no row;
//   - Lost, by any process, when the worker's heartbeat has stopped;
//   - River itself (rescuer, cancel in River UI).
//
// The last two know nothing of the log: the trigger on river_job writes their
// row and response. A worker that comes back late finds its attempt ended and its
// settlement refused; what its function committed stays (FUNC-F2).
//
// # Time
//
// Only the database's clock decides what is due, lost or expired. The clock of
// this process is in ids, for sorting, and in what callers put into log rows.
package sql
