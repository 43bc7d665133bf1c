package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

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
		{"list --bogus", 2, "unknown flag: --bogus"},
		{"list extra", 2, `"extra" is one argument too many`},
		{"invoke", 2, "NAME is missing"},
		{"logs f --limit x", 2, "invalid argument"},
		{"keys --role owner", 1, "RUNNEL_JWT_SECRET"}, // no secret comes first
		{"list", 1, "runnel dev"},
		{"sql select", 1, "DATABASE_URL"},
		{"migrate", 1, "DATABASE_URL is not set"},
		{"dev --functions nowhere-to-be-found extra", 2, "one argument too many"},
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
