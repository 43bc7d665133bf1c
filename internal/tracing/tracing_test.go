package tracing_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/tracing"
	"github.com/runnelhq/runnel/internal/tracing/tracetest"
	"github.com/runnelhq/runnel/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	given      = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	invocation = "01a21573-8a3b-78dd-86d7-50833edc786c"
)

func start(t testing.TB, endpoint string) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.Start(t.Context(), tracing.Config{Endpoint: endpoint, Service: "test", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// stop waits for everything to be exported.
func stop(t testing.TB, tracer *tracing.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tracer.Stop(ctx)
}

// walk makes the spans of one invocation.
func walk(tracer *tracing.Tracer, parent string, hide *redact.Redactor) {
	call := tracer.Call(parent, "POST", invocation)
	attempt := tracer.Attempt(call.Traceparent(), invocation, "f", time.Time{}, time.Time{})
	query := attempt.Query("SELECT 'a' FROM t", hide)
	query.EndHost("ok", 0)
	fetch := attempt.Fetch()
	fetch.Request("GET", target, hide)
	fetch.EndHost("ok", 200)
	attempt.EndAttempt(runnel.Invocation{ID: invocation, FunctionName: "f"})
	call.EndCall("f", invocation, "request", 200, "")
}

var target = &url.URL{Scheme: "https", Host: "api.example:443", Path: "/path"}

func TestWithoutTracingNothingIsSpent(t *testing.T) {
	hide := redact.New("a secret of tests")
	if n := testing.AllocsPerRun(1000, func() { walk(nil, given, hide) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tp := (*tracing.Tracer)(nil).Attempt(given, invocation, "f", time.Now(), time.Now()).Traceparent(); tp != "" {
		t.Errorf("traceparent %q", tp)
	}
	(*tracing.Tracer)(nil).Stop(t.Context())
}

func BenchmarkInvocation(b *testing.B) {
	hide := redact.New("a secret of tests")
	b.Run("without tracing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			walk(nil, given, hide)
		}
	})
	r := tracetest.New(b)
	for name, parent := range map[string]string{"not sampled": strings.TrimSuffix(given, "01") + "00", "sampled": given} {
		b.Run(name, func(b *testing.B) {
			tracer := start(b, r.URL+"/v1/traces")
			defer stop(b, tracer)
			b.ReportAllocs()
			for b.Loop() {
				walk(tracer, parent, hide)
			}
		})
	}
}

// find returns the spans with a name.
func find(spans []tracetest.Span, name string) (found []tracetest.Span) {
	for _, s := range spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func TestATraceIsContinued(t *testing.T) {
	r := tracetest.New(t)
	tracer := start(t, r.URL+"/v1/traces")
	walk(tracer, given, redact.New())
	stop(t, tracer)
	spans := r.Spans()
	parent := "00f067aa0ba902b7"
	for _, name := range []string{"POST /functions/v1/{name}", "queue", "invoke f", "db_query", "http_fetch GET"} {
		found := find(spans, name)
		if len(found) != 1 || found[0].Trace != "4bf92f3577b34da6a3ce929d0e0e4736" || found[0].Parent != parent || found[0].Service != "test" {
			t.Fatalf("%s is %+v, want one below %s; all: %+v", name, found, parent, spans)
		}
		if name != "db_query" {
			parent = found[0].ID
		}
	}
	if got := find(spans, "http_fetch GET")[0].Attributes; got["server.address"] != "api.example" || got["http.response.status_code"] != "200" || strings.Contains(fmt.Sprint(got), "path") {
		t.Errorf("%v", got)
	}
	if got := find(spans, "db_query")[0].Attributes["db.query.text"]; got != "SELECT ? FROM t" {
		t.Errorf("%v", got)
	}
}

// A caller who does not want a trace gets none, and hands that on.
func TestWhatIsNotSampledIsNotExported(t *testing.T) {
	r := tracetest.New(t)
	tracer := start(t, r.URL+"/v1/traces")
	off := strings.TrimSuffix(given, "01") + "00"
	walk(tracer, off, redact.New())
	call := tracer.Call(off, "GET", invocation)
	if tp := call.Traceparent(); call.On() || !strings.HasPrefix(tp, off[:36]) || !strings.HasSuffix(tp, "-00") || tp == off {
		t.Errorf("handed on: %s", tp)
	}
	stop(t, tracer)
	if spans := r.Spans(); len(spans) != 0 {
		t.Errorf("%+v", spans)
	}
}

// All attempts of what no request asked for are in one trace, and different
// invocations are in different ones.
func TestTracesOfTheirOwn(t *testing.T) {
	r := tracetest.New(t)
	tracer := start(t, r.URL+"/v1/traces")
	for _, id := range []string{invocation, invocation, "another"} {
		tracer.Attempt("", id, "f", time.Now().Add(-time.Second), time.Now()).EndAttempt(runnel.Invocation{ID: id})
	}
	for _, broken := range []string{"x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff" + given[2:]} {
		tracer.Attempt(broken, invocation, strings.Repeat("f", 1000), time.Now().Add(time.Hour), time.Now()).EndNotStarted()
	}
	stop(t, tracer)
	traces := map[string]int{}
	for _, s := range r.Spans() {
		traces[s.Trace]++
		if s.Start.After(s.End) || len(s.Name) > 100 || (s.Parent == "") != (s.Name == "queue") {
			t.Errorf("%+v", s)
		}
	}
	if len(traces) != 2 {
		t.Errorf("%v", traces)
	}
}

func TestFUNC_S1_SpansHaveNoSecrets(t *testing.T) {
	const secret = "sk_live_4242424242"
	hide := redact.New(secret)
	r := tracetest.New(t)
	tracer := start(t, r.URL+"/v1/traces")
	attempt := tracer.Attempt("", invocation, "f", time.Time{}, time.Now())
	for _, text := range []string{
		"SELECT '" + secret + "'", "SELECT " + secret, `SELECT "` + secret + `"`, "SELECT 1 --" + secret, "SELECT 'x" + secret, "SELECT $" + secret + "$x$" + secret + "$",
		strings.Repeat("x", 1<<10-4) + secret, strings.Repeat(" ", 64<<10-8) + secret,
	} {
		attempt.Query(text, hide).EndHost("QueryError", 0)
	}
	for _, u := range []string{"https://h.example/" + secret, "https://h.example/?k=" + secret, "https://" + secret + ".example/", "https://u:" + secret + "@h.example/"} {
		to, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		fetch := attempt.Fetch()
		fetch.Request(strings.ToUpper(secret[:7]), to, hide)
		fetch.EndHost("FetchError", 0)
	}
	attempt.EndAttempt(runnel.Invocation{ID: invocation, ErrorCode: runnel.CodeFunctionError, ErrorMessage: hide.String("failed with " + secret)})
	stop(t, tracer)
	spans := r.Spans()
	if len(find(spans, "db_query")) != 8 || len(find(spans, "http_fetch _OTHER")) != 4 || len(find(spans, "invoke f")) != 1 || !find(spans, "invoke f")[0].Error {
		t.Errorf("%+v", spans)
	}
	for _, s := range []string{secret, secret[:8], secret[8:]} {
		if strings.Contains(r.Raw(), s) {
			t.Errorf("%s was exported: %+v", s, spans)
		}
	}
}

func TestHostCallsBeyondABoundHaveNoSpans(t *testing.T) {
	r := tracetest.New(t)
	tracer := start(t, r.URL+"/v1/traces")
	attempt := tracer.Attempt("", invocation, "f", time.Time{}, time.Now())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 200 {
				attempt.Query("SELECT 1", redact.New()).EndHost("ok", 0)
			}
		})
	}
	callers.Wait()
	attempt.EndAttempt(runnel.Invocation{ID: invocation})
	stop(t, tracer)
	spans := r.Spans()
	if n := len(find(spans, "db_query")); n != 500 || find(spans, "invoke f")[0].Attributes["runnel.host_calls_without_span"] != "300" {
		t.Errorf("%d spans of calls, %+v", n, find(spans, "invoke f"))
	}
}

