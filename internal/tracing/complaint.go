package tracing

import (
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel"
)

// complainEvery is how often a failing endpoint is mentioned in the log.
const complainEvery = time.Minute

// complaints hears what the SDK has to say, which is one ear for a whole process, and
// passes it on now and then.
var complaints struct {
	mu     sync.Mutex
	log    *slog.Logger
	last   time.Time
	silent int // complaints since last
	once   sync.Once
}

// complain has the SDK's complaints go to log.
func complain(log *slog.Logger) {
	complaints.mu.Lock()
	complaints.log = log
	complaints.mu.Unlock()
	complaints.once.Do(func() {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { heard(err.Error()) }))
		// Without the values that come along: among them is what
		// OTEL_EXPORTER_OTLP_HEADERS has for a key, when it cannot be read.
		otel.SetLogger(funcr.New(func(_, text string) { heard(text) }, funcr.Options{RenderArgsHook: func([]any) []any { return nil }}))
	})
}

// heard logs a complaint, or counts it. What it says may come from the endpoint.
func heard(text string) {
	c := &complaints
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.last) >= complainEvery {
		c.log.Warn("traces are lost, nothing else: look at OTEL_EXPORTER_OTLP_ENDPOINT and whether it answers", "error", cut(text, 300), "not_logged_before", c.silent)
		c.last, c.silent = now, 0
		return
	}
	c.silent++
}
