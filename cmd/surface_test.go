package cmd_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/runnelhq/runnel/internal/guests"
)

func TestFUNC_I2_EveryBombHasItsCodeAndStatus(t *testing.T) {
	s := newSystem(t)
	s.api()
	s.worker()
	s.deploy("hello", guests.Answer(`"hello"`), nil)
	const limit = 500 * time.Millisecond
	tests := []struct {
		name   string
		wasm   []byte
		status int
		code   string
	}{
		{"spin", guests.Spin(), http.StatusGatewayTimeout, "Timeout"},
		{"recurse", guests.Recurse(), http.StatusInternalServerError, "StackOverflow"},
		{"grow", guests.Grow(), http.StatusInsufficientStorage, "OutOfMemory"},
		{"trap", guests.Trap(), http.StatusInternalServerError, "FunctionError"},
		{"exit", guests.Exit(2, "no\n"), http.StatusInternalServerError, "FunctionError"},
		{"pages", guests.Pages(2000), http.StatusInsufficientStorage, "OutOfMemory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.deploy(tt.name, tt.wasm, map[string]any{"timeout": limit.String(), "max_memory": "16MB"})
			s.call(tt.name, `{}`) // compiles
			start := time.Now()
			r := s.call(tt.name, `{}`)
			t.Logf("%d %s in %s", r.status, r.body, time.Since(start).Round(time.Millisecond))
			if r.status != tt.status || !strings.Contains(r.body, fmt.Sprintf(`"code":%q`, tt.code)) {
				t.Errorf("%d %s, want %d %s", r.status, r.body, tt.status, tt.code)
			}
			if r.header.Get("x-runnel-invocation-id") == "" {
				t.Error("no x-runnel-invocation-id")
			}
			if hello := s.call("hello", `{}`); hello.status != http.StatusOK || hello.body != "hello" {
				t.Errorf("the next invocation: %d %s", hello.status, hello.body)
			}
		})
	}
	for name, wasm := range map[string][]byte{"huge-table": guests.HugeTable(), "many-locals": guests.ManyLocals()} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r := s.upload(name, wasm)
			t.Logf("%d %s in %s, %d bytes", r.status, r.body, time.Since(start).Round(time.Millisecond), len(wasm))
			if r.status != http.StatusBadRequest || !strings.Contains(r.body, "InvalidModule") {
				t.Errorf("%d %s, want 400 InvalidModule", r.status, r.body)
			}
		})
	}
}

func TestFUNC_S1_TheSecretIsNowhereToBeRead(t *testing.T) {
	const secret = "sk-live-0123456789abcdef"
	s := newSystem(t)
	s.api()
	s.worker()
	env := map[string]any{"environment": map[string]string{"API_KEY": secret, "ENV": "production"}}
	s.deploy("tell", guests.Tell("API_KEY"), env)
	s.deploy("leak", guests.Exit(1, "cannot reach https://x/?key="+secret+"\n"), env)
	if r := s.call("tell", `{}`); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := s.call("leak", `{}`); r.status != http.StatusInternalServerError || strings.Contains(r.body, secret) {
		t.Errorf("%d %s", r.status, r.body)
	}
	id := one[int64](s, `SELECT id FROM runnel.river_job WHERE state = 'discarded'`)
	pages := []string{
		"/admin/v1/functions", "/admin/v1/functions/tell", "/admin/v1/functions/tell/invocations", "/admin/v1/functions/leak/invocations",
		"/metrics", "/riverui/", "/riverui/api/jobs?state=discarded", fmt.Sprintf("/riverui/api/jobs/%d", id),
	}
	for _, p := range pages {
		r := s.admin("GET", p, "")
		if r.status != http.StatusOK {
			t.Errorf("%s: %d %s", p, r.status, r.body)
		}
		if strings.Contains(r.body, secret) {
			t.Errorf("%s tells the secret", p)
		}
		if out := s.do("GET", p, "", nil); out.status == http.StatusOK && p != "/healthz" {
			t.Errorf("%s is open to anybody", p)
		}
	}
	row := s.admin("GET", "/admin/v1/functions/tell/invocations", "").body
	if !strings.Contains(row, `"API_KEY":"***REDACTED***"`) || !strings.Contains(row, `"ENV":"production"`) {
		t.Errorf("environment of the row: %s", row)
	}
	if n := one[int](s, `SELECT count(*)::int FROM runnel.river_job x WHERE x::text LIKE '%' || $1 || '%'`, secret); n != 0 {
		t.Errorf("%d River rows tell the secret", n)
	}
}