// Whatever the endpoint does: spans are made in no time, and the end does not wait.
func TestEndpointsThatMisbehave(t *testing.T) {
	var hang chan struct{}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"down":                nil,
		"never answers":       func(http.ResponseWriter, *http.Request) { <-hang },
		"answers without end": endless,
		"answers nonsense": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			_, _ = w.Write([]byte("\xff\xff\xff nonsense"))
		},
		"refuses": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("no ", 1000), 400) },
		"wants us to wait": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1000000000")
			w.WriteHeader(503)
		},
		"sends us round": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/traces", http.StatusTemporaryRedirect)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"speaks no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = c.Write([]byte("220 smtp ready\r\n"))
				c.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			hang = make(chan struct{})
			s := httptest.NewUnstartedServer(handler)
			s.Config.ErrorLog = slog.NewLogLogger(slog.New(slog.NewTextHandler(io.Discard, nil)).Handler(), slog.LevelDebug)
			s.Start()
			if handler == nil {
				s.Close()
			}
			tracer := start(t, s.URL+"/v1/traces")
			began := time.Now()
			const n = 2000 // five spans each: five times what may wait
			for range n {
				walk(tracer, given, redact.New())
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d invocations took %s", n, took)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			began = time.Now()
			tracer.Stop(ctx)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the end took %s", took)
			}
			close(hang)
			if handler != nil {
				s.CloseClientConnections()
				s.Close()
			}
			ended(t)
		})
	}
}

