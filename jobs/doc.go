// Package jobs carries invocations through River: it enqueues them, runs them
// in sandboxes, settles them, wakes whoever waits, and fires schedules.
//
// The life of one attempt:
//
//	enqueued   an event row and a River job commit together (package sql)
//	running    River hands the job to a Worker, which loads the task: event,
//	           configuration, current version, in one statement for many jobs
//	settled    job state, error, log row, response and wake-up commit in one
//	           statement, fenced by (job, attempt, state = 'running')
//	waited     an Invoker reads the response row and answers its caller
//
// A process may die between any two of these. Before "running" nothing happened
// and another worker takes the job. Between "running" and "settled" the attempt
// is settled as lost by the sweep of another worker, within 30 s, and a worker
// that was only slow finds the fence closed. After "settled" only the wake-up
// can be missing, and waiters look again by themselves once a second.
package jobs
