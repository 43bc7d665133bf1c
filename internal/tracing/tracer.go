package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxName is how long a function's name may be.
const maxName = 64

// Config says where traces go. Everything else is in the standard OTEL_ variables,
// which the SDK reads itself.
type Config struct {
	Endpoint string // where batches are posted to, such as http://localhost:4318/v1/traces
	Service  string // service.name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES has one
	Logger   *slog.Logger
}

// Tracer makes spans. A nil Tracer makes none, at no cost. Safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Start starts the SDK. Stop it.
func Start(ctx context.Context, c Config) (*Tracer, error) {
	complain(c.Logger)
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.Endpoint))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// Neither host nor process: a command line can have anything in it.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", c.Service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		// What could be read is there. The text may have a value of the environment in it.
		c.Logger.Warn("OTEL_RESOURCE_ATTRIBUTES could not be read in full: write it as key=value,key=value")
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(ids{}))
	return &Tracer{provider: p, tracer: p.Tracer("github.com/runnelhq/runnel")}, nil
}

// Stop exports what is waiting, until ctx ends, and ends the SDK. What is left then
// is lost. It never fails: errors are logged.
func (t *Tracer) Stop(ctx context.Context) {
	if t == nil {
		return
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// Call begins the span of a call over HTTP: parent is its traceparent, "" when it has
// none.
func (t *Tracer) Call(parent, method, invocation string) Span {
	if t == nil {
		return Span{}
	}
	method = knownMethod(method)
	return t.start(t.under(parent, invocation), method+" /functions/v1/{name}", trace.SpanKindServer, time.Time{},
		attribute.String("http.request.method", method), attribute.String("http.route", "/functions/v1/{name}"))
}

// Attempt begins the span of an attempt, below one that says how long it waited.
// parent is a traceparent; "" begins a trace.
func (t *Tracer) Attempt(parent, invocation, function string, due, began time.Time) Span {
	if t == nil {
		return Span{}
	}
	if due.IsZero() || due.After(began) {
		due = began // clocks differ
	}
	queue := t.start(t.under(parent, invocation), "queue", trace.SpanKindInternal, due)
	queue.span.End(trace.WithTimestamp(began))
	// Anybody who may write jobs can name a function.
	s := t.start(trace.ContextWithSpan(context.Background(), queue.span), "invoke "+cut(function, maxName), trace.SpanKindConsumer, began)
	s.calls = new(atomic.Int64)
	return s
}

func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind, at time.Time, attributes ...attribute.KeyValue) Span {
	options := []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...)}
	if !at.IsZero() {
		options = append(options, trace.WithTimestamp(at))
	}
	_, span := t.tracer.Start(ctx, name, options...)
	return Span{span: span, tracer: t}
}

// under is a context whose spans are below parent, or in the trace of the invocation.
func (t *Tracer) under(parent, invocation string) context.Context {
	ctx := context.Background()
	if parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
		if trace.SpanContextFromContext(ctx).IsValid() {
			return ctx
		}
	}
	return context.WithValue(ctx, traceOf{}, invocation)
}

// traceOf is the key of the invocation that a new trace is made for.
type traceOf struct{}

// ids makes ids. Those of traces follow from the invocation. A hash, because samplers
// take part of the id for a random number, and parts of an invocation's are a clock.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	invocation, _ := ctx.Value(traceOf{}).(string)
	sum := sha256.Sum256([]byte("runnel trace " + invocation))
	copy(t[:], sum[:])
	return t, ids{}.NewSpanID(ctx, t)
}

func (ids) NewSpanID(context.Context, trace.TraceID) (s trace.SpanID) {
	for !s.IsValid() {
		binary.NativeEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

// knownMethod keeps names that anybody can make up out of what spans are grouped by.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "_OTHER"
}
