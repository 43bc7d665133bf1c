package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/runnelhq/runnel/internal/guests"
)

// devServer is a runnel dev that a test started.
type devServer struct {
	t        *testing.T
	out, err buffer
	stop     context.CancelFunc
	code     chan int
}

func startDev(t *testing.T, args ...string) *devServer {
	t.Helper()
	s := &devServer{t: t, code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		defer close(s.code)
		s.code <- run(ctx, append([]string{"dev"}, args...), streams{strings.NewReader(""), &s.out, &s.err})
	}()
	t.Cleanup(s.end) // before its folder is removed
	s.says("Watching")
	return s
}

// says waits for text on either output.
func (s *devServer) says(text string) {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !strings.Contains(s.out.String()+s.err.String(), text) {
		select {
		case code := <-s.code:
			s.t.Fatalf("runnel dev ended with %d:\n%s%s", code, s.out.String(), s.err.String())
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("runnel dev did not say %q:\n%s%s", text, s.out.String(), s.err.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// end stops runnel dev and waits for it. It may be called again.
func (s *devServer) end() {
	s.t.Helper()
	s.stop()
	select {
	case code, first := <-s.code:
		if first && code != 0 {
			s.t.Errorf("runnel dev ended with %d:\n%s", code, s.err.String())
		}
	case <-time.After(time.Minute):
		s.t.Fatal("runnel dev did not end")
	}
}

// TestDev walks through a first day with Runnel, its own Postgres included.
func TestDev(t *testing.T) {
	alone(t)
	t.Cleanup(func() { // for root the database may be elsewhere (see package localpg)
		if note, err := os.ReadFile(".runnel/postgres/location"); err == nil {
			place, _, _ := strings.Cut(string(note), "\n")
			os.RemoveAll(place)
		}
	})
	// The default port is taken, by us or by somebody who keeps it.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
			defer l.Close()
			break
		}
	}
	write(t, "functions/echo/runnel.json", `{"config":{"verify_jwt":false,"environment":{"API_KEY":"sk-live-4242424242"}},"sql":"../demo.sql",
		"try":[{"trigger":"schedule","command":"{{runnel}} logs echo"},{"trigger":"http","command":"curl {{url}}/functions/v1/echo"}]}`)
	write(t, "functions/echo/echo.wasm", string(guests.Echo()))
	write(t, "functions/broken/runnel.json", `{"nmae":"x"}`)
	if out, errs, code := command(t, "", "init", "functions"); code != 0 || !strings.Contains(out, "functions/hello/index.ts") || !strings.Contains(errs, "dev functions") {
		t.Errorf("init: %d %s%s", code, out, errs)
	}
	write(t, "functions/talk/index.ts", "console.log('routes\\x1b[2J', 2); export const handler = (e: { body: string }) => e.body;\n")
	write(t, "functions/demo.sql", "create table if not exists public.seen (n int);\ninsert into public.seen values (1);")

	dev := startDev(t)
	for _, text := range []string{"is taken; using", "echo is deployed: version 1", "hello is deployed: version 1", "talk is deployed: version 1", `talk: info  routes\u001b[2J 2`, "functions/broken: not deployed", `"nmae"`, "functions/demo.sql: run", "/riverui/"} {
		dev.says(text)
	}
	if out := dev.out.String(); strings.Index(out, "# http") > strings.Index(out, "# schedule") || !strings.Contains(out, "curl http://127.0.0.1:") || strings.Contains(out, "{{") {
		t.Errorf("commands to try:\n%s", out)
	}
	must := func(stdin string, args ...string) string {
		t.Helper()
		out, errs, code := command(t, stdin, args...)
		if code != 0 {
			t.Fatalf("runnel %s: exit code %d: %s%s", strings.Join(args, " "), code, out, errs)
		}
		return out
	}

	if out := must("", "doctor"); strings.Contains(out, "problem") || strings.Contains(out, "warning") || !strings.Contains(out, "workers: 1 alive") {
		t.Errorf("doctor:\n%s", out)
	}

	// HTTP.
	if out := must("", "invoke", "echo", "-d", `{"n": 1}`); !strings.Contains(out, `"body":{"n": 1}`) || !strings.Contains(out, `"role":"anon"`) {
		t.Errorf("invoke: %s", out)
	}
	if out := must("from stdin", "invoke", "echo", "-d", "-"); !strings.Contains(out, `"body":"from stdin"`) {
		t.Errorf("invoke with standard input: %s", out)
	}
	write(t, "body.json", `[1]`)
	var answer answer
	if err := json.Unmarshal([]byte(must("", "invoke", "echo", "-d", "@body.json", "--json")), &answer); err != nil || answer.Status != 200 || answer.InvocationID == "" {
		t.Errorf("invoke --json: %+v, %v", answer, err)
	}
	if _, errs, code := command(t, "", "invoke", "nope"); code != 1 || !strings.Contains(errs, "FunctionNotFound") {
		t.Errorf("invoke of nothing: %d %s", code, errs)
	}
	if out := must("", "logs", "echo"); strings.Count(out, "success") != 3 {
		t.Errorf("logs: %s", out)
	}
	if out := must("", "logs", "echo", "--json", "--limit", "1"); strings.Count(out, "\n") != 1 || !json.Valid([]byte(out)) || strings.Contains(out, "sk-live") {
		t.Errorf("logs --json: %s", out)
	}
	if out := must("", "list"); !strings.Contains(out, "echo") || !strings.Contains(out, "by anyone") {
		t.Errorf("list: %s", out)
	}

	// SQL.
	if out := must("", "sql", "select n, null as nothing from public.seen; select runnel.invoke('echo')"); !strings.Contains(out, "(1 row)") {
		t.Errorf("sql: %s", out)
	}
	if out := must("select 1.50::numeric as a, true as b, '{\"c\": 1}'::jsonb as c, 'x' as d, null as e", "sql", "-", "--json"); !strings.Contains(strings.Join(strings.Fields(out), ""), `[1.50,true,{"c":1},"x",null]`) {
		t.Errorf("sql --json: %s", out)
	}
	if _, errs, code := command(t, "", "sql", "select 1;\nselect nope"); code != 1 || !strings.Contains(errs, "42703") || !strings.Contains(errs, "line 2") {
		t.Errorf("sql with an error: %d %s", code, errs)
	}

	// Another deploy, by hand.
	write(t, "more/tell.wasm", string(guests.Tell("MY_TOKEN")))
	if out := must("", "deploy", "more/tell.wasm", "--env", "MY_TOKEN=token-1234567890", "--timeout", "500ms"); !strings.Contains(out, "tell is deployed as version 1") {
		t.Errorf("deploy: %s", out)
	}
	if out := must("", "deploy", "more/tell.wasm"); !strings.Contains(out, "tell is unchanged: version 1") {
		t.Errorf("deploy again: %s", out)
	}
	if out := must("", "deploy", "more/tell.wasm", "--force"); !strings.Contains(out, "tell is deployed as version 2") {
		t.Errorf("deploy --force: %s", out)
	}
	write(t, "more/loud.js", "console.warn('at\\nonce'); export const handler = () => 1")
	if out, errs, code := command(t, "", "deploy", "more/loud.js"); code != 0 || errs != "loud: warn  at\nloud: warn  once\n" || !strings.Contains(out, "version 1") {
		t.Errorf("deploy of a script that logs: %d %q %q", code, out, errs)
	}
	if out := must("", "deploy", "more/loud.js", "--json"); !strings.Contains(out, `"message": "at\nonce"`) || !strings.Contains(out, `"unchanged": true`) {
		t.Errorf("deploy --json: %s", out)
	}
	write(t, "more/loud.js", "console.warn('before'); throw new Error('no')")
	if _, errs, code := command(t, "", "deploy", "more/loud.js"); code != 1 || !strings.HasPrefix(errs, "loud: warn  before\nrunnel: InvalidModule") {
		t.Errorf("deploy of a script that fails: %d %q", code, errs)
	}
	if _, errs, code := command(t, "", "deploy", "more/loud.js", "--json"); code != 1 || !json.Valid([]byte(errs)) || !strings.Contains(errs, `"code":"InvalidModule"`) || !strings.Contains(errs, `"message":"before"`) {
		t.Errorf("deploy --json of a script that fails: %d %q", code, errs)
	}
	if _, errs, code := command(t, "", "deploy", "more/tell.wasm", "--create-only"); code != 1 || !strings.Contains(errs, "AlreadyExists") {
		t.Errorf("deploy --create-only: %d %s", code, errs)
	}
	if _, errs, code := command(t, "", "deploy", "more/tell.wasm", "--env", "MY_TOKEN"); code != 2 {
		t.Errorf("deploy --env without a value: %d %s", code, errs)
	}
	if _, errs, code := command(t, "", "deploy", "more/tell.wasm", "--timeout", "soon"); code != 2 || !strings.Contains(errs, "not a duration") {
		t.Errorf("deploy with a bad timeout: %d %s", code, errs)
	}
	must("", "invoke", "tell")
	if out := must("", "logs", "tell"); !strings.Contains(out, "***REDACTED***") || strings.Contains(out, "token-1234567890") {
		t.Errorf("logs of a told secret: %s", out)
	}

	// Keys.
	user := strings.TrimSpace(must("", "keys", "--role", "authenticated", "--sub", "user-1", "--expires", "1h"))
	if out := must("", "invoke", "echo", "--key", user); !strings.Contains(out, `"user_id":"user-1","role":"authenticated"`) {
		t.Errorf("invoke as a user: %s", out)
	}
	if _, _, code := command(t, "", "keys", "--role", "owner"); code != 2 {
		t.Errorf("keys of a role that is none: %d", code)
	}
	var keys map[string]string
	if err := json.Unmarshal([]byte(must("", "keys", "--json")), &keys); err != nil || len(keys) != 2 {
		t.Errorf("keys: %v, %v", keys, err)
	}

	// What init wrote answers, and what is saved answers a moment later.
	if out := must("", "invoke", "hello", "--data", `{"name":"Ada"}`); !strings.Contains(out, `"hello":"Ada"`) || !strings.Contains(out, `"role":"anon"`) {
		t.Errorf("the first function answers %s", out)
	}
	first, err := os.ReadFile("functions/hello/index.ts")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "functions/hello/index.ts", strings.Replace(string(first), "hello: name", "hi: name", 1))
	dev.says("hello is deployed: version 2")
	if out := must("", "invoke", "hello"); !strings.Contains(out, `"hi":"world"`) {
		t.Errorf("after it was saved: %s", out)
	}
	if out := must("", "versions", "hello"); !strings.Contains(out, "javascript") || strings.Count(out, "\n") != 3 {
		t.Errorf("versions: %s", out)
	}
	must("", "rollback", "hello")
	if out := must("", "invoke", "hello"); !strings.Contains(out, `"hello":"world"`) {
		t.Errorf("after it was rolled back: %s", out)
	}
	must("", "rollback", "hello", "2")
	if _, errs, code := command(t, "", "invoke", "helo"); code != 1 || !strings.Contains(errs, "did you mean hello?") {
		t.Errorf("a typo: %d %s", code, errs)
	}

	walkControl(t, must)

	// A change is deployed, and so is one that mends what was broken.
	write(t, "functions/echo/echo.wasm", string(guests.Answer(`"changed"`)))
	dev.says("echo is deployed: version 2")
	if out := must("", "invoke", "echo"); out != "changed\n" {
		t.Errorf("after the change: %q", out)
	}
	write(t, "functions/broken/runnel.json", `{"name":"mended"}`)
	write(t, "functions/broken/m.wasm", string(guests.Answer(`{"statusCode":404,"body":"not here"}`)))
	dev.says("mended is deployed: version 1")
	if out, errs, code := command(t, "", "invoke", "mended"); code != 1 || out != "not here\n" || !strings.Contains(errs, "404") {
		t.Errorf("an answer of 404: %d %q %s", code, out, errs)
	}

	// Everything is there after a restart, and nothing gets a new version.
	before, err := readState(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	dev.end()
	if _, errs, code := command(t, "", "list"); code != 1 || !strings.Contains(errs, "nothing answers") {
		t.Errorf("list after the end: %d %s", code, errs)
	}
	dev = startDev(t)
	dev.says("echo is unchanged: version 2")
	dev.says("talk is unchanged: version 1")
	dev.says("hello is unchanged: version 2")
	after, err := readState(stateDir)
	if err != nil || after.AdminToken != before.AdminToken || after.JWTSecret != before.JWTSecret {
		t.Errorf("the secrets changed: %v", err)
	}
	if out := must("", "invoke", "echo", "--key", user); out != "changed\n" {
		t.Errorf("after the restart: %q", out)
	}
	if out := must("", "sql", "select count(*) from public.seen"); !strings.Contains(out, "3") {
		t.Errorf("demo.sql ran at the start, at the change and at the restart: %s", out)
	}
	dev.end()
}

// walkControl rolls back, cancels, replays, redrives, purges and deletes.
func walkControl(t *testing.T, must func(stdin string, args ...string) string) {
	t.Helper()
	fails := func(want int, says string, args ...string) {
		t.Helper()
		if out, errs, code := command(t, "", args...); code != want || !strings.Contains(errs, says) {
			t.Errorf("runnel %s: exit code %d, %s%s; want %d saying %q", strings.Join(args, " "), code, out, errs, want, says)
		}
	}
	says := func(want string, args ...string) {
		t.Helper()
		if out := must("", args...); !strings.Contains(out, want) {
			t.Errorf("runnel %s: %s", strings.Join(args, " "), out)
		}
	}
	decode := func(v any, args ...string) {
		t.Helper()
		if out := must("", append(args, "--json")...); json.Unmarshal([]byte(out), v) != nil {
			t.Fatalf("runnel %s --json: %s", strings.Join(args, " "), out)
		}
	}
	write(t, "more/fickle.wasm", string(guests.Answer(`"fine"`)))
	must("", "deploy", "more/fickle.wasm")
	fails(1, "has no version before 1", "rollback", "fickle")
	write(t, "more/fickle.wasm", string(guests.Trap()))
	must("", "deploy", "more/fickle.wasm")
	fails(1, "FunctionError", "invoke", "fickle", "--idempotency-key", "k")

	// The call that failed is a dead letter. It is redriven with the version before.
	var letters []letter
	decode(&letters, "dlq", "list", "--function", "fickle")
	if len(letters) != 1 || letters[0].Code != "FunctionError" {
		t.Fatalf("dlq list: %+v", letters)
	}
	id := letters[0].ID
	says(id, "dlq", "list")
	says("failed", "dlq", "show", id)
	fails(2, "not a version", "rollback", "fickle", "x")
	fails(1, "NotFound", "rollback", "fickle", "9")
	fails(1, "FunctionNotFound", "rollback", "nobody")
	says("fickle is at version 1", "rollback", "fickle")
	fails(2, "say which", "dlq", "redrive")
	fails(2, "leave one of them out", "dlq", "redrive", "--all", "--code", "Timeout")
	says("0 run again", "dlq", "redrive", "--function", "echo")
	says("1 run again", "dlq", "redrive", id)
	fails(1, "is no dead letter", "dlq", "show", id)

	// What waits is cancelled; what has ended cannot be. Both can be replayed.
	later := strings.Fields(must("", "sql", "select runnel.invoke('fickle', run_at => now() + interval '1 hour')"))[1]
	says("was cancelled and will not run", "cancel", later)
	fails(1, "Conflict", "cancel", later)
	fails(1, "NotFound", "cancel", "00000000-0000-4000-8000-000000000000")
	fails(1, "InvalidRequest", "replay", "x")
	fails(2, "INVOCATION is missing", "replay")
	var replayed map[string]string
	decode(&replayed, "replay", later)
	if replayed["replay_of"] != later || replayed["invocation_id"] == "" {
		t.Errorf("replay --json: %v", replayed)
	}

	// What was redriven and replayed has to have run before the version that fails is
	// back, or it is a dead letter too.
	const ran = "select count(*) from runnel.function_invocations where function_name = 'fickle' and status = 'success'"
	for limit := time.Now().Add(time.Minute); strings.Fields(must("", "sql", ran))[1] != "2"; {
		if time.Now().After(limit) {
			t.Fatal("what was redriven and replayed has not run")
		}
	}
	must("", "rollback", "fickle", "2")
	fails(1, "FunctionError", "invoke", "fickle")
	says("1 purged", "dlq", "purge", "--function", "fickle")
	fails(2, "--yes", "delete", "fickle")
	says("fickle is deleted", "delete", "fickle", "--yes")
	fails(1, "FunctionNotFound", "delete", "fickle", "--yes")
}

// A change made while a deploy is under way must not be taken for what was
// deployed, and what a build command writes must not be taken for a change.
func TestChangesDuringADeployAreNoticed(t *testing.T) {
	alone(t)
	write(t, "plain/runnel.json", "{}")
	write(t, "plain/m.wasm", "old")
	write(t, "built/runnel.json", `{"build":["cp","src","m.wasm"]}`)
	write(t, "built/src", "source")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"code":"FunctionNotFound"}`)
			return
		}
		write(t, "plain/m.wasm", "newer")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"name":"f","version":1}`)
	}))
	defer srv.Close()
	d := &dev{tool: &tool{streams: streams{err: new(buffer)}}, client: &client{base: srv.URL}}
	w := newWatcher(".")
	for _, dir := range []string{"built", "plain"} {
		if _, err := d.deploy(t.Context(), w, dir); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 2 { // the first look waits for the files to settle
		var err error
		if got, err = w.changed(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []string{"plain"}) {
		t.Errorf("changed: %v, want only plain", got)
	}
}

func TestSecretsOfDevArePrivateAndStrong(t *testing.T) {
	alone(t)
	d := &dev{tool: &tool{}}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := d.settings(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.settings(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.JWTSecret) < 32 || s.JWTSecret == s.AdminToken || s.JWTSecret == other.JWTSecret {
		t.Error("the secrets are not random")
	}
	if err := d.keep(stateDir, s); err != nil {
		t.Fatal(err)
	}
	again, err := d.settings(stateDir)
	if err != nil || again.JWTSecret != s.JWTSecret || again.AdminToken != s.AdminToken {
		t.Errorf("the secrets were not kept: %v", err)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(d.state.AnonKey, claims, func(*jwt.Token) (any, error) { return []byte(s.JWTSecret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired()); err != nil || claims["role"] != "anon" {
		t.Errorf("anon key: %v, %v", claims, err)
	}
	if _, err := os.Stat(filepath.Join(stateDir, stateFile)); err != nil {
		t.Error(err)
	}
}

func TestAnAskedForPortIsNotReplaced(t *testing.T) {
	alone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	d := &dev{tool: &tool{streams: streams{err: new(buffer)}}, host: "127.0.0.1"}
	t.Setenv("PORT", "set")
	if _, err := d.listen(t.Context(), port); err == nil || !strings.Contains(err.Error(), "set PORT") {
		t.Errorf("error %v, want one that says to set PORT", err)
	}
	t.Setenv("PORT", "")
	free, err := d.listen(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
}
