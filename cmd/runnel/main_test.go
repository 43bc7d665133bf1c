package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/runnelhq/runnel/sandbox/compile"
	"github.com/runnelhq/runnel/sandbox/js"
)

func TestMain(m *testing.M) {
	if compile.IsChild() {
		os.Exit(compile.Child())
	}
	if js.IsChild() {
		os.Exit(js.Child())
	}
	goleak.VerifyTestMain(m)
}

// buffer is an output that can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// alone makes sure that no setting of the machine, and no runnel dev above this
// folder, is in a test's way. The test works in a folder of its own.
func alone(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, key := range []string{"DATABASE_URL", "DATABASE_URL_FILE", "PORT", "METRICS_PORT", "RUNNEL_URL", "RUNNEL_KEY",
		"RUNNEL_ADMIN_TOKEN", "RUNNEL_ADMIN_TOKEN_FILE", "RUNNEL_JWT_SECRET", "RUNNEL_JWT_SECRET_FILE", "RUNNEL_JWT_ISSUER", "RUNNEL_JWT_AUDIENCE", "RUNNEL_JWKS_URL", "RUNNEL_SECRET_KEYS", "RUNNEL_SECRET_KEYS_FILE", "LOG_LEVEL", "LOG_FORMAT"} {
		t.Setenv(key, "")
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
}

// command runs a command line to its end.
func command(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e buffer
	code = run(t.Context(), args, streams{strings.NewReader(stdin), &o, &e})
	return o.String(), e.String(), code
}

func TestExitCodes(t *testing.T) {
	alone(t)
	for _, c := range []struct {
		args string
		code int
		says string // on standard error
	}{
		{"", 0, ""},
		{"--help", 0, ""},
		{"deploy --help", 0, ""},
		{"completion bash", 0, ""},
		{"bogus", 2, `there is no command "bogus"`},
		{"help", 0, ""},
		{"help schedule add", 0, ""},
		{"help bogus", 2, `there is no command "bogus"`},
		{"help schedule bogus", 2, `there is no command "schedule bogus"`},
		{"completion", 0, ""},
		{"completion bogus", 2, "use bash, fish, powershell or zsh"},
		{"completion bash extra", 2, "one argument too many"},
		{"--version", 0, ""},
		{"versions", 2, "NAME is missing"},
		{"init a b", 2, "one argument too many"},
		{"dev nowhere-to-be-found", 1, "nowhere-to-be-found is not a folder"},
		{"deploy nowhere.ts", 1, "there is no nowhere.ts"},
		{"list --bogus", 2, "unknown flag: --bogus"},
		{"list extra", 2, `"extra" is one argument too many`},
		{"invoke", 2, "NAME is missing"},
		{"logs f --limit x", 2, "invalid argument"},
		{"keys --role owner", 1, "RUNNEL_JWT_SECRET"}, // no secret comes first
		{"list", 1, "runnel dev"},
		{"sql select", 1, "DATABASE_URL"},
		{"migrate", 1, "DATABASE_URL is not set"},
		{"dev somewhere extra", 2, "one argument too many"},
	} {
		_, errs, code := command(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("runnel %s: exit code %d, %q; want %d saying %q", c.args, code, errs, c.code, c.says)
		}
		if c.code == 2 && !strings.Contains(errs, "--help") {
			t.Errorf("runnel %s does not say where help is: %q", c.args, errs)
		}
	}
}

func TestErrorsAsJSON(t *testing.T) {
	alone(t)
	_, errs, code := command(t, "", "list", "--json")
	if code != 1 || !strings.HasPrefix(errs, `{"error":"`) {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

func TestNothingAnswers(t *testing.T) {
	alone(t)
	t.Setenv("RUNNEL_URL", "http://127.0.0.1:1")
	_, errs, code := command(t, "", "list")
	if code != 1 || !strings.Contains(errs, "nothing answers at http://127.0.0.1:1") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	t.Setenv("RUNNEL_URL", "127.0.0.1:8080")
	if _, errs, code := command(t, "", "list"); code != 1 || !strings.Contains(errs, "RUNNEL_URL") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

// What a new user reads fits a terminal of 80 columns, and every command says what it
// does.
func TestHelpFitsATerminal(t *testing.T) {
	alone(t)
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		out, errs, code := command(t, "", args...)
		if code != 0 || errs != "" || cmd.Short == "" {
			t.Errorf("%v: code %d, %s", args, code, errs)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 && !strings.HasPrefix(line, "  runnel") && !strings.Contains(cmd.CommandPath(), "completion") {
				t.Errorf("%v: a line of %d columns: %s", args, n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(new(tool).root())
}

// A server that is not there, or does not know us, is named with what to do.
func TestServersThatDoNotAnswer(t *testing.T) {
	alone(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/functions/v1/invoke/hello" || r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":"Unauthorized","message":"who is it"}`)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, `<html>`)
	}))
	defer srv.Close()
	for _, c := range []struct{ url, token, args, says string }{
		{srv.URL, "", "list", "RUNNEL_URL is set and RUNNEL_ADMIN_TOKEN is not"},
		{srv.URL, "wrong", "list", "RUNNEL_ADMIN_TOKEN is not that of the server"},
		{srv.URL, "right", "list", "answered 502 and no explanation: is RUNNEL_URL"},
		{srv.URL, "", "invoke hello", "RUNNEL_KEY or --key"},
		{"https" + strings.TrimPrefix(srv.URL, "http"), "", "list", "cannot be reached"},
		{"http://127.0.0.1:1", "", "list", "nothing answers"},
		{"ftp://x", "", "list", "not an address"},
	} {
		t.Setenv("RUNNEL_URL", c.url)
		t.Setenv("RUNNEL_ADMIN_TOKEN", c.token)
		if out, errs, code := command(t, "", strings.Fields(c.args)...); code != 1 || out != "" || !strings.Contains(errs, c.says) {
			t.Errorf("%+v: %d %q %q", c, code, out, errs)
		}
		_, errs, code := command(t, "", append(strings.Fields(c.args), "--json")...)
		if code != 1 || !json.Valid([]byte(errs)) {
			t.Errorf("%+v --json: %d %q", c, code, errs)
		}
	}
}

// Who has the server's secret at hand calls without minting a key first.
func TestInvokeMintsAKeyWhereItKnowsTheSecret(t *testing.T) {
	alone(t)
	const secret = "a secret of more than thirty-two bytes"
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		fmt.Fprint(w, `1`)
	}))
	defer srv.Close()
	t.Setenv("RUNNEL_URL", srv.URL)
	t.Setenv("RUNNEL_JWT_SECRET", secret)
	if out, errs, code := command(t, "", "invoke", "hello"); code != 0 {
		t.Fatalf("%d %q %q", code, out, errs)
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(seen, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil || claims["role"] != "anon" {
		t.Errorf("called with %q: %v, %v", seen, claims, err)
	}
	t.Setenv("RUNNEL_KEY", "mine")
	if _, _, code := command(t, "", "invoke", "hello"); code != 0 || seen != "mine" {
		t.Errorf("%d, called with %q, want RUNNEL_KEY", code, seen)
	}
	if _, _, code := command(t, "", "invoke", "hello", "--key", "other"); code != 0 || seen != "other" {
		t.Errorf("%d, called with %q, want --key", code, seen)
	}
}

func TestInterrupted(t *testing.T) {
	alone(t)
	t.Setenv("RUNNEL_URL", "http://127.0.0.1:1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var o, e buffer
	if code := run(ctx, []string{"list"}, streams{strings.NewReader(""), &o, &e}); code != 1 || e.String() != "" {
		t.Errorf("exit code %d, %q; want 1 and nothing said", code, e.String())
	}
}
