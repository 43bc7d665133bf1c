package jobs

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/redact"
)

func TestFetchesPassTheTraceOn(t *testing.T) {
	tracer, err := tracing.Start(t.Context(), tracing.Config{Endpoint: "http://127.0.0.1:1/v1/traces", Service: "test", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Stop(t.Context())
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-"
	to := &url.URL{Scheme: "https", Host: "api.example"}
	for flags, on := range map[string]bool{"-01": true, "-00": false} {
		attempt := tracer.Attempt(trace+"00f067aa0ba902b7"+flags, "id", "f", time.Now(), time.Now())
		call := attempt.Fetch()
		h := http.Header{}
		continued(attempt, call, redact.New())("GET", to, h)
		got := h.Get("Traceparent")
		if want := attempt.Traceparent(); !strings.HasPrefix(got, trace) || !strings.HasSuffix(got, flags) || call.On() != on || on == (got == want) {
			t.Errorf("passed on %q", got)
		}
		h.Set("Traceparent", "the function's own")
		if continued(attempt, call, redact.New())("GET", to, h); h.Get("Traceparent") != "the function's own" {
			t.Errorf("%v", h)
		}
	}
	if continued(tracing.Span{}, tracing.Span{}, redact.New()) != nil {
		t.Error("without tracing something is passed on")
	}
}

func TestFetchedStatus(t *testing.T) {
	for response, want := range map[string]int{
		`{"status":200,"headers":{}}`: 200, `{"status":404}`: 0, `{"error":{"code":"FetchError"}}`: 0, "": 0, `{"status":99999999999999999999,`: 0, `{"status":`: 0,
	} {
		if got := fetchedStatus([]byte(response)); got != want {
			t.Errorf("%s: %d, want %d", response, got, want)
		}
	}
}
