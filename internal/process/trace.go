package process

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/runnelhq/runnel/internal/tracing"
)

// flushLimit is how long a process that ends waits for its last traces to be taken.
const flushLimit = 2 * time.Second

// trace starts traces where they are asked for; otherwise the tracer is nil. stop ends
// them when everything else has ended, and not later than stopTimeout after ctx has:
// what nobody took by then is lost.
func (p *Process) trace(ctx context.Context, service string) (t *tracing.Tracer, stop func()) {
	endpoint := p.settings.Traces()
	if endpoint == "" {
		return nil, func() {}
	}
	t, err := tracing.Start(ctx, tracing.Config{Endpoint: endpoint, Service: service, Logger: p.log})
	if err != nil {
		// Its text may have what a variable is set to.
		p.log.Warn("there will be no traces: OpenTelemetry does not start with the OTEL_ variables as they are")
		return nil, func() {}
	}
	if p.settings.OTLPProtocol == "grpc" {
		p.log.Warn("OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and traces are exported by HTTP: give the endpoint's HTTP port, usually 4318")
	}
	var end atomic.Pointer[time.Time]
	forget := context.AfterFunc(ctx, func() {
		at := time.Now().Add(stopTimeout)
		end.Store(&at)
	})
	return t, func() {
		forget()
		deadline := time.Now().Add(flushLimit)
		if at := end.Load(); at != nil && at.Before(deadline) {
			deadline = *at
		}
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		t.Stop(ctx)
	}
}
