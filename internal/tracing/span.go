package tracing

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/redact"
)

const (
	maxText = 1 << 10 // bytes of a text that a function can choose
	maxHost = 253
	// maxHostCalls is how many calls of one attempt have spans: what waits to be
	// exported is bounded for all functions together.
	maxHostCalls = 500
)

// Span is a step of an invocation. The zero Span is none, and so is one that nobody
// wants sampled, but for its Traceparent.
type Span struct {
	span   trace.Span // nil: no tracing
	tracer *Tracer
	calls  *atomic.Int64 // of an attempt: host calls that there were
}

// On tells whether anything is recorded.
func (s Span) On() bool { return s.span != nil && s.span.IsRecording() }

// Traceparent is what continues the trace below s, in W3C's form; "" without tracing.
func (s Span) Traceparent() string {
	if s.span == nil {
		return ""
	}
	c := s.span.SpanContext()
	return fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags())
}

// EndNotStarted ends the span of an attempt whose function did not begin: somebody
// else will make it.
func (s Span) EndNotStarted() {
	if !s.On() {
		return
	}
	s.span.SetAttributes(attribute.String("runnel.status", "not_started"))
	s.span.End()
}

// EndCall ends the span of a call. function is "" when it was not found out.
func (s Span) EndCall(function, invocation, requestID string, status int, code runnel.Code) {
	if !s.On() {
		return
	}
	if status != 0 { // somebody was there to answer
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	s.span.SetAttributes(
		attribute.String("faas.invocation_id", invocation),
		attribute.String("runnel.request_id", requestID),
	)
	if function != "" {
		s.span.SetAttributes(attribute.String("runnel.function", function))
	}
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", string(code)))
	}
	if status >= 500 { // what the caller did wrong is no error of ours
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// EndAttempt ends the span of an attempt with what its log row says. The row has been
// redacted.
func (s Span) EndAttempt(row runnel.Invocation) {
	if !s.On() {
		return
	}
	s.span.SetAttributes(
		attribute.String("faas.invocation_id", row.ID),
		attribute.String("faas.trigger", triggers[row.Trigger]),
		attribute.String("runnel.function", row.FunctionName),
		attribute.Int("runnel.version", row.Version),
		attribute.String("runnel.trigger", string(row.Trigger)),
		attribute.Int("runnel.attempt", row.Attempt),
		attribute.Int64("runnel.job_id", row.JobID),
		attribute.String("runnel.status", string(row.Status)),
		attribute.String("runnel.role", row.Role),
		attribute.Int64("runnel.memory_peak", row.MemoryPeak),
	)
	if n := s.calls.Load() - maxHostCalls; n > 0 {
		s.span.SetAttributes(attribute.Int64("runnel.host_calls_without_span", n))
	}
	if row.ErrorCode != "" {
		s.span.SetAttributes(attribute.String("error.type", string(row.ErrorCode)))
		s.span.SetStatus(codes.Error, cut(row.ErrorMessage, maxText))
	}
	s.span.End()
}

// triggers are OpenTelemetry's names for ours.
var triggers = map[runnel.Trigger]string{
	runnel.TriggerHTTP: "http", runnel.TriggerSchedule: "timer", runnel.TriggerDatabase: "datasource", runnel.TriggerSQL: "other",
}

// Query begins the span of a db_query below s.
func (s Span) Query(text string, hide *redact.Redactor) Span {
	if !s.another() {
		return Span{}
	}
	attributes := []attribute.KeyValue{attribute.String("db.system.name", "postgresql")}
	// A secret that was cut could not be found any more: all or nothing of the text.
	if len(text) <= maxStatement {
		attributes = append(attributes, attribute.String("db.query.text", cut(withoutLiterals(hide.String(text)), maxText)))
	}
	return s.below("db_query", attributes...)
}

// Fetch begins the span of an http_fetch below s.
func (s Span) Fetch() Span {
	if !s.another() {
		return Span{}
	}
	return s.below("http_fetch")
}

// another counts a host call and tells whether it is to have a span.
func (s Span) another() bool { return s.On() && s.calls.Add(1) <= maxHostCalls }

func (s Span) below(name string, attributes ...attribute.KeyValue) Span {
	return s.tracer.start(trace.ContextWithSpan(context.Background(), s.span), name, trace.SpanKindClient, time.Time{}, attributes...)
}

// Request says what a fetch asks for: not which path, which may be a secret of another
// kind than we know.
func (s Span) Request(method string, to *url.URL, hide *redact.Redactor) {
	if !s.On() {
		return
	}
	method = knownMethod(method)
	s.span.SetName("http_fetch " + method)
	s.span.SetAttributes(
		attribute.String("http.request.method", method),
		attribute.String("url.scheme", to.Scheme),
		attribute.String("server.address", cut(hide.String(to.Hostname()), maxHost)),
	)
}

// EndHost ends the span of a host call. outcome is "ok", or the code of the error that
// the function reads; status is of an HTTP response, 0 for none.
func (s Span) EndHost(outcome string, status int) {
	if !s.On() {
		return
	}
	if status != 0 {
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if outcome != "ok" {
		s.span.SetAttributes(attribute.String("error.type", outcome))
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// cut shortens a text to n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
