// Package tracing makes OpenTelemetry traces of invocations and exports them by
// OTLP over HTTP.
//
//	POST /functions/v1/{name}     web, from the request to its answer
//	  queue                       worker, from when the attempt was due to when it began
//	    invoke {function}         worker, the attempt
//	      db_query                each call of the function
//	      http_fetch {method}
//
// A call that brings a traceparent continues its trace. What no request asked for
// (SQL, row changes, schedules) begins one of its own, whose id follows from the
// invocation's, so that all attempts of an invocation are in one trace.
//
// Traces are an aid and never in the way: spans that are over go into a queue of
// bounded length, from which one goroutine exports them. What does not fit is dropped;
// an endpoint that is down, slow or hostile costs spans and nothing else.
//
// Spans leave the house, so they hold less than the log does: no parameters, no
// literals of SQL, no paths or queries of URLs, no results, no log lines, no claims;
// what is text of a function's is redacted like a log line first.
package tracing