// ended waits until nothing of the SDK runs.
func ended(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b := stacks(); !strings.Contains(b, "go.opentelemetry.io/otel/sdk") {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("the SDK still runs: %s", b)
		}
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// What a variable is set to does not come into the log when it cannot be read.
func TestFUNC_S1_TheExportersKeyIsNotLogged(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key-without-equals-sk-live-4242424242")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "broken-sk-live-4242424242")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tracing.ComplainAgain()
	stderr := os.Stderr
	os.Stderr = write
	log := new(strings.Builder)
	tracer, err := tracing.Start(t.Context(), tracing.Config{Endpoint: "http://127.0.0.1:1/v1/traces", Service: "test", Logger: slog.New(slog.NewTextHandler(log, nil))})
	os.Stderr = stderr
	write.Close()
	printed, _ := io.ReadAll(bufio.NewReader(read))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, tracer)
	ended(t)
	if strings.Contains(log.String()+string(printed), "4242424242") {
		t.Errorf("logged %s, printed %s", log, printed)
	}
	if !strings.Contains(log.String(), "OTEL_RESOURCE_ATTRIBUTES could not be read") || !strings.Contains(log.String(), "parse headers") {
		t.Errorf("logged %s", log)
	}
}

// The standard variables are the SDK's.
func TestStandardVariables(t *testing.T) {
	r := tracetest.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k1")
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
	tracer := start(t, r.URL+"/v1/traces")
	const n = 2000
	sampled := 0
	for i := range n {
		if a := tracer.Attempt("", fmt.Sprint("invocation ", i), "f", time.Time{}, time.Now()); a.On() {
			sampled++
			if sampled == 1 {
				a.EndAttempt(runnel.Invocation{})
			}
		}
	}
	stop(t, tracer)
	if sampled < n/5 || sampled > n*3/10 {
		t.Errorf("%d of %d are sampled", sampled, n)
	}
	spans := r.Spans()
	if len(spans) == 0 || spans[0].Service != "shop" || r.Headers()[0].Get("Api-Key") != "k1" || r.Headers()[0].Get("Content-Encoding") != "gzip" {
		t.Errorf("%+v, %v", spans, r.Headers())
	}
}
