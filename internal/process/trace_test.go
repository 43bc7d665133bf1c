package process_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/internal/guests"
	"github.com/runnelhq/runnel/internal/pgtest"
	"github.com/runnelhq/runnel/internal/process"
	"github.com/runnelhq/runnel/internal/tracing/tracetest"
	"github.com/runnelhq/runnel/jobs"
	"github.com/runnelhq/runnel/sql"
)

// both runs web and worker with these settings more.
func both(t *testing.T, environ ...string) (base string, db *sql.DB, stop func() error) {
	t.Helper()
	url := pgtest.Database(t)
	s := load(t, append([]string{"DATABASE_URL=" + url, "RUNNEL_WORKERS=4", "RUNNEL_ADMIN_TOKEN=0123456789abcdef",
		"RUNNEL_JWT_SECRET=0123456789abcdef0123456789abcdef", "RUNNEL_SLOT_SECRET=0123456789abcdef0123456789abcdef"}, environ...)...)
	l := listen(t)
	p := process.New(s, quiet(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- process.Run(ctx, p.Work, func(ctx context.Context) error { return p.Web(ctx, l) })
	}()
	base = "http://" + l.Addr().String()
	get(t, base+"/readyz", 200)
	db, err := sql.Open(t.Context(), url, sql.Options{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return base, db, func() error { cancel(); return <-done }
}

const said = "sk_live_4242424242"

// failing does what spans are made of, each with a secret in it.
const failing = `export async function handler() {
	await db.query("SELECT '" + env.API_KEY + "' AS a, $1::int /* " + env.API_KEY + " */", 1);
	await db.query("SELECT " + env.API_KEY + " FROM nowhere").catch(() => {});
	await fetch("http://127.0.0.1/" + env.API_KEY + "?k=" + env.API_KEY, { headers: { authorization: env.API_KEY } }).catch(() => {});
	console.log(env.API_KEY);
	throw new Error("failed with " + env.API_KEY);
}`

func TestAnInvocationIsTracedFromTheRequestToItsCalls(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	r := tracetest.New(t)
	base, db, stop := both(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.URL)
	deployer := jobs.NewDeployer(db)
	defer deployer.Close()
	no, env, hosts := false, map[string]string{"API_KEY": said}, []string{"127.0.0.1"}
	attempts := 2
	if _, err := deployer.DeployScript(t.Context(), sql.Deploy{Name: "failing", Config: runnel.Config{VerifyJWT: &no, Environment: &env, AllowedHosts: &hosts}}, "f.js", []byte(failing)); err != nil {
		t.Fatal(err)
	}
	if _, err := deployer.Deploy(t.Context(), sql.Deploy{Name: "trap", Wasm: guests.Trap(), Config: runnel.Config{MaxAttempts: &attempts, Backoff: &runnel.Backoff{Initial: runnel.Duration(100 * time.Millisecond)}}}); err != nil {
		t.Fatal(err)
	}
	const trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	call := func(name, traceparent string) (id string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", base+"/functions/v1/"+name+"?token="+said, strings.NewReader(said))
		if err != nil {
			t.Fatal(err)
		}
		if traceparent != "" {
			req.Header.Set("Traceparent", traceparent)
		}
		req.Header.Set("X-Request-Id", "request-of-"+name)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.Header.Get("X-Runnel-Invocation-Id")
	}
	given := "00-" + trace + "-" + caller + "-01"
	traced, own, refused := call("failing", given), call("failing", ""), call("nobody", "")
	call("failing", "00-"+trace+"-1111111111111111-00") // whose caller wants none
	var queued string
	if err := db.Pool().QueryRow(t.Context(), `SELECT runnel.invoke('trap')`).Scan(&queued); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 2; {
		if err := db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM runnel.function_invocations WHERE id = $1`, queued).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}

	spans := r.Spans()
	for _, s := range []string{said, said[:8], "token="} {
		if strings.Contains(r.Raw(), s) {
			t.Errorf("%q was exported: %+v", s, spans)
		}
	}
	below := func(parent string) (found []tracetest.Span) {
		for _, s := range spans {
			if s.Parent == parent {
				found = append(found, s)
			}
		}
		return found
	}
	only := func(parent, name string) tracetest.Span {
		t.Helper()
		found := below(parent)
		if len(found) != 1 || found[0].Name != name {
			t.Fatalf("below %s is %+v, want one %s; all: %+v", parent, found, name, spans)
		}
		return found[0]
	}
	// The one whose caller traces it.
	server := only(caller, "POST /functions/v1/{name}")
	if server.Trace != trace || server.Kind != "SERVER" || server.Service != "runnel-web" || server.Attributes["http.response.status_code"] != "500" || !server.Error ||
		server.Attributes["faas.invocation_id"] != traced || server.Attributes["error.type"] != "FunctionError" || server.Attributes["runnel.function"] != "failing" || server.Attributes["runnel.request_id"] != "request-of-failing" {
		t.Errorf("%+v", server)
	}
	attempt := only(only(server.ID, "queue").ID, "invoke failing")
	if attempt.Trace != trace || attempt.Kind != "CONSUMER" || attempt.Service != "runnel-worker" || !attempt.Error || !strings.Contains(attempt.Message, "failed with ***REDACTED***") ||
		attempt.Attributes["faas.invocation_id"] != traced || attempt.Attributes["runnel.status"] != "error" || attempt.Attributes["faas.trigger"] != "http" || attempt.Attributes["runnel.attempt"] != "1" {
		t.Errorf("%+v", attempt)
	}
	var calls []string
	for _, s := range below(attempt.ID) {
		calls = append(calls, fmt.Sprintf("%s %s %s %s %s", s.Name, s.Kind, s.Attributes["db.query.text"], s.Attributes["server.address"], s.Attributes["error.type"]))
		if s.Start.Before(attempt.Start) || s.End.After(attempt.End) {
			t.Errorf("%+v is not within %+v", s, attempt)
		}
	}
	if want := []string{"db_query CLIENT SELECT ? AS a, $1::int    ", "db_query CLIENT SELECT ***REDACTED*** FROM nowhere  QueryError", "http_fetch GET CLIENT  127.0.0.1 HostNotAllowed"}; strings.Join(calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(calls, "\n"), strings.Join(want, "\n"))
	}
	if len(below("1111111111111111")) != 0 {
		t.Error("a call whose caller does not trace was exported")
	}

	// The others have traces of their own, which their rows name.
	row := func(id string, attempt int) (traceparent string) {
		t.Helper()
		if err := db.Pool().QueryRow(t.Context(), `SELECT traceparent FROM runnel.function_invocations WHERE id = $1 AND attempt = $2`, id, attempt).Scan(&traceparent); err != nil {
			t.Fatal(err)
		}
		return traceparent
	}
	if got := row(traced, 1); got != given {
		t.Errorf("the row has %s, want the request's %s", got, given)
	}
	roots := map[string][]tracetest.Span{}
	for _, s := range below("") {
		roots[s.Trace] = append(roots[s.Trace], s)
	}
	if found := roots[row(own, 1)[3:35]]; len(found) != 1 || found[0].Attributes["faas.invocation_id"] != own {
		t.Errorf("%+v", found)
	}
	if found := roots[row(queued, 2)[3:35]]; row(queued, 1)[3:35] != row(queued, 2)[3:35] || len(found) != 2 || found[0].Name != "queue" || only(found[0].ID, "invoke trap").Attributes["faas.trigger"] != "other" {
		t.Errorf("%+v", found)
	}
	found := false
	for _, s := range below("") {
		found = found || s.Attributes["faas.invocation_id"] == refused && s.Attributes["http.response.status_code"] == "404" && !s.Error
	}
	if !found || len(roots) != 3 {
		t.Errorf("%d traces, %+v", len(roots), roots)
	}
}

// Nobody asked for traces: nothing of OpenTelemetry runs.
func TestWithoutAnEndpointNoSDKRuns(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	_, _, stop := both(t)
	b := make([]byte, 4<<20)
	if b = b[:runtime.Stack(b, true)]; strings.Contains(string(b), "go.opentelemetry.io") {
		t.Errorf("the SDK runs: %s", b)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// An endpoint that takes connections and never answers costs invocations nothing, and
// the end two seconds at most.
func TestAnEndpointThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	l := listen(t)
	conns := make(chan net.Conn, 100)
	go func() {
		defer close(conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c // and nothing more
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for c := range conns {
			c.Close()
		}
	})
	base, db, stop := both(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+l.Addr().String())
	no := false
	if _, err := jobs.NewDeployer(db).Deploy(t.Context(), sql.Deploy{Name: "hello", Wasm: guests.Answer(`"hello"`), Config: runnel.Config{VerifyJWT: &no}}); err != nil {
		t.Fatal(err)
	}
	for range 300 { // 900 spans: a batch is full and under way
		if body := get(t, base+"/functions/v1/hello", 200); body != "hello" {
			t.Fatal(body)
		}
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("the end took %s", took)
	}
}
