// Package api is Runnel's HTTP face: it calls functions and waits for their
// results, manages functions behind the admin token, and serves the operator's
// pages.
//
// The way of a call: invoke.go finds the function and reads the request,
// auth.go says on whose behalf, event.go builds the event, jobs.Invoker carries
// it to a worker and back, result.go turns the result into a response, and
// errors.go does so where there is none.
//
// Not built yet, and answered with 404 or 400 rather than ignored: triggers,
// schedules and their ticks over HTTP (use runnel.create_trigger and
// runnel.schedule in SQL), secrets, stats, replay, cancel, /console/,
// Idempotency-Key, and limits on concurrency and rate.
//
// Nothing secret leaves through here: environments are redacted on the way out,
// credentials never enter an event, and neither tokens nor bodies nor query
// strings are logged.
package api
